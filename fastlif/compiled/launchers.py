"""The CPU path: functions that take what the kernels' launchers take, in the same words, and write the same outputs."""

from __future__ import annotations

import math

import torch

from fastlif.compiled import arithmetic, graphs
from fastlif.layout import unfolded
from fastlif.noise import LANES, SUB_BLOCK

MAX_UNROLL = 16  # time steps in one compiled graph
LARGE = 1 << 20  # elements from which on a scan with noise is cut into single steps
PART = 1 << 18  # elements with noise that one call computes, about: the memory that it takes meanwhile is reused
PART_OF_A_THREAD = 1 << 16  # at least, so that many threads have enough to do


def noisy_spike_forward(x, spikes, seed, norm, o):
    graphs.in_huge_pages(spikes)
    norm = _factors(norm)
    for start, sizes, part, output in _parts(_sizes(x[None], 1, norm), x, spikes):
        noise = _noise(part, 1, seed, o, start=start)
        graphs.run(arithmetic.spike, (), sizes, [output], part, noise=noise, scalars=_scalars(o, x.device), norm=norm)


def noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, o):
    graphs.in_huge_pages(grad_x)
    norm = _factors(norm)
    for start, sizes, part, grads, output in _parts(_sizes(x[None], 1, norm), x, grad_spikes, grad_x):
        noise = _noise(part, 1, seed, o, start=start)
        graphs.run(arithmetic.spike_backward, (o.surrogate,), sizes, [output], part, grad_spikes=grads, noise=noise,
                   scalars=_scalars(o, x.device), norm=norm)  # fmt: skip


