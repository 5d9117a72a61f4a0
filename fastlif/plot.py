"""Pictures of what :func:`fastlif.record` recorded. They need matplotlib: ``pip install 'fastlif[plot]'``.

Each function draws on ``ax``, or on a new figure of 6 x 3 inches, and returns the Axes: ``ax.figure.savefig(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fastlif import validation
from fastlif.machine import imported
from fastlif.recording import Log

__all__ = ["membrane", "raster", "rates"]

INK, ACCENT, QUIET = "#1f3b57", "#c8553d", "#8a8f98"
SIZE = (6, 3)  # inches


def raster(
    recorded: Log | Tensor, *, layer: str | None = None, sample: int = 0, units: int = 40, ax: Any = None
) -> Any:
    """Each spike of one sample as a short line: time steps from left to right, a row for each neuron.

    Args:
        recorded: a log with spikes, or spikes ``[T, N, *]``.
        layer: the entry of a log to draw; by default all of them, one below the other.
        sample: which of the N samples.
        units: at most so many neurons of a layer, 40 by default, evenly spaced over it.
        ax: the Axes to draw on; by default those of a new figure.

    Raises:
        TypeError, ValueError, KeyError: for wrong arguments.
        RuntimeError: for a log without spikes.
        ImportError: without matplotlib.
    """
    validation.check_index("units", units, minimum=1)
    layers = _layers(recorded, "spikes", layer)
    layers = {name: _sample(spikes, sample) for name, spikes in layers.items()}  # [T, units] each
    ax = _axes(ax)
    from matplotlib.collections import PolyCollection

    start, ticks, bars = 0, {}, []
    for name, shown in layers.items():
        chosen = _spaced(shown.shape[1], units)
        steps, rows = shown[:, chosen].nonzero(as_tuple=True)
        for step, row in zip(steps.tolist(), rows.tolist()):
            x, y = step + 1, row + start
            bars.append([(x - 0.15, y - 0.4), (x + 0.15, y - 0.4), (x + 0.15, y + 0.4), (x - 0.15, y + 0.4)])
        ticks[start + (len(chosen) - 1) / 2] = _named(name, len(chosen), shown.shape[1])
        if start:
            ax.axhline(start - 1.5, color=QUIET, linewidth=0.6)
        start += len(chosen) + 2
    ax.add_collection(PolyCollection(bars, facecolor=INK, edgecolor=INK, linewidth=0.5))
    ax.set_ylim(start - 2, -1)  # the first layer on top
    _show_steps(ax, len(shown))
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.tick_params(axis="y", length=0)
    if list(layers) == [""]:
        ax.set_ylabel("neuron")
    return _clean(ax, "left")


def membrane(
    recorded: Log | Tensor,
    *,
    layer: str | None = None,
    sample: int = 0,
    units: int | Sequence[int] = 3,
    threshold: float | None = None,
    ax: Any = None,
) -> Any:
    """The membrane of a few neurons over time, one below the other, with the threshold, and dots where they spike.

    Args:
        recorded: a log with membranes, or membranes ``[T, N, *]``. The dots need a log with spikes.
        layer: the entry of a log to draw; by default the first one.
        sample: which of the N samples.
        units: the neurons, as positions in the flattened sample; or how many, 3 by default: of those that spike in
            this sample, if there are any, evenly spaced ones.
        threshold: where to draw the dashed line; by default the log's, and none for a tensor.
        ax: the Axes to draw on; by default those of a new figure.

    Raises:
        TypeError, ValueError, KeyError: for wrong arguments.
        RuntimeError: for a log without membranes.
        ImportError: without matplotlib.
    """
    layers = _layers(recorded, "membrane", layer)
    name = next(iter(layers))
    shown = _sample(layers[name], sample)
    spikes = None
    if isinstance(recorded, Log) and recorded.keeps_spikes:
        spikes = _sample(recorded.spikes[name], sample)
    dashed: float | Tensor | None = None
    if threshold is not None:
        dashed = validation.check_number("threshold", threshold)
    elif isinstance(recorded, Log):
        dashed = recorded.thresholds[name]
    chosen = _chosen(units, shown, spikes)
    limits = None
    if dashed is not None:
        step = layers[name].shape[1:]
        limits = torch.as_tensor(dashed).detach().cpu().expand(step)[sample].flatten()
    ax = _axes(ax)
    lines = shown[:, chosen]
    low, high = min(0.0, float(lines.min())), float(lines.max())
    if limits is not None:
        high = max(high, float(limits[chosen].max()))
    height = 1.15 * (high - low) or 1.0
    steps = list(range(1, len(shown) + 1))
    positions, labels = [], []
    for i, unit in enumerate(chosen):
        base = (len(chosen) - 1 - i) * height - low
        ax.plot(steps, (lines[:, i] + base).tolist(), color=INK, linewidth=1.3, marker="o", markersize=2.2)
        positions.append(base)
        labels.append("0")
        if limits is not None:
            limit = float(limits[unit])
            ax.plot([1, len(shown)], [base + limit] * 2, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
            positions.append(base + limit)
            labels.append(f"{limit:g}")
        if spikes is not None:
            fired = spikes[:, unit].nonzero().flatten()
            ax.plot((fired + 1).tolist(), (lines[fired, i] + base).tolist(), "o", color=ACCENT, markersize=4.5)
        ax.annotate(f"unit {unit:,}", (1, base + low + height / 2), (6, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", color=INK, va="center", annotation_clip=False)  # fmt: skip
    _show_steps(ax, len(shown))
    ax.set_yticks(positions, labels)
    ax.set_ylabel(f"membrane\n{recorded.which} the spike" if isinstance(recorded, Log) else "membrane")
    parts = [f"{name}:" if name else "", "dots are spikes," if spikes is not None else ""]
    parts.append("dashes the threshold" if limits is not None else "")
    title = " ".join(part for part in parts if part).rstrip(",:")
    ax.set_title(title, fontsize="medium", loc="left", color=INK)
    return _clean(ax)


def rates(recorded: Log | Mapping[str, float], *, ax: Any = None) -> Any:
    """A bar for the rate of each layer, the mean number of spikes per neuron and step.

    Args:
        recorded: a log, or what its ``rates()`` gives.
        ax: the Axes to draw on; by default those of a new figure.

    Raises:
        TypeError: for anything else.
        ValueError: if there is no rate.
        RuntimeError: for an empty log.
        ImportError: without matplotlib.
    """
    found = recorded.rates() if isinstance(recorded, Log) else recorded
    if not isinstance(found, Mapping) or not all(isinstance(value, (int, float)) for value in found.values()):
        raise TypeError(f"recorded must be a fastlif log or its rates(), got {type(recorded).__name__}")
    if not found:
        raise ValueError("recorded must hold at least one rate, got none")
    ax = _axes(ax)
    names, values = list(found), list(found.values())
    bars = ax.barh(names, values, height=0.62, color=INK)
    ax.bar_label(bars, [f"{value:.3f}" for value in values], padding=4, color=INK)
    ax.invert_yaxis()  # the first layer on top
    ax.set_xlim(0, max(max(values) * 1.15, 1e-3))
    ax.set_xlabel("spikes per neuron and step")
    ax.tick_params(axis="y", length=0)
    return _clean(ax, "left")


def _layers(recorded, what: str, layer: str | None) -> dict[str, Tensor]:
    """The tensors ``[T, N, *]`` to draw by their names; a tensor that was given has none."""
    if isinstance(recorded, Tensor):
        if layer is not None:
            raise ValueError(f"layer chooses an entry of a log, and recorded is a tensor; got layer={layer!r}")
        if recorded.ndim < 2 or not recorded.numel():
            raise ValueError(f"recorded must be [T, N, *] and hold something, got shape {tuple(recorded.shape)}")
        return {"": recorded}
    if not isinstance(recorded, Log):
        raise TypeError(f"recorded must be a fastlif log or a tensor [T, N, *], got {type(recorded).__name__}")
    tape = getattr(recorded, what)
    recorded.check_recorded()
    if layer is not None:
        return {layer: tape[layer]}
    names = recorded.names if what == "spikes" else recorded.names[:1]
    return {name: tape[name] for name in names}


def _sample(steps: Tensor, sample: int) -> Tensor:
    """One sample of ``[T, N, *]`` as ``[T, units]``, on the CPU."""
    validation.check_index("sample", sample, minimum=0, end=steps.shape[1])
    return steps[:, sample].detach().flatten(1).float().cpu()


def _spaced(size: int, count: int) -> list[int]:
    """At most ``count`` of ``size`` positions, evenly spaced."""
    count = min(size, count)
    return [i * size // count for i in range(count)]


def _chosen(units, shown: Tensor, spikes: Tensor | None) -> list[int]:
    if isinstance(units, Sequence) and not isinstance(units, str) and len(units):
        for unit in units:
            validation.check_index("units", unit, minimum=0, end=shown.shape[1])
        return list(units)
    validation.check_index("units", units, minimum=1)
    fired = [] if spikes is None else spikes.any(dim=0).nonzero().flatten().tolist()
    among = fired or list(range(shown.shape[1]))
    return [among[i] for i in _spaced(len(among), units)]


def _named(name: str, shown: int, of: int) -> str:
    count = f"{shown} of {of:,} units" if shown < of else f"{of:,} units"
    return f"{name}\n{count}" if name else count


def _axes(ax):
    pyplot = imported("matplotlib.pyplot", "fastlif.plot needs matplotlib", "plot")
    if ax is None:
        _, ax = pyplot.subplots(figsize=SIZE, layout="constrained")
    return ax


def _show_steps(ax, steps: int) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(0.5, steps + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel("time step")


def _clean(ax, *more: str):
    for side in ("top", "right", *more):
        ax.spines[side].set_visible(False)
    return ax
