"""Batch normalisation and the neuron after it in one pass: what lies between them is neither written nor kept."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from fastlif import functional, validation
from fastlif.backends import choose_backend
from fastlif.models import copy_of, neurons
from fastlif.modules import LIF, NoisyLIF
from fastlif.neuron import Neuron
from fastlif.operators import batch_norm as operators
from fastlif.packing import mark
from fastlif.passes import thread
from fastlif.scaling import Scaled

__all__ = ["batch_norm_neuron", "fuse"]

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fuse(model: nn.Module) -> nn.Module:
    """A copy of ``model`` that fuses each batch normalisation with the neuron after it in an ``nn.Sequential``.

    The modules and the state_dict stay as they are, and the spikes too, but for rounding. Where the input is neither
    contiguous nor channels_last, other noise of the same distribution may be drawn: noise is keyed by an element's
    place in memory, and batch normalisation alone would give a contiguous tensor. In training the membrane's input is
    normalised as it is read, and computed again in the backward: a layer keeps one tensor less, and reads and writes
    one less. In a forward of your own, call :func:`batch_norm_neuron`.

    Args:
        model: any module; it is left as it is.

    Raises:
        TypeError: if ``model`` is not a module or cannot be copied.
        ValueError: if there is nothing to fuse, or the model is fused already.
    """
    model = copy_of(model)
    fused = [module for module in model.modules() if type(module) is nn.Sequential and _pairs(module)]
    if not fused:
        if any(isinstance(module, FusedSequential) for module in model.modules()):
            raise ValueError(f"{type(model).__name__} is fused already")
        if any(isinstance(module, Scaled) for module in model.modules()):
            raise ValueError("model has neurons of scale_thresholds, which run alone: fuse a model without them")
        first = "" if neurons(model) else "convert it first, with fastlif.convert; "
        raise ValueError(
            f"{type(model).__name__} has no batch normalisation directly before a fastlif neuron in an nn.Sequential: "
            f"{first}in a forward of your own, call fastlif.batch_norm_neuron"
        )
    for module in fused:
        module.__class__ = FusedSequential
    return model


class FusedSequential(nn.Sequential):
    """An ``nn.Sequential`` that runs batch normalisation and the neuron after it in one pass."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        modules, pairs = list(self), _pairs(self)
        for i, module in enumerate(modules):
            if i in pairs:
                input = batch_norm_neuron(module, modules[i + 1], input)
            elif i - 1 not in pairs:
                input = module(input)
        return input


def _pairs(sequential: nn.Sequential) -> list[int]:
    """The positions of batch normalisations that a neuron follows."""
    modules = list(sequential)
    after = zip(modules, modules[1:])
    return [i for i, (first, second) in enumerate(after) if isinstance(second, Neuron) and type(first) in BATCH_NORMS]


def batch_norm_neuron(batch_norm: nn.Module, neuron: nn.Module, input: torch.Tensor) -> torch.Tensor:
    """``neuron(batch_norm(input))``, the neuron of Eq. (5) or (1)-(3), in one pass over ``input`` ``[N, C, *]``.

    That can be for ``nn.BatchNorm1d``, ``2d`` and ``3d`` with weights and running statistics in float32, before a
    :class:`fastlif.NoisyLIF` of a single step or a :class:`fastlif.LIF` that is not stateful, whose decay, threshold
    and gain are numbers, on the backends "triton" and "compiled": in training, and in evaluation without gradients.
    Otherwise, and where either has hooks or all modules do, the two are called one after the other; so they are where
    a neuron of a MultiStep model has the same input at every step.

    The membrane's input is ``(input - mean) * (weight / deviation) + bias`` in float32, whatever the input's type: so
    no digits are lost where the mean is many deviations, beyond those that the mean itself has in float32.

    Returns:
        Spikes ``[N, C, *]``.

    Raises:
        TypeError: for arguments of the wrong type.
        Exception: what the two modules raise.
    """
    validation.check_module("batch_norm", batch_norm)
    validation.check_module("neuron", neuron)
    if isinstance(batch_norm, Neuron):
        name = type(batch_norm).__name__
        raise TypeError(f"batch_norm must be the layer before the neuron, got {name}: give the layer, then the neuron")
    if not hasattr(input, "__torch_function__"):  # which a tensor has, and what torch.fx traces with
        raise TypeError(f"input must be a torch.Tensor, got {type(input).__name__}")
    if not _fusable(batch_norm, neuron, input):
        return neuron(batch_norm(input))
    return _in_one_pass(batch_norm, neuron, input)


def _in_one_pass(batch_norm, neuron, input):
    timesteps = None
    if isinstance(neuron, LIF):
        _, timesteps, *_ = neuron._call(input)
        if timesteps is None:  # _fusable leaves one reason: the same input at every step, to be normalised once
            return neuron(batch_norm(input))
    options = neuron.options(single=isinstance(neuron, NoisyLIF))
    seed = functional._seed(None, options, input)
    weight, bias, eps = batch_norm.weight, batch_norm.bias, batch_norm.eps
    if batch_norm.training:
        if batch_norm.num_batches_tracked is not None:
            batch_norm.num_batches_tracked.add_(1)
        mean, invstd = torch.ops.fastlif.batch_statistics(
            input.detach(), batch_norm.running_mean, batch_norm.running_var, batch_norm.momentum, eps
        )
        spikes = operators.BatchNormNeuron.apply(input, weight, bias, mean, invstd, seed, timesteps, options)
        return mark(spikes, choose_backend(options.backend, input))
    invstd = torch.rsqrt(batch_norm.running_var + eps)
    norm = (weight, bias, batch_norm.running_mean, invstd)
    return operators.normalised_neuron(input, norm, seed, timesteps, options)


def _fusable(batch_norm, neuron, x) -> bool:
    if not isinstance(x, torch.Tensor):  # such as what torch.fx traces with
        return False
    if type(batch_norm) not in BATCH_NORMS or type(neuron) not in (LIF, NoisyLIF):
        return False
    if _has_any_global_hook():
        return False
    if any(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
           for module in (batch_norm, neuron)):  # fmt: skip
        return False
    if not batch_norm.affine or batch_norm.running_mean is None or batch_norm.momentum is None:
        return False
    if batch_norm.running_mean.dtype != torch.float32 or batch_norm.weight.dtype != torch.float32:
        return False
    if batch_norm.weight.device != x.device:  # PyTorch says so; a kernel would read the other device's memory
        return False
    if neuron.stateful or neuron.timesteps is None:
        return False
    if isinstance(neuron, LIF):
        if neuron.has_tensors():
            return False
    elif neuron.converted or neuron.timesteps > 1 or (thread.current is not None and thread.current.converts):
        return False  # if a pass converts, the neuron was put there later, which it has words for
    if thread.current is not None and thread.current.states is not None:  # its membrane goes on to the next pass
        return False
    if x.ndim < 2 or x.shape[1] != batch_norm.num_features or not x.numel():
        return False  # which the modules have words for
    batch_norm._check_input_dim(x)
    if not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is not None:
        return False  # within torch.func's transforms
    tensors = x, batch_norm.weight, batch_norm.bias
    if batch_norm.training:
        if x.numel() == x.shape[1]:  # a single value in each channel has no statistics
            return False
    elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    return choose_backend(neuron.backend, x) != "reference"
