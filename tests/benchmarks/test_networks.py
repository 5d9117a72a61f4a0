"""The networks of benchmarks/training/networks.py: shapes, names of the weights, and what they refuse."""

import pytest
import torch
from torch import nn

import fastlif
from benchmarks.training import networks
from fastlif.models import neurons

T = 2
SHAPE = (3, 32, 32)
CLASSES = 7
ACTIVATIONS = {
    "relu": nn.ReLU,
    "noisy": lambda: fastlif.NoisyLIF(backend="reference"),
    "lif": lambda: fastlif.LIF(timesteps=T, backend="reference"),
}


def build(name: str, activation: str = "noisy", image_shape=SHAPE, **options) -> nn.Module:
    if name == "small":
        options.setdefault("width", 0.125)
    else:  # a torchvision built for another torch fails with a RuntimeError
        pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    torch.manual_seed(0)
    return networks.build(name, image_shape, CLASSES, activation=ACTIVATIONS[activation], **options)


def layers(model: nn.Module, *types: type) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, types)]


@pytest.mark.parametrize("output", networks.OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_scores(name, activation, output):
    model = build(name, activation, output=output)
    timesteps = T if activation == "lif" else 1
    scores = model(torch.rand(timesteps * 2, *SHAPE))
    assert scores.shape == (timesteps * 2, CLASSES) and scores.isfinite().all()
    activations = layers(model, nn.ReLU) if activation == "relu" else neurons(model)
    # ResNet-18: one after the first convolution and one for each of 8 blocks
    assert len(activations) == {"small": 4, "vgg16": 15, "resnet18": 9}[name] + (output == "spiking")
    assert len(layers(model, nn.ReLU)) == (len(activations) if activation == "relu" else 0)
    if output == "spiking" and activation != "relu":
        assert set(scores.unique().tolist()) <= {0.0, 1.0}
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("name", "batch_norm", "weights", "norms"), [
    ("small", True, 5, 4), ("small", False, 5, 0), ("vgg16", True, 16, 13), ("vgg16", False, 16, 0),
])  # fmt: skip
def test_layers(name, batch_norm, weights, norms):
    model = build(name, batch_norm=batch_norm)
    assert len(layers(model, nn.Conv2d, nn.Linear)) == weights and not layers(model, nn.Dropout)
    assert len(layers(model, nn.BatchNorm1d, nn.BatchNorm2d)) == norms
    assert model(torch.rand(2, *SHAPE)).shape == (2, CLASSES)


def test_resnet18_layers():
    model = build("resnet18")
    assert len(layers(model, nn.Conv2d, nn.Linear)) == 18 + 3  # and the shortcuts of the three halvings
    assert model.conv1.stride == (1, 1) and model.conv1.kernel_size == (3, 3)
    sizes = []
    model.layer1.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape)))
    model(torch.rand(2, *SHAPE))
    assert sizes == [(2, 64, 32, 32)]


@pytest.mark.parametrize("width", [1.0, 0.5])
@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_first_weights_are_distributed_as_torchvisions(name, width):
    """Also in the layers that replace torchvision's own; but for VGG-16's linear layers, which are smaller here."""
    model = build(name, width=width)
    for module in layers(model, nn.Conv2d):
        fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
        assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        assert module.bias is None or not module.bias.any()
    for module in layers(model, nn.BatchNorm2d):
        assert (module.weight == 1).all() and not module.bias.any()
        assert (module.running_var == 1).all() and not module.running_mean.any() and module.num_batches_tracked == 0
    if name == "vgg16":
        for module in layers(model, nn.Linear):
            assert module.weight.std().item() == pytest.approx((3 * module.in_features) ** -0.5, rel=0.1)
    other = networks.build(name, SHAPE, CLASSES, activation=ACTIVATIONS["noisy"], width=width)
    for first, second in zip(model.parameters(), other.parameters(), strict=True):
        assert first.ndim == 1 or not torch.equal(first, second)


@pytest.mark.parametrize(("name", "image_shape"), [
    ("small", (1, 8, 8)), ("small", (3, 32, 24)), ("vgg16", (1, 32, 32)), ("resnet18", (1, 28, 20)),
])  # fmt: skip
def test_other_images(name, image_shape):
    assert build(name, image_shape=image_shape)(torch.rand(2, *image_shape)).shape == (2, CLASSES)


def test_a_spiking_output_changes_few_names():
    assert list(build("vgg16", output="spiking").state_dict()) == list(build("vgg16").state_dict())
    linear, spiking = (list(build("resnet18", output=output).state_dict()) for output in networks.OUTPUTS)
    assert linear[:-2] == spiking[:-2] and spiking[-2:] == ["fc.0.weight", "fc.0.bias"]


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_has_a_width(name):
    whole, narrow = build(name, width=1.0), build(name, width=0.25)
    sizes = [[tuple(layer.weight.shape[:2]) for layer in layers(model, nn.Conv2d, nn.Linear)]
             for model in (whole, narrow)]  # fmt: skip
    kept = {SHAPE[0]: SHAPE[0], CLASSES: CLASSES}  # images and scores are as they were
    assert sizes[1] == [tuple(kept.get(size, size // 4) for size in pair) for pair in sizes[0]]
    assert list(narrow.state_dict()) == list(whole.state_dict())
    assert narrow(torch.rand(2, *SHAPE)).shape == (2, CLASSES)


def test_titles():
    assert networks.title("small", 10) == "64C3-AP2-128C3-AP2-128C3-AP2-512FC-10FC"
    assert networks.title("small", 7, 0.5) == "32C3-AP2-64C3-AP2-64C3-AP2-256FC-7FC"
    assert networks.title("vgg16", 10) == "VGG-16" and networks.title("resnet18", 10, 0.25) == "ResNet-18 of width 0.25"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg", {}, "unknown network 'vgg'; known are small, vgg16, resnet18"),
        ("small", {"image_shape": (1, 7, 28)}, r"at least 8, got \(1, 7, 28\)"),
        ("vgg16", {"image_shape": (1, 28, 28)}, r"\(C, 32, 32\) for VGG-16, got \(1, 28, 28\)"),
        ("vgg16", {"image_shape": (3, 32, 64)}, r"\(C, 32, 32\) for VGG-16, got \(3, 32, 64\)"),
        *((name, {"width": -1.0}, "width must be a finite number.*, got -1") for name in networks.NETWORKS),
        ("resnet18", {"batch_norm": False}, "batch_norm must be true for ResNet-18"),
        *((name, {"output": "softmax"}, "output must be one of linear, spiking") for name in networks.NETWORKS),
    ],
)
def test_wrong_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        networks.build(name, **{"image_shape": SHAPE, "classes": CLASSES, "activation": nn.ReLU} | options)


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_torchvision_that_does_not_import(name, break_torchvision):
    break_torchvision(RuntimeError("operator torchvision::nms does not exist"))
    message = f"{networks.title(name, CLASSES)} is built through torchvision.*torchvision::nms"
    with pytest.raises(ImportError, match=message):
        networks.build(name, SHAPE, CLASSES, activation=nn.ReLU)
