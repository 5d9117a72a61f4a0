"""The noise in plain PyTorch: a pure function of seed, element and time step.

This is its format, which every backend follows. An element's index i is its position in the memory of one dense time
step. One Philox4x32-7 call makes 8 numbers of 16 bits, one for each of 8 neighbouring sub-blocks of 256 elements:

    counter = (i // 2048) * 256 + i % 256        words 0 (low) and 1 (high); word 2 is the time step, word 3 is 0
    lane    = (i // 256) % 8                     lanes 0..3 take the low halves of the 4 words, 4..7 the high ones
    key     = the seed's low and high 32 bits

A lane's 16 bits k give u = (2 k + 1) / 65536 - 1: symmetric, and never -1 or 1 itself.

Antithetic over time, step 2 j has the noise that independent noise has at step j, word 2 is j; the noise of step
2 j + 1 is its mirror image 2 E n - n, which belongs to -u. So a single step has the same noise either way.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import torch

from fastlif.options import constant_when_compiling

SUB_BLOCK = 256
LANES = 8
PHILOX_ROUNDS = 7
_PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_PHILOX_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def fresh_seed(device: torch.device, generator: torch.Generator | None = None) -> torch.Tensor:
    """A seed, ``[1]`` int64, from torch's generator of that device, or from another one."""
    if generator is None:  # a keyword less takes 3 us less, a tenth of a small neuron's step
        return torch.randint(-(2**63), 2**63 - 1, (1,), device=device)
    return torch.randint(-(2**63), 2**63 - 1, (1,), device=device, generator=generator)


