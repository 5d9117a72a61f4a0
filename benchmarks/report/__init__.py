"""The rows that were measured, what is concluded from them, and the page that shows both."""
