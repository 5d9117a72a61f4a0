"""Networks in the exchange format NIR, both ways."""
