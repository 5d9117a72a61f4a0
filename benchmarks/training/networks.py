"""The paper's networks, one definition for every neuron, so that all of them share the names of the weights.

Table 1's small network is defined here; VGG-16 and ResNet-18 are torchvision's, adapted to images of 32 x 32. Each has
a width, a factor on its channels and hidden units.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

import fastlif
from benchmarks.training.datasets import import_torchvision

NETWORKS = ("small", "vgg16", "resnet18")
OUTPUTS = ("linear", "spiking")
VGG_SIDE = 32  # height and width of an image, which VGG-16's five poolings reduce to a single pixel
CONVOLUTIONS = (64, 128, 128)  # channels of each, at width 1
HIDDEN = 512  # units of the hidden linear layer, at width 1


class QuantisedReLU(nn.Module):
    """A ReLU with ``levels`` values above 0, equally spaced up to a learned threshold (Bu et al. 2022, "QCFS").

    ``threshold / levels * floor(x levels / threshold + 1/2)``, clipped to 0 and the threshold: what a half-charged
    integrate-and-fire neuron gives over that many steps of constant input. The gradient passes through the rounding.

    Args:
        levels: above 0; at least 1.
        threshold: where learning it begins, above 0. The authors begin at 8, which takes more epochs to come down.
    """

    def __init__(self, levels: int = 4, threshold: float = 2.0):
        super().__init__()
        self.levels = levels
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, input: Tensor) -> Tensor:
        step = self.threshold / self.levels
        level = (input / step).clamp(0, self.levels)
        return step * (level + ((level + 0.5).floor() - level).detach())


def build(
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    activation: Callable[[], nn.Module],
    batch_norm: bool = True,
    width: float = 1.0,
    output: str = "linear",
) -> nn.Module:
    """A network with fresh weights. It takes images ``[N, C, H, W]`` and gives scores ``[N, classes]``.

    With multi-step neurons it takes and gives what they do, time folded into the batch: ``[T*N, C, H, W]`` and
    ``[T*N, classes]``.

    Args:
        name: one of ``NETWORKS``.
        image_shape: ``(C, H, W)`` of one image. The small network takes H and W of at least 8, as each of its three
            poolings halves them; VGG-16 takes 32 x 32, and ResNet-18 any size.
        classes: the number of scores.
        activation: makes each activation: ``nn.ReLU``, or ``lambda: fastlif.LIF(timesteps=10)``, for example. The two
            of a block of ResNet-18 are one module.
        batch_norm: batch normalisation after every layer but the last; in VGG-16 after every convolution. ResNet-18 is
            not defined without.
        width: factor on the channels and on the hidden units.
        output: ``"linear"``, the scores are the last layer's weighted input, or ``"spiking"``, a neuron follows it,
            which renames ResNet-18's last layer from ``fc`` to ``fc.0``.

    Raises:
        ValueError: for wrong arguments.
        ImportError: torchvision, which makes the deep networks, does not import.
    """
    make = {"small": _small, "vgg16": _vgg16, "resnet18": _resnet18}.get(name)
    if make is None:
        raise ValueError(f"unknown network {name!r}; known are {', '.join(NETWORKS)}")
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a finite number greater than 0, got {width}")
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
    return fastlif.convert(make(tuple(image_shape), classes, batch_norm, width, output == "spiking"), activation)


def title(name: str, classes: int, width: float = 1.0) -> str:
    """A network's name for a reader: the small one's is in the notation of Table 1."""
    if name == "small":
        convolutions = "".join(f"{scaled(features, width)}C3-AP2-" for features in CONVOLUTIONS)
        return f"{convolutions}{scaled(HIDDEN, width)}FC-{classes}FC"
    return {"vgg16": "VGG-16", "resnet18": "ResNet-18"}[name] + ("" if width == 1 else f" of width {width:g}")


def _small(image_shape, classes: int, batch_norm: bool, width: float, spiking: bool) -> nn.Module:
    """64C3-AP2-128C3-AP2-128C3-AP2-512FC-10FC of the paper's Table 1."""
    channels, *size = image_shape
    if min(size) < 2 ** len(CONVOLUTIONS):
        raise ValueError(f"image_shape must have a height and width of at least 8, got {image_shape}")
    layers = OrderedDict()
    for i, features in enumerate(CONVOLUTIONS, start=1):
        features = scaled(features, width)
        layers[f"conv{i}"] = nn.Conv2d(channels, features, kernel_size=3, padding=1)
        if batch_norm:
            layers[f"conv{i}_norm"] = nn.BatchNorm2d(features)
        layers[f"conv{i}_activation"] = nn.ReLU()
        layers[f"conv{i}_pool"] = nn.AvgPool2d(2)
        channels, size = features, [length // 2 for length in size]

    hidden = scaled(HIDDEN, width)
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = nn.Linear(channels * size[0] * size[1], hidden)
    if batch_norm:
        layers["hidden_norm"] = nn.BatchNorm1d(hidden)
    layers["hidden_activation"] = nn.ReLU()
    layers["scores"] = nn.Linear(hidden, classes)
    if spiking:
        layers["scores_activation"] = nn.ReLU()
    return nn.Sequential(layers)


def _vgg16(image_shape, classes: int, batch_norm: bool, width: float, spiking: bool) -> nn.Module:
    """torchvision's for small images: 512-512 hidden units in place of 4096-4096, and no dropout.

    Weights are distributed as torchvision draws them in the convolutions, and as PyTorch does in the linear layers.
    """
    channels, *size = image_shape
    if size != [VGG_SIDE, VGG_SIDE]:
        raise ValueError(f"image_shape must be (C, {VGG_SIDE}, {VGG_SIDE}) for VGG-16, got {image_shape}")
    models = import_torchvision("VGG-16 is built").models
    with torch.device("meta"):  # the 120 million weights of the original classifier are never allocated
        model = (models.vgg16_bn if batch_norm else models.vgg16)(init_weights=False)
        model.features[0] = nn.Conv2d(channels, model.features[0].out_channels, kernel_size=3, padding=1)
        model.avgpool = nn.Identity()
        hidden = 512
        model.classifier = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )
        _scale(model, width)
    model.to_empty(device=torch.get_default_device())
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            _draw(module)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.BatchNorm2d):
            module.reset_parameters()  # torchvision's deviation of 0.01 is for 4,096 inputs: with few no neuron fires
    if spiking:
        model.classifier.append(nn.ReLU())
    return model


