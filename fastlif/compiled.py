"""The CPU path: the reference through ``torch.compile``, and its backward as an explicit reverse scan.

The functions here take what the kernels' launchers take, in the same words, and write the same outputs.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys

import torch
from torch.utils.dlpack import from_dlpack, to_dlpack

from fastlif import reference
from fastlif.layout import flat_steps

MAX_UNROLL = 16  # time steps in one compiled graph; with noise, one: the graph of a step is large already

# Elements of x up to which one thread computes a graph. A second one would save about 0.1 ms, by an estimate. Where
# other processes keep its core busy it costs 20 to 100 ms: each loop ends when all threads have had their turn.
SERIAL = 1 << 17

PART = 1 << 20  # elements of the single step that one call computes, a multiple of 2,048
HUGE_PAGE = 1 << 21  # bytes
MAPPED = 1 << 25  # bytes from which on glibc maps memory anew each time; what is smaller it gives again
MADV_HUGEPAGE = 14  # Linux's number


@functools.cache
def _compile(function, serial, *static):
    """``function`` compiled for the given static arguments, sizes left dynamic, for one thread or for all.

    PyTorch counts recompilations per code object and gives up after a few. Every combination of static arguments
    gets a code object of its own, so that using many of them is no reason to give up.
    """

    def graph(*tensors):
        return function(*static, *tensors)

    name = function.__name__.strip("_") + "_" + re.sub(r"\W+", "_", str(static))
    graph.__code__ = graph.__code__.replace(co_name=name)
    options = {"guard_filter_fn": _guards_of_arguments}
    if serial:
        options["cpp.threads"] = 1
    else:
        # Every loop is shared out to as many threads as there are when it runs, whatever the first input's size and
        # the number of threads then: later ones get the same graph.
        options |= {"cpp.dynamic_threads": True, "cpp.threads": os.cpu_count(), "cpp.min_chunk_size": 1}
    if function is _reverse_scan and static[-1]:
        # Of normalised input, the compiler would put the membranes of all steps, read a few times, aside in memory.
        options["realize_reads_threshold"] = 100
    return torch.compile(graph, fullgraph=True, dynamic=True, options=options)


def _guards_of_arguments(guards):
    """What is checked before a graph is used: its tensors and their sizes.

    Not the state that PyTorch keeps for the process, such as the number of threads or the default dtype: a graph does
    not depend on it, but would be compiled for each, and PyTorch gives up after eight.
    """
    return ["tensors" in guard.name or guard.guard_type == "SHAPE_ENV" for guard in guards]


def _run(function, static, x, *tensors):
    """Calls the graph of ``function`` for x's dtype and kind of layout, whatever mode the caller is in.

    A slice of a larger tensor would be compiled for, base, offset and all; through DLPack it is a tensor by itself.
    """
    kind = (x.dtype, *(size == 1 for size in x.shape), x.stride(0) == 0)
    # A compiled model calls operators with views untracked, and graphs are compiled for that: so it is always.
    untracked = torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.ADInplaceOrView))
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(x.device.type, enabled=False), untracked:
        return _compile(function, x.numel() <= SERIAL, kind, *static)(*map(_by_itself, (x, *tensors)))


def _by_itself(tensor):
    """The same memory under a new tensor, through a capsule of DLPack: three times as fast as torch.from_dlpack."""
    return None if tensor is None else from_dlpack(to_dlpack(tensor.detach()))


def _in_huge_pages(output):
    """Asks Linux to put a large new output into pages of 2 MB: to be given it in pages of 4 KB takes several times as
    long as to compute it. Where that cannot be, nothing happens."""
    if output.nbytes < MAPPED:
        return
    first = -(-output.data_ptr() // HUGE_PAGE) * HUGE_PAGE
    size = (output.data_ptr() + output.nbytes) // HUGE_PAGE * HUGE_PAGE - first
    if output.device.type == "cpu" and (madvise := _madvise()):
        madvise(first, size, MADV_HUGEPAGE)


@functools.cache
def _madvise():
    if not sys.platform.startswith("linux"):
        return None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return madvise


def _scalars(*values) -> torch.Tensor:
    """Numbers as one float32 tensor: as Python floats each new value would compile anew."""
    return torch.tensor([0.0 if value is None else value for value in values], dtype=torch.float32, device="cpu")


# --- The graphs that are compiled. x is [T, groups, features], or [features] for the single step; normalised in one,
# [T, 1, outer, channels, inner]. Their kind is only there to tell them apart -----------------------------


def _noisy_spike(kind, noise, x, spikes, first, seed, scalars):
    spikes.copy_(_single_step_membrane(noise, x, first, seed, scalars[1:]) > scalars[0])


def _noisy_spike_backward(kind, noise, surrogate, x, grad_spikes, grad_x, first, seed, scalars):
    threshold, width = scalars[0], scalars[1]
    h = _single_step_membrane(noise, x, first, seed, scalars[2:])
    grad_x.copy_(grad_spikes * reference.SURROGATES[surrogate](h - threshold, width))


def _single_step_membrane(noise, x, first, seed, noise_scalars):
    h = reference.widen(x)
    if noise == "none":
        return h
    return h + reference.noise_like(x, seed, 0, noise, noise_scalars.unbind(), first)


def _membrane(noise, x, v, a, b, t, seed, noise_scalars, norm):
    a, b = (factor.view(-1, *(1,) * (v.ndim - 1)) for factor in (a, b))
    h = reference.widen(x)
    if norm is not None:
        h = torch.addcmul(norm[2], h - norm[0], norm[1])
    h = h + a * v + b
    if noise == "none":
        return h
    return h + reference.noise_like(x, seed, t, noise, noise_scalars.unbind())


def _fire(soft_reset, h, threshold, reset):
    spiking = h > threshold
    return spiking, torch.where(spiking, h - threshold if soft_reset else reset, h)


# What a scan writes comes as one tensor per step: a slice of a larger one would be put together in memory first, and
# then copied.


def _scan(kind, T, noise, soft_reset, write, x, v, a, b, t, seed, scalars, norm, *spikes):
    """Chunk [T, groups, features] of the recurrence from step t. Returns the last membrane."""
    for i in range(T):
        h = _membrane(noise, x[i], v, a[i], b[i], t + i, seed, scalars[2:], norm)
        spiking, v = _fire(soft_reset, h, scalars[0], scalars[1])
        if write:
            spikes[i].copy_(spiking)
    return v


def _reverse_scan(kind, T, noise, soft_reset, surrogate, detach_reset, normalised, x, grad_spikes, grad_v, v, a, b, t,
                  seed, scalars, norm, *grad_x):
    """A chunk back in time, its membranes computed again from ``v``. Returns the gradient of ``v``."""
    threshold, reset, width = scalars[:3].unbind()
    membranes = []
    for i in range(T):
        membranes.append(_membrane(noise, x[i], v, a[i], b[i], t + i, seed, scalars[3:], norm))
        _, v = _fire(soft_reset, membranes[-1], threshold, reset)
    for i in reversed(range(T)):
        h = membranes[i]
        derivative = reference.SURROGATES[surrogate](h - threshold, width)
        if soft_reset:
            kept = 1 - (0 if detach_reset else threshold * derivative)
        else:
            kept = 1 - (h > threshold).to(h.dtype) + (0 if detach_reset else (reset - h) * derivative)
        grad_h = grad_spikes[i] * derivative + grad_v * kept
        grad_x[i].copy_(grad_h)
        grad_v = a[i].view(-1, *(1,) * (v.ndim - 1)) * grad_h
    return grad_v


def _pack_bits(kind, spikes, bits):
    bits.copy_(reference.pack_bits(spikes))


def _unpack_bits(kind, dtype, bits, *spikes):
    for row, unpacked in zip(spikes, reference.unpack_bits(bits)):
        row.copy_(unpacked)


# --- The launchers' counterparts ----------------------------------------------------------------------------------


def noisy_spike_forward(x, spikes, seed, norm, o):
    _in_huge_pages(spikes)
    batch_norm, (x, spikes) = _batch_norm(norm, x, 1), map(_flat, (x, spikes))
    x = _normalised(x, batch_norm, spikes)
    scalars = _scalars(o.threshold, *o.noise_scalars)
    for first, *parts in _parts(x, spikes):
        _run(_noisy_spike, (o.noise,), *parts, first, seed, scalars)


def noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, o):
    _in_huge_pages(grad_x)
    batch_norm, (x, grad_spikes, grad_x) = _batch_norm(norm, x, 1), map(_flat, (x, grad_spikes, grad_x))
    x = _normalised(x, batch_norm, grad_x)
    scalars = _scalars(o.threshold, o.surrogate_width, *o.noise_scalars)
    for first, *parts in _parts(x, grad_spikes, grad_x):
        _run(_noisy_spike_backward, (o.noise, o.surrogate), *parts, first, seed, scalars)


def _flat(x):
    """A dense ``[N, *]`` as it lies in memory."""
    return flat_steps(x[None], 1).reshape(-1)


def _batch_norm(norm, x, dim):
    """Mean, scale and bias ``[3, C]`` and how far the channels of x, its dimension ``dim``, lie apart; None without
    normalisation."""
    if norm is None:
        return None
    weight, bias, mean, invstd = norm
    norm = torch.stack((mean, weight.float() * invstd, bias.float()))
    return norm, x.stride(dim) if norm.shape[1] > 1 else 1


def _parts(*flat):
    """Flat tensors cut into parts: the counter of a part's first element, ``[2]`` int32 or None for 0, and the parts.

    A graph writes its random numbers to memory, which is slow for many millions: those of a part are soon overwritten.
    """
    for start in range(0, len(flat[0]), PART):
        counter = start // reference.LANES
        words = torch.tensor((counter & 0xFFFFFFFF, counter >> 32), device="cpu").int() if start else None
        yield words, *(tensor[start : start + PART] for tensor in flat)


def lif_forward(x, spikes, initial_state, final_state, mean, deviation, seed, norm, o):
    _in_huge_pages(spikes)
    batch_norm, groups = _batch_norm(norm, x, 2), 1 if mean is None else mean.shape[1]
    x, spikes = flat_steps(x, groups), flat_steps(spikes, groups)
    if o.noise == "none":
        (x, spikes), norm = _by_channel(batch_norm, x, spikes)
    else:
        x, norm = _normalised(x, batch_norm), None
    a, b = _coefficients(x, mean, deviation, o)
    scalars = _scalars(o.threshold, o.reset, *o.noise_scalars)
    v = _first_membrane(x, initial_state)
    for chunk, t in _chunks(x, o.noise):
        static = (x[chunk].shape[0], o.noise, o.reset is None, True)
        v = _run(_scan, static, x[chunk], v, a[chunk], b[chunk], t, seed, scalars, norm, *spikes[chunk])
    if final_state is not None:
        _flat(final_state).copy_(v.flatten())


def noisy_lif_forward(x, spikes, initial_state, state, mean, deviation, seed, o):
    _in_huge_pages(spikes)
    groups = mean.shape[1]
    x, spikes = flat_steps(x, groups), flat_steps(spikes, groups)
    scalars = _scalars(o.threshold, o.reset, *o.noise_scalars)
    v = _first_membrane(x, initial_state)
    for i in range(x.shape[0]):
        now = slice(i, i + 1)
        # decay >= 0 keeps the order, so v itself is reduced; compiled, a reduction would compile anew for larger sizes
        reduced = o.decay * v.mean(dim=1), o.decay * v.amin(dim=1), o.decay * v.amax(dim=1)
        mean[i], deviation[i] = reference.finish_statistics(*reduced)
        a, b = reference.normalisation(mean[i], deviation[i], o.decay, o.inv_alpha, o.beta)
        t = torch.tensor(i, dtype=torch.int32, device="cpu")
        static = (1, o.noise, o.reset is None, True)
        v = _run(_scan, static, x[now], v, a[None], b[None], t, seed, scalars, None, spikes[i])
    _flat(state).copy_(v.flatten())


def lif_backward(grad_spikes, grad_state, x, initial_state, grad_x, grad_initial_state, mean, deviation, seed, norm, o):
    _in_huge_pages(grad_x)
    batch_norm, groups = _batch_norm(norm, x, 2), 1 if mean is None else mean.shape[1]
    x, grad_spikes, grad_x = (flat_steps(steps, groups) for steps in (x, grad_spikes, grad_x))
    if o.noise == "none":
        (x, grad_spikes, grad_x), norm = _by_channel(batch_norm, x, grad_spikes, grad_x)
    else:
        x, norm = _normalised(x, batch_norm), None
    a, b = _coefficients(x, mean, deviation, o)
    chunks = _chunks(x, o.noise)
    starts = [_first_membrane(x, initial_state)]
    for chunk, t in chunks[:-1]:
        static = (x[chunk].shape[0], o.noise, o.reset is None, False)
        scalars = _scalars(o.threshold, o.reset, *o.noise_scalars)
        starts.append(_run(_scan, static, x[chunk], starts[-1], a[chunk], b[chunk], t, seed, scalars, norm))
    scalars = _scalars(o.threshold, o.reset, o.surrogate_width, *o.noise_scalars)
    grad_v = torch.zeros_like(starts[0]) if grad_state is None else _flat(grad_state).view(x.shape[1:])
    for (chunk, t), v in zip(reversed(chunks), reversed(starts)):
        static = (x[chunk].shape[0], o.noise, o.reset is None, o.surrogate, o.detach_reset, norm is not None)
        grad_v = _run(_reverse_scan, static, x[chunk], grad_spikes[chunk], grad_v, v, a[chunk], b[chunk], t, seed,
                      scalars, norm, *grad_x[chunk])
    if grad_initial_state is not None:
        _flat(grad_initial_state).copy_(grad_v.flatten())


def _chunks(x, noise):
    length = MAX_UNROLL if noise == "none" else 1
    starts = range(0, x.shape[0], length)
    return [(slice(t, t + length), torch.tensor(t, dtype=torch.int32, device="cpu")) for t in starts]


def _coefficients(x, mean, deviation, o):
    """a_t and b_t as ``[T, groups]`` tensors."""
    if mean is None:
        a = torch.full((x.shape[0], 1), o.decay, dtype=torch.float32, device=x.device)
        return a, torch.zeros_like(a)
    return reference.normalisation(mean, deviation, o.decay, o.inv_alpha, o.beta)


def pack_bits(spikes, bits):
    _run(_pack_bits, (), spikes, bits)


def unpack_bits(bits, spikes):
    _in_huge_pages(spikes)
    _run(_unpack_bits, (spikes.dtype,), bits, *spikes)


def _normalised(x, batch_norm, into=None):
    """x ``[..., features]`` normalised by channel, in float32, for graphs with noise: those know no channels.

    In the memory of ``into`` if that is float32: the output of a graph that reads each element before it writes it.
    """
    if batch_norm is None:
        return x
    (x, into), (mean, scale, bias) = _by_channel(batch_norm, x, into)
    if into is not None and into.dtype != torch.float32:
        into = None
    centred = torch.sub(x, mean, out=into)
    return torch.addcmul(bias, centred, scale, out=centred).flatten(-3)


def _by_channel(batch_norm, *tensors):
    """The tensors ``[..., features]`` as ``[..., outer, channels, inner]``; mean, scale, bias: ``[3, channels, 1]``."""
    if batch_norm is None:
        return tensors, None
    norm, stride = batch_norm
    views = (None if tensor is None else tensor.unflatten(-1, (-1, norm.shape[1], stride)) for tensor in tensors)
    return tuple(views), norm[:, :, None]


def _first_membrane(x, initial_state):
    if initial_state is None:
        return torch.zeros(x.shape[1:], dtype=torch.float32, device=x.device)
    return _flat(initial_state).view(x.shape[1:])
