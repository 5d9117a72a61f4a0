"""The CPU path: the reference, compiled, and its backward as an explicit reverse scan.

The functions here take what the kernels' launchers take, in the same words, and write the same outputs.

What they compute is compiled by graphs.py, once for each kind of call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from fastlif import graphs, reference

MAX_UNROLL = 16  # time steps in one compiled graph
PART = 1 << 20  # elements of the single step that one call computes, about
BLOCK = 1 << 16  # membranes that one thread adds up, so that their mean does not depend on the number of threads
NOISE = 7  # where the noise's begin among the scalars


# --- What is compiled: the outputs, from tensors of these shapes --------------------------------------------------
#
# x, noise, grad_spikes: [T, *sizes]    v, grad_v: [*sizes]    mean, deviation: [T], or [T, groups]
#
# sizes is (neurons,); (groups, features) for the statistics of several groups; (outer, channels, inner), or
# (outer, channels), where x is normalised by channel, or where gain, decay or threshold has a value for each channel.
# scalars are those of _scalars. variant is a _Variant.


def _draw(kind, x, first, t, seed, scalars):
    """The noise of step t for x ``[1, neurons]``, of which only the size counts; ``first``: its first counter."""
    return [reference.noise_like(x[0], seed, t, kind, scalars.unbind()[NOISE:], first)]


def _spike(x, noise, scalars, norm):
    return [_input(0, x, noise, norm) > scalars[0]]


def _spike_backward(surrogate, x, grad_spikes, noise, scalars, norm):
    u = _input(0, x, noise, norm) - scalars[0]
    return [grad_spikes[0] * reference.SURROGATES[surrogate](u, scalars[2])]


def _scan(variant, firing, x, noise, v, mean, deviation, scalars, norm, gain, decay, threshold):
    """The spikes of each step, if ``firing``, and the last membrane."""
    steps = list(_steps(variant, x, noise, v, mean, deviation, scalars, norm, gain, decay, threshold))
    return [*(spiking for _, _, spiking, _ in steps if firing), steps[-1][3]]


def _scan_with_statistics(variant, x, noise, v, scalars):
    """A single step, of which mean and deviation are taken first: spikes, membrane, mean, deviation."""
    size, decay = v.shape[-1], scalars[3]
    if v.ndim > 1:
        total = v.sum(dim=-1)
    else:
        whole = size // BLOCK * BLOCK
        total = v[:whole].view(size // BLOCK, BLOCK).sum(dim=1).sum() + v[whole:].sum()
    # decay >= 0 keeps the order, so v itself is reduced
    reduced = decay * (total / size), decay * v.amin(dim=-1), decay * v.amax(dim=-1)
    mean, deviation = reference.finish_statistics(*reduced)
    ((_, _, *outputs),) = _steps(variant, x, noise, v, mean[None], deviation[None], scalars)
    return [*outputs, mean, deviation]


def _reverse_scan(variant, surrogate, at, detach_reset, wanted, x, grad_spikes, noise, v, grad_v, mean, deviation,
                  scalars, norm, gain, decay, threshold):  # fmt: skip
    """Back in time: the gradients of x at each step; of those of gain, decay and threshold that are wanted, each
    neuron's share; and of ``v``. The membranes are computed again from ``v``."""
    _, reset, width, *_ = scalars.unbind()
    grad_v = _zeros(x) if grad_v is None else grad_v
    v = _zeros(x) if v is None else v
    steps = list(_steps(variant, x, noise, v, mean, deviation, scalars, norm, gain, decay, threshold))
    gain, decay, threshold = _numbers(scalars, gain, decay, threshold)
    grads, shares = [], [0, 0, 0]

    def derivative(membrane):
        return reference.SURROGATES[surrogate](membrane - threshold, width)

    for i, (still, h, spiking, _) in reversed(list(enumerate(steps))):
        before = steps[i - 1][3] if i else v
        grad = grad_spikes[i]
        if not variant.reset_delay and not detach_reset:
            grad = grad + (-threshold if variant.soft_reset else reset - h) * grad_v
        grad = grad * derivative(h if at == "membrane" else still + scalars[NOISE])
        spikes = spiking.to(h.dtype)
        if variant.reset_delay:
            grad_h = grad + grad_v
            taken = _spiking(variant, before, threshold).to(h.dtype)
            moved = 0 if detach_reset else threshold * derivative(before)
            grad_v = (decay - moved) * grad_h
            of_threshold = grad + (taken - moved) * grad_h
        else:
            grad_h = grad + (grad_v if variant.soft_reset else grad_v * (1 - spikes))
            of_threshold = grad + (spikes * grad_v if variant.soft_reset else 0)
            grad_v = _coefficients(i, mean, deviation, scalars, decay)[0] * grad_h
        if any(wanted):
            of_step = grad_h * reference.widen(x[i]), grad_h * before, -of_threshold
            shares = [share + of_this for share, of_this in zip(shares, of_step)]
        grads.append(grad_h * gain if variant.scaled else grad_h)
    return [*reversed(grads), *(share for share, want in zip(shares, wanted) if want), grad_v]


