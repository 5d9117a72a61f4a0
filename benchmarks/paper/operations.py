"""The proxy for energy: how many additions and multiplications the weights of a network take per image.

A spike into a layer of weights costs one addition for every weight it meets, and no spike costs nothing. An analogue
input costs a multiplication and an addition instead, zero or not. Only ``nn.Conv2d`` and ``nn.Linear`` are counted;
weights that meet nothing but the zeros of the padding are not.

What counts as a spike is a nonzero input as the layer sees it: where average pooling lies between the neurons and the
layer, the spikes of one window and time step are one input.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastlif.neuron import neurons
from fastlif.recording.energy import weights_met


@dataclass(frozen=True)
class SynapticOperations:
    """What one pass through a spiking network takes, per image."""

    accumulates: float  # additions of a weight for a spike, over all time steps of the pass
    multiplies: float  # multiply-accumulates in the layers before the first neuron, whose input is analogue


@torch.no_grad()
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
    accumulates, multiplies, reached = [], [], []

    def count(layer, inputs, _):
        if reached:
            accumulates.append(weights_met(layer, inputs[0] != 0))
        else:
            multiplies.append(weights_met(layer, torch.ones_like(inputs[0])))

    hooks = [neuron.register_forward_hook(lambda *_: reached.append(True)) for neuron in neurons(model)]
    try:
        with _observed(model, count):
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return SynapticOperations(sum(accumulates) / len(images), sum(multiplies) / len(images))


@torch.no_grad()
def dense_operations(model: nn.Module, images: Tensor) -> float:
    """Multiply-accumulates per image of a network without spikes, for ``images`` ``[N, C, H, W]`` float."""
    counts = []
    with _observed(model, lambda layer, inputs, _: counts.append(weights_met(layer, torch.ones_like(inputs[0])))):
        model(images)
    return sum(counts) / len(images)


@contextmanager
def _observed(model: nn.Module, hook) -> Iterator[None]:
    """In evaluation mode, and with this forward hook on each layer of weights."""
    training = model.training
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
