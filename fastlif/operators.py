"""The operators: torch.library definitions, their fake forms, and the autograd functions over them.

An operator is one neuron in one direction, on the backend that its last argument names: the Triton kernels, or the
compiled reference. It takes tensors of any layout and hands dense runs of memory on. The backward is an operator of
its own; it keeps x, the seed and the statistics, and computes everything else again.
"""

from __future__ import annotations

import inspect
from typing import NamedTuple

import torch

from fastlif import compiled
from fastlif.backends import kernels
from fastlif.layout import dense_steps, empty_steps, flat_steps, membrane_dtype, step_as, steps_as
from fastlif.reference import NO_SECOND_DERIVATIVE

# float[] noise_scalars is what reference.noise_scalars gives; (mean, deviation) are [T, groups] or absent.
_NOISE = "str noise, float[] noise_scalars"
_NEURON = f"float decay, float inv_alpha, float beta, float threshold, float? reset, {_NOISE}"
_SURROGATE = "str surrogate, float surrogate_width"
# Of batch normalisation, as ``normalisation`` gives it; absent where x is taken as it is.
_NORM = "Tensor? norm"

torch.library.define(
    "fastlif::noisy_spike",
    f"(Tensor x, Tensor? seed, {_NORM}, float threshold, {_NOISE}, str backend) -> Tensor",
)
torch.library.define(
    "fastlif::noisy_spike_backward",
    f"(Tensor grad_spikes, Tensor x, Tensor? seed, {_NORM}, float threshold, {_NOISE}, {_SURROGATE}, str backend)"
    " -> Tensor",
)
torch.library.define(
    "fastlif::lif",
    f"(Tensor x, Tensor? initial_state, Tensor? mean, Tensor? deviation, Tensor? seed, {_NORM}, "
    f"{_NEURON}, bool return_state, str backend) -> (Tensor, Tensor)",
)
torch.library.define(
    "fastlif::noisy_lif",
    "(Tensor x, Tensor? initial_state, Tensor? seed, str statistics, "
    f"{_NEURON}, str backend) -> (Tensor, Tensor, Tensor, Tensor)",
)
torch.library.define(
    "fastlif::lif_backward",
    "(Tensor grad_spikes, Tensor? grad_state, Tensor x, Tensor? initial_state, Tensor? mean, Tensor? deviation, "
    f"Tensor? seed, {_NORM}, {_NEURON}, {_SURROGATE}, bool detach_reset, str backend) -> (Tensor, Tensor)",
)
torch.library.define(
    "fastlif::batch_statistics",  # of x [N, C, *]: mean and inverse standard deviation, [C]; moves the running ones
    "(Tensor x, Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float eps) -> (Tensor, Tensor)",
)


def launchers(backend: str):
    """Both hold functions of the same names and arguments."""
    return kernels() if backend == "triton" else compiled


# --- The single-step noisy neuron ---------------------------------------------------------------------------------


@torch.library.impl("fastlif::noisy_spike", "CompositeExplicitAutograd")
def _noisy_spike(x, seed, norm, threshold, noise, noise_scalars, backend):
    x = dense_steps(x[None])[0]
    spikes = torch.empty_like(x)
    if x.numel():
        launchers(backend).noisy_spike_forward(
            _flat(x), _flat(spikes), seed, noise=noise, noise_scalars=tuple(noise_scalars), threshold=threshold,
            batch_norm=_batch_norm(x, norm),
        )  # fmt: skip
    return spikes


@torch.library.register_fake("fastlif::noisy_spike")
def _(x, seed, norm, threshold, noise, noise_scalars, backend):
    return torch.empty_like(x)


@torch.library.impl("fastlif::noisy_spike_backward", "CompositeExplicitAutograd")
def _noisy_spike_backward(
    grad_spikes, x, seed, norm, threshold, noise, noise_scalars, surrogate, surrogate_width, backend
):  # fmt: skip
    x = dense_steps(x[None])[0]
    grad_x = torch.empty_like(x)
    if x.numel():
        launchers(backend).noisy_spike_backward(
            _flat(steps_as(grad_spikes[None], x[None])[0]), _flat(x), _flat(grad_x), seed, noise=noise,
            noise_scalars=tuple(noise_scalars), threshold=threshold, surrogate=surrogate,
            surrogate_width=surrogate_width, batch_norm=_batch_norm(x, norm),
        )  # fmt: skip
    return grad_x


@torch.library.register_fake("fastlif::noisy_spike_backward")
def _(grad_spikes, x, seed, norm, threshold, noise, noise_scalars, surrogate, surrogate_width, backend):
    return torch.empty_like(x)


