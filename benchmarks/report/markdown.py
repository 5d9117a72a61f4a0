"""What every page of results is written with: Markdown's tables and paragraphs."""

import re
import textwrap
from collections.abc import Iterable


def table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table. Its cells are Markdown."""
    header = list(header)
    top, *rest = (f"| {' | '.join(cells)} |" for cells in [header, *lines])
    return "\n".join([top, "|---" * len(header) + "|", *rest])


def folded(text: str, hanging: str = "") -> str:
    """A paragraph in lines of at most 120 characters; all but the first begin with ``hanging``."""
    return textwrap.fill(text, 120, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_~\[\]<>|])", r"\\\1", re.sub(r"\s*\n\s*", " ", text))
