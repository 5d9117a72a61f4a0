"""The oracle itself: against known answers, closed forms, and the paper's equations as printed."""

import math

import pytest
import torch
from helpers import SQRT2, assert_spikes_agree, literal_membranes

from fastlif import Noise, Surrogate, reference
from fastlif.functional import noisy_lif, noisy_spike

MASK = 0xFFFFFFFF


def unsigned(words):
    return [int(word) & MASK for word in words]


@pytest.mark.parametrize(
    "rounds, word, expected",
    [  # Random123's known answers
        (7, 0x00000000, [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]),
        (7, 0xFFFFFFFF, [0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662]),
        (10, 0x00000000, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (10, 0xFFFFFFFF, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ],
)
def test_philox_known_answers(rounds, word, expected):
    word = torch.tensor([word - (1 << 32) if word >> 31 else word], dtype=torch.int32)
    assert unsigned(reference.philox((word,) * 4, (word,) * 2, rounds)) == expected


def philox_in_python(counter, key, rounds=7):
    c, k = list(counter), list(key)
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


@pytest.mark.parametrize("seed", [0, 1, -1, 2**62 + 12345, -(2**63)])
def test_noise_format(seed):
    """Element index to counter and lane, as published in fastlif/reference.py, in Python's own integers."""
    u = reference.uniform_lattice(torch.tensor([seed]), 5000, 3)
    key = (seed & MASK, seed >> 32 & MASK)
    for i in (0, 1, 255, 256, 1023, 1024, 2047, 2048, 2049, 4095, 4096, 4999):
        words = philox_in_python((i // 2048 * 256 + i % 256, 0, 3, 0), key)
        lane = i // 256 % 8
        bits = words[lane % 4] >> (16 if lane >= 4 else 0) & 0xFFFF
        assert float(u[i]) == (2 * bits + 1) / 65536 - 1


@pytest.mark.parametrize("width", [0.01, 0.5, 1, 2, 3, 4, 4.5, 6, 20])
def test_gaussian_quantile(width):
    """Every one of the 65,536 values, against the exact quantile of the truncated normal."""
    u = (2 * torch.arange(65536, dtype=torch.float64) + 1) / 65536 - 1
    exact = SQRT2 * torch.special.erfinv(math.erf(width / SQRT2) * u)
    for dtype in (torch.float64, torch.float32):
        e, *coefficients = reference.gaussian_quantile(float(width))
        x = u.to(dtype) * e
        root = (1 - x * x).sqrt().sqrt().sqrt()
        z = torch.zeros_like(root)
        for coefficient in reversed(coefficients):
            z = z * root + coefficient
        z = z * u.to(dtype)
        assert float((z - exact).abs().max()) < 2e-4
        assert float(z.abs().max()) <= width
        assert bool((z.diff() >= 0).all()) or dtype == torch.float32


@pytest.mark.parametrize(
    "noise", [Noise(), Noise(width=2.0, low=-1, high=3), Noise("uniform"), Noise("uniform", -0.5, 0.25)],
    ids=["gaussian", "gaussian-wide", "uniform", "uniform-shifted"],
)
def test_noise_distribution(noise):
    """Kolmogorov-Smirnov against the closed form, within the range, uncorrelated across lanes, steps and seeds."""
    n = 1_000_000
    scalars = reference.noise_scalars(noise.kind, noise.mean, noise.half_range, noise.width)

    def draw(seed, t):
        return reference.noise_like(torch.empty(n), torch.tensor([seed]), t, noise.kind, scalars)

    sample = draw(11, 0)
    assert float(sample.min()) >= noise.low and float(sample.max()) <= noise.high
    position = (sample.double().sort().values - noise.mean) / noise.half_range
    if noise.kind == "uniform":
        expected = (position + 1) / 2
    else:
        edge = math.erf(noise.width / SQRT2)
        expected = (torch.erf(position * noise.width / SQRT2) / edge + 1) / 2
    distance = float((expected - (torch.arange(n) + 0.5) / n).abs().max())
    assert distance < 1.95 / math.sqrt(n)  # one sound generator in a thousand exceeds it
    for other in (draw(11, 1), draw(12, 0), sample.roll(1), sample.roll(256), sample.roll(2048)):
        correlation = float(torch.corrcoef(torch.stack([sample, other]))[0, 1])
        assert abs(correlation) < 4 / math.sqrt(n)


def test_noise_follows_the_memory_layout():
    x = torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)
    scalars = reference.noise_scalars("uniform", 0.0, 1.0, 4.0)
    n = reference.noise_like(x, torch.tensor([1]), 0, "uniform", scalars)
    assert n.stride() == x.stride()
    flat = reference.noise_like(x.permute(0, 2, 3, 1).reshape(-1), torch.tensor([1]), 0, "uniform", scalars)
    assert torch.equal(n.permute(0, 2, 3, 1).reshape(-1), flat)


def test_lif_by_hand():
    x = torch.tensor([0.8, 0.8, 0.3, 2.0, 1.0]).view(5, 1, 1)
    keywords = dict(decay=0.5, threshold=1.0, surrogate=Surrogate(), detach_reset=False)
    spikes, v = reference.lif(x, reset=0.0, **keywords)  # h: 0.8, 1.2, 0.3, 2.15, 1.0: the last one is a tie
    assert spikes.flatten().tolist() == [0, 1, 0, 1, 0] and float(v) == 1.0
    spikes, v = reference.lif(x, reset=None, **keywords)  # h: 0.8, 1.2, 0.4, 2.2, 1.6
    assert spikes.flatten().tolist() == [0, 1, 0, 1, 1]
    assert float(v) == pytest.approx(0.6)


@pytest.mark.parametrize("statistics", ["layer", "sample", "calibrated"])
@pytest.mark.parametrize("reset", [0.0, -0.3, None])
def test_normalisation_is_the_papers(statistics, reset):
    """One mean and one maximum do what Eq. (7)-(9) do with their standard deviation."""
    torch.manual_seed(0)
    x = torch.randn(6, 9, 4, 5, dtype=torch.float64) * 0.5 + 0.4
    if statistics == "calibrated":
        statistics = (torch.rand(6), torch.rand(6) + 0.5)
    keywords = dict(decay=0.6, threshold=1.0, reset=reset, alpha=3.0, beta=0.4, noise=Noise(), statistics=statistics)
    spikes, *_ = reference.noisy_lif(
        x, None, torch.tensor([7]), surrogate=Surrogate(), detach_reset=False, **keywords
    )
    membranes = literal_membranes(x, seed=7, **keywords)
    assert 0.05 < float(spikes.mean()) < 0.95
    assert_spikes_agree(spikes, (membranes > 1).to(spikes.dtype), membranes)


def test_surrogates_integrate_to_the_spike():
    """Each derivative is even, largest at the threshold, and rises by 1 in total, but for fast_sigmoid: 2/w."""
    u = torch.linspace(-400, 400, 8_000_001, dtype=torch.float64)
    for name, derivative in reference.SURROGATES.items():
        w = Surrogate(name).width
        values = derivative(u, w)
        assert torch.equal(values, values.flip(0)) and float(values.max()) == float(derivative(u[4_000_000], w))
        area = float(torch.trapezoid(values, u))
        assert area == pytest.approx(2 / w if name == "fast_sigmoid" else 1, abs=5e-3), name


def test_gradient_is_the_surrogates():
    x = torch.randn(3, 50, dtype=torch.float64, requires_grad=True)
    for name in reference.SURROGATES:
        spikes = noisy_spike(x, noise=Noise("none"), surrogate=name, backend="reference")
        (grad,) = torch.autograd.grad(spikes.sum(), x)
        expected = reference.SURROGATES[name](x.detach() - 1, Surrogate(name).width)
        torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("reset", [0.0, -0.3, None])
@pytest.mark.parametrize("detach_reset", [False, True])
def test_scan_gradient(reset, detach_reset):
    """Backpropagation through time by autograd alone: a spike that is 0 or 1 forward and arctan backward."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(6, 3, 40, generator=generator, dtype=torch.float64) * 0.6 + 0.4).requires_grad_()
    weights = torch.randn(7, 3, 40, generator=generator, dtype=torch.float64)
    surrogate = Surrogate("atan", 3.0)
    keywords = dict(decay=0.7, threshold=1.0, surrogate=surrogate, reset=reset, detach_reset=detach_reset)
    spikes, v = reference.lif(x, **keywords)
    (actual,) = torch.autograd.grad((torch.cat([spikes, v[None]]) * weights).sum(), x)

    v, loss = torch.zeros_like(x[0]), 0.0
    for x_t, weight in zip(x, weights):
        h = x_t + 0.7 * v
        smooth = torch.atan(math.pi / 2 * surrogate.width * (h - 1)) / math.pi
        s = (h > 1).double() + smooth - smooth.detach()
        gate = s.detach() if detach_reset else s
        v = h - gate if reset is None else h * (1 - gate) + reset * gate
        loss = loss + (s * weight).sum()
    (expected,) = torch.autograd.grad(loss + (v * weights[6]).sum(), x)
    torch.testing.assert_close(actual, expected)


def test_infinite_alpha_is_the_papers_second_step():
    """Without the membrane, T steps are T independent noisy single steps (each keyed by its own time step)."""
    x = torch.randn(5, 400) * 0.5 + 0.4
    spikes = noisy_lif(x.expand(8, 5, 400), alpha=math.inf, seed=3, backend="reference")
    scalars = reference.noise_scalars("gaussian", 0.0, 0.5, 4.0)
    for t in range(8):
        n = reference.noise_like(x, torch.tensor([3]), t, "gaussian", scalars)
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