def _flat(x):
    """A dense ``[N, *]`` as it lies in memory."""
    return flat_steps(x[None], 1).reshape(-1)


def _batch_norm(x, norm):
    """What the launchers take for a dense ``[N, C, *]``: the channel's stride is its place in memory."""
    return None if norm is None else (norm, x.stride(1) if x.shape[1] > 1 else 1)


# --- The scans over time ------------------------------------------------------------------------------------------


@torch.library.impl("fastlif::lif", "CompositeExplicitAutograd")
def _lif(
    x, initial_state, mean, deviation, seed, norm, decay, inv_alpha, beta, threshold, reset, noise,
    noise_scalars, return_state, backend,
):  # fmt: skip
    x = dense_steps(x)
    spikes = empty_steps(x)
    groups = 1 if mean is None else mean.shape[1]
    state = None
    if x.numel():
        state = launchers(backend).lif_forward(
            flat_steps(x, groups), flat_steps(spikes, groups), _flat_state(initial_state, x, groups), mean, deviation,
            seed, decay=decay, inv_alpha=inv_alpha, beta=beta, threshold=threshold, reset=reset, noise=noise,
            noise_scalars=tuple(noise_scalars), return_state=return_state, batch_norm=_batch_norm(x[0], norm),
        )  # fmt: skip
    return spikes, _state(state, x, return_state)


@torch.library.register_fake("fastlif::lif")
def _(
    x, initial_state, mean, deviation, seed, norm, decay, inv_alpha, beta, threshold, reset, noise,
    noise_scalars, return_state, backend,
):  # fmt: skip
    return empty_steps(x), _state(None, x, return_state)


@torch.library.impl("fastlif::noisy_lif", "CompositeExplicitAutograd")
def _noisy_lif(
    x, initial_state, seed, statistics, decay, inv_alpha, beta, threshold, reset, noise, noise_scalars, backend
):  # fmt: skip
    x = dense_steps(x)
    spikes = empty_steps(x)
    groups = _groups(x, statistics)
    if not x.numel():
        return spikes, _state(None, x, True), *(value.zero_() for value in _empty_statistics(x, groups))
    state, mean, deviation = launchers(backend).noisy_lif_forward(
        flat_steps(x, groups), flat_steps(spikes, groups), _flat_state(initial_state, x, groups), seed, decay=decay,
        inv_alpha=inv_alpha, beta=beta, threshold=threshold, reset=reset, noise=noise,
        noise_scalars=tuple(noise_scalars),
    )  # fmt: skip
    return spikes, _state(state, x, True), mean, deviation


@torch.library.register_fake("fastlif::noisy_lif")
def _(x, initial_state, seed, statistics, decay, inv_alpha, beta, threshold, reset, noise, noise_scalars, backend):
    return empty_steps(x), _state(None, x, True), *_empty_statistics(x, _groups(x, statistics))


@torch.library.impl("fastlif::lif_backward", "CompositeExplicitAutograd")
def _lif_backward(
    grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, decay, inv_alpha, beta, threshold,
    reset, noise, noise_scalars, surrogate, surrogate_width, detach_reset, backend,
):  # fmt: skip
    x = dense_steps(x)
    grad_x = empty_steps(x)
    groups = 1 if mean is None else mean.shape[1]
    grad_initial_state = None
    if x.numel():
        grad_initial_state = launchers(backend).lif_backward(
            flat_steps(steps_as(grad_spikes, x), groups), _flat_state(grad_state, x, groups), flat_steps(x, groups),
            _flat_state(initial_state, x, groups), flat_steps(grad_x, groups), mean, deviation, seed, decay=decay,
            inv_alpha=inv_alpha, beta=beta, threshold=threshold, reset=reset, noise=noise,
            noise_scalars=tuple(noise_scalars), surrogate=surrogate, surrogate_width=surrogate_width,
            detach_reset=detach_reset, batch_norm=_batch_norm(x[0], norm),
        )  # fmt: skip
    return grad_x, _state(grad_initial_state, x, initial_state is not None)


@torch.library.register_fake("fastlif::lif_backward")
def _(
    grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, decay, inv_alpha, beta, threshold,
    reset, noise, noise_scalars, surrogate, surrogate_width, detach_reset, backend,
):  # fmt: skip
    return empty_steps(x), _state(None, x, initial_state is not None)


