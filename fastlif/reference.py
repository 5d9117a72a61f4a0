"""fastlif in plain PyTorch, to be read beside the paper: the oracle of the kernels and, compiled, the CPU path.

One recurrence serves every use, for each neuron and t = 1..T:

    h_t = x_t + a_t v_{t-1} + b_t + n_t              membrane before the spike: Eq. (1), (5)
    s_t = 1 if h_t > threshold else 0                Eq. (2)
    v_t = reset if s_t else h_t                      hard reset, Eq. (3)
    v_t = h_t - threshold s_t                        soft reset, for reset=None

Plain LIF has a_t = decay, b_t = n_t = 0. The single-step neuron has T = 1 and a_t = b_t = 0. The converted neuron
takes a_t and b_t from the membrane's own statistics, Eq. (6)-(9).

Plain LIF knows more: a gain on x_t; gain, decay and threshold as tensors; "inclusive", a spike at h_t = threshold too;
and "reset_delay", a soft reset that is taken off a step later, after the decay:

    h_t = gain x_t + decay v_{t-1} - threshold s_{t-1}        v_t = h_t, and s_0 is what v_0 gives

Inputs are ``[T, N, *]`` in any memory layout, ``[N, *]`` for :func:`noisy_spike`. Half precision is widened to
float32; float64 stays float64. Autograd through these functions defines the gradients; mean and maximum of the
membrane count as constants there.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import torch


def constant_when_compiling(function):
    """``torch.compiler.assume_constant_result``, which would import the compiler with fastlif: two seconds."""
    function._dynamo_marked_constant = True
    return function


# --- The noise: a pure function of (seed, element index, time step) ----------------------------------------------
#
# Its format, which every backend follows. An element's index i is its position in the memory of one dense time
# step. One Philox4x32-7 call makes 8 numbers of 16 bits, one for each of 8 neighbouring sub-blocks of 256 elements:
#
#     counter = (i // 2048) * 256 + i % 256        words 0 (low) and 1 (high); word 2 is the time step, word 3 is 0
#     lane    = (i // 256) % 8                     lanes 0..3 take the low halves of the 4 words, 4..7 the high ones
#     key     = the seed's low and high 32 bits
#
# A lane's 16 bits k give u = (2 k + 1) / 65536 - 1: symmetric, and never -1 or 1 itself.
#
# Antithetic over time, step 2 j has the noise that independent noise has at step j, word 2 is j; the noise of step
# 2 j + 1 is its mirror image 2 E n - n, which belongs to -u. So a single step has the same noise either way.

SUB_BLOCK = 256
LANES = 8
PHILOX_ROUNDS = 7
_PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_PHILOX_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


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
    return (bits.to(torch.float32) * (2 / 65536) + (1 / 65536 - 1)).reshape(-1)[:numel]


def gaussian_quantile(width: float) -> tuple[float, ...]:
    """The quantile function of a normal truncated to +-width standard deviations, as a short formula.

    With u uniform on (-1, 1), x = e u and t = (1 - x^2)^(1/8), the quantile is u P(t) standard deviations, P of
    degree 6. It errs by less than 2e-4 standard deviations at any width, and never leaves the range.

    Returns:
        (e, P_0, ..., P_6), e = erf(width / sqrt 2). Plain Python arithmetic: the same on every machine.
    """
    return _fit_gaussian_quantile(width.hex())  # torch.compile may take a number for a variable, a text never


@constant_when_compiling
def _fit_gaussian_quantile(width: str):
    return _fitted_gaussian_quantile(float.fromhex(width))


@functools.cache
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


@functools.cache
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
    return flat.as_strided(step.shape, torch.empty_like(step, device="meta").stride())


def step_noise(step: torch.Tensor, seed: torch.Tensor, t: int, options) -> torch.Tensor:
    """The noise of step ``t`` of a neuron with these options: :func:`noise_like`, or its mirror image."""
    antithetic = options.over_time == "antithetic"
    noise = noise_like(step, seed, t // 2 if antithetic else t, options.noise, options.noise_scalars)
    return mirrored(noise, options.noise_scalars) if antithetic and t % 2 else noise


def mirrored(noise, scalars):
    """2 E n - n, noise of the same distribution."""
    return 2 * scalars[0] - noise


# --- The spike and its surrogate gradient, u = h - threshold ------------------------------------------------------

# Constants are written out: torch.compile before 2.15 takes a number first met in an autograd function for a variable.
SURROGATES = {
    "atan": lambda u, w: (w / 2) / (1 + (1.5707963267948966 * w * u) ** 2),
    "sigmoid": lambda u, w: w * torch.sigmoid(w * u) * torch.sigmoid(-w * u),
    "rectangular": lambda u, w: torch.where(u.abs() < w / 2, 1 / w, 0 * u),
    "triangular": lambda u, w: (1 - u.abs() / w).clamp(min=0) / w,
    "fast_sigmoid": lambda u, w: 1 / (1 + w * u.abs()) ** 2,
    "gaussian": lambda u, w: torch.exp(u * u * (-0.5 / w**2)) * (1 / (w * 2.5066282746310002)),
}


NO_SECOND_DERIVATIVE = (
    "a spike's surrogate gradient is a gradient by definition, not a function with one of its own: fastlif's neurons "
    "cannot be differentiated twice"
)


class _Spike(torch.autograd.Function):
    """Heaviside forward, Eq. (2), the surrogate's derivative backward.

    It is taken at h, or at the membrane ``at`` if there is one: another tensor, as the compiler allows none twice.
    A threshold that has a gradient is of h's shape.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(h, at, threshold, width, surrogate, inclusive):
        return (h >= threshold if inclusive else h > threshold).to(h.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        h, at, *numbers, ctx.surrogate, _ = inputs
        ctx.save_for_backward(h if at is None else at, *numbers)

    @staticmethod
    def backward(ctx, grad):
        grad_h = _SpikeGradient.apply(grad, *ctx.saved_tensors, ctx.surrogate)
        return grad_h, None, -grad_h if ctx.needs_input_grad[2] else None, None, None, None


class _SpikeGradient(torch.autograd.Function):
    """The gradient of h in :class:`_Spike`, which has none itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad, at, threshold, width, surrogate):
        return grad * SURROGATES[surrogate](at - threshold, width)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError(NO_SECOND_DERIVATIVE)


# --- Spikes at one bit ---------------------------------------------------------------------------------------------


def pack_bits(spikes: torch.Tensor) -> torch.Tensor:
    """Spikes ``[8, size]`` as ``[size]`` uint8: bit j of a byte is a spike of row j."""
    bits = widen(spikes[0])
    for j in range(1, 8):
        bits = bits + 2.0**j * widen(spikes[j])  # exact, and faster than shifting bytes
    return bits.to(torch.uint8)


def unpack_bits(bits: torch.Tensor) -> list[torch.Tensor]:
    """The eight rows of :func:`pack_bits`, ``[size]`` uint8 each."""
    return [(bits >> j) & 1 for j in range(8)]


# --- The neurons --------------------------------------------------------------------------------------------------


def noisy_spike(x, seed, options):
    """The single-step noisy neuron, Eq. (5): ``[N, *]`` to spikes ``[N, *]`` in the input's dtype."""
    h, at = noisy(widen(x), x, seed, 0, options)
    return _Spike.apply(h, at, *_spike_arguments(options)).to(x.dtype)


def lif(x, initial_state, options, gain=None, decay=None, threshold=None):
    """Plain LIF, Eq. (1)-(3): ``[T, N, *]`` to (spikes ``[T, N, *]``, last membrane ``[N, *]``).

    ``gain``, ``decay`` and ``threshold``, where given, are tensors in place of the options' numbers.
    """
    v = _first_membrane(x, initial_state)
    gain, decay = (number if tensor is None else tensor.to(v.dtype)
                   for tensor, number in ((gain, options.gain), (decay, options.decay)))  # fmt: skip
    spike = _spike_arguments(options)
    if threshold is None:
        threshold = options.threshold
    else:
        threshold = threshold.to(v.dtype).expand_as(v)
        spike = threshold, *spike[1:]
    spikes = []
    for x_t in x.unbind(0):
        h = widen(x_t)
        if not isinstance(gain, float) or gain != 1:
            h = gain * h
        h = h + decay * v
        if options.reset_delay:
            h = h - threshold * _gate(_Spike.apply(v, None, *spike), options)
            s, v = _Spike.apply(h, None, *spike), h
        else:
            s, v = fire(h, None, spike, options, threshold)
        spikes.append(s.to(x.dtype))
    return _stack(spikes), v


def noisy_lif(x, initial_state, statistics, seed, options):
    """The converted neuron, Eq. (6)-(9): ``[T, N, *]`` to (spikes, last membrane, mean, deviation).

    ``statistics`` is ``"layer"``, ``"sample"``, or a pair (mean, deviation) of ``[T]`` tensors. The mean of
    decay v_{t-1} and its largest distance from it come back as ``[T, G]``: G = 1, or N for ``"sample"``.
    """
    o = options
    v = _first_membrane(x, initial_state)
    spike = _spike_arguments(o)
    spikes, means, deviations = [], [], []
    for t, x_t in enumerate(x.unbind(0)):
        if isinstance(statistics, str):
            mean, deviation = membrane_statistics(o.decay * v, statistics)
        else:
            mean, deviation = (value[t].reshape(1) for value in statistics)
        a, b = normalisation(mean, deviation, o.decay, o.inv_alpha, o.beta)
        h, at = noisy(widen(x_t) + _per_group(a, v) * v + _per_group(b, v), x_t, seed, t, o)
        s, v = fire(h, at, spike, o, o.threshold)
        spikes.append(s.to(x.dtype))
        means.append(mean)
        deviations.append(deviation)
    return _stack(spikes), v, torch.stack(means), torch.stack(deviations)


def membrane_statistics(decayed: torch.Tensor, statistics: str) -> tuple[torch.Tensor, torch.Tensor]:
    """mu = mean(A) and M = max|A - mu| of A = decay v_{t-1}, Eq. (7)-(9): ``[1]`` each, or ``[N]`` for "sample"."""
    groups = decayed.detach()
    samples = groups.shape[0] if statistics == "sample" else 1
    groups = groups.reshape(samples, groups.numel() // max(samples, 1))
    if groups.numel() == 0:
        return groups.new_zeros(groups.shape[0]), groups.new_zeros(groups.shape[0])
    return finish_statistics(groups.mean(dim=1), groups.amin(dim=1), groups.amax(dim=1))


def finish_statistics(mean, low, high):
    """mu and M from a group's mean, minimum and maximum. Equal values have M = 0, although their mean may round."""
    return mean, torch.where(low == high, 0, torch.maximum(high - mean, mean - low))


def normalisation(mean, deviation, decay, inv_alpha, beta):
    """a_t = decay / (alpha M_t) and b_t = beta - mu_t / (alpha M_t): Eq. (8) and (9), where sigma cancels.

    A constant membrane (M = 0), or one that holds NaN or infinity, has no normal form: a_t = 0, b_t = beta.
    """
    usable = (deviation > 0) & (deviation < math.inf)
    scale = torch.where(usable, inv_alpha / deviation, 0)
    return decay * scale, torch.where(usable, beta - mean * scale, beta)


def widen(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def noisy(h, x, seed, t, options):
    """The membrane with its noise, and where the surrogate is taken: None for there too, or at its mean."""
    if options.noise == "none":
        return h, None
    mean = None if options.surrogate_at == "membrane" else h + options.noise_scalars[0]
    return h + step_noise(x, seed, t, options), mean


def _spike_arguments(options):
    """What :class:`_Spike` takes beside membranes. Numbers are tensors without dimensions: ``torch.compile`` loses
    Python's floats inside an autograd function."""
    numbers = options.threshold, options.surrogate_width
    numbers = (torch.scalar_tensor(value, dtype=torch.float64, device="cpu") for value in numbers)
    return *numbers, options.surrogate, options.inclusive


def _first_membrane(x, initial_state):
    v = torch.zeros_like(widen(x[0]))
    return v if initial_state is None else initial_state.to(v.dtype)


def _stack(steps):
    """``[T, N, *]`` from T tensors ``[N, *]``, in their memory layout."""
    if steps[0].is_contiguous():
        return torch.stack(steps)
    order = sorted(range(steps[0].ndim), key=lambda dim: -steps[0].stride(dim))
    stacked = torch.stack([step.permute(order) for step in steps])
    return stacked.permute(0, *(1 + order.index(dim) for dim in range(len(order))))


def _per_group(value, v):
    """``[G]`` shaped to broadcast over ``[N, *]``."""
    return value.view(-1, *(1,) * (v.ndim - 1))


def fire(h, at, spike, options, threshold):
    """The spike, Eq. (2), and the membrane after it, Eq. (3). ``at`` and ``spike``: see :class:`_Spike`."""
    s = _Spike.apply(h, at, *spike)
    gate = _gate(s, options)
    if options.reset is None:
        return s, h - threshold * gate
    return s, _HardReset.apply(h, gate, options.reset)


def _gate(s, options):
    """The spike as the reset sees it."""
    return s.detach() if options.detach_reset else s


class _HardReset(torch.autograd.Function):
    """v = h (1 - s) + reset s, Eq. (3), chosen rather than multiplied: an infinite h must not leave inf * 0."""

    generate_vmap_rule = True

    @staticmethod
    def forward(h, s, reset):
        return torch.where(s > 0, reset, h)

    @staticmethod
    def setup_context(ctx, inputs, output):
        h, s, ctx.reset = inputs
        ctx.save_for_backward(h, s)

    @staticmethod
    def backward(ctx, grad):
        h, s = ctx.saved_tensors
        return grad * (1 - s), grad * (ctx.reset - h), None