def _steps(variant, x, noise, v, mean, deviation, scalars, norm=None, gain=None, decay=None, threshold=None):
    """Yields (membrane without noise, membrane before the spike, spike, membrane after it) of each step."""
    gain, decay, threshold = _numbers(scalars, gain, decay, threshold)
    reset = scalars[1]
    v = _zeros(x) if v is None else v
    for i in range(x.shape[0]):
        a, b = _coefficients(i, mean, deviation, scalars, decay)
        still = _input(i, x, None, norm, a * v + b, gain if variant.scaled else None)
        if variant.reset_delay:
            still = still - torch.where(_spiking(variant, v, threshold), threshold, 0)
        h = still if noise is None else still + noise[i]
        spiking = _spiking(variant, h, threshold)
        if variant.reset_delay:
            v = h
        else:
            v = torch.where(spiking, h - threshold if variant.soft_reset else reset, h)
        yield still, h, spiking, v


class _Variant(NamedTuple):
    """What the options choose of a step's arithmetic."""

    soft_reset: bool
    inclusive: bool
    reset_delay: bool
    scaled: bool  # there is a gain


def _variant(o, parameters=None):
    scaled = o.gain != 1 or (parameters is not None and parameters.gain is not None)
    return _Variant(o.reset is None, o.inclusive, o.reset_delay, scaled)


def _spiking(variant, membrane, threshold):
    return membrane >= threshold if variant.inclusive else membrane > threshold


def _numbers(scalars, gain, decay, threshold):
    """These, or the numbers in place of those that are no tensors."""
    gain, decay = scalars[6] if gain is None else gain, scalars[3] if decay is None else decay
    return gain, decay, scalars[0] if threshold is None else threshold


def _zeros(x):
    return torch.zeros_like(reference.widen(x[0]))


def _coefficients(i, mean, deviation, scalars, decay):
    """a and b of step i, to be broadcast over a membrane."""
    if mean is None:
        return decay, 0
    a, b = reference.normalisation(mean[i], deviation[i], decay, scalars[4], scalars[5])
    return a.unsqueeze(-1), b.unsqueeze(-1)


def _input(i, x, noise, norm, membrane=None, gain=None):
    """The membrane of step i before its spike: x, normalised, what is left of the last membrane, and noise."""
    h = reference.widen(x[i])
    if norm is not None:
        h = (h - norm[0]) * norm[1] + norm[2]
    if gain is not None:
        h = gain * h
    if membrane is not None:
        h = h + membrane
    return h if noise is None else h + noise[i]


def _pack_bits(x):
    return [reference.pack_bits(x)]


def _unpack_bits(x):
    return reference.unpack_bits(x[0])


# --- The launchers' counterparts ----------------------------------------------------------------------------------


def noisy_spike_forward(x, spikes, seed, norm, o):
    graphs.in_huge_pages(spikes)
    norm = _factors(norm)
    for start, sizes, part, output in _parts(_sizes(x[None], norm), x, spikes):
        noise = _noise(part, seed, o, start=start)
        graphs.run(_spike, (), sizes, [output], part, noise=noise, scalars=_scalars(o, x.device), norm=norm)


def noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, o):
    graphs.in_huge_pages(grad_x)
    norm = _factors(norm)
    for start, sizes, part, grads, output in _parts(_sizes(x[None], norm), x, grad_spikes, grad_x):
        noise = _noise(part, seed, o, start=start)
        graphs.run(_spike_backward, (o.surrogate,), sizes, [output], part, grad_spikes=grads, noise=noise,
                   scalars=_scalars(o, x.device), norm=norm)  # fmt: skip


