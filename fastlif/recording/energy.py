"""How much a network's weights and neurons have to compute, counted in one pass, and an estimate of the energy.

A spike into a layer of weights costs one addition for every weight that it meets, and no spike costs nothing. An
analogue input costs a multiplication and an addition instead, zero or not. Weights that meet nothing but the zeros of
the padding are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.overrides import TorchFunctionMode

from fastlif import validation
from fastlif.libraries.spikingjelly import Accelerated, at_rest
from fastlif.models import evaluating
from fastlif.modules import NoisyLIF
from fastlif.neuron import Neuron
from fastlif.recording.tables import lines_of
from fastlif.recording.watch import WATCHED, unfold, watch, watched_neurons
from fastlif.variants import LI

__all__ = ["Energy", "energy", "weights_met"]

CONVOLUTIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}  # with the number of their dimensions in space
COUNTED = (nn.Linear, *CONVOLUTIONS)
PRODUCTS = ("matmul", "linalg_matmul", "rmatmul", "mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "tensordot",
            "einsum", "scaled_dot_product_attention")  # fmt: skip


def weights_met(layer: nn.Module, events: Tensor) -> int:
    """The sum over ``events``, numbers in the shape of the layer's input, of each times the weights that it meets.

    Args:
        layer: an ``nn.Linear``, ``nn.Conv1d``, ``nn.Conv2d`` or ``nn.Conv3d``.
        events: such as ones where the input is not zero.
    """
    return _weights_met(layer, _places(layer, events))


def _places(layer, events: Tensor) -> Tensor:
    """``events`` summed over batch and channels: a number, or one for each place.

    The place alone decides how many weights of a kernel an event meets.
    """
    if isinstance(layer, nn.Linear):
        return events.sum(dtype=torch.float64)
    return events.sum(dim=tuple(range(events.ndim - _dimensions(layer))), dtype=torch.float64)


def _weights_met(layer, places: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return round(places.item()) * layer.out_features
    kind = next(kind for kind in CONVOLUTIONS if isinstance(layer, kind))
    taps = skip_init(  # an initialisation would draw from torch's generator
        kind,
        *(1, 1, layer.kernel_size, layer.stride, layer.padding, layer.dilation),
        bias=False,
        padding_mode=layer.padding_mode,
        device=places.device,
        dtype=places.dtype,
    )
    nn.init.ones_(taps.weight)
    return round(taps(places[None, None]).sum().item()) * (layer.out_channels // layer.groups)


def _dimensions(layer) -> int:
    return next((count for kind, count in CONVOLUTIONS.items() if isinstance(layer, kind)), 0)


@dataclass
class LayerCall:
    """A call of a layer of weights: what its input was, in a few numbers, and what that costs.

    ``analogue`` is an input that no neuron came before. ``binary`` tells whether the others are zeros and ones.
    """

    name: str
    layer: nn.Module
    shape: torch.Size
    analogue: bool
    places: Tensor
    binary: Tensor

    @classmethod
    def of(cls, name: str, layer: nn.Module, input: Tensor, analogue: bool) -> LayerCall:
        input = input.detach()
        events = torch.ones_like(input) if analogue else input != 0
        binary = ((input == 0) | (input == 1)).all()
        return cls(name, layer, input.shape, analogue, _places(layer, events), binary)

    def kind(self) -> str:
        """``"analogue"``; ``"spikes"``; or ``"graded"``, such as averages or sums of spikes."""
        return "analogue" if self.analogue else "spikes" if bool(self.binary) else "graded"

    def operations(self) -> int:
        """Additions for ``"spikes"``, else multiply-accumulates; of all inputs for ``"analogue"``, else of nonzero."""
        with torch.no_grad():
            return _weights_met(self.layer, self.places)


class EnergyRow(NamedTuple):
    """One layer, all its calls together, per sample.

    Attributes:
        name: in the model.
        kind: its class.
        input: ``"analogue"``, ``"spikes"`` or ``"graded"``; empty for a neuron.
        additions, multiplications, picojoules: of the spiking network.
        relu_macs: multiply-accumulates of the same layer in the ReLU twin; 0 for a neuron.
    """

    name: str
    kind: str
    input: str
    additions: float
    multiplications: float
    picojoules: float
    relu_macs: float


class Energy:
    """What :func:`energy` found: ``print`` it.

    Attributes:
        rows: one :class:`EnergyRow` for each layer of weights and each neuron, in the order of their first calls.
        samples: how many samples the counts were divided by.
        timesteps: T of the first neuron.
        accumulates: additions of a weight for a spike, per sample.
        macs: multiply-accumulates of weights, per sample.
        neuron_steps: how often a neuron is brought up to date, per sample.
        picojoules: the estimate, per sample.
        relu_macs, relu_picojoules: the same network with ReLU, which runs once and multiplies every input.
        uncounted: classes with weights, and functions of matrix products, that are not counted.
        add_pj, multiply_pj: the constants.
    """

    def __init__(self, rows, samples, timesteps, neuron_steps, uncounted, add_pj, multiply_pj):
        self.rows: list[EnergyRow] = rows
        self.samples, self.timesteps, self.neuron_steps = samples, timesteps, neuron_steps
        self.uncounted: list[str] = uncounted
        self.add_pj, self.multiply_pj = add_pj, multiply_pj
        layers = [row for row in rows if row.input]
        self.macs = sum(row.multiplications for row in layers)
        self.accumulates = sum(row.additions for row in layers) - self.macs
        self.picojoules = sum(row.picojoules for row in rows)
        self.relu_macs = sum(row.relu_macs for row in rows)
        self.relu_picojoules = self.relu_macs * (add_pj + multiply_pj)

    def __str__(self) -> str:
        """The table, the comparison with ReLU, and what the constants are."""
        mac = self.add_pj + self.multiply_pj
        shown = [
            (row.name, row.kind, row.input, f"{row.additions:,.0f}", f"{row.multiplications:,.0f}",
             f"{row.picojoules / 1e3:,.3f}", f"{row.relu_macs * mac / 1e3:,.3f}" if row.input else "")
            for row in self.rows
        ]  # fmt: skip
        additions = sum(row.additions for row in self.rows)
        multiplications = sum(row.multiplications for row in self.rows)
        shown.append(("total", "", "", f"{additions:,.0f}", f"{multiplications:,.0f}", f"{self.picojoules / 1e3:,.3f}",
                      f"{self.relu_picojoules / 1e3:,.3f}"))  # fmt: skip
        headers = ("layer", "", "input", "additions", "multiplications", "nJ", "nJ with ReLU")
        lines = lines_of(headers, shown, left=3)
        compared = f"{self.picojoules / self.relu_picojoules:.2f} of its ReLU twin's energy" if self.relu_macs else ""
        lines += [
            "",
            f"Per sample, T = {self.timesteps}" + (f": {compared}." if compared else "."),
            f"An addition takes {self.add_pj:g} pJ, a multiplication {self.multiply_pj:g} pJ. The defaults are those "
            "of 32-bit floats in 45 nm (Horowitz, ISSCC 2014).",
            "Memory access is not counted: in hardware it often takes more than the arithmetic.",
        ]
        if self.uncounted:
            lines.append(f"Not counted: {', '.join(self.uncounted)}.")
        return "\n".join(lines)

    __repr__ = __str__  # in a notebook or at Python's prompt


@torch.no_grad()
def energy(
    model: nn.Module, input: Tensor, *, add_pj: float = 0.9, multiply_pj: float = 3.7, **keywords: Any
) -> Energy:
    """Counts what one pass of ``model`` computes, per sample, and estimates the energy of it.

    - Before the first neuron the input of ``nn.Linear``, ``nn.Conv1d``, ``2d`` and ``3d`` is analogue: each input
      costs a multiply-accumulate (an addition and a multiplication) for every weight that it meets.
    - After it only what is not zero costs. If the whole input is zeros and ones it is spikes: an addition for every
      weight that a spike meets. Otherwise it is graded, such as averages of spikes, or spikes of
      :func:`fastlif.scale_thresholds`: a multiply-accumulate.
    - A neuron adds its input and compares with the threshold, if it has one, which counts as an addition. Over time it
      multiplies by the decay too, and its input by the gain, unless these are 1. A converted
      :class:`fastlif.NoisyLIF` also adds the shift and the noise of Eq. (6).
    - Not counted: memory access, drawing random numbers, resets, biases, batch normalisation (which can be folded into
      the weights), pooling, and products of two tensors, as in attention (``uncounted`` names matrix products). Memory
      access often costs more than the arithmetic, so the estimate compares networks and says little about a device.

    The ReLU twin is the same network in one pass without time: a multiply-accumulate for every input and weight.
    A forward that loops over time by itself calls each layer T times, and its twin is counted as often.

    Args:
        model: a network with fastlif neurons, a :class:`fastlif.MultiStep`, or what :func:`fastlif.accelerate` made. It
            runs once, in evaluation mode; its modes and membranes are as before afterwards.
        input: what the model takes. A sample is one of the batch N that the first neuron sees.
        add_pj: energy of an addition in pJ; by default 0.9, a 32-bit float one in 45 nm.
        multiply_pj: energy of a multiplication in pJ; by default 3.7, likewise. Both from M. Horowitz, "Computing's
            energy problem (and what we can do about it)", ISSCC 2014: a multiply-accumulate takes 4.6 pJ.
        keywords: given to the model beside the input, such as ``sequence=True`` to a MultiStep.

    Returns:
        An :class:`Energy`.

    Raises:
        TypeError: for arguments of the wrong type.
        ValueError: for a model without fastlif neurons, an empty input, or a constant that is not positive.
        RuntimeError: if the model was compiled, or its forward calls no neuron.
    """
    validation.check_module("model", model)
    validation.check_watchable(model, watched_neurons(model))
    if not isinstance(input, Tensor):
        raise TypeError(f"input must be a torch.Tensor, got {type(input).__name__}")
    if input.numel() == 0:
        raise ValueError(f"input must hold at least one sample, got shape {tuple(input.shape)}")
    add_pj = validation.check_positive("add_pj", add_pj)
    multiply_pj = validation.check_positive("multiply_pj", multiply_pj)
    calls: list[LayerCall | _NeuronCall] = []
    reached, products = False, _Products()

    def note_layer(name, layer, x, output):
        calls.append(LayerCall.of(name, layer, x, analogue=not reached))

    def note_neuron(name, neuron, x, output):
        nonlocal reached
        reached = True
        calls.append(_NeuronCall(name, neuron, unfold(neuron, output).shape))

    with (
        watch(model, COUNTED, note_layer), watch(model, WATCHED, note_neuron),
        evaluating(model) as carried, at_rest(model), products,
    ):  # fmt: skip
        for neuron in carried:
            neuron.reset()
        model(input, **keywords)
    first = next((call for call in calls if isinstance(call, _NeuronCall)), None)
    if first is None:
        raise RuntimeError("the forward of the model called none of its neurons, so there is nothing to compare")
    timesteps, samples = first.shape[:2]
    found: dict[str, list[EnergyRow]] = {}
    row: tuple[str, str, str, float, float, float]
    for call in calls:
        if isinstance(call, _NeuronCall):
            row = (call.name, type(call.neuron).__name__, "", *call.operations(), 0.0)
        else:
            operations, macs = call.operations(), call.kind() != "spikes"
            one = _one_sample(call, first)
            met = weights_met(call.layer, torch.ones(one, device=call.places.device))
            row = (call.name, type(call.layer).__name__, call.kind(), operations, operations * macs, met * samples)
        name, kind, of, additions, multiplications, twin = row
        joules = additions * add_pj + multiplications * multiply_pj
        numbers = (value / samples for value in (additions, multiplications, joules, twin))
        found.setdefault(name, []).append(EnergyRow(name, kind, of, *numbers))
    steps = sum(call.shape.numel() for call in calls if isinstance(call, _NeuronCall)) / samples
    rows = [_joined(rows) for rows in found.values()]
    return Energy(rows, samples, timesteps, steps, [*_uncounted(model), *products.names], add_pj, multiply_pj)


@dataclass
class _NeuronCall:
    name: str
    neuron: Neuron | Accelerated
    shape: torch.Size  # [T, N, *]

    def operations(self) -> tuple[int, int]:
        """Additions and multiplications of this call."""
        steps, neuron = self.shape.numel(), self.neuron
        if not isinstance(neuron, NoisyLIF):
            additions = 1 if isinstance(neuron, LI) else 2  # input; threshold
            return additions * steps, steps * self._factors()  # decay and gain
        if self.shape[0] == 1 and not neuron.converted:
            return 2 * steps, 0  # the noise; the threshold
        return 4 * steps, steps  # also shift and noise

    def _factors(self) -> int:
        """How many of decay and gain are not the number 1."""
        neuron: Any = self.neuron
        said = neuron._equation() if isinstance(neuron, Accelerated) else {"decay": neuron.decay, "gain": neuron.gain}
        return sum(isinstance(value, Tensor) or value != 1 for value in (said["decay"], said.get("gain", 1)))


class _Products(TorchFunctionMode):
    """Notes the names of those of PRODUCTS that are called."""

    def __init__(self):
        super().__init__()
        self.names: dict[str, None] = {}

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        name = getattr(function, "__name__", "").strip("_")
        if name in PRODUCTS:
            self.names[name] = None
        return function(*arguments, **(keywords or {}))


def _one_sample(call: LayerCall, first: _NeuronCall) -> tuple[int, ...]:
    """The shape of the layer's input for one sample and step. More dimensions than `[N, C, *space]` are the time's."""
    timed = len(call.shape) > _dimensions(call.layer) + 2 and call.shape[:2] == first.shape[:2]
    if first.neuron.timesteps is None and timed:
        return (1, 1, *call.shape[2:])
    return (1, *call.shape[1:])


def _joined(rows: list[EnergyRow]) -> EnergyRow:
    """All calls of one layer; the input is that of the most costly kind."""
    kinds = {row.input for row in rows}
    kind = next(kind for kind in ("analogue", "graded", "spikes", "") if kind in kinds)
    return EnergyRow(rows[0].name, rows[0].kind, kind, *(sum(column) for column in list(zip(*rows))[3:]))


def _uncounted(model: nn.Module) -> list[str]:
    """The classes of modules that hold a matrix of weights of their own, and are not counted."""
    found = {
        type(module).__name__: None
        for module in model.modules()
        if not isinstance(module, (*COUNTED, *WATCHED))
        and any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
    }
    return list(found)