@torch.library.impl("fastlif::batch_statistics", "CompositeExplicitAutograd")
def _batch_statistics(x, running_mean, running_var, momentum, eps):
    if x.device.type == "cpu":  # where the statistics would be in x's type
        x = x.float()
    mean, variance = torch.ops.aten.batch_norm_update_stats(x, running_mean, running_var, momentum)
    return mean, torch.rsqrt(variance + eps)


@torch.library.register_fake("fastlif::batch_statistics")
def _(x, running_mean, running_var, momentum, eps):
    return torch.empty_like(running_mean), torch.empty_like(running_mean)


def _groups(x, statistics):
    return x.shape[1] if statistics == "sample" else 1


def _flat_state(state, x, groups):
    """``[N, *]`` as ``[groups, features]``, in memory order."""
    return None if state is None else flat_steps(step_as(state, x)[None], groups)[0]


def _state(flat, x, wanted):
    """A membrane ``[N, *]`` from its memory ``flat`` (uninitialised if None); an empty tensor if it is not wanted.

    Over the memory, not a view of ``flat``: autograd lets nobody change a view that an operator returned.
    """
    empty = x.new_empty(0, dtype=membrane_dtype(x))
    if not wanted:
        return empty
    like = torch.empty_like(x[0], dtype=membrane_dtype(x), device="meta" if flat is not None else None)
    if flat is None:
        return like
    return empty.set_(flat.untyped_storage(), flat.storage_offset(), like.shape, like.stride())


def _empty_statistics(x, groups):
    return tuple(x.new_empty((x.shape[0], groups), dtype=membrane_dtype(x)) for _ in range(2))


# --- torch.vmap ---------------------------------------------------------------------------------------------------


def _batching_rule(operator):
    """Every example by itself, one launch each: noise and statistics are its own, keyed by positions within it."""

    def rule(info, in_dims, *arguments):
        results = [
            operator(*(
                argument.select(dim, example) if isinstance(dim, int) else argument
                for argument, dim in zip(arguments, in_dims)
            ))
            for example in range(info.batch_size)
        ]  # fmt: skip
        if isinstance(results[0], torch.Tensor):
            return torch.stack(results), 0
        return tuple(torch.stack(outputs) for outputs in zip(*results)), (0,) * len(results[0])

    return rule


for _name in ("noisy_spike", "noisy_spike_backward", "lif", "noisy_lif", "lif_backward"):
    torch.library.register_vmap(f"fastlif::{_name}", _batching_rule(getattr(torch.ops.fastlif, _name)))


# --- Autograd -----------------------------------------------------------------------------------------------------


class SpikeOptions(NamedTuple):
    """What the single-step neuron needs beside its tensors."""

    threshold: float
    noise: str
    noise_scalars: tuple[float, ...]
    surrogate: str
    surrogate_width: float
    backend: str


class NeuronOptions(NamedTuple):
    """What a scan over time needs beside its tensors."""

    decay: float
    inv_alpha: float
    beta: float
    threshold: float
    reset: float | None
    noise: str
    noise_scalars: tuple[float, ...]
    surrogate: str
    surrogate_width: float
    detach_reset: bool
    backend: str


