"""The single-step noisy neuron, Eq. (5), from a tensor of any layout to a launch."""

from __future__ import annotations

import torch

from fastlif import reference
from fastlif.layout import dense, lying_like
from fastlif.operators.common import inlined, launchers, operator
from fastlif.packing import bits_beside
from fastlif.passes import thread


def _forward(x, seed, norm, options):
    x = dense(x)
    spikes = torch.empty_like(x)
    if x.numel():
        module = launchers(options.backend, x, options.surrogate)
        bits = bits_beside(spikes, 1, module) if thread.packing else {}
        module.noisy_spike_forward(x, spikes, seed, norm, options, **bits)
    return spikes


def _backward(grad_spikes, x, seed, norm, options):
    x = dense(x)
    grad_x = torch.empty_like(x)
    if x.numel():
        if options.surrogate_at == "mean":  # no noise is drawn: its mean is moved to the threshold
            options, seed = options.at_the_mean, None
        grad_spikes = lying_like(x, grad_spikes)
        launchers(options.backend, x).noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, options)
    return grad_x


# Spikes [N, *] of x [N, *]. seed is [1] int64, absent without noise; norm is that of operators/batch_norm.py.
noisy_spike_backward = operator(
    "noisy_spike_backward(Tensor grad_spikes, Tensor x, Tensor? seed, Tensor[]? norm, str options) -> Tensor",
    _backward,
    fake=lambda grad_spikes, x, seed, norm, options: torch.empty_like(x),
)


def _setup_context(ctx, inputs, output):
    x, seed, norm, ctx.options = inputs
    ctx.save_for_backward(x, seed, *(norm or ()))


def _gradients(ctx, grad_spikes):
    x, seed, *norm = ctx.saved_tensors
    new = 1 if getattr(ctx, "plain", False) else None
    return noisy_spike_backward(grad_spikes, x, seed, norm or None, ctx.options, new=new), None, None, None


def _inline(x, seed, norm, options):
    return reference.noisy_spike(x, seed, options) if norm is None and inlined(x, 1, options) else None


noisy_spike = operator(
    "noisy_spike(Tensor x, Tensor? seed, Tensor[]? norm, str options) -> Tensor",
    _forward,
    fake=lambda x, seed, norm, options: torch.empty_like(x),
    setup_context=_setup_context,
    backward=_gradients,
    inline=_inline,
)
