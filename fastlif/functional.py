"""The neurons as functions. :mod:`fastlif.modules` holds the same as ``nn.Module``.

Common to all of them:

- Spikes come back in the input's dtype, shape and memory format.
- Inputs are float32, float16 or bfloat16 in any memory layout, and the membrane is float32. For float64 both are
  float64, on the reference backend alone.
- Gradients are the surrogate's; the mean and the largest deviation of the membrane count as constants. They can be
  taken once: there is no second derivative, and asking for it is an error.
- ``backend``: ``"auto"`` (Triton's kernels on a GPU, the compiled path on a CPU, the reference for float64 and on
  other devices), ``"triton"``, ``"compiled"`` or ``"reference"``. A name that cannot run here raises a RuntimeError
  that says why.
- The same ``seed`` gives the same noise on every backend. By default a fresh one is drawn from torch's generator of
  the input's device, so ``torch.manual_seed`` governs it. Noise is keyed by an element's position in the memory of a
  time step, so it follows the memory layout. Ranks with equal seeds draw equal noise: seed with the rank.
- Activation checkpointing draws the same noise again, as it restores the generator; with
  ``preserve_rng_state=False`` the gradient belongs to other noise than the spikes.
- Wrong arguments raise TypeError or ValueError, naming the argument and what is allowed, before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack, overload

import torch

from fastlif import neuron_values, reference, validation
from fastlif.backends import BACKENDS, choose_backend
from fastlif.layout import batch_outermost, folded, membrane_dtype, unfolded
from fastlif.libraries.names import knows_other_names
from fastlif.noise import fresh_seed, residual_noise
from fastlif.operators import scan, single_step
from fastlif.options import once, options
from fastlif.packing import mark
from fastlif.types import LIFArguments, Noise, NoisyLIFArguments, Surrogate

__all__ = ["lif", "noisy_lif", "noisy_spike"]


Pair = tuple[torch.Tensor, torch.Tensor]


@knows_other_names
def noisy_spike(
    input: torch.Tensor,
    *,
    noise: Noise = Noise(),
    threshold: float = 1.0,
    surrogate: str | Callable | Surrogate = "atan",
    seed: int | torch.Tensor | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """The single-step noisy neuron, Eq. (5) and (2): spikes where ``input + noise > threshold``.

    Args:
        input: ``[N, *]``, the weighted input of each neuron.
        noise: N_noise, by default a truncated Gaussian on [0, 1].
        threshold: V_th, in units of the membrane potential.
        surrogate: a name, a :class:`fastlif.Surrogate` or a function of your own, the derivative used in the backward
            pass.
        seed: an int or a one-element int64 tensor on the input's device; by default drawn from torch's generator.
        backend: see the module.

    Returns:
        Spikes ``[N, *]``, 0 or 1: no spike for NaN, one for +inf.

    Raises:
        TypeError, ValueError: for wrong arguments.
        RuntimeError: if an explicitly chosen backend cannot run here.
    """
    chosen = noisy_spike_options(noise, threshold, surrogate, backend)
    validation.check_input(input, dimensions="[N, *]", minimum=1)
    return run_noisy_spike(input, seed, chosen)


@once
def noisy_spike_options(noise, threshold, surrogate, backend):
    validation.check_type("noise", noise, Noise)
    threshold = validation.check_number("threshold", threshold)
    validation.check_choice("backend", backend, BACKENDS)
    return options(
        threshold=threshold, noise=noise.kind, noise_scalars=noise.scalars(), backend=backend,
        **_surrogate_values(surrogate, noise.kind),
    )  # fmt: skip


def _surrogate_values(surrogate, noise="none"):
    surrogate = Surrogate.of(surrogate)
    at = "membrane" if noise == "none" else surrogate.at
    return {"surrogate": surrogate.key, "surrogate_width": surrogate.width, "surrogate_at": at}


def run_noisy_spike(input, seed, chosen):
    """:func:`noisy_spike` with its record of options."""
    backend = choose_backend(chosen.backend, input)
    seed = _seed(seed, chosen, input)
    if backend == "reference":
        return mark(reference.noisy_spike(input, seed, chosen), backend)
    return mark(single_step.noisy_spike(input, seed, None, chosen), backend)


@overload
def lif(input: torch.Tensor, *, return_state: Literal[False] = False, **_: Unpack[LIFArguments]) -> torch.Tensor: ...
@overload
def lif(input: torch.Tensor, *, return_state: Literal[True], **_: Unpack[LIFArguments]) -> Pair: ...
@overload
def lif(input: torch.Tensor, *, return_state: bool, **_: Unpack[LIFArguments]) -> torch.Tensor | Pair: ...
@knows_other_names
def lif(
    input: torch.Tensor,
    *,
    decay: float | torch.Tensor | None = None,
    tau: float | None = None,
    threshold: float | torch.Tensor = 1.0,
    reset: float | None = 0.0,
    gain: float | torch.Tensor = 1.0,
    rest: float = 0.0,
    inclusive: bool = False,
    reset_delay: bool = False,
    surrogate: str | Callable | Surrogate = "atan",
    detach_reset: bool = False,
    initial_state: torch.Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> torch.Tensor | Pair:
    """The leaky integrate-and-fire neuron over T steps, Eq. (1)-(3), with the options of other libraries' neurons::

        h_t = gain x_t + rest + decay (v_{t-1} - rest)        the membrane before the spike
        s_t = 1 if h_t > threshold else 0
        v_t = reset if s_t else h_t                           or, for reset=None: h_t - (threshold - rest) s_t

    Args:
        input: ``[T, N, *]``, the weighted input at each step; a tensor expanded over time is read in place.
        decay: lambda of Eq. (1), in [0, 1]; 0.5 by default. Like threshold and gain it may be a tensor that
            broadcasts against one time step ``[N, *]``: ``[C, 1, 1]`` for a decay of each channel of images. Tensors
            get gradients; their values are checked only on a CPU.
        tau: the membrane's time constant in steps, instead of decay: decay = 1 - 1/tau.
        threshold: V_th, in units of the membrane potential.
        reset: V_reset, the membrane after a spike; None subtracts ``threshold - rest`` instead (soft reset); the
            threshold must then be finite.
        gain: a factor of the input; 1 by default.
        rest: where the membrane leaks to and starts; 0 by default.
        inclusive: spike at the threshold too, ``h_t >= threshold``.
        reset_delay: with reset=None, take the threshold off in the next step, after the decay:
            ``h_t = ... - (threshold - rest) s_{t-1}`` and ``v_t = h_t``. s_0 is what the initial state gives.
        surrogate: a name, a :class:`fastlif.Surrogate` or a function of your own, the derivative used in the backward
            pass.
        detach_reset: take no gradient through the spike inside the reset.
        initial_state: the membrane before the first step, ``[N, *]``; rest by default. Differentiable.
        return_state: also return the membrane after the last step.
        backend: see the module.

    Returns:
        Spikes ``[T, N, *]``; with ``return_state``, (spikes, membrane ``[N, *]`` float32).

    Raises:
        TypeError, ValueError: for wrong arguments.
        RuntimeError: if an explicitly chosen backend cannot run here.
    """
    number = neuron_values.number_or_given
    chosen = lif_options(
        number(decay), tau, number(threshold), reset, number(gain), rest, inclusive, reset_delay, surrogate,
        detach_reset, backend,
    )  # fmt: skip
    return_state = validation.check_flag("return_state", return_state)
    validation.check_sequence(input)
    neuron_values.check_initial_state(initial_state, input)
    tensors = {}
    for name, value in (("gain", gain), ("decay", decay), ("threshold", threshold)):
        if isinstance(value, torch.Tensor):
            neuron_values.check_parameter(name, value, input.shape[1:], input.device, reset)
            tensors[name] = value
    spikes, state = run_lif(input, None, initial_state, return_state, chosen, **tensors)
    return (spikes, state) if return_state else spikes


@once
def lif_options(decay, tau, threshold, reset, gain, rest, inclusive, reset_delay, surrogate, detach_reset, backend):
    reset_delay = validation.check_flag("reset_delay", reset_delay)
    values = _scan_values(decay, tau, threshold, reset, detach_reset, backend, reset_delay)
    values |= _surrogate_values(surrogate)
    rest = validation.check_number("rest", rest, finite=True)
    values["threshold"] -= rest
    if values["reset"] is not None:
        values["reset"] -= rest
    inclusive = validation.check_flag("inclusive", inclusive)
    gain = neuron_values.check_gain(gain)
    return options(**values, gain=gain, rest=rest, inclusive=inclusive, reset_delay=reset_delay)


def _scan_values(decay, tau, threshold, reset, detach_reset, backend, reset_delay=False):
    decay = neuron_values.check_decay(decay, tau)
    threshold = neuron_values.check_threshold(threshold)
    return {
        "decay": decay,
        "threshold": threshold,
        "reset": neuron_values.check_reset(reset, threshold, reset_delay),
        "detach_reset": validation.check_flag("detach_reset", detach_reset),
        "backend": validation.check_choice("backend", backend, BACKENDS),
    }


def run_lif(input, timesteps, initial_state, return_state, chosen, gain=None, decay=None, threshold=None):
    """:func:`lif` with its record of options, and the parameters that are tensors: (spikes, membrane).

    The input is ``[T*N, *]`` beside a number of ``timesteps``.
    """
    backend = choose_backend(chosen.backend, input)
    if chosen.rest:  # from there the membrane counts
        dtype = membrane_dtype(input)
        initial_state = None if initial_state is None else initial_state.to(dtype) - chosen.rest
        threshold = None if threshold is None else threshold.to(dtype) - chosen.rest
    if backend == "reference":
        steps = unfolded(input, timesteps)
        spikes, state = reference.lif(steps, initial_state, chosen, gain, decay, threshold)
        spikes = folded(spikes, timesteps)
    else:
        spikes, state = scan.lif(
            input, timesteps, initial_state, None, None, None, None, gain, decay, threshold, return_state, chosen
        )
    if chosen.rest and return_state:
        state = state + chosen.rest
    return mark(spikes, backend), state


@overload
def noisy_lif(
    input: torch.Tensor, *, return_state: Literal[False] = False, **_: Unpack[NoisyLIFArguments]
) -> torch.Tensor: ...
@overload
def noisy_lif(input: torch.Tensor, *, return_state: Literal[True], **_: Unpack[NoisyLIFArguments]) -> Pair: ...
@overload
def noisy_lif(input: torch.Tensor, *, return_state: bool, **_: Unpack[NoisyLIFArguments]) -> torch.Tensor | Pair: ...
@knows_other_names
def noisy_lif(
    input: torch.Tensor,
    *,
    decay: float | None = None,
    tau: float | None = None,
    threshold: float = 1.0,
    reset: float | None = 0.0,
    alpha: float = 4.0,
    beta: float = 0.5,
    noise: Noise = Noise(),
    residual: str = "matched",
    over_time: str = "independent",
    statistics: str | tuple[torch.Tensor, torch.Tensor] = "layer",
    surrogate: str | Callable | Surrogate = "atan",
    detach_reset: bool = False,
    seed: int | torch.Tensor | None = None,
    initial_state: torch.Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> torch.Tensor | Pair:
    """The converted neuron over T steps, Eq. (6)-(9): part of the noise gives way to the normalised membrane.

    Args:
        input: ``[T, N, *]``, the weighted input at each step; a tensor expanded over time is read in place.
        decay, tau, threshold, reset, surrogate, detach_reset, initial_state, return_state: as in :func:`lif`; numbers.
        alpha: the normalised membrane lies within 1/alpha of beta; ``math.inf`` leaves the membrane out. 1/alpha must
            not exceed the noise's half-range.
        beta: the mean of the normalised membrane. N'_noise has a mean that is less by as much. Without noise nothing
            makes up for it: give 0.
        noise: the *training* noise N_noise. What is drawn is N'_noise: its mean less beta, its half-range less
            1/alpha. With ``kind="none"`` nothing is drawn.
        residual: the spread of N'_noise. ``"matched"``: the standard deviation of N_noise, so that a neuron sees the
            noise that it was trained with, as far as the smaller range allows (at most it is uniform). ``"range"``:
            the width of N_noise, so that the standard deviation shrinks with the range. For uniform noise the two
            are one.
        over_time: how N'_noise of different steps is related. ``"independent"``: not at all, as in the paper.
            ``"antithetic"``: at every second step it is the mirror image of the step before,
            ``n_{t+1} = 2 E n - n_t`` for t = 0, 2, ... Each step keeps its distribution, the mean over two steps is
            E n itself, and half of the random numbers need not be drawn.
        statistics: where the membrane's mean and largest deviation at each step come from. ``"layer"``: the whole
            tensor, batch included, as in the paper. ``"sample"``: each sample by itself, so that results do not
            depend on the rest of the batch. Or a pair (mean, deviation) of ``[T]`` tensors, of decay times the
            membrane, frozen beforehand; their values are checked only on a CPU. A deviation of 0 leaves the
            membrane out of its step.
        seed: an int or a one-element int64 tensor on the input's device; by default drawn from torch's generator.
        backend: see the module.

    Returns:
        Spikes ``[T, N, *]``; with ``return_state``, (spikes, membrane ``[N, *]`` float32).

    Raises:
        TypeError, ValueError: for wrong arguments.
        RuntimeError: if an explicitly chosen backend cannot run here.
    """
    chosen = noisy_lif_options(
        decay, tau, threshold, reset, alpha, beta, noise, residual, over_time, surrogate, detach_reset, backend
    )
    return_state = validation.check_flag("return_state", return_state)
    validation.check_sequence(input)
    statistics = neuron_values.check_statistics(statistics, input.shape[0], input.device)
    neuron_values.check_initial_state(initial_state, input)
    spikes, state, _, _ = run_noisy_lif(input, None, initial_state, statistics, seed, return_state, chosen)
    return (spikes, state) if return_state else spikes


@once
def noisy_lif_options(
    decay, tau, threshold, reset, alpha, beta, noise, residual, over_time, surrogate, detach_reset, backend
):
    values = _scan_values(decay, tau, threshold, reset, detach_reset, backend)
    validation.check_type("noise", noise, Noise)
    alpha, beta = neuron_values.check_normalisation(alpha, beta, noise)
    validation.check_choice("residual", residual, neuron_values.RESIDUALS)
    validation.check_choice("over_time", over_time, neuron_values.OVER_TIME)
    kind, scalars = residual_noise(noise, alpha, beta, residual)
    values |= _surrogate_values(surrogate, kind)
    if kind == "none":
        over_time = "independent"
    return options(**values, inv_alpha=1 / alpha, beta=beta, noise=kind, noise_scalars=scalars, over_time=over_time)


def run_noisy_lif(input, timesteps, initial_state, statistics, seed, return_state, chosen):
    """:func:`noisy_lif` with its record of options: (spikes, membrane, mean, deviation).

    The input is ``[T*N, *]`` beside a number of ``timesteps``. Mean and deviation are ``[T, G]``, where G is 1, or N
    for ``statistics="sample"``; given ones hold T values in any shape, and come back as they are.
    """
    backend = choose_backend(chosen.backend, input)
    if statistics == "sample" and not batch_outermost(unfolded(input, timesteps)):
        input = input.contiguous()  # each sample must be one run of memory
    seed = _seed(seed, chosen, input)
    if backend == "reference":
        spikes, *others = reference.noisy_lif(unfolded(input, timesteps), initial_state, statistics, seed, chosen)
        spikes = folded(spikes, timesteps)
    elif isinstance(statistics, str):
        spikes, *others = scan.noisy_lif(input, timesteps, initial_state, seed, statistics, chosen)
    else:
        mean, deviation = statistics
        spikes, state = scan.lif(
            input, timesteps, initial_state, mean, deviation, seed, None, None, None, None, return_state, chosen
        )
        others = state, mean, deviation
    return mark(spikes, backend), *others


def _seed(seed, chosen, input):
    """A ``[1]`` int64 tensor, or None where nothing is drawn (a seed that was given is still checked)."""
    if seed is not None:
        seed = neuron_values.check_seed(seed, input.device)
    if chosen.noise == "none":
        return None
    return fresh_seed(input.device) if seed is None else seed
