"""The proxy for energy: how many additions and multiplications the weights of a network take per image.

They are counted as :func:`fastlif.energy` counts them. What counts as a spike is a nonzero input as the layer sees it:
where average pooling lies between the neurons and the layer, the spikes of one window and time step are one input.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastlif.neuron import Neuron, neurons
from fastlif.recording.energy import COUNTED, LayerCall, watch


@dataclass(frozen=True)
class SynapticOperations:
    """What one pass through a spiking network takes, per image."""

    accumulates: float  # additions of a weight for a spike, over all time steps of the pass
    multiplies: float  # multiply-accumulates in the layers before the first neuron, whose input is analogue


def synaptic_operations(model: nn.Module, images: Tensor) -> SynapticOperations:
    """Counted in one pass of ``images`` ``[N, C, H, W]`` float, in evaluation mode.

    Args:
        model: a network of fastlif neurons that runs a single step, or a ``fastlif.MultiStep``. One whose neurons
            carry their membranes goes on from where the last pass ended: add up ``accumulates`` over the passes, but
            not ``multiplies``, as the input is the same.

    Raises:
        ValueError: for a model without fastlif neurons.
    """
    if not neurons(model):
        raise ValueError(f"{type(model).__name__} has no fastlif neuron: count its dense_operations instead")
    calls = _calls(model, images)
    accumulates = sum(call.operations() for call in calls if not call.analogue)
    multiplies = sum(call.operations() for call in calls if call.analogue)
    return SynapticOperations(accumulates / len(images), multiplies / len(images))


def dense_operations(model: nn.Module, images: Tensor) -> float:
    """Multiply-accumulates per image of a network without spikes, for ``images`` ``[N, C, H, W]`` float."""
    return sum(call.operations() for call in _calls(model, images)) / len(images)


@torch.no_grad()
def _calls(model: nn.Module, images: Tensor) -> list[LayerCall]:
    """Of the layers of weights, in evaluation mode."""
    calls: list[LayerCall] = []
    reached: list[bool] = []  # a neuron

    def note(name, layer, input, output):
        calls.append(LayerCall.of(name, layer, input, analogue=not reached))

    handles = watch(model, Neuron, lambda *_: reached.append(True)) + watch(model, COUNTED, note)
    training = model.training
    model.eval()
    try:
        model(images)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return calls
