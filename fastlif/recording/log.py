"""What the neurons of a model did in its forwards: spikes, membranes, rates, and a table of them."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, overload

import torch
from torch import Tensor, nn

from fastlif import validation
from fastlif.layout import membrane_dtype
from fastlif.libraries.spikingjelly import Accelerated
from fastlif.modules import LIF, NoisyLIF
from fastlif.neuron import Neuron
from fastlif.passes import Membranes, in_backward, thread
from fastlif.recording.energy import COUNTED, LayerCall
from fastlif.recording.membranes import generator_state, membranes
from fastlif.recording.tables import Row, Table
from fastlif.recording.watch import unfold, watch, watched_neurons

__all__ = ["Log", "record"]

MEMBRANES = (None, "before", "after")
SPIKING = (LIF, NoisyLIF, Accelerated)
READ_OUT = "(read-out)"  # the row of layers of weights that no neuron follows

_recorded: weakref.WeakSet[Neuron | Accelerated] = weakref.WeakSet()  # the neurons that a log is recording now


def record(model: nn.Module, *, spikes: bool = True, membrane: str | None = None) -> Log:
    """Records what the spiking neurons of ``model`` do: ``with fastlif.record(model) as log: model(images)``.

    Outside of the ``with`` it costs nothing: the neurons get hooks when it begins, which are removed when it ends,
    also after an error. Meanwhile a pair that :func:`fastlif.fuse` made runs as its two modules, and gives the same
    spikes but for rounding. What activation checkpointing computes again in the backward is not recorded again.

    An entry is a neuron by its name in the model. A neuron that is called several times in a forward has the entries
    ``"name"``, ``"name#1"``, ``"name#2"``. Several forwards follow one another in time, as on a tape: two of T = 5
    give ``[10, N, *]``. So all need the same batch, unless only rates and the table are asked for. A part that is
    called by itself, and not in a forward of ``model``, goes on with the next number.

    Not recorded: :class:`fastlif.LI`, which does not spike, the functions of ``fastlif.functional``, copies of the
    model, and what ``torch.compile`` made before.

    Args:
        model: a module with fastlif neurons, such as a :class:`fastlif.MultiStep`, or what :func:`fastlif.accelerate`
            made of a SpikingJelly model.
        spikes: keep all spikes. With False, ``rates`` and the rest of the ``table`` remain: one sum over each call's
            spikes is made, and nothing else is kept.
        membrane: ``"before"`` keeps the membrane before the spike, h_t of Eq. (1), (5) and (6), with its noise;
            ``"after"`` keeps it after the spike and the reset, v_t of Eq. (3). Neither is kept by default. The fast
            kernels do not give them, so they are computed again, step by step, from the neuron's input, the noise that
            was drawn and the spikes that were fired: this takes several times as long as the neuron. SpikingJelly's
            nodes keep theirs themselves, with their ``store_v_seq``.

    Returns:
        A :class:`Log`, to be read during and after the ``with``.

    Raises:
        TypeError, ValueError: for wrong arguments, or a model without fastlif neurons.
        RuntimeError: if the model was compiled; in the ``with``, if a neuron of the model is being recorded already,
            or is called by ``torch.compile``, ``torch.export`` or ``torch.func``'s transforms.
    """
    validation.check_module("model", model)
    validation.check_flag("spikes", spikes)
    if membrane not in MEMBRANES:
        raise ValueError(f"membrane must be None, 'before' or 'after', got {membrane!r}")
    found = watched_neurons(model)
    validation.check_watchable(model, found)
    if not any(isinstance(neuron, SPIKING) for neuron in found):
        raise ValueError("model must have a neuron that spikes: fastlif.LI, which it has, does not")
    if membrane is not None and any(isinstance(neuron, Accelerated) for neuron in found):
        raise ValueError("membrane must be None for SpikingJelly's nodes, which keep it themselves: store_v_seq = True")
    return Log(model, spikes, membrane)


@dataclass
class Entry:
    """What one neuron did in one of its calls, over all forwards."""

    neuron: Neuron | Accelerated
    total: Tensor | float = 0.0  # spikes
    chances: int = 0  # neurons times samples times steps, where there may be one
    samples: int = 0
    shape: torch.Size = torch.Size()  # [T, N, *] of the last call
    spike_bytes: int = 0
    membrane_bytes: int = 0
    spikes: list[Tensor] = field(default_factory=list)
    membranes: list[Tensor] = field(default_factory=list)
    layers: list[LayerCall] = field(default_factory=list)


class Tape(Mapping):
    """Tensors ``[T, N, *]`` by the names of entries; T counts the steps of all forwards."""

    def __init__(self, entries: dict[str, Entry], kept: Callable[[Entry], list[Tensor]]):
        self._entries, self._kept = entries, kept

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._entries:
            there = ", ".join(self._entries) or "none, as no neuron was called"
            raise KeyError(f"{name!r} was not recorded; there are {there}")
        parts = self._kept(self._entries[name])
        if len(parts) == 1:
            return parts[0]
        _check_alike(name, {part.shape[1:] for part in parts}, "follow one another in time")
        return torch.cat(parts)

    def parts(self) -> dict[str, list[Tensor]]:
        """The tensor of each forward."""
        return {name: self._kept(entry) for name, entry in self._entries.items()}

    def __iter__(self):
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Log:
    """What :func:`record` recorded."""

    def __init__(self, model: nn.Module, spikes: bool, membrane: str | None):
        self._model, self.keeps_spikes, self.which = model, spikes, membrane
        self._entries: dict[str, Entry] = {}
        self._neurons: list[Neuron | Accelerated] = []
        self._began, self._hooks = False, contextlib.ExitStack()
        self._counts: dict[str, int] = {}  # of the calls of each neuron, in this forward
        self._before: dict[Neuron, tuple[Membranes, Tensor | None]] = {}  # of a call: what its membranes depend on
        self._layers: list[LayerCall] = []  # since the last neuron was called
        self._rest: list[LayerCall] = []  # of those, what no neuron followed
        self._reached = False  # whether a neuron was called in this forward
        self._samples = 0  # in all forwards

    def __enter__(self) -> Log:
        if self._began:
            raise RuntimeError("a log records one `with`: call fastlif.record(model) again for another one")
        for name, module in self._model.named_modules():
            if module in _recorded:
                raise RuntimeError(
                    f"{name or 'the model'} is being recorded already, by a `with fastlif.record(...)` around this "
                    "one: record the outermost model alone, its log holds the neurons of all its parts"
                )
        self._neurons = [neuron for neuron in watched_neurons(self._model) if isinstance(neuron, SPIKING)]
        _recorded.update(self._neurons)
        self._began = True
        keep = self._hooks.enter_context

        def begin(called, arguments):
            if called is self._model and not in_backward():
                self._end_forward()

        keep(self._model.register_forward_pre_hook(begin))
        if self.which is not None:
            for neuron in self._neurons:
                if isinstance(neuron, Neuron):
                    keep(neuron.register_forward_pre_hook(_hook_before(neuron, self._before), with_kwargs=True))
        if self.keeps_spikes:
            keep(watch(self._model, COUNTED, self._note_layer))
        keep(watch(self._model, SPIKING, self._note))
        return self

    def __exit__(self, *error) -> None:
        self._hooks.close()
        _recorded.difference_update(self._neurons)
        self._end_forward()
        self._before.clear()

    def _end_forward(self) -> None:
        self._rest += self._layers
        self._layers, self._counts, self._reached = [], {}, False

    @torch.no_grad()
    def _note_layer(self, name, layer, input, output) -> None:
        if not in_backward():
            self._layers.append(LayerCall.of(name, layer, input, analogue=not self._reached))

    @torch.no_grad()
    def _note(self, name, neuron, input, output) -> None:
        if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
            raise RuntimeError(
                "torch.compile, torch.export and torch.func's transforms cannot be recorded: call the model itself "
                "inside fastlif.record"
            )
        if in_backward():
            return
        count = self._counts[name] = self._counts.get(name, -1) + 1
        name = f"{name}#{count}" if count else name
        entry = self._entries.setdefault(name, Entry(neuron))
        spikes = unfold(neuron, output.detach())
        if not self._reached:
            self._samples += spikes.shape[1]
        self._reached = True
        entry.total = entry.total + spikes.sum(dtype=torch.float64)
        entry.chances += spikes.numel()
        entry.shape, entry.spike_bytes = spikes.shape, spikes.nbytes
        carries = not isinstance(neuron, NoisyLIF) or neuron.converted or spikes.shape[0] > 1
        entry.membrane_bytes = spikes.shape[1:].numel() * membrane_dtype(spikes).itemsize if carries else 0
        entry.layers += self._layers
        self._layers = []
        if self.keeps_spikes:
            entry.spikes.append(spikes.clone())  # what follows may work in place
        if self.which is not None:
            before = self._before.pop(neuron)
            entry.membranes.append(membranes(neuron, input.detach(), spikes, *before, self.which))

    @property
    def names(self) -> list[str]:
        """The entries, in the order of their first calls."""
        return list(self._entries)

    @property
    def spikes(self) -> Tape:
        """Spikes ``[T, N, *]`` in the input's dtype by entry.

        Raises:
            RuntimeError: where they were not recorded.
        """
        if not self.keeps_spikes:
            raise RuntimeError("spikes were not recorded: use fastlif.record(model, spikes=True)")
        return Tape(self._entries, lambda entry: entry.spikes)

    @property
    def membrane(self) -> Tape:
        """Membranes ``[T, N, *]``, float32 (float64 for float64 input), by entry, before or after the spike.

        Raises:
            RuntimeError: where they were not recorded.
        """
        if self.which is None:
            raise RuntimeError(
                "the membrane was not recorded: use fastlif.record(model, membrane='before'), or 'after' for after the "
                "spike"
            )
        return Tape(self._entries, lambda entry: entry.membranes)

    @property
    def thresholds(self) -> dict[str, float | Tensor]:
        """The threshold of each entry's neuron: a number, or a tensor that broadcasts against ``[N, *]``."""
        return {name: entry.neuron.threshold for name, entry in self._entries.items()}

    @overload
    def rates(self, per: Literal["layer"] = "layer") -> dict[str, float]: ...
    @overload
    def rates(self, per: Literal["unit"]) -> dict[str, Tensor]: ...
    def rates(self, per: str = "layer") -> dict[str, float] | dict[str, Tensor]:
        """The mean number of spikes per neuron and step of each entry, over all samples and forwards.

        Args:
            per: ``"layer"`` (default): a number for each entry; ``"unit"``: a tensor ``[*]`` with one for each neuron,
                which needs the spikes.

        Raises:
            ValueError: for another ``per``, or ``"unit"`` of forwards whose units differ.
            RuntimeError: if nothing was recorded, or no spikes for ``per="unit"``.
        """
        validation.check_choice("per", per, ("layer", "unit"))
        self.check_recorded()
        if per == "unit":
            return {name: _per_unit(name, kept) for name, kept in self.spikes.parts().items()}
        return {name: float(entry.total) / max(entry.chances, 1) for name, entry in self._entries.items()}

    def table(self) -> Table:
        """A :class:`Row` for each entry, to be printed or read from ``rows``.

        Synaptic operations are those of the ``nn.Linear`` and convolutions that ran since the neuron before, counted as
        by :func:`fastlif.energy`, and per sample of a forward. Those that no neuron follows have the last row. Silent
        and saturated units, and operations, need the spikes.

        Raises:
            RuntimeError: if nothing was recorded.
            ValueError: for spikes of forwards whose units differ.
        """
        rates, rows = self.rates(), []
        for name, entry in self._entries.items():
            silent = saturated = operations = None
            if self.keeps_spikes:
                _check_alike(name, {spikes.shape[2:] for spikes in entry.spikes}, "share their units")
                silent = int(_all(spikes == 0 for spikes in entry.spikes).sum())
                saturated = int(_all(spikes != 0 for spikes in entry.spikes).sum())
                operations = self._operations(entry.layers)
            rows.append(Row(name, rates[name], entry.shape[2:].numel(), silent, saturated, operations,
                            entry.spike_bytes, entry.membrane_bytes))  # fmt: skip
        rest = self._rest + self._layers
        if rest:
            rows.append(Row(READ_OUT, None, None, None, None, self._operations(rest), None, None))
        return Table(rows)

    def _operations(self, layers: list[LayerCall]) -> float:
        return sum(layer.operations() for layer in layers) / max(self._samples, 1)

    def check_recorded(self) -> None:
        """Raises a RuntimeError if nothing was recorded."""
        if not self._entries:
            raise RuntimeError(
                "nothing was recorded: call the model itself inside the `with`, not a copy of it, and not what "
                "torch.compile made of it, which leaves out the hooks that record"
            )


