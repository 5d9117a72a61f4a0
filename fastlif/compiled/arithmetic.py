"""What a compiled graph computes: the reference's arithmetic over whole tensors, its backward an explicit reverse scan.

Each function gives what the graph writes, from tensors of these shapes::

    x, noise, grad_spikes: [T, *sizes]    v, grad_v: [*sizes]    mean, deviation: [T], or [T, groups]

``sizes`` is ``(neurons,)``; ``(groups, features)`` for the statistics of several groups; ``(outer, channels, inner)``,
or ``(outer, channels)``, where x is normalised by channel, or where gain, decay or threshold has a value for each
channel. ``scalars`` are those of ``_scalars`` in launchers.py.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from fastlif import reference
from fastlif.noise import noise_like

BLOCK = 1 << 16  # membranes that one thread adds up, so that their mean does not depend on the number of threads
NOISE = 7  # where the noise's begin among the scalars


def draw(kind, x, first, t, seed, scalars):
    """The noise of step t for x ``[1, neurons]``, of which only the size counts; ``first``: its first counter."""
    return [noise_like(x[0], seed, t, kind, scalars.unbind()[NOISE:], first)]


def spike(x, noise, scalars, norm):
    return [_floats(_input(0, x, noise, norm) > scalars[0])]


def spike_backward(surrogate, x, grad_spikes, noise, scalars, norm):
    u = _input(0, x, noise, norm) - scalars[0]
    return [grad_spikes[0] * reference.derivative_of(surrogate)(u, scalars[2])]


def scan(variant, firing, x, noise, v, mean, deviation, scalars, norm, gain, decay, threshold):
    """The spikes of each step, if ``firing``, and the last membrane."""
    steps = list(_steps(variant, x, noise, v, mean, deviation, scalars, norm, gain, decay, threshold))
    return [*(_floats(spiking) for _, _, spiking, _ in steps if firing), steps[-1][3]]


def scan_with_statistics(variant, x, noise, v, scalars):
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
    ((_, _, spiking, after),) = _steps(variant, x, noise, v, mean[None], deviation[None], scalars)
    return [_floats(spiking), after, mean, deviation]


def reverse_scan(variant, surrogate, at, detach_reset, wanted, x, grad_spikes, noise, v, grad_v, mean, deviation,
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
        return reference.derivative_of(surrogate)(membrane - threshold, width)

    for i, (still, h, spiking, _) in reversed(list(enumerate(steps))):
        before = steps[i - 1][3] if i else v
        grad = grad_spikes[i]
        if not variant.reset_delay and not detach_reset:
            grad = grad + (-threshold if variant.soft_reset else reset - h) * grad_v
        grad = grad * derivative(h if at == "membrane" else still + scalars[NOISE])
        spikes = spiking.to(h.dtype)
        if variant.reset_delay:
            grad_h = grad + grad_v
            subtracted = _spiking(variant, before, threshold).to(h.dtype)
            through_spike = 0 if detach_reset else threshold * derivative(before)
            grad_v = (decay - through_spike) * grad_h
            of_threshold = grad + (subtracted - through_spike) * grad_h
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


def _floats(spiking):
    """Spikes as float32, also where they are stored in 16 bits: PyTorch makes those from booleans one by one."""
    return spiking.to(torch.float32)


class Variant(NamedTuple):
    """What the options choose of a step's arithmetic."""

    soft_reset: bool
    inclusive: bool
    reset_delay: bool
    scaled: bool  # there is a gain


def _spiking(variant, membrane, threshold):
    return membrane >= threshold if variant.inclusive else membrane > threshold


def _numbers(scalars, gain, decay, threshold):
    """Gain, decay and threshold: the tensor, or else the number of the scalars."""
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


def pack_bits(x):
    return [reference.pack_bits(x)]


def unpack_bits(x):
    return reference.unpack_bits(x[0])