def philox(counter: tuple, key: tuple, rounds: int = PHILOX_ROUNDS) -> tuple:
    """Philox4x32: four int32 counter words and two int32 key words, broadcast, to four int32 random words.

    int32 arithmetic that wraps stands for unsigned arithmetic: it vectorises on a CPU, int64 products do not.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        high0, low0 = _wide_product(_PHILOX_MULTIPLIERS[0], c0)
        high1, low1 = _wide_product(_PHILOX_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + _signed(_PHILOX_KEY_STEPS[0]), k1 + _signed(_PHILOX_KEY_STEPS[1])
    return c0, c1, c2, c3


def _wide_product(constant: int, word: torch.Tensor) -> tuple:
    """The high and the low 32 bits of ``constant * word``, from products of 16-bit pieces."""
    constant_high, constant_low = constant >> 16, constant & 0xFFFF
    word_high, word_low = _high_half(word), word & 0xFFFF
    middle = word_low * constant_high + _high_half(word_low * constant_low)
    carry = word_high * constant_low + (middle & 0xFFFF)
    return word_high * constant_high + _high_half(middle) + _high_half(carry), word * _signed(constant)


def _high_half(word: torch.Tensor) -> torch.Tensor:
    return (word >> 16) & 0xFFFF  # >> repeats the sign bit; the mask removes the copies


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def uniform_lattice(
    seed: torch.Tensor, numel: int, step: int | torch.Tensor, first: torch.Tensor | None = None
) -> torch.Tensor:
    """``[numel]`` float32 values u in (-1, 1), uniform on 65,536 points, for the elements of one time step.

    ``seed`` is ``[1]`` int64 on the device where the numbers are wanted. For a part of a step, ``first`` is the low and
    the high word, ``[2]`` int32, of its first element's counter: with numel / 8 added, the low one may not overflow.
    """
    blocks = numel // (SUB_BLOCK * LANES) + 2  # never 1, a size that would be compiled for by itself
    index = torch.arange(blocks * SUB_BLOCK, device=seed.device).view(blocks, 1, SUB_BLOCK)
    low, high = index.to(torch.int32), (index >> 32).to(torch.int32)
    if first is not None:
        low, high = low + first[0], high + first[1]
    zero = torch.zeros_like(low)
    key = (seed.to(torch.int32), (seed >> 32).to(torch.int32))
    words = philox((low, high, zero + step, zero), key)
    bits = torch.cat([word & 0xFFFF for word in words] + [_high_half(word) for word in words], dim=1)
    return bits.reshape(-1)[:numel].to(torch.float32) * (2 / 65536) + (1 / 65536 - 1)


def gaussian_quantile(width: float) -> tuple[float, ...]:
    """The quantile function of a normal truncated to +-width standard deviations, as a short formula.

    With u uniform on (-1, 1), x = e u and t = (1 - x^2)^(1/8), the quantile is u P(t) standard deviations, P of
    degree 6. It errs by less than 2e-4 standard deviations at any width, and never leaves the range.

    Returns:
        (e, P_0, ..., P_6), e = erf(width / sqrt 2). Plain Python arithmetic: the same on every machine.
    """
    return _fit_gaussian_quantile(width.hex())  # as text, of which torch.compile makes no variable


@constant_when_compiling
def _fit_gaussian_quantile(width: str):
    return _fitted_gaussian_quantile(float.fromhex(width))


@functools.lru_cache(1024)  # a model has few, but a number may be changed at every step
def _fitted_gaussian_quantile(width):
    e = math.erf(width / math.sqrt(2))
    u_max = 1 - 1 / 65536
    t_min = min(0.8, (1 - (e * u_max) ** 2) ** (1 / 8))  # a narrower interval would only amplify rounding
    degree = 6
    nodes = [(1 + t_min) / 2 + (1 - t_min) / 2 * math.cos(math.pi * (i + 0.5) / (degree + 1))
             for i in range(degree + 1)]  # Chebyshev's: interpolation there is within a small factor of the best fit

    def target(t):
        x = math.sqrt(1 - t**8)
        return NormalDist().inv_cdf((1 + x) / 2) * e / x

    differences = [target(t) for t in nodes]  # Newton's divided differences, then expanded into powers of t
    for order in range(1, degree + 1):
        for i in range(degree, order - 1, -1):
            differences[i] = (differences[i] - differences[i - 1]) / (nodes[i] - nodes[i - order])
    coefficients = [0.0] * (degree + 1)
    for node, difference in zip(reversed(nodes), reversed(differences)):
        shifted = [0.0, *coefficients[:-1]]
        coefficients = [s - node * c for s, c in zip(shifted, coefficients)]
        coefficients[0] += difference
    return (e, *coefficients)


def noise_scalars(kind: str, mean: float, half_range: float, width: float) -> tuple[float, ...]:
    """The numbers that turn u of :func:`uniform_lattice` into noise on ``mean +- half_range``.

    (mean, half_range) for "uniform"; for "gaussian" (mean, e, P_0, ..., P_6) of :func:`gaussian_quantile` with P
    scaled from standard deviations, half_range / width each, to units of the membrane; () for "none".
    """
    if kind == "none":
        return ()
    if kind == "uniform":
        return (mean, half_range)
    e, *coefficients = gaussian_quantile(width)
    return (mean, e, *(coefficient * (half_range / width) for coefficient in coefficients))


def residual_noise(noise, alpha: float, beta: float, residual: str) -> tuple[str, tuple[float, ...]]:
    """N'_noise of Eq. (6), what is left of N_noise beside the normalised membrane: (kind, :func:`noise_scalars`).

    Its mean is that of N_noise less beta, its half-range r' that of N_noise, r, less 1/alpha. With ``"matched"`` its
    standard deviation is that of N_noise, as far as r' allows: at most it is uniform. The membrane's own standard
    deviation, a tenth to a third of that in Table 1's network, is not taken off: no difference could be measured. With
    ``"range"`` it is a Gaussian of the same width, so that its standard deviation shrinks with the range.
    """
    mean, half_range, width = noise.mean - beta, noise.half_range - 1 / alpha, noise.width
    if noise.kind == "gaussian" and residual == "matched" and 0 < half_range < noise.half_range:
        width = matched_width(width, half_range / noise.half_range)
        if width == 0:
            return "uniform", (mean, half_range)
    return noise.kind, noise_scalars(noise.kind, mean, half_range, width)


def matched_width(width: float, share: float) -> float:
    """The width of a Gaussian on ``share`` of the range that has the standard deviation of one of ``width`` on all of
    it; 0, for uniform noise, where no Gaussian has so much."""
    return _solve_matched_width(width.hex(), share.hex())  # texts: see gaussian_quantile


@constant_when_compiling
def _solve_matched_width(width: str, share: str):
    return _solved_matched_width(float.fromhex(width), float.fromhex(share))


@functools.lru_cache(1024)  # a model has few, but a number may be changed at every step
def _solved_matched_width(width, share):
    wanted = truncated_deviation(width) / share
    narrow, wide = 1e-3, width  # the deviation falls from 1/sqrt 3 as the width grows
    if wanted >= truncated_deviation(narrow):
        return 0.0
    for _ in range(60):
        middle = math.sqrt(narrow * wide)  # a width may be of any order of size
        narrow, wide = (narrow, middle) if truncated_deviation(middle) < wanted else (middle, wide)
    return wide


def truncated_deviation(width: float) -> float:
    """The standard deviation, in half-ranges, of a normal truncated to +-width of its own standard deviations."""
    if width < 0.05:  # where the formula below only cancels, 1/sqrt 3 less the first term of its series
        return (1 - width**2 / 15) / math.sqrt(3)
    normal = NormalDist()
    return math.sqrt(1 - 2 * width * normal.pdf(width) / (2 * normal.cdf(width) - 1)) / width


def noise_like(
    step: torch.Tensor, seed: torch.Tensor, t: int | torch.Tensor, kind: str, scalars, first: torch.Tensor | None = None
) -> torch.Tensor:
    """The noise n_t of one time step: ``[N, *]`` in the dense memory layout of ``step``, in units of the membrane.

    float32, or float64 where ``step`` is float64: the same random bits, evaluated more finely. ``first`` is where a
    part of a step begins: see :func:`uniform_lattice`.
    """
    u = uniform_lattice(seed, step.numel(), t, first).to(torch.promote_types(step.dtype, torch.float32))
    if kind == "uniform":
        flat = u * scalars[1] + scalars[0]
    else:
        mean, e, *coefficients = scalars
        x = u * e
        root = (1 - x * x).sqrt().sqrt().sqrt()
        polynomial = root * coefficients[-1] + coefficients[-2]
        for coefficient in reversed(coefficients[:-2]):
            polynomial = polynomial * root + coefficient
        flat = u * polynomial + mean
    if step.is_contiguous():
        return flat.view(step.shape)
    like = torch.empty_strided(step.shape, step.stride(), device="meta")  # under torch.vmap that of one example
    return flat.as_strided(step.shape, torch.empty_like(like).stride())


def step_noise(step: torch.Tensor, seed: torch.Tensor, t: int, options) -> torch.Tensor:
    """The noise of step ``t`` of a neuron with these options: :func:`noise_like`, or its mirror image."""
    antithetic = options.over_time == "antithetic"
    noise = noise_like(step, seed, t // 2 if antithetic else t, options.noise, options.noise_scalars)
    return mirrored(noise, options.noise_scalars) if antithetic and t % 2 else noise


def mirrored(noise, scalars):
    """2 E n - n, noise of the same distribution."""
    return 2 * scalars[0] - noise
