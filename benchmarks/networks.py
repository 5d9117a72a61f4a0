"""Table 1's small network: one definition for every neuron, so that all of them share the names of the weights."""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

OUTPUTS = ("linear", "spiking")
CONVOLUTIONS = (64, 128, 128)  # channels of each, at width 1
HIDDEN = 512  # units of the hidden linear layer, at width 1


def small_network(
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    activation: Callable[[], nn.Module],
    batch_norm: bool = True,
    width: float = 1.0,
    output: str = "linear",
) -> nn.Sequential:
    """64C3-AP2-128C3-AP2-128C3-AP2-512FC-10FC of the paper's Table 1.

    Takes images ``[N, C, H, W]`` and gives scores ``[N, classes]``. With multi-step neurons it takes and gives what
    they do, time folded into the batch: ``[T*N, C, H, W]`` and ``[T*N, classes]``.

    Args:
        image_shape: ``(C, H, W)`` of one image, H and W at least 8: each of three poolings halves them.
        classes: the number of scores.
        activation: makes each activation: ``nn.ReLU``, or ``lambda: fastlif.LIF(timesteps=10)``, for example.
        batch_norm: batch normalisation after every layer but the last.
        width: factor on the channels and on the hidden units.
        output: ``"linear"``, the scores are the last layer's weighted input, or ``"spiking"``, a neuron follows it.
    """
    channels, *size = image_shape
    if min(size) < 2 ** len(CONVOLUTIONS):
        raise ValueError(f"image_shape must have a height and width of at least 8, got {tuple(image_shape)}")
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a finite number greater than 0, got {width}")
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")

    layers = OrderedDict()
    for i, features in enumerate(CONVOLUTIONS, start=1):
        features = scaled(features, width)
        layers[f"conv{i}"] = nn.Conv2d(channels, features, kernel_size=3, padding=1)
        if batch_norm:
            layers[f"conv{i}_norm"] = nn.BatchNorm2d(features)
        layers[f"conv{i}_activation"] = activation()
        layers[f"conv{i}_pool"] = nn.AvgPool2d(2)
        channels, size = features, [length // 2 for length in size]

    hidden = scaled(HIDDEN, width)
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = nn.Linear(channels * size[0] * size[1], hidden)
    if batch_norm:
        layers["hidden_norm"] = nn.BatchNorm1d(hidden)
    layers["hidden_activation"] = activation()
    layers["scores"] = nn.Linear(hidden, classes)
    if output == "spiking":
        layers["scores_activation"] = activation()
    return nn.Sequential(layers)


def scaled(features: int, width: float) -> int:
    """A layer's number of features at this width, at least 1."""
    return max(1, round(width * features))


def describe(classes: int, width: float = 1.0) -> str:
    """The small network in the notation of Table 1."""
    convolutions = "".join(f"{scaled(features, width)}C3-AP2-" for features in CONVOLUTIONS)
    return f"{convolutions}{scaled(HIDDEN, width)}FC-{classes}FC"
