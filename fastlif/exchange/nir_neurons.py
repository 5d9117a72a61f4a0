"""The neurons of NIR, both ways."""

from __future__ import annotations

import nir
import numpy as np
import torch

from fastlif.modules import LIF, NoisyLIF
from fastlif.variants import LI

LI_KEYWORDS = ("stateful", "detach_state")  # what LI has of from_nir's keywords


def to_node(neuron, shape, where: str, factor: float, dt: float, scale: str, discretisation: str):
    """The node of a fastlif neuron that has ``shape``, and whose input has a factor. See :func:`fastlif.to_nir`."""
    decay, threshold, gain, reset = (_array(value, shape, where) for value in _values(neuron, shape, where))
    gain = gain * factor
    integrates = (decay == 1).all()
    if (decay == 1).any() and not integrates:
        raise ValueError(f"model: the decay of {where} must be 1 for all neurons (NIR's IF) or for none (its LIF)")
    if integrates:
        lead = np.ones(shape)
    elif discretisation == "euler":
        lead = 1 - decay
    elif (decay > 0).all():
        lead = -np.log(decay)
    else:
        raise ValueError(f'model: the decay of {where} must be greater than 0 for discretisation="exponential"')
    if isinstance(neuron, LI):  # whose membrane is its output, so that it keeps its scale
        return nir.I(gain / dt) if integrates else nir.LI(dt / lead, gain / lead, np.zeros(shape))
    if scale == "weights" and not (gain > 0).all():
        raise ValueError(f'model: the gain of {where} must be greater than 0, unless scale="membrane"')
    unit = lead / gain if scale == "weights" else np.ones(shape)  # of ours, NIR's membrane counted in it
    if getattr(neuron, "inclusive", False):  # NIR spikes above its threshold and not at it
        threshold = np.minimum(_before(threshold), _before(threshold * unit) / unit)
    r, threshold, reset = unit * gain / lead, threshold * unit, reset * unit
    if integrates:
        return nir.IF(r / dt, threshold, reset)
    return nir.LIF(dt / lead, r, np.zeros(shape), threshold, reset)


def _before(values: np.ndarray) -> np.ndarray:
    """The float32 numbers just below, as readers hold the membrane in float32."""
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf)).astype(np.float64)


def _values(neuron, shape, where):
    """Decay, threshold, gain and reset of a neuron, the membrane counted from rest."""
    if isinstance(neuron, LI):
        return neuron.used_decay(), 0.0, neuron.gain, 0.0
    if not isinstance(neuron, (LIF, NoisyLIF)):
        raise ValueError(f"model: NIR has no node for {where}")
    if neuron.reset_to is None:
        raise ValueError(f"model: NIR has no soft reset, as {where} has with reset=None: train it with reset=0.0")
    if isinstance(neuron, NoisyLIF):
        return _noiseless_decay(neuron, where), neuron.threshold, 1.0, neuron.reset_to
    tensors = neuron.tensors(torch.Size((1, *shape)))
    decay, threshold, gain = (tensors.get(name, getattr(neuron, name)) for name in ("decay", "threshold", "gain"))
    return decay, threshold - neuron.rest, gain, neuron.reset_to - neuron.rest


def _noiseless_decay(neuron, where):
    """The decay of a NoisyLIF that draws no noise, and whose membrane is normalised alike at every step."""
    if neuron.noise.kind != "none":
        raise ValueError(f"model: NIR has no noise, which {where} draws: convert and train with neuron=fastlif.LIF")
    if not neuron.calibrated_mean.numel():
        raise ValueError(
            f"model: NIR has no statistics taken as it runs, as {where} takes them: convert with neuron=fastlif.LIF"
        )
    mean, deviation = neuron.calibrated_mean.double(), neuron.calibrated_deviation.double()
    # Elsewhere the membrane has no normal form, and its item is beta alone: see normalisation in reference.py.
    moving = (neuron.alpha * neuron.calibrated_deviation).reciprocal() < torch.inf
    spread = torch.where(moving, neuron.alpha * deviation, 1)
    decay, offset = torch.where(moving, neuron.decay / spread, 0), neuron.beta - torch.where(moving, mean / spread, 0)
    if not (decay == decay[0, 0]).all() or not (offset == 0).all():
        raise ValueError(
            f"model: NIR has no calibrated statistics that vary from step to step or add to the membrane, as those of "
            f"{where}: convert with neuron=fastlif.LIF"
        )
    return decay[0, 0]


def _array(value, shape, where) -> np.ndarray:
    """A number or a tensor for each neuron, in float64."""
    value = value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else np.float64(value)
    try:
        return np.broadcast_to(value, (1, *shape))[0].copy()
    except ValueError:
        raise ValueError(
            f"input_shape does not fit: a parameter of {where} has shape {value.shape}, and it gets {shape}"
        ) from None


def from_node(node, name: str, dt: float, discretisation: str, keywords: dict) -> LIF | LI:
    """The neuron of a node. See :func:`fastlif.from_nir`."""
    r = np.asarray(node.r, np.float64)
    if isinstance(node, (nir.LIF, nir.LI)):
        tau, leak = np.asarray(node.tau, np.float64), np.asarray(node.v_leak, np.float64)
        if not (tau > 0).all():
            raise ValueError(f"graph: the time constant tau of {name!r} must be greater than 0, got {tau.min():g}")
        if discretisation == "euler" and (dt > tau * (1 + 1e-9)).any():
            raise ValueError(
                f"dt must not exceed the time constants, and {dt:g} does exceed tau = {tau.min():g} of {name!r}: give "
                "the dt that the graph was written for, in the same unit; export one of Norse's with dt=1"
            )
        decay = np.maximum(1 - dt / tau, 0) if discretisation == "euler" else np.exp(-dt / tau)
        gain = r * dt / tau
    else:
        decay, gain, leak = np.ones(()), r * dt, np.zeros(())
    if isinstance(node, (nir.LI, nir.I)):
        if leak.any():
            raise ValueError(f"graph: v_leak of {name!r}, which never spikes, must be 0")
        keywords = {key: keywords[key] for key in LI_KEYWORDS if key in keywords}
        return LI(None, decay=_value(decay), gain=_value(gain), **keywords)
    if not (gain > 0).all():
        raise ValueError(f"graph: the resistance r of {name!r} must be greater than 0, got {r.min():g}")
    threshold, reset = (np.asarray(value, np.float64) - leak for value in (node.v_threshold, node.v_reset))
    unit = gain  # of our membrane
    keywords = {"reset": _value(reset / unit), **keywords}
    if isinstance(keywords["reset"], torch.Tensor):
        unit = np.ones(())
        keywords |= {"gain": _value(gain), "reset": _value(reset)}
    if isinstance(keywords["reset"], torch.Tensor):
        raise ValueError(
            f"graph: v_reset - v_leak of {name!r} must be the same for all neurons, got {reset.min():g} to "
            f"{reset.max():g} (of a model of ours, fastlif.to_nir(..., scale=\"membrane\") writes one)"
        )
    return LIF(None, decay=_value(decay), threshold=_value(threshold / unit), **keywords)


def _value(values: np.ndarray):
    """A number if all are equal; or else a tensor, with one entry along a dimension where all are."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        if np.allclose(values, first, rtol=1e-12, atol=0):
            values = first
    if values.size == 1:
        return float(f"{values.item():.14g}")
    return torch.tensor(values, dtype=torch.get_default_dtype())
