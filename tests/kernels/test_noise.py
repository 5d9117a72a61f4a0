"""The noise: its random bits, its distribution, its independence, and that every backend draws the same.

Each statistical check fails a sound generator with probability FALSE_ALARM. Seeds are fixed: a check that passes once
passes always.
"""

import dataclasses
import importlib.util
import itertools
import math
from statistics import NormalDist

import pytest
import torch
from helpers import DEVICE

from fastlif import Noise, NoisyLIF, Surrogate, functional
from fastlif import noise as noise_format
from fastlif.functional import noisy_lif, noisy_lif_options, noisy_spike

NEEDS_TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
NEEDS_CPU = pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the kernels are the path")
BACKENDS = [
    "reference",
    pytest.param("compiled", marks=NEEDS_CPU),
    pytest.param("triton", marks=NEEDS_TRITON),
]
FALSE_ALARM = 1e-4
DEVIATIONS = NormalDist().inv_cdf(1 - FALSE_ALARM / 2)
MASK = 0xFFFFFFFF
SQRT2 = math.sqrt(2)
LATTICE = (2 * torch.arange(65536, dtype=torch.float64) + 1) / 65536 - 1


def lattice(seed, numel, step=0):
    return noise_format.uniform_lattice(torch.tensor([seed], device=DEVICE), numel, step)


def bits(u):
    return ((u + 1) * 32768).to(torch.int64)


def draw(noise, numel, seed, step=0):
    x = torch.empty(numel, device=DEVICE)
    return noise_format.noise_like(x, torch.tensor([seed], device=DEVICE), step, noise.kind, noise.scalars())


def all_values(kind, scalars, dtype, monkeypatch):
    """What the reference makes of all 65,536 random numbers, in increasing order."""
    monkeypatch.setattr(noise_format, "uniform_lattice", lambda seed, numel, step, first: LATTICE)
    return noise_format.noise_like(torch.empty(65536, dtype=dtype), None, 0, kind, scalars)


def distribution(noise, z):
    """F(z), the closed form."""
    position = ((z.double() - noise.mean) / noise.half_range).clamp(-1, 1)
    if noise.kind == "uniform":
        return (position + 1) / 2
    return (torch.erf(position * (noise.width / SQRT2)) / math.erf(noise.width / SQRT2) + 1) / 2


def name(noise):
    return f"{noise.kind}-{noise.low:g}-{noise.high:g}-{noise.width:g}"


# --- Statistical checks -------------------------------------------------------------------------------------------


def check(statistic, low, high, what):
    assert low <= statistic <= high, f"{what}: {statistic:.5g}, not within {low:.5g} and {high:.5g}"


def check_chi_squared(counts, what):
    """Equally probable bins. Two-sided, since numbers can be too even; quantiles by Wilson and Hilferty."""
    expected, freedom = float(counts.sum()) / len(counts), len(counts) - 1
    spread = 2 / (9 * freedom)
    low, high = (freedom * (1 - spread + side * DEVIATIONS * math.sqrt(spread)) ** 3 for side in (-1, 1))
    check(float((counts.double() - expected).square().sum()) / expected, low, high, f"{what}, chi-squared")


def check_independent(a, b, what):
    """Correlation, and the 256 pairs of their 4 highest and of their 4 lowest bits."""
    correlation = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
    check(correlation * math.sqrt(len(a)), -DEVIATIONS, DEVIATIONS, f"{what}, correlation")
    a, b = bits(a), bits(b)
    check_chi_squared(torch.bincount((a >> 12) * 16 + (b >> 12), minlength=256), f"{what}, high bits")
    check_chi_squared(torch.bincount((a & 15) * 16 + (b & 15), minlength=256), f"{what}, low bits")


# --- The random bits ----------------------------------------------------------------------------------------------


