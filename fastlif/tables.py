"""Tables as lines of text, for what is printed."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["lines_of"]


def lines_of(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """The rows under their headers, the first ``left`` columns flush left and the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows)]

    def line(cells):
        shown = (
            cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths))
        )
        return "  ".join(shown).rstrip()

    return [line(headers), "  ".join("-" * width for width in widths), *map(line, rows)]
