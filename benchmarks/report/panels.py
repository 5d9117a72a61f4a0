"""What figures are drawn with."""

import io
from collections.abc import Callable, Iterable

from benchmarks.report.rows import Row, by_work

OVER_TIME = {"xlabel": "time steps T", "ylabel": "test accuracy (%)"}


def panels(rows: Iterable[Row], figure, width: float = 6, height: float = 4.5, folded: bool = False, **properties):
    """Yields, for each data set and network, the axes of a panel that has these properties, and the rows to draw there.

    A panel is so many inches wide and high. With ``folded`` its title takes two lines.
    """
    groups = by_work(rows)
    figure.set_size_inches(width * len(groups), height)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        axes.set(title=name.replace(", ", "\n") if folded else name, **properties)
        yield axes, own


def legend_below(figure, **options) -> None:
    """One legend for all panels, below them: it covers no data."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, **options)


def plot_over_time(axes, curve: list[Row], label: str) -> None:
    """The rows' medians against their T."""
    axes.plot([int(row.setting["T"]) for row in curve], [row.median for row in curve], "o-", label=label)


def legend_beside(axes) -> None:
    """A legend to the right of the panel, where it covers no data."""
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))


def error_bars(rows: list[Row]) -> list[list[float]]:
    """How far p20 and p80 are from the medians: matplotlib's yerr."""
    return [[row.median - row.p20 for row in rows], [row.p80 - row.median for row in rows]]


def png(draw: Callable, dpi: int = 110) -> bytes:
    """What ``draw(figure)`` draws: the same bytes whatever the user's settings of matplotlib."""
    try:
        import matplotlib.style  # an extra, which the other commands do without
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError("the figures need the package matplotlib: pip install '.[demo]'") from error
    file = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = Figure(layout="constrained", dpi=dpi)
        draw(figure)
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()
