"""SpikingJelly's nodes, computed by :func:`fastlif.functional.lif`: what :func:`fastlif.accelerate` swaps in.

Each class is a subclass of the node's own and computes its two steps, with explicit states. All else is inherited: the
memory and its reset, the step mode, ``store_v_seq`` (which runs step by step), the keys of the state_dict. The numbers
are read at each call, so they can be set at any time, as SpikingJelly's can.

This module imports SpikingJelly, and nothing imports it before :func:`fastlif.accelerate` does.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate

from fastlif.functional import lif
from fastlif.libraries.spikingjelly import Accelerated
from fastlif.options import once
from fastlif.types import Surrogate

__all__ = ["ACCELERATED", "FastIFNode", "FastLIFNode", "FastParametricLIFNode", "why_not"]

# SpikingJelly's surrogate and ours, whose width is a function of its alpha.
SURROGATES = {
    surrogate.ATan: lambda alpha: Surrogate("atan", alpha),
    surrogate.Sigmoid: lambda alpha: Surrogate("sigmoid", alpha),
    surrogate.PiecewiseQuadratic: lambda alpha: Surrogate("triangular", 1 / alpha),
    surrogate.Rect: lambda alpha: Surrogate("rectangular", 1 / alpha),
    surrogate.Erf: lambda alpha: Surrogate("gaussian", 1 / (alpha * math.sqrt(2))),
    surrogate.SuperSpike: lambda alpha: Surrogate("fast_sigmoid", 1.0),  # alpha is its height: 1, or it has no twin
}


@once
def _surrogate(kind: type, alpha: float) -> Surrogate:
    return SURROGATES[kind](float(alpha))


class _Fast(Accelerated):
    """What the nodes share; the second base of each is the node of SpikingJelly."""

    v_reset: float | None

    def single_step_functional_forward(self, inputs, states, **keywords):
        (spikes,), states = self.multi_step_functional_forward((inputs[0][None],), states)
        return (spikes[0],), states

    def multi_step_functional_forward(self, inputs, states, **keywords):
        (x, *_), (v, *others) = inputs, states
        if x.ndim == 1:  # steps without dimensions
            (spikes,), (v, *others) = self.multi_step_functional_forward((x[:, None],), (v[None], *others))
            return (spikes[:, 0],), (v[0].clone(), *others)  # SpikingJelly detaches it in place, which a view forbids
        if not x.is_floating_point() and not x.is_complex():  # SpikingJelly's steps make floating-point numbers of it
            x, v = x.to(torch.get_default_dtype()), v.to(torch.get_default_dtype())
        reason = why_not(self)
        if reason:
            raise RuntimeError(
                f"this {type(self).__name__} was changed since fastlif.accelerate, and it {reason}: undo that, or take "
                "fastlif.restore(model)"
            )
        function = self.surrogate_function
        spikes, state = lif(
            x,
            **self._equation(),
            threshold=self.v_threshold,
            reset=self.v_reset,
            inclusive=True,
            surrogate=_surrogate(type(function), function.alpha),
            detach_reset=self.detach_reset,
            initial_state=v,
            return_state=True,
        )
        return (spikes,), (state.to(v.dtype), *others)

    def _rest(self) -> float:
        """SpikingJelly's membrane leaks to where a spike puts it."""
        return 0.0 if self.v_reset is None else self.v_reset


class FastIFNode(_Fast, neuron.IFNode):
    def _equation(self):
        return {"decay": 1.0}


class FastLIFNode(_Fast, neuron.LIFNode):
    def _equation(self):
        return {"decay": 1 - 1 / self.tau, "gain": 1 / self.tau if self.decay_input else 1.0, "rest": self._rest()}


class FastParametricLIFNode(_Fast, neuron.ParametricLIFNode):
    def _equation(self):
        inverse = self.w.sigmoid()  # of tau
        return {"decay": 1 - inverse, "gain": inverse if self.decay_input else 1.0, "rest": self._rest()}


ACCELERATED = {
    neuron.IFNode: FastIFNode,
    neuron.LIFNode: FastLIFNode,
    neuron.ParametricLIFNode: FastParametricLIFNode,
}


def why_not(node) -> str | None:
    """Why ``node``, an accelerated one or one of SpikingJelly's, cannot be computed by fastlif; None if it can."""
    if not isinstance(node, _Fast) and type(node) not in ACCELERATED:
        return "has no counterpart in fastlif"
    function = node.surrogate_function
    kind = type(function)
    alpha: Any = getattr(function, "alpha", None)
    if kind not in SURROGATES:
        return f"has the surrogate {getattr(function, '__name__', kind.__name__)}, which fastlif does not have"
    if not function.spiking:
        return "does not spike (surrogate_function.spiking is False)"
    if type(alpha) not in (float, int) or not alpha > 0 or (kind is surrogate.SuperSpike and alpha != 1):
        return f"has the surrogate {kind.__name__} with alpha={alpha}, which fastlif does not have"
    if type(node.v_threshold) not in (float, int) or type(node.v_reset) not in (float, int, type(None)):
        return "has a v_threshold or v_reset that is not a number"
    if node._neuron_precision is not None:
        return "has a precision of its own"
    return None
