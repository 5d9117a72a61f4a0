"""Neurons that others know by a name: what is special in them, over LIF."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fastlif import neuron_values, validation
from fastlif.layout import membrane_dtype, unfolded
from fastlif.modules import LIF
from fastlif.neuron import Neuron

__all__ = ["IF", "LI", "ParametricLIF"]


class IF(LIF):
    """The integrate-and-fire neuron: :class:`fastlif.LIF` without a leak, of decay 1.

    Args:
        timesteps: as in LIF.
        keywords: the other arguments of LIF, but for decay and tau.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide.
    """

    def __init__(self, timesteps: int | None = 1, **keywords: Any):
        _refuse(keywords, ("decay", "tau"), "IF does not leak and takes no {}: use fastlif.LIF")
        super().__init__(timesteps, decay=1.0, **keywords)


class ParametricLIF(LIF):
    """:class:`fastlif.LIF` that learns its time constant: with a learned w, decay = 1 - sigmoid(w) and
    gain = sigmoid(w).

    Args:
        timesteps: as in LIF.
        init_tau: the time constant in steps to begin with, more than 1; 2 by default: ``sigmoid(w) = 1 / init_tau``.
        channels: learn one w for each channel of ``[N, channels, *]``; by default one for the layer, without
            dimensions. FSDP takes no such parameter: with 1 it has the shape ``[1]``, on any number of channels.
        decay_input: with False the gain is 1.
        keywords: the other arguments of LIF, but for decay, tau and gain.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide.
    """

    def __init__(
        self,
        timesteps: int | None = 1,
        *,
        init_tau: float = 2.0,
        channels: int | None = None,
        decay_input: bool = True,
        **keywords: Any,
    ):
        _refuse(keywords, ("decay", "tau", "gain"), "ParametricLIF learns it and takes no {}: give init_tau")
        super().__init__(timesteps, **keywords)
        init_tau = validation.check_number("init_tau", init_tau, finite=True)
        if init_tau <= 1:
            raise ValueError(f"init_tau must be more than 1 step, got {init_tau}")
        self.decay_input = validation.check_flag("decay_input", decay_input)
        if channels is not None:
            validation.check_index("channels", channels, minimum=1)
        self.init_tau = init_tau
        self.w = nn.Parameter(torch.empty(() if channels is None else (channels,)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Lets the time constant be ``init_tau`` again."""
        nn.init.constant_(self.w, -math.log(self.init_tau - 1))

    _earlier = {"init_tau": 2.0}

    @property
    def decay(self) -> torch.Tensor:
        """1 - sigmoid(w)."""
        return 1 - self.w.sigmoid()

    @decay.setter
    def decay(self, value: Any) -> None:
        if "w" in self._parameters:
            raise AttributeError("the decay is learned, 1 - sigmoid(w): set w instead")

    @property
    def gain(self) -> torch.Tensor | float:
        """sigmoid(w), or 1 with ``decay_input=False``."""
        return self.w.sigmoid() if self.decay_input else 1.0

    @gain.setter
    def gain(self, value: Any) -> None:
        if "w" in self._parameters:
            raise AttributeError("the gain is learned, sigmoid(w), or 1: set w or decay_input instead")

    def _is_tensor(self, name: str) -> bool:
        return name == "decay" or (name == "gain" and self.decay_input) or super()._is_tensor(name)

    def tensors(self, step: torch.Size) -> dict[str, torch.Tensor]:
        """As :meth:`fastlif.LIF.tensors`; decay and gain follow from w."""
        if self.w.ndim and len(step) < 2:
            raise ValueError(
                f"input must have a dimension of {len(self.w)} channels after the batch, got steps of shape "
                f"{tuple(step)}"
            )
        rate = self.w.sigmoid()
        rate = rate.view(-1, *(1,) * (len(step) - 2)) if rate.ndim else rate
        tensors = {"decay": 1 - rate} | ({"gain": rate} if self.decay_input else {})
        return tensors | ({"threshold": self.threshold} if isinstance(self.threshold, torch.Tensor) else {})


def _checked(number: Callable) -> Callable[[str, Any], Any]:
    """A check of a parameter that is set: a tensor by its values, anything else by ``number``."""

    def check(name, value):
        if not isinstance(value, torch.Tensor):
            return number(value)
        validation.check_floating(name, value)
        neuron_values.check_parameter_values(name, value)
        return value

    return check


class LI(Neuron):
    """A leaky integrator, to read out a network: the membrane that never spikes, ``v_t = gain x_t + decay v_{t-1}``.

    Takes ``[T*N, *]`` and gives the membrane at every step, ``[T*N, *]`` in the input's dtype.

    Args:
        timesteps: as in :class:`fastlif.LIF`.
        decay: in [0, 1], a number or a tensor that broadcasts against one time step ``[N, *]``, such as ``[C, 1, 1]``
            for images. An ``nn.Parameter`` is learned, and clamped; any other tensor becomes a buffer. 0.5 by default.
        tau: the time constant in steps, instead of decay: decay = 1 - 1/tau.
        gain: a factor of the input, a number or a tensor as for decay; 1 by default.
        stateful, detach_state: as in LIF.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide, for a tensor
            that does not broadcast, and on a CPU for one that has become NaN.
    """

    def __init__(
        self,
        timesteps: int | None = 1,
        *,
        decay: float | torch.Tensor | None = None,
        tau: float | None = None,
        gain: float | torch.Tensor = 1.0,
        stateful: bool = False,
        detach_state: bool = True,
    ):
        number = neuron_values.number_or_given(decay)
        super().__init__(timesteps, number, tau, math.inf, 0.0, "atan", False, stateful, "reference",
                         detach_state=detach_state)  # fmt: skip
        self.gain = gain
        if isinstance(decay, torch.Tensor):
            self.decay = decay

    def used_decay(self) -> float | torch.Tensor:
        """The decay, clamped to [0, 1] if it is a tensor."""
        return self.decay.clamp(0, 1) if isinstance(self.decay, torch.Tensor) else self.decay

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x, T, call, states = self._call(input)
        v = None if states is None else self._initial_state(x, T, states.get(call))
        x = unfolded(x, T)
        v = torch.zeros_like(x[0], dtype=membrane_dtype(x)) if v is None else v.to(membrane_dtype(x))
        steps, parameters = [], []
        for name, value in (("gain", self.gain), ("decay", self.used_decay())):
            if isinstance(value, torch.Tensor):
                value = (value.reshape(()) if value.numel() == 1 else value).to(v.dtype)
                neuron_values.check_parameter(name, value, x.shape[1:], x.device)
            parameters.append(value)
        gain, decay = parameters
        for x_t in x.unbind():
            v = gain * x_t.to(v.dtype) + decay * v
            steps.append(v)
        membranes = torch.stack(steps)
        if states is not None:
            self._carry(states, call, v)  # no part of the output, which others may change
        membranes = membranes.to(x.dtype)
        return membranes if self.timesteps is None else membranes.flatten(0, 1)

    def _default(self) -> Neuron:
        return LI()

    _checks = Neuron._checks | {
        "decay": _checked(neuron_values.check_decay),
        "gain": _checked(neuron_values.check_gain),
    }

    def extra_repr(self) -> str:
        decay, gain = map(neuron_values.in_words, (self.decay, self.gain))
        return f"timesteps={self.timesteps}, decay={decay}, gain={gain}"


def _refuse(keywords, names, sentence) -> None:
    for name in names:
        if name in keywords:
            raise TypeError(sentence.format(name))
