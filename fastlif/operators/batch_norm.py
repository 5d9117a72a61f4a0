"""Batch normalisation and the neuron after it, as one: the neurons' operators take ``norm`` beside x, that is (weight,
bias, mean, inverse standard deviation), ``[C]`` each, the last two float32."""

from __future__ import annotations

import torch

from fastlif.operators.scan import lif, lif_backward
from fastlif.operators.single_step import noisy_spike, noisy_spike_backward
from fastlif.reference import no_second_derivative

torch.library.define(
    "fastlif::batch_statistics",  # of x [N, C, *]: mean and inverse standard deviation, [C]; moves the running ones
    "(Tensor x, Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float eps) -> (Tensor, Tensor)",
)


@torch.library.impl("fastlif::batch_statistics", "CompositeExplicitAutograd")
def _batch_statistics(x, running_mean, running_var, momentum, eps):
    if x.device.type == "cpu":  # on a CPU PyTorch sums 16-bit inputs with fewer digits
        x = x.float()
    mean, variance = torch.ops.aten.batch_norm_update_stats(x, running_mean, running_var, momentum)
    return mean, torch.rsqrt(variance + eps)


@torch.library.register_fake("fastlif::batch_statistics")
def _(x, running_mean, running_var, momentum, eps):
    return torch.empty_like(running_mean), torch.empty_like(running_mean)


def normalised_neuron(x, norm, seed, timesteps, options):
    """Spikes ``[T*N, C, *]`` of a neuron over x normalised with ``norm``, without gradients.

    The neuron is LIF over ``timesteps``, or that of the single step if these are None.
    """
    if timesteps is None:
        return noisy_spike(x, seed, norm, options)
    spikes, _ = lif(x, timesteps, None, None, None, seed, norm, None, None, None, False, options)
    return spikes


class _Gradient(torch.autograd.Function):
    """A gradient that cannot be differentiated again, whichever of its sources it depends on."""

    @staticmethod
    def forward(ctx, gradient, *sources):
        return gradient.clone()

    backward = staticmethod(no_second_derivative)


class BatchNormNeuron(torch.autograd.Function):
    """:func:`normalised_neuron` of (x, weight, bias, mean, invstd, seed, timesteps, options).

    x's own mean and inverse standard deviation ``[C]`` are differentiated through. Kept for the backward is what batch
    normalisation keeps: x and these.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, invstd, seed, timesteps, options):
        ctx.save_for_backward(x, weight, bias, mean, invstd, seed)
        ctx.timesteps, ctx.options = timesteps, options
        return normalised_neuron(x, (weight, bias, mean, invstd), seed, timesteps, options)

    @staticmethod
    def backward(ctx, grad_spikes):
        saved = ctx.saved_tensors  # asked for once: activation checkpointing allows no more
        x, weight, bias, mean, invstd, seed = saved
        norm = (weight, bias, mean, invstd)
        if ctx.timesteps is None:
            grad = noisy_spike_backward(grad_spikes, x, seed, norm, ctx.options)
        else:
            grad, *_ = lif_backward(
                grad_spikes, None, x, ctx.timesteps, None, None, None, seed, norm, None, None, None, 0, ctx.options
            )
        wanted = ctx.needs_input_grad[:3]
        grads = torch.ops.aten.native_batch_norm_backward(grad, x, weight, None, None, mean, invstd, True, 0.0, wanted)
        grads = [None if grad is None else grad.to(tensor.dtype) for grad, tensor in zip(grads, saved)]
        if torch.is_grad_enabled():  # whoever wants a second derivative is told that there is none
            sources = grad_spikes, x, weight, bias
            grads = [None if grad is None else _Gradient.apply(grad, *sources) for grad in grads]
        return *grads, None, None, None, None, None
