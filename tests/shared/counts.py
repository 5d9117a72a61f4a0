"""What the tests tried, counted as they go; printed at the end of a run."""

from collections import Counter

COUNTS: Counter[str] = Counter()
