"""The scans over time, plain LIF, Eq. (1)-(3), and the converted neuron, Eq. (6)-(9), from tensors of any layout to
launches.

x and the spikes are ``[T*N, *]`` beside a number of ``timesteps``, or ``[T, N, *]`` with ``timesteps=None``. The
operators unfold x, and not the modules: there autograd would make a node of each view, which costs a small layer more
than the neuron.

``mean`` and ``deviation`` are the membrane's statistics, ``[T, groups]``, constants for the gradient; those of a single
group may have another shape. Plain LIF has none. The converted neuron is ``lif`` where they are given, and
``noisy_lif`` where they are taken as it runs. The backward is the same for all: it keeps x, the seed and the
statistics, and computes everything else again.

``gain``, ``decay`` and ``threshold`` are tensors in place of the options' numbers, or None; plain LIF alone takes them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from fastlif import reference
from fastlif.layout import (
    dense_steps,
    dense_strides,
    empty_output,
    folded,
    lying_as,
    membrane_dtype,
    step_as,
    unfolded,
)
from fastlif.operators.common import inlined, launchers, operator
from fastlif.packing import bits_beside
from fastlif.passes import thread


def _empty_state(steps):
    """A membrane ``[N, *]``, uninitialised."""
    return torch.empty_like(steps[0], dtype=membrane_dtype(steps))


# --- Parameters that are tensors ----------------------------------------------------------------------------------


class Parameters(NamedTuple):
    """Tensors that broadcast against a time step, as the launchers take them: ``[channels]`` float32 each, or None.

    Element i of a dense time step has the value ``i // stride % channels``.
    """

    gain: torch.Tensor | None
    decay: torch.Tensor | None
    threshold: torch.Tensor | None
    channels: int
    stride: int


class _Layout(NamedTuple):
    """How tensors that broadcast against a time step lie in its memory, all of them alike."""

    order: list[int]  # the step's dimensions, outermost first
    shape: list[int]  # the step's, from the first dimension in which a tensor varies to the last, and 1 in the others
    channels: int  # values in this shape
    stride: int  # how far in the step's memory one lies from the next


def _common_layout(x, tensors):
    """The :class:`_Layout` of gain, decay and threshold, not all of them None, beside dense steps x."""
    step, strides = x.shape[1:], dense_strides(x)[1:]
    order = sorted(range(len(step)), key=lambda dim: -strides[dim])
    varies = torch.broadcast_shapes(*(tensor.shape for tensor in tensors if tensor is not None), (1,) * len(step))
    places = [place for place, dim in enumerate(order) if varies[dim] != 1]
    inside = order[places[0] : places[-1] + 1] if places else []
    shape = [step[dim] if dim in inside else 1 for dim in range(len(step))]
    stride = math.prod(step[dim] for dim in order[places[-1] + 1 :]) if places else 1
    return _Layout(order, shape, math.prod(shape), stride)


def _parameters(layout, tensors):
    """The :class:`Parameters` of gain, decay and threshold."""

    def flat(tensor):  # contiguous, as the launchers know its address alone
        return tensor.expand(layout.shape).permute(layout.order).reshape(layout.channels).float().contiguous()

    return Parameters(*(None if tensor is None else flat(tensor) for tensor in tensors), layout.channels, layout.stride)


def _parameter_gradient(total, layout, tensor):
    """The gradient of one of the tensors from that of its flat values, ``[channels]``."""
    inverse = sorted(range(len(layout.order)), key=lambda place: layout.order[place])
    expanded = total.view([layout.shape[dim] for dim in layout.order]).permute(inverse)
    summed = expanded.sum_to_size((1,) * (expanded.ndim - tensor.ndim) + tensor.shape)
    return torch.empty_like(tensor).copy_(summed.reshape(tensor.shape))


# --- Backward -----------------------------------------------------------------------------------------------------


def _backward(grad_spikes, grad_state, x, timesteps, initial_state, mean, deviation, seed, norm, gain, decay, threshold,
              wanted, options):  # fmt: skip
    tensors, flags, grads = (gain, decay, threshold), _FLAGS[wanted], (None,) * 3
    alone = initial_state is grad_state is norm is gain is decay is threshold is None
    T, steps = x.shape[0] if timesteps is None else timesteps, dense_steps(x, timesteps, alone)
    grad_x, grad_initial_state = empty_output(x, steps), None if initial_state is None else _empty_state(steps)
    layout = parameters = None
    if not gain is decay is threshold is None:
        layout = _common_layout(steps, tensors)
        parameters = _parameters(layout, tensors)
    if x.numel():
        totals = launchers(options.backend, x).lif_backward(
            lying_as(grad_spikes, x, timesteps, steps), step_as(grad_state, steps), steps, T,
            step_as(initial_state, steps), grad_x, grad_initial_state, mean, deviation, seed, norm, parameters, flags,
            options,
        )  # fmt: skip
        if wanted:
            grads = [None if total is None else _parameter_gradient(total, layout, tensor)
                     for total, tensor in zip(totals, tensors)]  # fmt: skip
    elif wanted:
        grads = [torch.zeros_like(tensor) if flag else None for tensor, flag in zip(tensors, flags)]
    return grad_x if grad_x.ndim == x.ndim else grad_x.flatten(0, 1), grad_initial_state, *grads


# The operator takes as one number which of the gradients of gain, decay and threshold are wanted: here are its bits.
_FLAGS = [tuple(bool(wanted >> i & 1) for i in range(3)) for wanted in range(8)]


def _fake_backward(grad_spikes, grad_state, x, timesteps, initial_state, mean, deviation, seed, norm, gain, decay,
                   threshold, wanted, options):  # fmt: skip
    tensors = zip((gain, decay, threshold), _FLAGS[wanted])
    grads = (torch.empty_like(tensor) if flag else None for tensor, flag in tensors)
    return *_fake(x, timesteps, initial_state is not None), *grads


def _fake(x, timesteps, wanted=True):
    """A tensor like x without values, and a membrane, if it is wanted."""
    steps = unfolded(x, timesteps)
    output = empty_output(x, steps)
    return output if output.ndim == x.ndim else output.flatten(0, 1), _empty_state(steps) if wanted else None


lif_backward = operator(
    "lif_backward(Tensor grad_spikes, Tensor? grad_state, Tensor x, int? timesteps, Tensor? initial_state, "
    "Tensor? mean, Tensor? deviation, Tensor? seed, Tensor[]? norm, Tensor? gain, Tensor? decay, Tensor? threshold, "
    "int wanted, str options) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _fake_backward,
)


def _gradients(ctx, grad_spikes, grad_state, wanted=(False,) * 3):
    """Those of x, the initial membrane, gain, decay and threshold."""
    x, initial_state, mean, deviation, seed, gain, decay, threshold, *norm = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(x)
    grad_x, grad_initial_state, *grads = lif_backward(
        grad_spikes, grad_state, x, ctx.timesteps, initial_state, mean, deviation, seed, norm or None, gain, decay,
        threshold, _FLAGS.index(wanted), ctx.options, new=2 if getattr(ctx, "plain", False) else None,
    )  # fmt: skip
    if initial_state is not None:
        initial_state = grad_initial_state.to(initial_state.dtype)
    return grad_x, initial_state, *[grad if want else None for grad, want in zip(grads, wanted)]


# --- Given statistics, or none ------------------------------------------------------------------------------------


def _forward(x, timesteps, initial_state, mean, deviation, seed, norm, gain, decay, threshold, return_state, options):
    alone = not return_state and initial_state is norm is gain is decay is threshold is None
    T, steps = x.shape[0] if timesteps is None else timesteps, dense_steps(x, timesteps, alone)
    spikes, state = empty_output(x, steps), _empty_state(steps) if return_state else None
    initial_state = None if initial_state is None else step_as(initial_state, steps)  # to ask here saves a call
    parameters = None
    if not gain is decay is threshold is None:
        parameters = _parameters(_common_layout(steps, (gain, decay, threshold)), (gain, decay, threshold))
    if x.numel():
        module = launchers(options.backend, x, options.surrogate)
        bits = bits_beside(spikes, T, module) if thread.packing else {}
        module.lif_forward(
            steps, T, spikes, initial_state, state, mean, deviation, seed, norm, parameters, options, **bits
        )
    return spikes if spikes.ndim == x.ndim else spikes.flatten(0, 1), state


def _setup_context(ctx, inputs, output):
    x, ctx.timesteps, initial_state, mean, deviation, seed, norm, *tensors, ctx.return_state, ctx.options = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, initial_state, mean, deviation, seed, *tensors, *(norm or ()))


def _lif_gradients(ctx, grad_spikes, grad_state):
    grad_x, grad_initial_state, *grads = _gradients(
        ctx, grad_spikes, grad_state if ctx.return_state else None, ctx.needs_input_grad[7:10]
    )
    return grad_x, None, grad_initial_state, *(None,) * 4, *grads, None, None


def _inline(x, timesteps, initial_state, mean, deviation, seed, norm, gain, decay, threshold, return_state, options):
    if mean is None and norm is None and inlined(x, x.shape[0] if timesteps is None else timesteps, options):
        spikes, v = reference.lif(unfolded(x, timesteps), initial_state, options, gain, decay, threshold)
        return folded(spikes, timesteps), v


# (spikes, last membrane [N, *]) of x; the membrane is empty if it is not wanted. seed is [1] int64, absent without
# noise; norm is that of operators/batch_norm.py.
lif = operator(
    "lif(Tensor x, int? timesteps, Tensor? initial_state, Tensor? mean, Tensor? deviation, Tensor? seed, "
    "Tensor[]? norm, Tensor? gain, Tensor? decay, Tensor? threshold, bool return_state, str options)"
    " -> (Tensor, Tensor)",
    _forward,
    lambda x, timesteps, *others: _fake(x, timesteps, others[-2]),
    _setup_context,
    _lif_gradients,
    _inline,
)


# --- Statistics taken as the neuron runs --------------------------------------------------------------------------


def _noisy_forward(x, timesteps, initial_state, seed, statistics, options):
    steps = dense_steps(x, timesteps)
    spikes, state, (mean, deviation) = empty_output(x, steps), _empty_state(steps), _empty_statistics(steps, statistics)
    if x.numel():
        module = launchers(options.backend, x, options.surrogate)
        # Without noise the kernel's tile has one row. Bits take eight, which would round the sums otherwise.
        with_bits = thread.packing and statistics == "layer" and options.noise != "none"
        bits = bits_beside(spikes, steps.shape[0], module) if with_bits else {}
        initial_state = step_as(initial_state, steps)
        module.noisy_lif_forward(steps, spikes, initial_state, state, mean, deviation, seed, options, **bits)
    else:
        mean.zero_()
        deviation.zero_()
    return spikes if spikes.ndim == x.ndim else spikes.flatten(0, 1), state, mean, deviation


def _empty_statistics(steps, statistics):
    shape = steps.shape[0], steps.shape[1] if statistics == "sample" else 1
    return [steps.new_empty(shape, dtype=membrane_dtype(steps)) for _ in range(2)]


def _noisy_setup_context(ctx, inputs, output):
    x, ctx.timesteps, initial_state, seed, _, ctx.options = inputs
    _, _, mean, deviation = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(mean, deviation)
    ctx.save_for_backward(x, initial_state, mean, deviation, seed, None, None, None)


def _noisy_gradients(ctx, grad_spikes, grad_state, *_):
    grad_x, grad_initial_state, *_ = _gradients(ctx, grad_spikes, grad_state)
    return grad_x, None, grad_initial_state, None, None, None


# (spikes, last membrane, mean, deviation) of x; statistics is "layer" or "sample".
noisy_lif = operator(
    "noisy_lif(Tensor x, int? timesteps, Tensor? initial_state, Tensor? seed, str statistics, str options)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _noisy_forward,
    lambda x, timesteps, _, seed, statistics, options: (
        *_fake(x, timesteps), *_empty_statistics(unfolded(x, timesteps), statistics)
    ),  # fmt: skip
    _noisy_setup_context,
    _noisy_gradients,
)