def philox_in_python(counter, key, rounds=7):
    c, k = list(counter), list(key)
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def lattice_in_python(seed, i, step, high=0):
    """The number of element i, as the format is published, in Python's own integers."""
    counter = (i // 2048 * 256 + i % 256, high, step, 0)
    words = philox_in_python(counter, (seed & MASK, seed >> 32 & MASK))
    lane = i // 256 % 8
    return (2 * (words[lane % 4] >> (16 if lane >= 4 else 0) & 0xFFFF) + 1) / 65536 - 1


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
    assert philox_in_python((word,) * 4, (word,) * 2, rounds) == expected
    word = torch.tensor([word - (1 << 32) if word >> 31 else word], dtype=torch.int32)
    assert [int(w) & MASK for w in noise_format.philox((word,) * 4, (word,) * 2, rounds)] == expected


SEEDS = [0, 1, -1, 2**62 + 12345, -(2**63)]
ELEMENTS = (0, 1, 255, 256, 1023, 1024, 2047, 2048, 2049, 4095, 4096, 4999)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_format(seed):
    """Element index to counter and lane, as published in fastlif/noise.py."""
    for step in (0, 3, 2**31 - 1):
        u = lattice(seed, 5000, step)
        assert [float(u[i]) for i in ELEMENTS] == [lattice_in_python(seed, i, step) for i in ELEMENTS]


def test_noise_of_a_part_beyond_32_bits():
    for low, high in ((2**31 - 256, 0), (5 * 256, 3)):
        u = noise_format.uniform_lattice(torch.tensor([7]), 5000, 2, torch.tensor([low, high], dtype=torch.int32))
        assert [float(u[i]) for i in ELEMENTS] == [lattice_in_python(7, low * 8 + i, 2, high) for i in ELEMENTS]


# --- The distribution ---------------------------------------------------------------------------------------------

WIDTHS = [0.01, 0.1, 0.5, 1, 2, 3, 4, 4.5, 5.5, 6, 8, 20]
NOISES = [
    Noise("uniform"), Noise("uniform", -0.5, 0.25), Noise("uniform", -3, -1.3), Noise("uniform", 100, 101),
    Noise(), Noise(width=0.5), Noise(width=1, low=-0.5, high=0.25), Noise(width=2, low=-1, high=3),
    Noise(width=3, high=1e-6), Noise(width=4, low=100, high=101), Noise(width=4.5, low=-2, high=-1),
    Noise(width=6, low=-1e6, high=1e6), *(Noise(low=-width, high=width, width=width) for width in WIDTHS),
]  # fmt: skip


@pytest.mark.parametrize("noise", NOISES, ids=name)
def test_every_value_is_the_quantile_of_its_probability(noise, monkeypatch):
    """Of all 65,536 random numbers; in float32 it is that, rounded.

    In probability they err by less than half of 1/65,536, so that each lies in its own one of 65,536 equally probable
    intervals: no histogram can tell that a polynomial made them. float32 costs accuracy at the two outermost values.
    """
    some, their_bits = draw(noise, 100_000, 1000), bits(lattice(1000, 100_000))
    z, rounded = (
        all_values(noise.kind, noise.scalars(), dtype, monkeypatch) for dtype in (torch.float64, torch.float32)
    )
    assert torch.equal(some, rounded.to(DEVICE)[their_bits])
    assert bool((z.diff() >= 0).all())
    for values in (z, rounded) if noise.mean == 0 else (z,):
        F = distribution(noise, values)
        assert float((F - (LATTICE + 1) / 2).abs().max()) < 6e-6
        assert torch.equal((F * 65536).floor(), torch.arange(65536, dtype=torch.float64))
        assert float(values.abs().max()) <= noise.half_range or noise.mean
    deviation = noise.half_range / noise.width
    atol = deviation * (4e-4 if noise.width == 5.5 else 1e-4)
    torch.testing.assert_close(rounded.double(), z, rtol=2**-22, atol=atol)
    if noise.kind == "gaussian":
        exact = noise.mean + deviation * SQRT2 * torch.special.erfinv(math.erf(noise.width / SQRT2) * LATTICE)
        assert float((z - exact).abs().max()) < 2e-4 * deviation
        assert float((rounded - exact).abs().max()) < 6e-4 * deviation


@pytest.mark.parametrize("alpha", [2.25, 2.5, 3, 4, 8, math.inf])
@pytest.mark.parametrize("noise", [Noise(width=w) for w in (0.5, 2, 3, 4, 20)] + [Noise("uniform")], ids=str)
def test_residual_noise(noise, alpha, monkeypatch):
    """N'_noise: mean and range as in Eq. (6), and the standard deviation of N_noise as far as the range allows."""
    noise = dataclasses.replace(noise, low=-1.0, high=0.0)
    half_range = noise.half_range - 1 / alpha
    exact = all_values(noise.kind, noise.scalars(), torch.float64, monkeypatch)
    values = {
        residual: all_values(*noise_format.residual_noise(noise, alpha, 0.25, residual), torch.float64, monkeypatch)
        for residual in ("matched", "range")
    }
    for value in values.values():
        assert abs(value.mean() - (-0.75)) < 1e-12
        assert float((value + 0.75).abs().max()) <= half_range
        assert bool((value.diff() > 0).all())  # the random numbers keep their order: their bits are the same
    shrunk = exact.std() * half_range / noise.half_range
    widest = shrunk if noise.kind == "uniform" else exact.new_tensor(half_range / math.sqrt(3))
    torch.testing.assert_close(values["matched"].std(), torch.minimum(exact.std(), widest), rtol=2e-4, atol=0)
    torch.testing.assert_close(values["range"].std(), shrunk, rtol=2e-4, atol=0)
    if noise.kind == "uniform" or alpha == math.inf:
        assert torch.equal(values["matched"], values["range"])


def test_residual_noise_without_a_range_is_a_constant():
    for residual in ("matched", "range"):
        kind, scalars = noise_format.residual_noise(Noise(), 2.0, 0.25, residual)
        assert kind == "gaussian" and scalars[0] == 0.25 and not any(scalars[2:])


@pytest.mark.parametrize("noise", [Noise(), Noise("uniform"), Noise(low=-0.5, high=0.25, width=1)], ids=name)
def test_antithetic_noise_keeps_its_distribution(noise, monkeypatch):
    """Its mirror image, of all 65,536 numbers, is the same set of values in the other order; the mean of the two is
    the mean of the noise, but for the last bit."""
    values = all_values(noise.kind, noise.scalars(), torch.float32, monkeypatch)
    mirrored = noise_format.mirrored(values, noise.scalars())
    torch.testing.assert_close(mirrored.flip(0), values, rtol=0, atol=2.0**-23)
    torch.testing.assert_close((values + mirrored) / 2, torch.full_like(values, noise.mean), rtol=0, atol=2.0**-25)
    if noise.kind == "uniform":
        assert torch.equal(mirrored.flip(0), values)


RANGES = [  # low and high
    (0, 1), (-1, 1), (-0.5, 0.25), (0.1, 0.3), (-0.7, 0.1), (100, 101), (-101, -100), (1000, 1001), (0.1, 6.3),
    (5, 5), (0.1, 0.1), (-1e-3, 1e6), (0, 1e-30), (-3e-38, 0), (-1e18, 1e18),
]  # fmt: skip
NARROW = [(2.0**24, 2.0**24 + 2), (1, 1 + 2.0**-23), (1e6 + 0.1, 1e6 + 0.7), (1 / 3, 1 / 3 + 1e-6)]


@pytest.mark.parametrize("low, high", RANGES + NARROW)
def test_noise_never_leaves_its_range(low, high, monkeypatch):
    """All 65,536 values in float32, with the bounds as float32 holds them.

    A range of but few steps of float32 can be left by one of them, as its mean is rounded.
    """
    noises = [Noise("uniform", low, high), *(Noise("gaussian", low, high, width) for width in (1e-3, *WIDTHS, 100))]
    first, last = torch.tensor([low, high], dtype=torch.float32)
    if (low, high) in NARROW:
        first, last = first.nextafter(-last.abs()), last.nextafter(2 * last.abs())
    for noise in noises:
        values = all_values(noise.kind, noise.scalars(), torch.float32, monkeypatch)
        values = torch.cat([values, noise_format.mirrored(values, noise.scalars())])
        assert float(first) <= float(values.min()) and float(values.max()) <= float(last), noise


def test_noise_follows_the_memory_layout():
    x = torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)
    scalars = noise_format.noise_scalars("uniform", 0.0, 1.0, 4.0)
    n = noise_format.noise_like(x, torch.tensor([1]), 0, "uniform", scalars)
    assert n.stride() == x.stride()
    flat = noise_format.noise_like(x.permute(0, 2, 3, 1).reshape(-1), torch.tensor([1]), 0, "uniform", scalars)
    assert torch.equal(n.permute(0, 2, 3, 1).reshape(-1), flat)