class NoisySpike(torch.autograd.Function):
    """(x ``[N, *]``, seed, SpikeOptions) to spikes ``[N, *]``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, seed, options):
        o = options
        return torch.ops.fastlif.noisy_spike(x, seed, None, o.threshold, o.noise, o.noise_scalars, o.backend)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, seed, ctx.options = inputs
        ctx.save_for_backward(x, seed)

    @staticmethod
    def backward(ctx, grad_spikes):
        return _SpikeGradient.apply(grad_spikes, *ctx.saved_tensors, None, ctx.options), None, None


class LIF(torch.autograd.Function):
    """(x ``[T, N, *]``, initial state, mean, deviation, seed, return_state, NeuronOptions) to (spikes, state)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, initial_state, mean, deviation, seed, return_state, options):
        return torch.ops.fastlif.lif(
            x, initial_state, mean, deviation, seed, None, *options[:7], return_state, options.backend
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, initial_state, mean, deviation, seed, ctx.return_state, ctx.options = inputs
        ctx.save_for_backward(x, initial_state, mean, deviation, seed)

    @staticmethod
    def backward(ctx, grad_spikes, grad_state):
        grads = _scan_gradients(grad_spikes, grad_state if ctx.return_state else None, ctx.saved_tensors, ctx.options)
        return *grads, None, None, None, None, None


class NoisyLIF(torch.autograd.Function):
    """(x ``[T, N, *]``, initial state, seed, statistics, NeuronOptions) to (spikes, state, mean, deviation).

    mean and deviation, ``[T, groups]``, are constants for the gradient.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, initial_state, seed, statistics, options):
        return torch.ops.fastlif.noisy_lif(x, initial_state, seed, statistics, *options[:7], options.backend)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, initial_state, seed, _, ctx.options = inputs
        _, _, mean, deviation = output
        ctx.mark_non_differentiable(mean, deviation)
        ctx.save_for_backward(x, initial_state, mean, deviation, seed)

    @staticmethod
    def backward(ctx, grad_spikes, grad_state, grad_mean, grad_deviation):
        grads = _scan_gradients(grad_spikes, grad_state, ctx.saved_tensors, ctx.options)
        return *grads, None, None, None


def _scan_gradients(grad_spikes, grad_state, saved, options):
    grad_x, grad_initial_state = _ScanGradient.apply(grad_spikes, grad_state, *saved, None, options)
    initial_state = saved[1]
    return grad_x, None if initial_state is None else grad_initial_state.to(initial_state.dtype)


class BatchNormNeuron(torch.autograd.Function):
    """(x ``[T*N, C, *]``, weight, bias, mean, invstd, seed, T, options) to spikes ``[T*N, C, *]``.

    The neuron of its options, a SpikeOptions or a NeuronOptions, over x normalised with its own mean and inverse
    standard deviation ``[C]``, which are differentiated through. Kept for the backward is what batch normalisation
    keeps: x and these.
    """

    @staticmethod
    def forward(x, weight, bias, mean, invstd, seed, timesteps, options):
        return normalised_neuron(x, normalisation(weight, bias, mean, invstd), seed, timesteps, options)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.timesteps, ctx.options = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad_spikes):
        saved = ctx.saved_tensors  # asked for once: activation checkpointing allows no more
        x, weight, bias, mean, invstd, seed = saved
        norm = normalisation(weight, bias, mean, invstd)
        if isinstance(ctx.options, SpikeOptions):
            grad = _SpikeGradient.apply(grad_spikes, x, seed, norm, ctx.options)
        else:
            grad_steps, steps = (tensor.unflatten(0, (ctx.timesteps, -1)) for tensor in (grad_spikes, x))
            grad, _ = _ScanGradient.apply(grad_steps, None, steps, None, None, None, seed, norm, ctx.options)
            grad = grad.flatten(0, 1)
        wanted = ctx.needs_input_grad[:3]
        if x.device.type == "cpu" and x.dtype != torch.float32:  # there PyTorch wants all of it in one type
            grad, x, weight = grad.float(), x.float(), weight.float()
        grads = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, invstd, True, 0.0, wanted
        )  # fmt: skip
        grads = (None if grad is None else grad.to(tensor.dtype) for grad, tensor in zip(grads, saved))
        return *grads, None, None, None, None, None


def normalised_neuron(x, norm, seed, timesteps, options):
    """Spikes ``[T*N, C, *]`` of a neuron over x normalised with ``norm``, ``[3, C]``, without gradients."""
    if isinstance(options, SpikeOptions):
        o = options
        return torch.ops.fastlif.noisy_spike(x, seed, norm, o.threshold, o.noise, o.noise_scalars, o.backend)
    steps = x.unflatten(0, (timesteps, -1))
    spikes, _ = torch.ops.fastlif.lif(steps, None, None, None, seed, norm, *options[:7], False, options.backend)
    return spikes.flatten(0, 1)


def normalisation(weight, bias, mean, invstd):
    """Batch normalisation as (x - mean) scale + bias: mean, scale and bias in one ``[3, C]`` float32."""
    return torch.stack((mean, weight.float() * invstd, bias.float()))


class _SpikeGradient(torch.autograd.Function):
    """The gradient of x in :class:`NoisySpike`, which has none itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad_spikes, x, seed, norm, options):
        return torch.ops.fastlif.noisy_spike_backward(grad_spikes, x, seed, norm, *options)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError(NO_SECOND_DERIVATIVE)


class _ScanGradient(torch.autograd.Function):
    """The gradients of x and the initial state in :class:`LIF` and :class:`NoisyLIF`, which have none themselves."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, options):
        return torch.ops.fastlif.lif_backward(
            grad_spikes, grad_state, x, initial_state, mean, deviation, seed, norm, *options
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad_x, grad_initial_state):
        raise RuntimeError(NO_SECOND_DERIVATIVE)


for _function in (NoisySpike, LIF, NoisyLIF, BatchNormNeuron, _SpikeGradient, _ScanGradient):
    # apply asks for the signature at every call, and would find it anew each time
    _function.forward.__signature__ = inspect.signature(_function.forward)
