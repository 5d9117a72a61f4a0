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

import math

import torch

from fastlif.noise import step_noise

# --- The spike and its surrogate gradient, u = h - threshold ------------------------------------------------------


def _sigmoid_derivative(u, w):
    """w sigmoid(w u) sigmoid(-w u) by one exponential, which never overflows."""
    e = torch.exp(-w * u.abs())
    return w * e / (1 + e) ** 2


# Constants are written out: torch.compile before 2.15 takes a number first met in an autograd function for a variable.
SURROGATES = {
    "atan": lambda u, w: (w / 2) / (1 + (1.5707963267948966 * w * u) ** 2),
    "sigmoid": _sigmoid_derivative,
    "rectangular": lambda u, w: torch.where(u.abs() < w / 2, 1 / w, u.abs().clamp(max=0)),  # 0, or NaN
    "triangular": lambda u, w: (1 - u.abs() / w).clamp(min=0) / w,
    "fast_sigmoid": lambda u, w: 1 / (1 + w * u.abs()) ** 2,
    "gaussian": lambda u, w: torch.exp(u * u * (-0.5 / w**2)) * (1 / (w * 2.5066282746310002)),
}


def derivative_of(surrogate: str):
    """The function of (u, w) that a record has under this name."""
    if surrogate not in SURROGATES:
        raise RuntimeError(
            f"{surrogate!r} is a surrogate of your own, which an exported program does not hold: train the model and "
            "export it again; or make fastlif.Surrogate of the same function before, if it is no method or object"
        )
    return SURROGATES[surrogate]


def no_second_derivative(ctx, *gradients):
    """What stands for the backward of a backward."""
    raise RuntimeError(
        "a spike's surrogate gradient is a gradient by definition, not a function with one of its own: fastlif's "
        "neurons cannot be differentiated twice"
    )


def no_forward_mode(arguments) -> None:
    """Refuses forward-mode differentiation: an autograd function's own ``jvp`` would keep it from being compiled."""
    tensors = torch.utils._pytree.tree_leaves(arguments)
    if any(isinstance(tensor, torch.Tensor) and torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None
           for tensor in tensors):  # fmt: skip
        raise NotImplementedError(
            "fastlif's neurons have no forward-mode derivative: take the surrogate's gradient in reverse mode, with "
            "backward() or torch.autograd.grad"
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


def spike_of(*arguments):
    """:class:`_Spike` of these."""
    if torch.autograd.forward_ad._current_level >= 0:
        no_forward_mode(arguments)
    return _Spike.apply(*arguments)


class _SpikeGradient(torch.autograd.Function):
    """The gradient of h in :class:`_Spike`, which has none itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad, at, threshold, width, surrogate):
        return grad * derivative_of(surrogate)(at - threshold, width)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    backward = staticmethod(no_second_derivative)


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
    return spike_of(h, at, *_spike_arguments(options)).to(x.dtype)


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
            h = h - threshold * _gate(spike_of(v, None, *spike), options)
            s, v = spike_of(h, None, *spike), h
        else:
            s, v = fire(h, None, spike, options, threshold)
        spikes.append(s.to(x.dtype))
    return _stack(spikes), v


def noisy_lif(x, initial_state, statistics, seed, options):
    """The converted neuron, Eq. (6)-(9): ``[T, N, *]`` to (spikes, last membrane, mean, deviation).

    ``statistics`` is ``"layer"``, ``"sample"``, or a pair (mean, deviation) of T values each, in any shape. The mean
    of decay v_{t-1} and its largest distance from it come back as ``[T, G]``: G = 1, or N for ``"sample"``.
    """
    o = options
    v = _first_membrane(x, initial_state)
    spike = _spike_arguments(o)
    spikes, means, deviations = [], [], []
    for t, x_t in enumerate(x.unbind(0)):
        still, mean, deviation = with_membrane(x_t, v, t, statistics, o)
        h, at = noisy(still, x_t, seed, t, o)
        s, v = fire(h, at, spike, o, o.threshold)
        spikes.append(s.to(x.dtype))
        means.append(mean)
        deviations.append(deviation)
    return _stack(spikes), v, torch.stack(means), torch.stack(deviations)


def with_membrane(x_t, v, t, statistics, options):
    """x_t and the normalised membrane, Eq. (6) without its noise, and the mean and deviation that it has at step t."""
    if isinstance(statistics, str):
        mean, deviation = membrane_statistics(options.decay * v, statistics)
    else:
        mean, deviation = (value.view(-1)[t : t + 1] for value in statistics)
    a, b = normalisation(mean, deviation, options.decay, options.inv_alpha, options.beta)
    return widen(x_t) + _per_group(a, v) * v + _per_group(b, v), mean, deviation


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

    A constant membrane (M = 0), or one that holds NaN or infinity, has no normal form: a_t = 0, b_t = beta. Nor has one
    whose M is so small that 1 / (alpha M) is infinite.
    """
    one = torch.ones_like(deviation)  # as a number over a tensor would be rounded twice
    scale = one * inv_alpha / torch.where(deviation < math.inf, deviation, 0)
    usable = scale < math.inf
    scale = torch.where(usable, scale, 0)
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
    strides = steps[0].stride()
    order: list[int] = []  # outermost first, by insertion: sorted() cannot be traced for strides that change
    for dim, stride in enumerate(strides):
        order.insert(len([other for other in order if strides[other] >= stride]), dim)
    stacked = torch.stack([step.permute(order) for step in steps])
    return stacked.permute(0, *(1 + order.index(dim) for dim in range(len(order))))


def _per_group(value, v):
    """``[G]`` shaped to broadcast over ``[N, *]``."""
    return value.view(-1, *(1,) * (v.ndim - 1))


def fire(h, at, spike, options, threshold):
    """The spike, Eq. (2), and the membrane after it, Eq. (3). ``at`` and ``spike``: see :class:`_Spike`."""
    s = spike_of(h, at, *spike)
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
