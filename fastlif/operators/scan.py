"""The scans over time, plain LIF, Eq. (1)-(3), and the converted neuron, Eq. (6)-(9), from tensors of any layout to
launches.

``mean`` and ``deviation`` are the membrane's statistics, ``[T, groups]``, constants for the gradient; plain LIF has
none. The converted neuron is ``lif`` where they are given, and ``noisy_lif`` where they are taken as it runs. The
backward is the same for all: it keeps x, the seed and the statistics, and computes everything else again.
"""

from __future__ import annotations

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


# --- Backward -----------------------------------------------------------------------------------------------------


def _backward(grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, options):
    x = dense_steps(x)
    grad_x, grad_initial_state = empty_steps(x), _empty_state(x, initial_state is not None)
    if x.numel():
        launchers(options.backend, x).lif_backward(
            steps_as(grad_spikes, x), _step_as(grad_state, x), x, _step_as(initial_state, x), grad_x,
            None if initial_state is None else grad_initial_state, mean, deviation, seed, norm, options,
        )  # fmt: skip
    return grad_x, grad_initial_state


def _fake_backward(grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, options):
    return empty_steps(x), _empty_state(x, initial_state is not None)


lif_backward = operator(
    "lif_backward(Tensor grad_spikes, Tensor? grad_state, Tensor x, Tensor? initial_state, Tensor? mean, "
    "Tensor? deviation, Tensor? seed, Tensor[]? norm, str options) -> (Tensor, Tensor)",
    _backward,
    _fake_backward,
)


def _gradients(ctx, grad_spikes, grad_state):
    """Those of x and the initial membrane."""
    x, initial_state, mean, deviation, seed, *norm = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(x)
    grad_x, grad_initial_state = lif_backward(
        grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm or None, ctx.options
    )
    return grad_x, None if initial_state is None else grad_initial_state.to(initial_state.dtype)


# --- Given statistics, or none ------------------------------------------------------------------------------------


def _forward(x, initial_state, mean, deviation, seed, norm, return_state, options):
    x = dense_steps(x)
    spikes = torch.empty_like(x) if x.is_contiguous() else empty_steps(x)
    state = _empty_state(x) if return_state else x.new_empty(0)
    if initial_state is not None:
        initial_state = step_as(initial_state, x)
    if x.numel():
        launchers(options.backend, x).lif_forward(
            x, spikes, initial_state, state if return_state else None, mean, deviation, seed, norm, options
        )  # fmt: skip
    return spikes, state


def _fake(x, initial_state, mean, deviation, seed, norm, return_state, options):
    return empty_steps(x), _empty_state(x, return_state)


def _setup_context(ctx, inputs, output):
    x, initial_state, mean, deviation, seed, norm, ctx.return_state, ctx.options = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, initial_state, mean, deviation, seed, *(norm or ()))


def _inline(x, initial_state, mean, deviation, seed, norm, return_state, options):
    if mean is None and norm is None and inlined(x, x.shape[0], options):
        return reference.lif(x, initial_state, options)


# (spikes [T, N, *], last membrane [N, *]) of x [T, N, *]; the membrane is empty if it is not wanted. seed is [1] int64,
# absent without noise; norm is that of operators/batch_norm.py.
lif = operator(
    "lif(Tensor x, Tensor? initial_state, Tensor? mean, Tensor? deviation, Tensor? seed, Tensor[]? norm, "
    "bool return_state, str options) -> (Tensor, Tensor)",
    _forward,
    _fake,
    _setup_context,
    lambda ctx, grad_spikes, grad_state: (
        *_gradients(ctx, grad_spikes, grad_state if ctx.return_state else None), *(None,) * 6
    ),
    _inline,
)  # fmt: skip


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
    ctx.save_for_backward(x, initial_state, mean, deviation, seed)


# (spikes, last membrane, mean, deviation) of x [T, N, *]; statistics is "layer" or "sample".
noisy_lif = operator(
    "noisy_lif(Tensor x, Tensor? initial_state, Tensor? seed, str statistics, str options)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _noisy_forward,
    lambda x, initial_state, seed, statistics, options: _empty_outputs(x, statistics),
    _noisy_setup_context,
    lambda ctx, grad_spikes, grad_state, *_: (*_gradients(ctx, grad_spikes, grad_state), None, None, None),
)
