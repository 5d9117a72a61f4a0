"""The oracle itself: against known answers, closed forms, and the paper's equations as printed."""

import itertools
import math

import pytest
import torch
from helpers import ALL_SURROGATES, assert_spikes_agree, literal_membranes, step_noise

from fastlif import Noise, Surrogate, reference
from fastlif.functional import lif, noisy_lif, noisy_spike
from fastlif.noise import noise_like, noise_scalars, residual_noise


def test_lif_by_hand():
    x = torch.tensor([0.8, 0.8, 0.3, 2.0, 1.0]).view(5, 1, 1)
    keywords = dict(decay=0.5, threshold=1.0, return_state=True, backend="reference")
    spikes, v = lif(x, reset=0.0, **keywords)  # h: 0.8, 1.2, 0.3, 2.15, 1.0: the last one is a tie
    assert spikes.flatten().tolist() == [0, 1, 0, 1, 0] and float(v) == 1.0
    spikes, v = lif(x, reset=None, **keywords)  # h: 0.8, 1.2, 0.4, 2.2, 1.6
    assert spikes.flatten().tolist() == [0, 1, 0, 1, 1]
    assert float(v) == pytest.approx(0.6)
    spikes, v = lif(x, reset=None, **keywords | {"threshold": 2.0})  # h: 0.8, 1.2, 0.9, 2.45, 1.225
    assert spikes.flatten().tolist() == [0, 0, 0, 1, 0] and float(v) == pytest.approx(1.225)


@pytest.mark.parametrize("statistics", ["layer", "sample", "calibrated"])
@pytest.mark.parametrize("reset", [0.0, -0.3, None])
def test_normalisation_is_the_papers(statistics, reset):
    """One mean and one maximum do what Eq. (7)-(9) do with their standard deviation."""
    torch.manual_seed(0)
    x = torch.randn(6, 9, 4, 5, dtype=torch.float64) * 0.5 + 0.4
    if statistics == "calibrated":
        statistics = (torch.rand(6), torch.rand(6) + 0.5)
    keywords = dict(decay=0.6, threshold=1.0, reset=reset, alpha=3.0, beta=0.4, noise=Noise(), residual="matched",
                    statistics=statistics)  # fmt: skip
    spikes = noisy_lif(x, seed=7, backend="reference", **keywords)
    membranes = literal_membranes(x, seed=7, **keywords)
    assert 0.05 < float(spikes.mean()) < 0.95
    assert_spikes_agree(spikes, (membranes > 1).to(spikes.dtype), membranes)


def test_surrogates_integrate_to_the_spike():
    """Each derivative is even, largest at the threshold, and rises by 1 in total, but for fast_sigmoid: 2/w."""
    u = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    for known, w in itertools.product(ALL_SURROGATES, (None, 1.7)):
        name, w = known.name, w or known.width
        derivative = reference.SURROGATES[name]
        values = derivative(u, w)
        torch.testing.assert_close(values, values.flip(0), rtol=1e-12, atol=0)
        assert float(values.max()) == float(derivative(u[400_000], w))
        area = float(torch.trapezoid(values, u))
        assert area == pytest.approx(2 / w if name == "fast_sigmoid" else 1, abs=5e-3), name


@pytest.mark.parametrize("noise, width", [(Noise("uniform", -0.5, 1.0), 1.5), (Noise(width=6), 1 / 12)], ids=str)
def test_the_gradient_at_the_mean_is_that_of_the_firing_probability(noise, width):
    """The surrogate that has the noise's density gives the derivative of P(x + n > threshold), which is that of its
    distribution; whatever was drawn."""
    x = torch.linspace(-0.5, 1.5, 201, dtype=torch.float64, requires_grad=True)
    surrogate = Surrogate("rectangular" if noise.kind == "uniform" else "gaussian", width, at="mean")
    keywords = {"noise": noise, "surrogate": surrogate, "threshold": 0.8, "backend": "reference"}
    grad, other = (torch.autograd.grad(noisy_spike(x, seed=seed, **keywords).sum(), x)[0] for seed in (1, 2))
    assert torch.equal(grad, other)
    spikes = noisy_spike(x.detach()[:, None].expand(-1, 20_000), seed=1, **keywords)
    steps = slice(None, None, 10)
    difference = spikes.mean(dim=1)[steps].diff() / 0.1  # over a tenth
    expected = torch.stack([part.mean() for part in grad[:-1].split(10)])
    assert float((difference - expected).abs().max()) < 0.15 and float(expected.max()) > 0.6


