"""The rate-coded baseline, accuracy against T, and the operations that are counted."""

import functools
import math

import pytest
import torch
from refusals import refused, unchanged
from torch import nn

import fastlif
from benchmarks.paper import rate_coding
from benchmarks.paper.operations import operations
from benchmarks.training import datasets, evaluation, loop, networks
from fastlif.recording.energy import COUNTED


def train(digits, activation, epochs):
    torch.manual_seed(0)
    model = networks.build("small", digits.image_shape, 10, activation=activation, width=0.125)
    recipe = loop.Recipe(epochs=epochs, batch_size=50, learning_rate=3e-3)
    loop.train(model, digits.train_images, digits.train_labels, recipe)
    return model.eval()


@pytest.fixture(scope="module")
def trained(digits):
    return train(digits, nn.ReLU, epochs=3)


@pytest.fixture(scope="module")
def noisy(digits):
    return train(digits, functools.partial(fastlif.NoisyLIF, backend="reference"), epochs=1)


@pytest.fixture(scope="module")
def images(digits):
    return datasets.to_float(digits.train_images[:200])


def rate_coded(model, images, **options):
    return rate_coding.rate_coded(model, images, **{"backend": "reference"} | options)


def scores_after(model, images, steps):
    """Mean scores ``[N, classes]`` over that many steps from rest, in calls of ``model.timesteps``."""
    fastlif.reset(model)
    with torch.no_grad():
        return torch.stack([model(images) for _ in range(steps // model.timesteps)]).mean(0)


@pytest.mark.parametrize("half_charged", [False, True])
def test_one_neuron_conserves_charge(half_charged):
    threshold, T = 0.75, 37
    x = torch.linspace(0, threshold, 101, dtype=torch.float64)[None]
    neuron = rate_coding.IntegrateAndFire(threshold=threshold, half_charged=half_charged, backend="reference")
    spikes = torch.zeros_like(x)
    for t in range(1, T + 1):
        spikes = (spikes + neuron(x)).detach()
        charge = t * x + half_charged * threshold / 2
        assert torch.allclose(spikes + neuron.states[0], charge)
        # A spike needs a membrane above the threshold, so that one at the threshold is a spike behind.
        assert bool(((neuron.states[0] > -1e-9) & (neuron.states[0] < threshold + 1e-9)).all())
    counts, expected = spikes / threshold, (charge / threshold).floor()
    assert bool(((counts - counts.round()).abs() < 1e-9).all())
    assert bool(((expected - counts).abs() < 1 + 1e-9).all())


def test_scores_converge_to_the_relu_network(trained, images):
    """With the maximum for a threshold nothing saturates, and the error falls as 1/T, from less with half a charge."""
    with torch.no_grad():
        expected = trained(images)
    errors = {}
    for half_charged in (False, True):
        model = rate_coded(trained, images, percentile=100, half_charged=half_charged)
        few, many = ((scores_after(model, images, T) - expected).abs().mean().item() for T in (16, 256))
        assert many < few / 5 and many < 0.05 * expected.std().item()
        errors[half_charged] = few
    assert errors[True] < 0.8 * errors[False]


def test_accuracy_reaches_that_of_the_relu_network_in_chunks_of_any_size(trained, digits, images):
    test, results, states = (digits.test_images, digits.test_labels), [], []
    for chunk in (4, 10, 20):
        model = rate_coded(trained, images, chunk=chunk)
        results.append(evaluation.correct_per_step(model, *test, steps=64, batch_size=120))
        assert model.timesteps == chunk and not model.training
        assert all(not neuron.states for neuron in model.modules() if isinstance(neuron, fastlif.LIF))
        # In float64 no sum that a matrix product takes in another order decides over a spike.
        states.append(scores_after(model.double(), images[:20].double(), 20))
    for result, state in zip(results, states):
        assert torch.equal(result, results[0]) and torch.allclose(state, states[0], rtol=0, atol=1e-9)
    accuracy = results[0].double().mean(1)
    assert accuracy[0] < accuracy[-1]
    assert accuracy[-1].item() == pytest.approx(evaluation.evaluate(trained, *test), abs=0.01)


def test_thresholds_are_percentiles_of_the_positive_activations(trained, images):
    with torch.no_grad():
        first = trained[:3](images)
        positive = first[first > 0].double()
    at = rate_coded(trained, images, percentile=100).model.conv1_activation
    assert at.threshold == first.max().item()
    at = rate_coded(trained, images, percentile=90).model.conv1_activation
    below, up_to = ((positive < at.threshold).double().mean(), (positive <= at.threshold).double().mean())
    assert below < 0.9 <= up_to
    assert (at.decay, at.reset_to, at.stateful) == (1.0, None, True)


def quantised(levels=4, threshold=2.0):
    return networks.QuantisedReLU(levels=levels, threshold=threshold).double()


@pytest.mark.parametrize("levels", [1, 4, 7])
def test_a_quantised_relu_is_what_its_neuron_gives_on_average(levels):
    model = nn.Sequential(quantised(levels))
    x = torch.linspace(-3, 5, 301, dtype=torch.float64)[None]
    x = x[(x * levels / 2 - 0.5).frac().abs() > 1e-6][None]  # between two levels rounding decides
    multi = fastlif.MultiStep(rate_coded(model, None, chunk=levels).model, timesteps=levels)
    assert torch.allclose(model(x), multi(x).double(), rtol=0, atol=1e-6)
    assert len(model(x).unique()) == levels + 1


def test_thresholds_are_learned_or_taken_from_activations():
    coded = rate_coded(nn.Sequential(quantised(threshold=3.0), nn.ReLU()), torch.rand(8, 5).double(), percentile=100)
    learned, taken = (neuron.threshold for neuron in coded.model)
    assert learned == 3.0 and 0 < taken <= 1


def test_a_quantised_relu_s_gradient_passes_through_the_rounding():
    relu, x = quantised(), torch.tensor([-1.0, 0.3, 1.9, 2.5], dtype=torch.float64, requires_grad=True)
    relu(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    # Of each output's share in the threshold: none below 0, the rounding's within, all of it above.
    assert relu.threshold.grad.item() == pytest.approx((0.5 - 0.3) / 2 + (2 - 1.9) / 2 + 1)


def test_a_quantised_network_learns_its_thresholds_and_gives_them_to_the_neurons(digits):
    model = train(digits, networks.QuantisedReLU, epochs=3)
    learned = [one.threshold.item() for one in model.modules() if isinstance(one, networks.QuantisedReLU)]
    assert len(set(learned)) == len(learned) == 4 and 2 not in learned
    coded, test = rate_coded(model, None), (digits.test_images, digits.test_labels)
    assert [one.threshold for one in coded.modules() if isinstance(one, fastlif.LIF)] == learned
    few = evaluation.correct_per_step(coded, *test, steps=8)[-1].double().mean().item()
    assert few == pytest.approx(evaluation.evaluate(model, *test), abs=0.05)


def test_the_trained_network_is_left_as_it_is(trained, images):
    trained.train()
    with unchanged(trained):
        assert not rate_coded(trained, images).model.training
    trained.eval()


def test_each_step_is_what_a_shorter_run_ends_with(digits, noisy):
    model, test = fastlif.MultiStep(noisy, timesteps=5), (digits.test_images, digits.test_labels)
    random = torch.get_rng_state()
    right = evaluation.correct_per_step(model, *test, batch_size=150, seed=3)
    assert right.shape == (5, len(test[1]))
    per_step = right.double().mean(1).tolist()
    assert torch.equal(torch.get_rng_state(), random)
    assert len(per_step) == 5 and len(set(per_step)) > 1
    for T in (1, 2, 5):
        model.timesteps = T
        torch.rand(1)  # the noise follows from the seed alone
        assert evaluation.evaluate(model, *test, batch_size=150, seed=3) == pytest.approx(per_step[T - 1], abs=1e-9)


def test_early_exit_is_measured_image_by_image(digits, noisy):
    model = fastlif.MultiStep(noisy, timesteps=4)
    model.calibrate([datasets.to_float(digits.train_images[:50])]).eval()
    test = digits.test_images[:90], digits.test_labels[:90]
    options = {"batch_size": 40, "seed": 3}
    right, steps = evaluation.correct_when_confident(model, *test, 0.01, **options)
    assert steps.tolist() == [1] * 90
    assert torch.equal(right, evaluation.correct_when_confident(model, *test, 0.01, **options)[0])
    half = evaluation.correct_when_confident(model, *test, 0.3, **options)[1]
    assert half.min() < half.max() <= 4
    shifted = test[0], (test[1] + 1) % 10  # each label is another class's: what was right is wrong
    assert right.any() and not (right & evaluation.correct_when_confident(model, *shifted, 0.01, **options)[0]).any()


def spikes_everywhere(*layers, timesteps=1):
    """An analogue 2-to-2 layer, neurons that always spike, and these layers."""
    analogue = nn.Conv2d(2, 2, kernel_size=1)
    nn.init.zeros_(analogue.weight)
    nn.init.constant_(analogue.bias, 2.0)
    model = nn.Sequential(analogue, fastlif.LIF(decay=0.0, backend="reference"), *layers)
    return fastlif.MultiStep(model, timesteps) if timesteps > 1 else model


@pytest.mark.parametrize("timesteps", [1, 3])
def test_operations_of_a_padded_convolution_and_a_linear_layer(timesteps):
    """3x3 over 4x5 pixels: along an axis of n, 3n - 2 pairs of tap and pixel, as the two ends miss a tap each."""
    convolution = nn.Conv2d(2, 7, kernel_size=3, padding=1)
    model = spikes_everywhere(convolution, nn.Flatten(), nn.Linear(7 * 20, 3), timesteps=timesteps).train()
    pairs, images = 10 * 13, torch.rand(6, 2, 4, 5).round()  # an analogue zero costs as much
    nonzero = 7 * 20  # the convolution's analogue output, nowhere exactly zero
    assert operations(model, images) == (timesteps * (2 * 7 * pairs + nonzero * 3), 20 * 2 * 2)
    assert model.training
    without_spikes = nn.Sequential(*(layer for layer in model.modules() if isinstance(layer, COUNTED + (nn.Flatten,))))
    assert operations(without_spikes, images) == (0, 20 * 2 * 2 + 2 * 7 * pairs + 7 * 20 * 3)


def test_operations_are_of_the_spikes_alone():
    model = nn.Sequential(fastlif.LIF(decay=0.0, backend="reference"), nn.Conv2d(1, 5, 3, padding=1))
    images = torch.zeros(2, 1, 4, 4)
    images[0, 0, 0, 0] = images[0, 0, 1, 2] = images[1, 0, 0, 1] = 2.0  # they meet 4, 9 and 6 outputs per channel
    assert operations(model, images) == (5 * (4 + 9 + 6) / 2, 0)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_operations_with_groups_stride_and_dilation(padding_mode):
    """Against every weight's use counted by the layer itself, with ones for weights."""
    layer = nn.Conv2d(2, 6, (3, 2), stride=2, padding=2, dilation=2, groups=2, bias=False, padding_mode=padding_mode)
    model = spikes_everywhere(layer)
    additions, _ = operations(model, torch.rand(1, 2, 7, 9))
    nn.init.ones_(layer.weight)
    assert additions == layer(torch.ones(1, 2, 7, 9)).sum().item()


RELU, QUANTISED, LINEAR = nn.ReLU(), networks.QuantisedReLU(), nn.Linear(5, 5)
INPUT, LABELS = torch.rand(8, 5), torch.zeros(8).long()
WRONG = {
    "percentile of 0": ("percentile", lambda: rate_coded(nn.Sequential(RELU), INPUT, percentile=0)),
    "percentile below 0": ("percentile", lambda: rate_coded(nn.Sequential(RELU), INPUT, percentile=-1)),
    "percentile above 100": ("percentile", lambda: rate_coded(nn.Sequential(RELU), INPUT, percentile=100.1)),
    "percentile of NaN": ("percentile", lambda: rate_coded(nn.Sequential(RELU), INPUT, percentile=math.nan)),
    "no activation": ("no nn.ReLU", lambda: rate_coded(nn.Sequential(LINEAR), INPUT)),
    "one called twice": ("called once in a pass, got 2", lambda: rate_coded(nn.Sequential(RELU, LINEAR, RELU), INPUT)),
    "no images": ("images must be given", lambda: rate_coded(nn.Sequential(QUANTISED, RELU), None)),
    "never active": ("'0' gives nothing positive", lambda: rate_coded(nn.Sequential(RELU), -INPUT)),
    "a model that forgets": ("stateful", lambda: evaluation.correct_per_step(
        fastlif.MultiStep(nn.Sequential(fastlif.LIF()), timesteps=3), INPUT, LABELS, steps=4)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name):
    phrase, call = WRONG[name]
    with refused(ValueError, phrase):
        call()