def _resnet18(image_shape, classes: int, batch_norm: bool, width: float, spiking: bool) -> nn.Module:
    """torchvision's for small images: a first convolution of 3 x 3 with stride 1, and no pooling after it."""
    if not batch_norm:
        raise ValueError("batch_norm must be true for ResNet-18, which is not defined without")
    model = import_torchvision("ResNet-18 is built").models.resnet18(num_classes=classes)
    model.conv1 = nn.Conv2d(image_shape[0], model.conv1.out_channels, kernel_size=3, padding=1, bias=False)
    _scale(model, width)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            _draw(module)
    model.maxpool = nn.Identity()
    if spiking:
        model.fc = nn.Sequential(model.fc, nn.ReLU())
    return model


def _scale(model: nn.Module, width: float) -> None:
    """Gives every layer of ``model`` this width, but for the images and the scores."""
    if width == 1:
        return
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    new = {}
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            channels = layer.in_channels if layer is layers[0] else scaled(layer.in_channels, width)
            new[layer] = nn.Conv2d(channels, scaled(layer.out_channels, width), layer.kernel_size, layer.stride,
                                   layer.padding, bias=layer.bias is not None)  # fmt: skip
        elif isinstance(layer, nn.BatchNorm2d):
            new[layer] = nn.BatchNorm2d(scaled(layer.num_features, width))
        else:
            scores = layer.out_features if layer is layers[-1] else scaled(layer.out_features, width)
            new[layer] = nn.Linear(scaled(layer.in_features, width), scores)
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if layer in new:
                setattr(parent, name, new[layer])


def _draw(convolution: nn.Conv2d) -> None:
    """Its weights, distributed as torchvision draws them."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def scaled(features: int, width: float) -> int:
    """A layer's number of features at this width, at least 1."""
    return max(1, round(width * features))