def _parts(sizes, *tensors):
    """Dense tensors in parts: the first element of each, its sizes, and of every tensor ``[1, part]``.

    A graph writes its random numbers to memory, which is slow for many millions: those of a part are soon overwritten.
    A part begins with a channel, and with a block of the noise.
    """
    row = math.prod(sizes[1:])
    unit = math.lcm(row, SUB_BLOCK * LANES)
    length, end = max(_part() // unit, 1) * unit, sizes[0] * row
    for start in range(0, end, length):
        part = min(length, end - start)
        flat = (tensor.as_strided((1, part), (part, 1), tensor.storage_offset() + start) for tensor in tensors)
        yield start, (part // row, *sizes[1:]), *flat


def _part():
    return max(PART, torch.get_num_threads() * PART_OF_A_THREAD)


def lif_forward(x, T, spikes, initial_state, final_state, mean, deviation, seed, norm, parameters, o):
    graphs.in_huge_pages(spikes)
    norm = _factors(norm)
    sizes, rows, chunks = _sizes(x, T, norm, mean, parameters), _rows(T, spikes), _chunks(x, T, o)
    v, last = _ends(x, T, o, chunks, [initial_state], final_state)
    for chunk in chunks:
        after = last if chunk.stop == T else _membrane(x, T)
        inputs = _inputs(chunk, x, T, mean, deviation, seed, norm, parameters, o)
        graphs.run(arithmetic.scan, (_variant(o, parameters), True), sizes, [*rows[chunk], after], v=v, **inputs)
        v = after


def noisy_lif_forward(x, spikes, initial_state, state, mean, deviation, seed, o):
    graphs.in_huge_pages(spikes)
    T = x.shape[0]
    sizes = _sizes(x, T, None, mean)
    v = _membrane(x, T).zero_() if initial_state is None else initial_state
    noise = None
    steps = zip(_rows(T, x), _rows(T, spikes), mean.unbind(), deviation.unbind())
    for t, (x_t, spikes_t, *statistics) in enumerate(steps):
        after, noise = state if t == T - 1 else _membrane(x, T), _noise(x_t, 1, seed, o, t, before=noise)
        outputs, scalars = [spikes_t, after, *statistics], _scalars(o, x.device)
        graphs.run(arithmetic.scan_with_statistics, (_variant(o),), sizes, outputs, x=x_t, noise=noise, v=v,
                   scalars=scalars)  # fmt: skip
        v = after


def lif_backward(grad_spikes, grad_state, x, T, initial_state, grad_x, grad_initial_state, mean, deviation, seed, norm,
                 parameters, wanted, o):  # fmt: skip
    graphs.in_huge_pages(grad_x)
    norm, variant = _factors(norm), _variant(o, parameters)
    sizes, rows, chunks = _sizes(x, T, norm, mean, parameters), _rows(T, grad_x), _chunks(x, T, o)
    grad_rows = [grad_spikes] if len(chunks) == 1 else [_steps(grad_spikes, T)[chunk] for chunk in chunks]
    first, grad_v, last = _ends(x, T, o, chunks, [initial_state, grad_state], grad_initial_state)
    starts = [first]
    for chunk in chunks[:-1]:
        starts.append(_membrane(x, T))
        inputs = _inputs(chunk, x, T, mean, deviation, seed, norm, parameters, o)
        graphs.run(arithmetic.scan, (variant, False), sizes, starts[-1:], v=starts[-2], **inputs)
    static = variant, o.surrogate, o.surrogate_at, o.detach_reset, wanted
    totals = [0 if want else None for want in wanted]
    for chunk, v in zip(reversed(chunks), reversed(starts)):
        before = _membrane(x, T) if chunk.start else last
        inputs = _inputs(chunk, x, T, mean, deviation, seed, norm, parameters, o)
        shares = [_membrane(x, T) for want in wanted if want]
        graphs.run(arithmetic.reverse_scan, static, sizes, [*rows[chunk], *shares, before],
                   grad_spikes=grad_rows.pop(), v=v, grad_v=grad_v, **inputs)  # fmt: skip
        for i, want in enumerate(wanted):
            if want:
                totals[i] = totals[i] + _of_channels(shares.pop(0), sizes)
        grad_v = before
    return totals


def _of_channels(share, sizes):
    """The sum of each channel's elements; of all of them, where there are no channels."""
    outer, channels, *inner = sizes if len(sizes) > 1 else (1, 1, *sizes)
    return share.view(outer, channels, *inner or (1,)).sum((0, 2))


def _steps(x, T):
    """x ``[T, *]``, given as that or as ``[T*N, *]``."""
    return x if x.shape[0] == T else unfolded(x, T)


def _rows(T, tensor):
    """The steps of a tensor, ``[T, *]`` or ``[T*N, *]``."""
    if T == 1:
        return [tensor]
    return tensor.unsafe_split_with_sizes([tensor.shape[0] // T] * T)  # split takes twice the time


def _chunks(x, T, o):
    """Cuts T into chunks: a graph computes one each. In large work with noise a chunk is one step, or the two steps
    that share a draw, so that their noise is read again before it leaves the cache."""
    length = MAX_UNROLL if o.noise == "none" or x.numel() <= LARGE else 1 if o.over_time == "independent" else 2
    if T <= length:  # nearly always, so this is the quick way
        return [slice(0, T)]
    return [slice(start, min(start + length, T)) for start in range(0, T, length)]


def _inputs(chunk, x, T, mean, deviation, seed, norm, parameters, o):
    """What both scans read of some steps beside membranes."""
    steps = chunk.stop - chunk.start
    if steps < T:
        mean, deviation = (None if tensor is None else tensor.view(T, -1)[chunk] for tensor in (mean, deviation))
        x = _steps(x, T)[chunk]
    gain, decay, threshold, *_ = parameters or (None,) * 3
    return {"x": x, "steps": steps, "noise": _noise(x, steps, seed, o, chunk.start), "mean": mean,
            "deviation": deviation, "norm": norm, "gain": gain, "decay": decay, "threshold": threshold,
            "scalars": _scalars(o, x.device)}  # fmt: skip


def _noise(x, steps, seed, o, t=0, start=0, before=None):
    """The noise of x, so many ``steps`` from step t, and from neuron ``start``; None if there is none.

    ``before``: the noise of step t - 1. If noise is antithetic and t is odd, that of step t is its mirror image.
    """
    if o.noise == "none":
        return None
    noise = torch.empty((steps, x.numel() // steps), dtype=torch.float32, device=x.device)
    antithetic = o.over_time == "antithetic"
    for i, row in enumerate(_rows(steps, noise), t):
        if antithetic and i % 2:
            torch.sub(graphs.constant(2 * o.noise_scalars[0], torch.float32, x.device), before, out=row)
        else:
            step = graphs.constant(i // 2 if antithetic else i, torch.int32, x.device)
            for first, part in _cut(row):
                graphs.run(arithmetic.draw, (o.noise,), part.shape[1:], [part], x=part, seed=seed, t=step,
                           first=_counter(start + first, x.device), scalars=_scalars(o, x.device))  # fmt: skip
        before = row
    return noise


def _cut(row):
    """Parts of ``row`` ``[1, neurons]``, each with the number of its first element."""
    if row.numel() <= PART:  # nearly always, so this is the quick way
        return ((0, row),)
    length = _part()
    return [(i * length, part) for i, part in enumerate(row.split(length, dim=1))]


def _factors(norm):
    """Mean, scale and bias ``[3, C]`` of batch normalisation; None without it."""
    if norm is None:
        return None
    weight, bias, mean, invstd = norm
    return torch.stack((mean, weight.float() * invstd, bias.float()))


def _ends(x, T, o, chunks, given, wanted):
    """The membranes that a scan reads before its first step, and the one that it writes after its last.

    Where one is None, the graph has no such membrane. That is quicker, but each graph takes seconds to compile. Large
    work without noise gains enough for a graph of each case. Other work has two: without membranes, where one chunk
    is all, and with all of them. There zeros stand for those that are not given, and memory that nobody reads for one
    that is not wanted.
    """
    nothing = wanted is None and all([membrane is None for membrane in given])
    if nothing and len(chunks) == 1 or o.noise == "none" and x.numel() > graphs.SERIAL:
        return *given, wanted
    given = [_membrane(x, T).zero_() if membrane is None else membrane for membrane in given]
    return *given, _membrane(x, T) if wanted is None else wanted


def _membrane(x, T):
    return torch.empty(x.numel() // T, dtype=torch.float32, device=x.device)


def _sizes(x, T, norm, mean=None, parameters=None):
    """The variable sizes of a graph over T steps of x, as they lie in memory: see arithmetic.py. With ``norm`` x is
    ``[T, N, *]``."""
    neurons = x.numel() // T
    if parameters is not None and parameters.channels > 1:
        channels, inner = parameters.channels, parameters.stride
        return neurons // (channels * inner), channels, *((inner,) if inner > 1 else ())
    if norm is not None:
        channels = norm.shape[1]
        inner = x.stride(2) if channels > 1 else neurons
        return neurons // (channels * inner), channels, *((inner,) if inner > 1 else ())
    groups = 1 if mean is None else mean.numel() // T
    return (neurons,) if groups == 1 else (groups, neurons // groups)


def bytes_of(numel):
    """How many bytes hold ``numel`` spikes, a multiple of 8."""
    return numel // 8


def pack_bits(spikes, bits):
    """Of spikes ``[1, numel]`` to ``bits`` ``[1, numel / 8]``: bit j of byte i is the element j * numel / 8 + i."""
    graphs.run(arithmetic.pack_bits, (), (bits.numel(),), [bits[0]], spikes.view(8, -1), steps=8)


def unpack_bits(bits, spikes):
    graphs.in_huge_pages(spikes)
    graphs.run(arithmetic.unpack_bits, (), (bits.numel(),), [*spikes.view(8, -1)], x=bits)


def _counter(start, device):
    """The counter that the noise of element ``start`` has: its low and its high word, ``[2]`` int32."""
    counter = start // LANES
    words = tuple([word - (1 << 32) if word >= 1 << 31 else word for word in (counter & 0xFFFFFFFF, counter >> 32)])
    return graphs.constant(words, torch.int32, device)


def _scalars(o, device):
    """threshold, reset, the surrogate's width, decay, 1 / alpha, beta, gain, and the noise's; kept with the record."""
    scalars = o.kept.get(device)
    if scalars is None:
        numbers = o.threshold, o.reset or 0.0, o.surrogate_width, o.decay, o.inv_alpha, o.beta, o.gain
        scalars = o.kept[device] = graphs.tensor((*numbers, *o.noise_scalars), torch.float32, device)
    return scalars


def _variant(o, parameters=None):
    scaled = o.gain != 1 or (parameters is not None and parameters.gain is not None)
    return arithmetic.Variant(o.reset is None, o.inclusive, o.reset_delay, scaled)
