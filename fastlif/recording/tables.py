"""Tables as lines of text, for what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Row", "Table", "lines_of"]


def lines_of(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """The rows under their headers, the first ``left`` columns flush left and the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows)]

    def line(cells):
        shown = (
            cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths))
        )
        return "  ".join(shown).rstrip()

    return [line(headers), "  ".join("-" * width for width in widths), *map(line, rows)]


class Row(NamedTuple):
    """One line of :meth:`fastlif.recording.Log.table`; None stands for what was not recorded.

    Attributes:
        name: of the entry.
        rate: spikes per neuron and step.
        units: neurons of one sample.
        silent: of these, those that never fired.
        saturated: those that fired at every step of every sample.
        operations: synaptic ones per sample of a forward.
        spike_bytes: of one forward's spikes, as they are handed on.
        membrane_bytes: of the membrane that is carried from step to step.
    """

    name: str
    rate: float | None
    units: int | None
    silent: int | None
    saturated: int | None
    operations: float | None
    spike_bytes: int | None
    membrane_bytes: int | None


class Table:
    """The :class:`Row` of each entry in ``rows``; ``print`` it."""

    def __init__(self, rows: list[Row]):
        self.rows = rows

    def __str__(self) -> str:
        def shown(value, form):
            return "-" if value is None else format(value, form)

        headers = ("neuron", "rate", "units", "silent", "saturated", "operations", "spikes, kB", "membrane, kB")
        rows = [
            (row.name, shown(row.rate, ".4f"), *(shown(value, ",") for value in row[2:5]),
             shown(row.operations, ",.0f"), *(shown(value and value / 1e3, ",.1f") for value in row[6:]))
            for row in self.rows
        ]  # fmt: skip
        legend = (
            "",
            "rate: spikes per neuron and step. silent, saturated: units that never fired, or at every step.",
            "operations: synaptic ones on the way to the neuron, per sample of a forward.",
            "kB: of the spikes of one forward; of the membrane that is carried from step to step.",
        )
        return "\n".join((*lines_of(headers, rows), *legend))

    __repr__ = __str__  # in a notebook or at Python's prompt
