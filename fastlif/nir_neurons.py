"""The neurons of NIR, both ways."""

from __future__ import annotations

import nir
import numpy as np
import torch

from fastlif.modules import LIF, NoisyLIF


def to_node(neuron, shape, where: str, dt: float, scale: str, discretisation: str):
    """The node of a fastlif neuron that has ``shape``. See :func:`fastlif.to_nir`."""
    if neuron.reset_to is None:
        raise ValueError(f"model: NIR has no soft reset, as {where} has with reset=None: train it with reset=0.0")
    decay, threshold = _array(_decay(neuron, where), shape), _array(neuron.threshold, shape)
    reset, integrates = _array(neuron.reset_to, shape), decay == 1
    if integrates.any() and not integrates.all():
        raise ValueError(f"model: the decay of {where} must be 1 for all neurons (NIR's IF) or for none (its LIF)")
    if integrates.all():
        lead = np.ones(shape)
    elif discretisation == "euler":
        lead = 1 - decay
    elif (decay > 0).all():
        lead = -np.log(decay)
    else:
        raise ValueError(f'model: the decay of {where} must be greater than 0 for discretisation="exponential"')
    factor = lead if scale == "weights" else np.ones(shape)  # NIR's membrane in units of ours
    r, threshold, reset = factor / lead, threshold * factor, reset * factor
    if integrates.all():
        return nir.IF(r / dt, threshold, reset)
    return nir.LIF(dt / lead, r, np.zeros(shape), threshold, reset)


def _decay(neuron, where):
    """The decay of a neuron that draws nothing and computes no statistics."""
    if isinstance(neuron, LIF):
        return neuron.decay
    if not isinstance(neuron, NoisyLIF):
        raise ValueError(f"model: NIR has no node for {where}")
    if neuron.noise.kind != "none":
        raise ValueError(f"model: NIR has no noise, which {where} draws: convert and train with neuron=fastlif.LIF")
    if not neuron.calibrated_mean.numel():
        raise ValueError(
            f"model: NIR has no statistics taken as it runs, as {where} takes them: convert with neuron=fastlif.LIF"
        )
    mean, deviation = neuron.calibrated_mean.double(), neuron.calibrated_deviation.double()
    moving = deviation > 0  # elsewhere the membrane's item is beta alone
    spread = torch.where(moving, neuron.alpha * deviation, 1)
    decay, offset = torch.where(moving, neuron.decay / spread, 0), neuron.beta - torch.where(moving, mean / spread, 0)
    if not (decay == decay[0, 0]).all() or not (offset == 0).all():
        raise ValueError(
            f"model: NIR has no calibrated statistics that vary from step to step or add to the membrane, as those of "
            f"{where}: convert with neuron=fastlif.LIF"
        )
    return decay[0, 0]


def _array(value, shape) -> np.ndarray:
    """A neuron's number or tensor for each of its neurons, in float64."""
    value = value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else np.float64(value)
    return np.broadcast_to(value, (1, *shape))[0].copy()


def from_node(node, name: str, dt: float, discretisation: str, keywords: dict) -> LIF:
    """The neuron of a node. See :func:`fastlif.from_nir`."""
    threshold, r, reset = (np.asarray(value, np.float64) for value in (node.v_threshold, node.r, node.v_reset))
    if isinstance(node, nir.LIF):
        tau, leak = np.asarray(node.tau, np.float64), np.asarray(node.v_leak, np.float64)
        if not (tau > 0).all():
            raise ValueError(f"graph: the time constant tau of {name!r} must be greater than 0, got {tau.min():g}")
        if discretisation == "euler" and (dt > tau * (1 + 1e-9)).any():
            raise ValueError(
                f"dt must not exceed the time constants, and {dt:g} does exceed tau = {tau.min():g} of {name!r}: give "
                "the dt that the graph was written for, in the same unit"
            )
        decay = np.maximum(1 - dt / tau, 0) if discretisation == "euler" else np.exp(-dt / tau)
        gain = r * dt / tau
    else:
        decay, gain, leak = np.float64(1), r * dt, np.float64(0)
    if not (gain > 0).all():
        raise ValueError(f"graph: the resistance r of {name!r} must be greater than 0, got {r.min():g}")
    reset = _value((reset - leak) / gain)
    if isinstance(reset, torch.Tensor):
        raise ValueError(
            f"graph: (v_reset - v_leak) / r of {name!r} must be the same for all neurons, got {reset.min():g} to "
            f"{reset.max():g}"
        )
    threshold = _value((threshold - leak) / gain)
    return LIF(None, decay=_value(decay), threshold=threshold, reset=reset, **keywords)


def _value(values: np.ndarray):
    """A number if all are equal; or else a tensor, with one entry along a dimension where all are."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        if np.allclose(values, first, rtol=1e-12, atol=0):
            values = first
    if values.size == 1:
        return float(f"{values.item():.14g}")
    return torch.tensor(values, dtype=torch.get_default_dtype())