def _check_alike(name: str, shapes: set, what: str) -> None:
    if len(shapes) > 1:
        raise ValueError(
            f"the forwards gave {name} steps of several shapes, {', '.join(map(str, map(tuple, shapes)))}, which "
            f"cannot {what}: record each kind in a `with` of its own"
        )


def _all(steps) -> Tensor:
    """Where all of ``[T, N, *]`` hold, as ``[*]``."""
    return torch.stack([step.flatten(0, 1).all(dim=0) for step in steps]).all(dim=0)


def _per_unit(name: str, parts: list[Tensor]) -> Tensor:
    """The mean over steps and samples, ``[*]``."""
    _check_alike(name, {part.shape[2:] for part in parts}, "share their units")
    total = functools.reduce(torch.add, (part.sum(dim=(0, 1), dtype=torch.float64) for part in parts))
    return (total / sum(part.shape[:2].numel() for part in parts)).float()


def _hook_before(neuron: Neuron, kept: dict):
    """Keeps what the call will begin with: the membranes that are carried, and the generator of its noise's seed."""

    def before(called, arguments, keywords):
        if called is neuron and not torch.compiler.is_compiling():
            if thread.current is not None and thread.current.states is not None:
                raise RuntimeError(
                    "until_confident drops samples on the way, so that its membranes cannot be recorded: use "
                    "fastlif.record(model, membrane=None), or call the model for all its steps"
                )
            input = arguments[0] if arguments else keywords.get("input")
            noise = isinstance(neuron, NoisyLIF) and isinstance(input, Tensor)
            kept[neuron] = dict(neuron.states), generator_state(input.device) if noise else None

    return before