@pytest.mark.parametrize("T", [1, 6])
@pytest.mark.parametrize("reset", [0.0, -0.3, None])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("at", ["membrane", "mean"])
def test_scan_gradient(at, detach_reset, reset, T):
    """Backpropagation through time by autograd alone: a spike that is 0 or 1 forward, and in the backward arctan of the
    membrane, or of what it is on average over the noise."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(T, 3, 40, generator=generator, dtype=torch.float64) * 0.6 + 0.4).requires_grad_()
    weights = torch.randn(T + 1, 3, 40, generator=generator, dtype=torch.float64)
    statistics = mean, deviation = torch.rand(T), torch.rand(T) + 0.5
    noise, surrogate = Noise(low=-0.25, high=1.0), Surrogate("atan", 3.0, at=at)
    keywords = dict(decay=0.7, surrogate=surrogate, reset=reset, detach_reset=detach_reset, return_state=True,
                    backend="reference")  # fmt: skip
    if at == "mean":
        keywords |= dict(noise=noise, beta=0.25, statistics=statistics, over_time="antithetic", seed=3)
    spikes, v = (lif if at == "membrane" else noisy_lif)(x, **keywords)
    (actual,) = torch.autograd.grad((torch.cat([spikes, v[None]]) * weights).sum(), x)

    kind, scalars = residual_noise(noise, 4.0, 0.25, "matched")
    v, loss = torch.zeros_like(x[0]), 0.0
    for t, (x_t, weight) in enumerate(zip(x, weights)):
        if at == "membrane":
            h = average = x_t + 0.7 * v
        else:
            scale = 0.25 / deviation[t]
            still = x_t + 0.7 * scale * v + 0.25 - mean[t] * scale
            h = still + step_noise(x_t, torch.tensor([3]), t, kind, scalars, "antithetic")
            average = still + noise.mean - 0.25
        smooth = torch.atan(math.pi / 2 * surrogate.width * (average - 1)) / math.pi
        s = (h > 1).double() + smooth - smooth.detach()
        gate = s.detach() if detach_reset else s
        v = h - gate if reset is None else h * (1 - gate) + reset * gate
        loss = loss + (s * weight).sum()
    (expected,) = torch.autograd.grad(loss + (v * weights[T]).sum(), x)
    rounding = {"rtol": 1e-6, "atol": 1e-7} if at == "mean" else {}  # statistics are float32
    torch.testing.assert_close(actual, expected, **rounding)


def test_infinite_alpha_is_the_papers_second_step():
    """Without the membrane, T steps are T independent noisy single steps (each keyed by its own time step)."""
    x = torch.randn(5, 400) * 0.5 + 0.4
    spikes = noisy_lif(x.expand(8, 5, 400), alpha=math.inf, seed=3, backend="reference")
    scalars = noise_scalars("gaussian", 0.0, 0.5, 4.0)
    for t in range(8):
        n = noise_like(x, torch.tensor([3]), t, "gaussian", scalars)
        assert torch.equal(spikes[t], (x + 0.5 + n > 1).float())
    first = noisy_spike(x, seed=3, backend="reference")
    assert int((first != spikes[0]).sum()) <= 1  # the same but for the order of additions


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_membrane_without_a_normal_form(poison):
    """A membrane that is constant or not finite leaves beta in its place, and reaches no other neuron."""
    mean, deviation = reference.membrane_statistics(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), "layer")
    a, b = reference.normalisation(mean, deviation, 0.5, 0.25, 0.5)
    assert float(a) == 0 and float(b) == 0.5
    mean, deviation = reference.membrane_statistics(torch.tensor([[1.0, poison], [1.0, 2.0]]), "layer")
    a, b = reference.normalisation(mean, deviation, 0.5, 0.25, 0.5)
    assert float(a) == 0 and float(b) == 0.5