def _parts(sizes, *tensors):
    """Dense tensors in parts: the first element of each, its sizes, and of every tensor ``[1, part]``.

    A graph writes its random numbers to memory, which is slow for many millions: those of a part are soon overwritten.
    A part begins with a channel, and with a block of the noise.
    """
    row = math.prod(sizes[1:])
    unit = math.lcm(row, reference.SUB_BLOCK * reference.LANES)
    length, end = max(PART // unit, 1) * unit, sizes[0] * row
    for start in range(0, end, length):
        part = min(length, end - start)
        flat = (tensor.as_strided((1, part), (part, 1), tensor.storage_offset() + start) for tensor in tensors)
        yield start, (part // row, *sizes[1:]), *flat


def lif_forward(x, spikes, initial_state, final_state, mean, deviation, seed, norm, parameters, o):
    graphs.in_huge_pages(spikes)
    norm = _factors(norm)
    sizes, rows = _sizes(x, norm, mean, parameters), spikes.unbind()
    v = _first_membrane(x, initial_state, o)
    for chunk in _chunks(x, o):
        after = _last_membrane(x, final_state, o) if chunk.stop == len(rows) else _membrane(x)
        inputs = _inputs(chunk, x, mean, deviation, seed, norm, parameters, o)
        graphs.run(_scan, (_variant(o, parameters), True), sizes, [*rows[chunk], after], v=v, **inputs)
        v = after


def noisy_lif_forward(x, spikes, initial_state, state, mean, deviation, seed, o):
    graphs.in_huge_pages(spikes)
    sizes, T = _sizes(x, None, mean), x.shape[0]
    v, noise = _membrane(x).zero_() if initial_state is None else initial_state, None
    steps = zip(x.split(1), spikes.unbind(), mean.unbind(), deviation.unbind())
    for t, (x_t, spikes_t, *statistics) in enumerate(steps):
        after, noise = state if t == T - 1 else _membrane(x), _noise(x_t, seed, o, t, before=noise)
        outputs, scalars = [spikes_t, after, *statistics], _scalars(o, x.device)
        graphs.run(_scan_with_statistics, (_variant(o),), sizes, outputs, x=x_t, noise=noise, v=v, scalars=scalars)
        v = after


def lif_backward(grad_spikes, grad_state, x, initial_state, grad_x, grad_initial_state, mean, deviation, seed, norm,
                 parameters, wanted, o):  # fmt: skip
    graphs.in_huge_pages(grad_x)
    norm, variant = _factors(norm), _variant(o, parameters)
    sizes, rows, chunks = _sizes(x, norm, mean, parameters), grad_x.unbind(), _chunks(x, o)
    starts = [_first_membrane(x, initial_state, o)]
    for chunk in chunks[:-1]:
        starts.append(_membrane(x))
        inputs = _inputs(chunk, x, mean, deviation, seed, norm, parameters, o)
        graphs.run(_scan, (variant, False), sizes, starts[-1:], v=starts[-2], **inputs)
    static = variant, o.surrogate, o.surrogate_at, o.detach_reset, wanted
    grad_v = _first_membrane(x, grad_state, o)
    totals = [0 if want else None for want in wanted]
    for chunk, v in zip(reversed(chunks), reversed(starts)):
        before = _membrane(x) if chunk.start else _last_membrane(x, grad_initial_state, o)
        inputs = _inputs(chunk, x, mean, deviation, seed, norm, parameters, o)
        shares = [_membrane(x) for want in wanted if want]
        graphs.run(_reverse_scan, static, sizes, [*rows[chunk], *shares, before], grad_spikes=grad_spikes[chunk], v=v,
                   grad_v=grad_v, **inputs)  # fmt: skip
        for i, want in enumerate(wanted):
            if want:
                totals[i] = totals[i] + _of_channels(shares.pop(0), sizes)
        grad_v = before
    return totals


def _of_channels(share, sizes):
    """The sum of each channel's elements; of all of them, where there are no channels."""
    outer, channels, *inner = sizes if len(sizes) > 1 else (1, 1, *sizes)
    return share.view(outer, channels, *inner or (1,)).sum((0, 2))


def _chunks(x, o):
    """The steps that one graph computes each. In large work with noise that is one step, or the two that share a draw:
    their noise is read again before it leaves the cache."""
    T = x.shape[0]
    length = MAX_UNROLL if o.noise == "none" or x.numel() <= PART else 1 if o.over_time == "independent" else 2
    return [slice(start, min(start + length, T)) for start in range(0, T, length)]


def _inputs(chunk, x, mean, deviation, seed, norm, parameters, o):
    """What both scans read of some steps beside membranes."""
    if chunk.stop - chunk.start < x.shape[0]:
        x, mean, deviation = (None if tensor is None else tensor[chunk] for tensor in (x, mean, deviation))
    inputs = {"x": x, "noise": _noise(x, seed, o, chunk.start), "mean": mean, "deviation": deviation, "norm": norm}
    for name in ("gain", "decay", "threshold"):
        inputs[name] = None if parameters is None else getattr(parameters, name)
    return {**inputs, "scalars": _scalars(o, x.device)}


def _noise(x, seed, o, t=0, start=0, before=None):
    """The noise of the steps x ``[T, *]``, from step t and from neuron ``start``; None if there is none.

    ``before``: that of step t - 1, whose mirror image it begins with if t is odd and noise antithetic.
    """
    if o.noise == "none":
        return None
    noise = torch.empty((x.shape[0], x.numel() // x.shape[0]), dtype=torch.float32, device=x.device)
    antithetic = o.over_time == "antithetic"
    for i, row in enumerate(noise.split(1), t):
        if antithetic and i % 2:
            torch.sub(graphs.constant(2 * o.noise_scalars[0], torch.float32, x.device), before, out=row)
        else:
            graphs.run(_draw, (o.noise,), row.shape[1:], [row], x=row, first=_counter(start, x.device), seed=seed,
                       t=graphs.constant(i // 2 if antithetic else i, torch.int32, x.device),
                       scalars=_scalars(o, x.device))  # fmt: skip
        before = row
    return noise


def _factors(norm):
    """Mean, scale and bias ``[3, C]`` of batch normalisation; None without it."""
    if norm is None:
        return None
    weight, bias, mean, invstd = norm
    return torch.stack((mean, weight.float() * invstd, bias.float()))


def _first_membrane(x, given, o):
    """The membrane before the first step, or what is read for it. None in large work without noise: there it is worth
    a graph of its own that reads no zeros."""
    if given is not None or o.noise == "none" and x.numel() > graphs.SERIAL:
        return given
    return _membrane(x).zero_()


def _last_membrane(x, wanted, o):
    """Where the membrane after the last step goes, if it is not wanted. None: see :func:`_first_membrane`."""
    if wanted is not None or o.noise == "none" and x.numel() > graphs.SERIAL:
        return wanted
    return _membrane(x)


def _membrane(x):
    return torch.empty(x.numel() // x.shape[0], dtype=torch.float32, device=x.device)


def _sizes(x, norm, mean=None, parameters=None):
    """The variable sizes of a graph over x ``[T, N, *]``, as they lie in memory: see above."""
    neurons = x.numel() // x.shape[0]
    if parameters is not None and parameters.count > 1:
        channels, inner = parameters.count, parameters.stride
        return neurons // (channels * inner), channels, *((inner,) if inner > 1 else ())
    if norm is not None:
        channels = norm.shape[1]
        inner = x.stride(2) if channels > 1 else neurons
        return neurons // (channels * inner), channels, *((inner,) if inner > 1 else ())
    if mean is None or mean.shape[1] == 1:
        return (neurons,)
    return mean.shape[1], neurons // mean.shape[1]


def bytes_of(numel):
    """How many bytes hold ``numel`` spikes, a multiple of 8."""
    return numel // 8


def pack_bits(spikes, bits):
    """Of spikes ``[1, numel]`` to ``bits`` ``[1, numel / 8]``: bit j of byte i is the element j * numel / 8 + i."""
    graphs.run(_pack_bits, (), (bits.numel(),), [bits[0]], x=spikes.view(8, -1))


def unpack_bits(bits, spikes):
    graphs.in_huge_pages(spikes)
    graphs.run(_unpack_bits, (), (bits.numel(),), [*spikes.view(8, -1)], x=bits)


def _counter(start, device):
    """The counter that the noise of element ``start`` has: its low and its high word, ``[2]`` int32."""
    counter = start // reference.LANES
    words = tuple([word - (1 << 32) if word >= 1 << 31 else word for word in (counter & 0xFFFFFFFF, counter >> 32)])
    return graphs.constant(words, torch.int32, device)


def _scalars(o, device):
    """threshold, reset, the surrogate's width, decay, 1 / alpha, beta, gain, and the noise's; kept with the record."""
    scalars = o.kept.get(device)
    if scalars is None:
        numbers = o.threshold, o.reset or 0.0, o.surrogate_width, o.decay, o.inv_alpha, o.beta, o.gain
        scalars = o.kept[device] = graphs.tensor((*numbers, *o.noise_scalars), torch.float32, device)
    return scalars
