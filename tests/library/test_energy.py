"""What a network computes: weights that are met, counted by hand and by force, and the energy of it."""

import pytest
import torch
from helpers import REFERENCE
from refusals import unchanged
from torch import nn

import fastlif
from fastlif import LIF, MultiStep, NoisyLIF
from fastlif.recording.energy import weights_met


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Linear(5, 3), (4, 5)),
        (nn.Linear(5, 3), (2, 4, 5)),
        (nn.Conv1d(2, 4, 3, padding=1, stride=2), (3, 2, 9)),
        (nn.Conv2d(4, 6, (3, 2), padding=(0, 1), groups=2), (2, 4, 6, 5)),
        (nn.Conv2d(4, 6, 3, padding="same", dilation=2), (4, 6, 5)),
        (nn.Conv3d(2, 3, 2, padding=1, padding_mode="circular"), (2, 2, 4, 3, 5)),
    ],
)
def test_weights_met_as_by_force(layer, shape):
    events = (torch.rand(shape) < 0.4).float()
    nn.init.ones_(layer.weight), nn.init.zeros_(layer.bias)
    assert weights_met(layer, events) == round(layer(events).sum().item()) > 0


def two_layers(T):
    """The hidden neurons fire where the input is 1; ``[T*N, 2]`` in."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), LIF(T, decay=0.0, **REFERENCE), nn.Linear(3, 4))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]))
    return model


STEPS = torch.tensor([[[1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]])  # [T, N, 2]; 7 spikes of 12


def test_energy_by_hand():
    found = fastlif.energy(two_layers(2), STEPS.flatten(0, 1))
    assert (found.samples, found.timesteps, found.neuron_steps) == (2, 2, 6)
    first, neuron, last = found.rows
    assert first[:5] == ("0", "Linear", "analogue", 2 * 6, 2 * 6) and first.relu_macs == 6
    assert neuron[:5] == ("1", "LIF", "", 2 * 6, 6) and neuron.relu_macs == 0
    assert last[:5] == ("2", "Linear", "spikes", 7 * 4 / 2, 0) and last.relu_macs == 12
    assert first.picojoules == pytest.approx(12 * 4.6) and last.picojoules == pytest.approx(14 * 0.9)
    assert (found.accumulates, found.macs, found.relu_macs) == (14, 12, 18)
    assert found.picojoules == pytest.approx(12 * 4.6 + 12 * 0.9 + 6 * 3.7 + 14 * 0.9)
    assert found.relu_picojoules == pytest.approx(18 * 4.6)
    other = fastlif.energy(two_layers(2), STEPS.flatten(0, 1), add_pj=1, multiply_pj=10)
    assert other.picojoules == pytest.approx(12 * 11 + 12 + 60 + 14)


def test_energy_in_words():
    text = str(fastlif.energy(two_layers(2), STEPS.flatten(0, 1)))
    assert "Horowitz, ISSCC 2014" in text and "Memory access is not counted" in text and "Not counted" not in text
    assert f"Per sample, T = 2: {(12 * 4.6 + 12 * 0.9 + 6 * 3.7 + 14 * 0.9) / (18 * 4.6):.2f} of its ReLU twin" in text
    assert [line.split()[-2:] for line in text.splitlines()[2:6]] == [
        ["0.055", "0.028"], ["6", "0.033"], ["0.013", "0.055"], ["0.101", "0.083"]]  # fmt: skip


def test_time_first_input_is_the_same():
    folded = fastlif.energy(two_layers(2), STEPS.flatten(0, 1))
    assert fastlif.energy(two_layers(None), STEPS).rows == folded.rows


def test_static_input_is_counted_once_and_the_twin_runs_once():
    torch.manual_seed(0)
    neurons = [NoisyLIF(threshold=0.5, **REFERENCE) for _ in range(2)]
    model = nn.Sequential(nn.Conv2d(1, 2, 3), neurons[0], nn.AvgPool2d(2), nn.Conv2d(2, 3, 2), neurons[1], nn.Flatten(),
                          nn.Linear(3, 4))  # fmt: skip
    x = torch.rand(3, 1, 6, 6)
    single, found = fastlif.energy(model, x), fastlif.energy(MultiStep(model, 5), x)
    first, neuron, graded, _, last = found.rows
    assert first[3:5] == (2 * 9 * 16, 2 * 9 * 16) and first.input == "analogue"
    assert neuron[3:5] == (4 * 5 * 2 * 16, 5 * 2 * 16) and single.rows[1][3:5] == (2 * 2 * 16, 0)
    assert graded.input == "graded" and graded.additions == graded.multiplications > 0
    assert last.input == "spikes" and last.multiplications == 0
    assert found.relu_macs == single.relu_macs == 2 * 9 * 16 + 3 * 8 + 12


def test_channels_are_no_batch_even_where_both_are_as_many():
    image = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), LIF(None, **REFERENCE))
    image.forward = lambda x: image[2](image[1](image[0](x)).expand(3, 3, 2))
    assert fastlif.energy(image, torch.rand(3, 3, 3, 3)).relu_macs == 2 * 27
    features = nn.Sequential(nn.Linear(3, 2), LIF(None, **REFERENCE))
    features.forward = lambda x: features[1](features[0](x).expand(3, 3, 2))
    assert fastlif.energy(features, torch.rand(3, 3)).relu_macs == 2 * 3


def test_what_is_not_counted_is_named():
    model = nn.Sequential(nn.ConvTranspose2d(1, 1, 2), LIF(**REFERENCE), nn.Bilinear(2, 2, 2), nn.Linear(4, 2))
    model.forward = lambda x: model[3](model[1](x))
    found = fastlif.energy(model, torch.rand(3, 4))
    assert found.uncounted == ["ConvTranspose2d", "Bilinear"]
    assert str(found).endswith("Not counted: ConvTranspose2d, Bilinear.") and repr(found) == str(found)


@pytest.mark.parametrize("neuron, additions, multiplications", [
    (fastlif.IF, 2, 0), (lambda *a, **k: LIF(*a, decay=0.9, **k), 2, 1), (lambda *a, **k: LIF(*a, gain=0.5, **k), 2, 2),
    (lambda *a, **k: fastlif.IF(*a, gain=0.5, **k), 2, 1), (fastlif.ParametricLIF, 2, 2),
    (lambda *a, **k: LIF(*a, decay=torch.ones(3), **k), 2, 1), (lambda *a, **k: fastlif.LI(*a), 1, 1),
])  # fmt: skip
def test_what_a_neuron_adds_and_multiplies(neuron, additions, multiplications):
    found = fastlif.energy(nn.Sequential(nn.Linear(4, 3), neuron(5, **REFERENCE)), torch.rand(10, 4))
    assert found.rows[1][3:5] == (additions * 5 * 3, multiplications * 5 * 3)


def test_products_of_activations_are_named():
    model = nn.Sequential(nn.Linear(4, 4), LIF(**REFERENCE))

    def forward(x):
        q = model[1](model[0](x))
        y = torch.einsum("nij,njk->nik", q @ q.transpose(1, 2), q)
        return nn.functional.scaled_dot_product_attention(q, y, q)

    model.forward = forward
    found = fastlif.energy(model, torch.rand(3, 5, 4))
    assert found.uncounted == ["matmul", "einsum", "scaled_dot_product_attention"]
    assert str(found).endswith("Not counted: matmul, einsum, scaled_dot_product_attention.")


def test_a_shared_layer_is_one_row():
    layer, neuron = nn.Linear(4, 4), LIF(**REFERENCE)
    found = fastlif.energy(nn.Sequential(layer, neuron, layer, neuron), torch.rand(2, 4) * 5)
    assert [row.name for row in found.rows] == ["0", "1"]
    assert found.rows[0].relu_macs == 2 * 16 and found.rows[0].input == "analogue"
    assert found.rows[0].multiplications == 16 <= found.rows[0].additions


def test_energy_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout().eval(), LIF(stateful=True, **REFERENCE))
    model(torch.rand(2, 4))
    x, wrong = torch.rand(5, 4), torch.rand(5, 3)
    with unchanged(model):
        fastlif.energy(model, x)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            fastlif.energy(model, wrong)