# --- Independence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 2, 3, 128, 255, 257, *range(256, 2048, 256), 2047, 2048, 4096, 2048 * 256])
def test_neighbours_are_independent(lag):
    """Multiples of 256 apart are the lanes of a call, 1,024 the halves of a word, 2,048 the next call."""
    u = lattice(21, 2**21)
    check_independent(u[:-lag], u[lag:], f"{lag} apart")


def test_every_number_is_equally_probable():
    """10 million numbers of 10 steps."""
    counts = sum(torch.bincount(bits(lattice(1000, 1_000_000, t)), minlength=65536) for t in range(10))
    for bins in (64, 256, 65536):
        check_chi_squared(counts.view(bins, -1).sum(dim=1), f"{bins} bins")
    for i, lane in enumerate(lattice(22, 2**22).view(-1, 8, 256).unbind(1)):
        check_chi_squared(torch.bincount(bits(lane.flatten()) >> 8, minlength=256), f"lane {i}")


STREAM = 2**16
SEED = 0x0123456789ABCDEF
STREAMS = {  # pairs of (seed, step) that differ in any one bit, and consecutive ones
    "steps": [((23, 5), (23, 5 ^ 1 << bit)) for bit in range(31)] + [((23, t), (23, t + 1)) for t in range(100, 108)],
    "seeds": [((SEED, 0), (SEED ^ 1 << bit, 0)) for bit in range(63)] + [((SEED, 0), (SEED - 2**63, 0))]
    + [((seed, 0), (seed + 1, 0)) for seed in range(8)],
}  # fmt: skip


