"""Networks that people have come through whole: a training step, T steps, calibration, saving and export."""

import io
import warnings

import pytest
import torch
from torch import nn

import fastlif
from fastlif import MultiStep, NoisyLIF

IMPORT = {"exc_type": (ImportError, RuntimeError)}
LEFT_IN_DENSENET = ["fastlif.convert could not swap: F.relu in DenseNet (the model). Only modules of the types in "
                    "activations are swapped; these stay as they are"]  # fmt: skip


def torchvision(name):
    return getattr(pytest.importorskip("torchvision.models", **IMPORT), name)(num_classes=10)


def timm(name):
    """With zero_init_last, its default, the first gradient of all blocks but for their last weights would be 0."""
    return pytest.importorskip("timm", **IMPORT).create_model(name, num_classes=10, zero_init_last=False)


@pytest.fixture(scope="module", params=[
    pytest.param((torchvision, "vgg11_bn", 10), id="vgg11_bn", marks=pytest.mark.long),
    pytest.param((torchvision, "resnet18", 9), id="resnet18"),
    pytest.param((torchvision, "resnet50", 17), id="resnet50", marks=pytest.mark.long),
    pytest.param((torchvision, "densenet121", 120), id="densenet121", marks=pytest.mark.long),
    pytest.param((torchvision, "mobilenet_v2", 35), id="mobilenet_v2", marks=pytest.mark.long),
    pytest.param((timm, "resnet10t", 11), id="resnet10t", marks=pytest.mark.peers("timm")),
    pytest.param((timm, "regnetx_002", 40), id="regnetx_002", marks=pytest.mark.peers("timm")),
])  # fmt: skip
def network(request):
    """What makes the network, and the number of its activations as modules."""
    library, name, count = request.param
    return lambda: library(name), count


def spiking(make, backend):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fastlif.convert(make(), activations=(nn.ReLU, nn.ReLU6), backend=backend)
    left = [str(warning.message) for warning in caught if warning.filename == __file__]
    return model, left


def images(size=32):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_a_training_step_reaches_every_weight(network):
    make, count = network
    torch.manual_seed(0)
    relu = make()
    model, left = spiking(lambda: relu, "reference")
    assert list(model.state_dict()) == list(relu.state_dict())
    assert any(isinstance(module, (nn.ReLU, nn.ReLU6)) for module in relu.modules()), "the original stays as it is"
    assert sum(isinstance(module, NoisyLIF) for module in model.modules()) == count
    assert left == (LEFT_IN_DENSENET if type(model).__name__ == "DenseNet" else [])
    assert not any(isinstance(module, (nn.ReLU, nn.ReLU6)) for module in model.modules())
    loss = nn.functional.cross_entropy(model.train()(images(64)), torch.tensor([1, 3]))
    loss.backward()
    assert bool(loss.isfinite())
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None or not bool(grad.any())] == []
    assert [name for name, grad in gradients.items() if not bool(grad.isfinite().all())] == []


def test_over_time_calibrated_saved_and_exported(network):
    make, _ = network
    model, _ = spiking(make, "compiled")  # one operator a neuron: the reference exports operation by operation, slowly
    multi = MultiStep(model.eval(), 3).calibrate([images()])
    file = io.BytesIO()
    torch.save(multi.state_dict(), file)
    file.seek(0)
    loaded = MultiStep(spiking(make, "compiled")[0].eval(), 3)
    loaded.load_state_dict(torch.load(file))
    exported = torch.export.export(loaded, (images(),)).module()
    results = []
    for run in (multi, loaded, exported):
        torch.manual_seed(1)
        with torch.no_grad():
            results.append(run(images()))
    assert results[0].shape == (2, 10) and bool(results[0].isfinite().all())
    assert torch.equal(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])
