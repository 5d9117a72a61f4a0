"""The scans over time, plain LIF, Eq. (1)-(3), and the converted neuron, Eq. (6)-(9), from tensors of any layout to
launches.

``mean`` and ``deviation`` are the membrane's statistics, ``[T, groups]``, constants for the gradient; plain LIF has
none. The converted neuron is ``lif`` where they are given, and ``noisy_lif`` where they are taken as it runs. The
backward is the same for all: it keeps x, the seed and the statistics, and computes everything else again.

``gain``, ``decay`` and ``threshold`` are tensors in place of the options' numbers, or None; plain LIF alone takes them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from fastlif import reference
from fastlif.layout import dense_steps, empty_steps, membrane_dtype, step_as, steps_as
from fastlif.operators.common import inlined, launchers, operator


def _empty_state(x, wanted=True):
    """A membrane ``[N, *]``, uninitialised; an empty tensor if it is not wanted."""
    if not wanted:
        return x.new_empty(0)
    return torch.empty_like(x[0], dtype=membrane_dtype(x))


def _step_as(state, x):
    return None if state is None else step_as(state, x)


# --- Parameters that are tensors ----------------------------------------------------------------------------------


class Parameters(NamedTuple):
    """Tensors that broadcast against a time step, as the launchers take them: ``[count]`` float32 each, or None.

    Element i of a dense time step has the value ``i // stride % count``.
    """

    gain: torch.Tensor | None
    decay: torch.Tensor | None
    threshold: torch.Tensor | None
    count: int
    stride: int


def _parameters(x, gain, decay, threshold):
    """:class:`Parameters` from gain, decay and threshold, for dense steps x; None if all of them are None."""
    if gain is None and decay is None and threshold is None:
        return None
    tensors = gain, decay, threshold
    order, shape, count, stride = _common_layout(x, tensors)

    def flat(tensor):  # the launchers know its address alone
        return None if tensor is None else tensor.expand(shape).permute(order).reshape(count).float().contiguous()

    return Parameters(*map(flat, tensors), count, stride)


def _common_layout(x, tensors):
    """The dimensions of a step in the order of its memory, and the shape that all of the tensors are expanded to: that
    of the step from the first dimension in which one of them varies to the last, and 1 in the others. Also how many
    values that is, and how far in memory one lies from the next."""
    step = x.shape[1:]
    strides = torch.empty_like(x[0], device="meta").stride()
    order = sorted(range(len(step)), key=lambda dim: -strides[dim])
    varies = torch.broadcast_shapes(*(tensor.shape for tensor in tensors if tensor is not None), (1,) * len(step))
    places = [place for place, dim in enumerate(order) if varies[dim] != 1]
    inside = order[places[0] : places[-1] + 1] if places else []
    shape = [step[dim] if dim in inside else 1 for dim in range(len(step))]
    stride = math.prod(step[dim] for dim in order[places[-1] + 1 :]) if places else 1
    return order, shape, math.prod(shape), stride


def _parameter_gradient(total, x, tensor, tensors):
    """The gradient of one of the tensors from that of its expanded values, ``[count]``."""
    order, shape, _, _ = _common_layout(x, tensors)
    inverse = sorted(range(len(order)), key=lambda place: order[place])
    expanded = total.view([shape[dim] for dim in order]).permute(inverse)
    expanded = expanded.sum_to_size((1,) * (expanded.ndim - tensor.ndim) + tensor.shape).reshape(tensor.shape)
    return torch.empty_like(tensor).copy_(expanded)


# --- Backward -----------------------------------------------------------------------------------------------------


def _backward(grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, gain, decay, threshold, wanted,
              options):  # fmt: skip
    x = dense_steps(x)
    tensors = gain, decay, threshold
    grad_x, grad_initial_state, *grads = _empty_gradients(x, initial_state, tensors, wanted)
    if x.numel():
        totals = launchers(options.backend, x).lif_backward(
            steps_as(grad_spikes, x), _step_as(grad_state, x), x, _step_as(initial_state, x), grad_x,
            None if initial_state is None else grad_initial_state, mean, deviation, seed, norm,
            _parameters(x, *tensors), _flags(wanted), options,
        )  # fmt: skip
        for i, total in enumerate(totals or ()):
            if total is not None:
                grads[i] = _parameter_gradient(total, x, tensors[i], tensors)
    else:
        grads = [grad.zero_() for grad in grads]
    return grad_x, grad_initial_state, *grads


def _empty_gradients(x, initial_state, tensors, wanted):
    """Of x, the initial membrane and the three tensors; empty where none is wanted."""
    grads = (torch.empty_like(tensor) if want else x.new_empty(0) for tensor, want in zip(tensors, _flags(wanted)))
    return empty_steps(x), _empty_state(x, initial_state is not None), *grads


def _flags(wanted):
    """Whether the gradients of gain, decay and threshold are wanted: the bits of a number."""
    return tuple([bool(wanted >> i & 1) for i in range(3)])


def _fake_backward(grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, gain, decay, threshold,
                   wanted, options):  # fmt: skip
    return _empty_gradients(x, initial_state, (gain, decay, threshold), wanted)


lif_backward = operator(
    "lif_backward(Tensor grad_spikes, Tensor? grad_state, Tensor x, Tensor? initial_state, Tensor? mean, "
    "Tensor? deviation, Tensor? seed, Tensor[]? norm, Tensor? gain, Tensor? decay, Tensor? threshold, int wanted, "
    "str options) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _fake_backward,
)


def _gradients(ctx, grad_spikes, grad_state, wanted=(False,) * 3):
    """Those of x, the initial membrane, gain, decay and threshold."""
    x, initial_state, mean, deviation, seed, gain, decay, threshold, *norm = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(x)
    grad_x, grad_initial_state, *grads = lif_backward(
        grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm or None, gain, decay, threshold,
        sum(want << i for i, want in enumerate(wanted)), ctx.options,
    )  # fmt: skip
    if initial_state is not None:
        initial_state = grad_initial_state.to(initial_state.dtype)
    return grad_x, initial_state, *(grad if want else None for grad, want in zip(grads, wanted))


# --- Given statistics, or none ------------------------------------------------------------------------------------


def _forward(x, initial_state, mean, deviation, seed, norm, gain, decay, threshold, return_state, options):
    x = dense_steps(x)
    spikes = torch.empty_like(x) if x.is_contiguous() else empty_steps(x)
    state = _empty_state(x) if return_state else x.new_empty(0)
    if initial_state is not None:
        initial_state = step_as(initial_state, x)
    if x.numel():
        launchers(options.backend, x).lif_forward(
            x, spikes, initial_state, state if return_state else None, mean, deviation, seed, norm,
            _parameters(x, gain, decay, threshold), options,
        )  # fmt: skip
    return spikes, state


def _fake(x, initial_state, mean, deviation, seed, norm, gain, decay, threshold, return_state, options):
    return empty_steps(x), _empty_state(x, return_state)


def _setup_context(ctx, inputs, output):
    x, initial_state, mean, deviation, seed, norm, *tensors, ctx.return_state, ctx.options = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, initial_state, mean, deviation, seed, *tensors, *(norm or ()))


def _lif_gradients(ctx, grad_spikes, grad_state):
    grad_x, grad_initial_state, *grads = _gradients(
        ctx, grad_spikes, grad_state if ctx.return_state else None, ctx.needs_input_grad[6:9]
    )
    return grad_x, grad_initial_state, *(None,) * 4, *grads, None, None


def _inline(x, initial_state, mean, deviation, seed, norm, gain, decay, threshold, return_state, options):
    if mean is None and norm is None and inlined(x, x.shape[0], options):
        return reference.lif(x, initial_state, options, gain, decay, threshold)


# (spikes [T, N, *], last membrane [N, *]) of x [T, N, *]; the membrane is empty if it is not wanted. seed is [1] int64,
# absent without noise; norm is that of operators/batch_norm.py.
lif = operator(
    "lif(Tensor x, Tensor? initial_state, Tensor? mean, Tensor? deviation, Tensor? seed, Tensor[]? norm, Tensor? gain, "
    "Tensor? decay, Tensor? threshold, bool return_state, str options) -> (Tensor, Tensor)",
    _forward,
    _fake,
    _setup_context,
    _lif_gradients,
    _inline,
)


# --- Statistics taken as the neuron runs --------------------------------------------------------------------------


def _noisy_forward(x, initial_state, seed, statistics, options):
    x = dense_steps(x)
    spikes, state, mean, deviation = _empty_outputs(x, statistics)
    if x.numel():
        launchers(options.backend, x).noisy_lif_forward(
            x, spikes, _step_as(initial_state, x), state, mean, deviation, seed, options
        )  # fmt: skip
    else:
        mean.zero_()
        deviation.zero_()
    return spikes, state, mean, deviation


def _empty_outputs(x, statistics):
    groups = x.shape[1] if statistics == "sample" else 1
    mean, deviation = (x.new_empty((x.shape[0], groups), dtype=membrane_dtype(x)) for _ in range(2))
    return empty_steps(x), _empty_state(x), mean, deviation


def _noisy_setup_context(ctx, inputs, output):
    x, initial_state, seed, _, ctx.options = inputs
    _, _, mean, deviation = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(mean, deviation)
    ctx.save_for_backward(x, initial_state, mean, deviation, seed, None, None, None)


# (spikes, last membrane, mean, deviation) of x [T, N, *]; statistics is "layer" or "sample".
noisy_lif = operator(
    "noisy_lif(Tensor x, Tensor? initial_state, Tensor? seed, str statistics, str options)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _noisy_forward,
    lambda x, initial_state, seed, statistics, options: _empty_outputs(x, statistics),
    _noisy_setup_context,
    lambda ctx, grad_spikes, grad_state, *_: (*_gradients(ctx, grad_spikes, grad_state)[:2], None, None, None),
)