@pytest.mark.parametrize("differ", STREAMS)
def test_streams_are_independent(differ):
    for (seed, step), (other, later) in STREAMS[differ]:
        streams = lattice(seed, STREAM, step), lattice(other, STREAM, later)
        check_independent(*streams, f"seed and step {seed, step} and {other, later}")


def test_pairs_of_antithetic_steps_are_independent():
    """Of one pair, the second is told by the first; of different pairs, nothing is told."""
    noise, x, seed = Noise("uniform", -1, 1), torch.empty(STREAM, device=DEVICE), torch.tensor([23], device=DEVICE)
    neuron = None, None, 1.0, 0.0, math.inf, 0.0, noise, "matched"
    chosen = noisy_lif_options(*neuron, "antithetic", "atan", False, "auto")
    steps = [noise_format.step_noise(x, seed, t, chosen) for t in range(8)]
    for first, second in zip(steps[::2], steps[1::2]):
        assert torch.equal(first, -second)
    for a, b in itertools.combinations(steps[::2], 2):
        check_independent(a, b, "two pairs of antithetic steps")


def test_seeds_from_the_generator():
    """Every one of their 64 bits is even, and none comes twice."""
    torch.manual_seed(24)
    seeds = torch.cat([functional.fresh_seed(torch.device(DEVICE)) for _ in range(4000)])
    assert len(torch.unique(seeds)) == len(seeds)
    for bit in range(64):
        deviations = (float((seeds >> bit & 1).double().mean()) - 0.5) * 2 * math.sqrt(len(seeds))
        check(deviations, -4, 4, f"bit {bit} of the seeds")


# --- Every backend draws the same ---------------------------------------------------------------------------------

NEURONS = ["single step", "layer", "sample", "calibrated"]
ROUNDING = 2.0**-17  # of noise on [-1, 1], in float32


def only_noise(x, neuron, backend, **keywords):
    """A neuron over T steps whose membrane is x + noise: the single step, or the converted one without its membrane."""
    if neuron == "single step":
        return noisy_spike(x[0], backend=backend, **keywords)[None]
    ones = torch.ones(len(x), device=x.device)
    statistics = (ones, ones) if neuron == "calibrated" else neuron
    return noisy_lif(x, alpha=math.inf, beta=0.0, statistics=statistics, backend=backend, **keywords)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_backends_draw_the_same_noise(neuron, backend):
    """Forward and backward: uniform noise bit for bit, Gaussian noise to ROUNDING.

    The input takes the expected noise away, so that the membrane is 0. Only there has this surrogate a gradient.
    14 steps have the backward keep checkpoints.
    """
    seed, shape, T = -(2**40) + 5, (2, 1025), 1 if neuron == "single step" else 14
    for noise, width in ((Noise("uniform", -1, 1), 2.0**-16), (Noise("gaussian", -1, 1), ROUNDING)):
        expected = torch.stack([draw(noise, math.prod(shape), seed, t).view(shape) for t in range(T)])
        keywords = {"noise": noise, "surrogate": Surrogate("rectangular", width), "seed": seed}
        for shift, spike in ((-width / 2, 0), (0, None), (width / 2, 1)):
            x = (shift - expected).requires_grad_()
            spikes = only_noise(x, neuron, backend, threshold=0.0, **keywords)
            assert spike is None or bool((spikes == spike).all())
        spikes = only_noise(x, neuron, backend, threshold=width / 2, **keywords)
        (grad,) = torch.autograd.grad(spikes.sum(), x)
        assert bool((grad == 1 / width).all())


@pytest.mark.full
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_calls_in_a_compiled_graph_draw_twice(backend, fresh_compiler):
    """From whatever generator the compiler takes."""
    neuron = NoisyLIF(backend=backend)
    twice = torch.compile(lambda x: (neuron(x), neuron(x)), fullgraph=True)
    x = torch.full((2, 1000), 0.5, device=DEVICE)
    for a, b in itertools.combinations([*twice(x), *twice(x)], 2):
        assert not torch.equal(a, b)
