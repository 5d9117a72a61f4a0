"""The proxy for energy: how many additions and multiplications the weights of a network take per image.

They are counted as :func:`fastlif.energy` counts them. What counts as a spike is a nonzero input as the layer sees it:
where average pooling lies between the neurons and the layer, the spikes of one window and time step are one input.
"""

import torch
from torch import Tensor, nn

from fastlif.neuron import Neuron
from fastlif.recording.energy import COUNTED, LayerCall, watch


@torch.no_grad()
def operations(model: nn.Module, images: Tensor) -> tuple[float, float]:
    """What one pass of ``images`` ``[N, C, H, W]`` float takes per image, in evaluation mode.

    Neurons that carry their membranes go on from where the last pass ended.

    Returns:
        The additions of a weight for a spike, over all time steps of the pass; and the multiply-accumulates in the
        layers before the first neuron, whose input is analogue: without neurons, in all layers.
    """
    counts = {False: 0, True: 0}
    reached: list[bool] = []  # a neuron

    def note(name, layer, input, output):
        counts[not reached] += LayerCall.of(name, layer, input, analogue=not reached).operations()

    training = model.training
    model.eval()
    try:
        with watch(model, Neuron, lambda *_: reached.append(True)), watch(model, COUNTED, note):
            model(images)
    finally:
        model.train(training)
    return counts[False] / len(images), counts[True] / len(images)
