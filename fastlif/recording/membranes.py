"""The membrane of a neuron at every step of a call that was made, which the fast kernels keep to themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from fastlif import reference
from fastlif.layout import batch_outermost
from fastlif.modules import NoisyLIF
from fastlif.neuron import Neuron
from fastlif.noise import fresh_seed
from fastlif.passes import Membranes

__all__ = ["generator_state", "membranes"]


def generator_state(device: torch.device) -> Tensor:
    """That of torch's default generator on ``device``, from which the next seed is drawn."""
    if device.type == "cpu":
        return torch.get_rng_state()
    return torch.get_device_module(device).get_rng_state(device)


def membranes(
    neuron: Neuron, input: Tensor, spikes: Tensor, states: Membranes, generator: Tensor | None, which: str
) -> Tensor:
    """The membrane ``[T, N, *]`` before or after the spike, in a call that just ended.

    Args:
        neuron: the neuron that was called.
        input: what it was called with.
        spikes: ``[T, N, *]``, what it gave: they reset the membrane here, so that rounding cannot part the two.
        states: the membranes that it carried before the call.
        generator: the :func:`generator_state` before the call, of a neuron with noise.
        which: ``"before"`` or ``"after"``.
    """
    x = _unfold(neuron, input, spikes)
    current = neuron._pass()
    call = 0 if current is None else len(current.calls[neuron]) - 1 if neuron in current.calls else 0
    v = states.get(call) if neuron.stateful else None
    v = None if v is None else v.to(reference.widen(x[0]).dtype)
    spikes = reference.widen(spikes)
    if isinstance(neuron, NoisyLIF):
        steps = _noisy_steps(neuron, input, x, spikes, v, call, generator)
    else:
        steps = _lif_steps(neuron, x, spikes, v)
    return torch.stack([h if which == "before" else v for h, v in steps])


def _unfold(neuron, input, spikes):
    """The input ``[T, N, *]``, also where it came once for all steps."""
    if neuron.timesteps is None:
        return input
    if input.shape[0] == spikes.shape[1] and spikes.shape[0] > 1:
        return input.expand(spikes.shape)
    return input.unflatten(0, spikes.shape[:2])


def _lif_steps(neuron, x, spikes, v):
    """(h_t, v_t) of the equations of :func:`fastlif.functional.lif` for each step."""
    tensors = neuron.tensors(x.shape[1:])
    gain, decay, threshold = (tensors.get(name, getattr(neuron, name)) for name in ("gain", "decay", "threshold"))
    rest, s = neuron.rest, torch.zeros_like(x[0])
    if v is None:
        v = torch.full_like(reference.widen(x[0]), rest)
    if neuron.reset_delay:
        s = v >= threshold if neuron.inclusive else v > threshold
    for x_t, s_t in zip(x, spikes):
        h = gain * reference.widen(x_t) + rest + decay * (v - rest)
        if neuron.reset_delay:
            h, s = h - (threshold - rest) * s, s_t
        v = h if neuron.reset_delay else _after(h, s_t, threshold - rest, neuron.reset_to)
        yield h, v


def _noisy_steps(neuron, input, x, spikes, v, call, generator):
    """(h_t, v_t) of Eq. (5), or of Eq. (6)-(9), for each step, with the noise that was drawn."""
    single = not neuron.converted and neuron._single(input)
    options = neuron.options(single)
    statistics = "layer" if single else neuron._statistics(x.shape[0], call, x)
    if statistics == "sample" and not batch_outermost(x):
        x = x.contiguous()  # as the noise was keyed
    seed = None if options.noise == "none" else _drawn_seed(x.device, generator)
    if v is None:
        v = torch.zeros_like(reference.widen(x[0]))
    for t, (x_t, s_t) in enumerate(zip(x, spikes)):
        h = reference.widen(x_t) if single else reference.with_membrane(x_t, v, t, statistics, options)[0]
        h, _ = reference.noisy(h, x_t, seed, t, options)
        v = _after(h, s_t, options.threshold, neuron.reset_to)
        yield h, v


def _after(h, s, threshold, reset):
    """v_t of Eq. (3)."""
    return h - threshold * s if reset is None else torch.where(s > 0, reset, h)


def _drawn_seed(device: torch.device, state: Tensor) -> Tensor:
    """The seed that was drawn first from torch's generator in this state."""
    generator = torch.Generator(device)
    generator.set_state(state)
    return fresh_seed(device, generator)
