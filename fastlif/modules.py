"""The neurons as modules, to sit between the plain layers of an existing model.

Time is folded into the batch: a module with ``timesteps=T`` takes and gives ``[T*N, *]``, time-major, so that
``nn.Conv2d``, ``nn.BatchNorm2d`` and ``nn.Linear`` need not know of it. ``x.flatten(0, 1)`` folds ``[T, N, *]``.
One with ``timesteps=None`` takes and gives ``[T, N, *]``. A batch where time should be gives wrong results without an
error: :func:`fastlif.check_time_axis` finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from fastlif import functional, neuron_values, passes, validation
from fastlif.layout import step_shape
from fastlif.libraries.names import knows_other_names
from fastlif.neuron import PARAMETERS, Neuron
from fastlif.passes import thread
from fastlif.types import Noise, Surrogate

__all__ = ["LIF", "NoisyLIF"]

_begin_pass, _end_pass = passes.begin_pass, passes.end_pass  # where models that 0.1.0 saved look for their hooks
CALIBRATED = ("calibrated_mean", "calibrated_deviation")


class LIF(Neuron):
    """The leaky integrate-and-fire neuron, Eq. (1)-(3): ``[T*N, *]`` to spikes ``[T*N, *]``.

    Args:
        timesteps: T, the steps folded into the batch; 1 by default. With None the input and the spikes are
            ``[T, N, *]``, of any T. :class:`fastlif.MultiStep` sets it to a number, as its model's batch is folded.
        decay, tau, threshold, reset, gain, rest, inclusive, reset_delay, surrogate, detach_reset, backend: as in
            :func:`fastlif.functional.lif`. An ``nn.Parameter`` given as decay, threshold or gain is learned: a learned
            decay is clamped to [0, 1], without gradient outside. Any other tensor becomes a buffer.
        stateful: begin each call with the membrane that the last one ended with, instead of rest; :func:`fastlif.reset`
            forgets it. In a model that :func:`fastlif.convert` made or :class:`fastlif.MultiStep` holds, each call of
            a neuron in a pass of the model has a membrane of its own, as a ReLU may be called for several layers. In
            other models a neuron has one membrane, for all its calls: give each layer its own neuron.
        detach_state: carry the membrane detached, so that gradients reach back to the start of the call. With False
            they reach back through all calls, to the last :func:`fastlif.detach` or :func:`fastlif.reset`.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide.
        RuntimeError: for a stateful neuron of a converted model that is called outside of it, or that was made
            stateful after the conversion: convert the model again then.
    """

    gain: float | torch.Tensor

    @knows_other_names
    def __init__(
        self,
        timesteps: int | None = 1,
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
        stateful: bool = False,
        detach_state: bool = True,
        backend: str = "auto",
    ):
        number = neuron_values.number_or_given
        super().__init__(timesteps, number(decay), tau, number(threshold), reset, surrogate, detach_reset, stateful,
                         backend, reset_delay, detach_state)  # fmt: skip
        self.gain = neuron_values.check_gain(number(gain))
        self.rest = validation.check_number("rest", rest, finite=True)
        self.inclusive = validation.check_flag("inclusive", inclusive)
        self.reset_delay = validation.check_flag("reset_delay", reset_delay)
        for name, value in (("gain", gain), ("decay", decay), ("threshold", threshold)):
            if isinstance(value, torch.Tensor):
                validation.check_floating(name, value)
                neuron_values.check_parameter_values(name, value, reset)
                setattr(self, name, value)

    @classmethod
    def from_snntorch(cls, leaky: nn.Module, timesteps: int | None = 1, **keywords: Any) -> LIF:
        """The LIF with the spikes and gradients of snnTorch's ``Leaky``, for a network that folds time.

        Args:
            leaky: a ``snntorch.Leaky`` that resets to zero, or subtracts with its delay (its default), and has the
                surrogate ``atan``, ``sigmoid`` or ``fast_sigmoid``. What it learns, beta or the threshold, is copied
                and learned here too.
            timesteps: as in LIF. With 1 and ``init_hidden=True`` it keeps its membrane from call to call, as theirs
                does: :func:`fastlif.reset` stands for ``snntorch.utils.reset``. For a :class:`fastlif.MultiStep`, give
                ``stateful=False``. It gives spikes alone, ``output=True`` or not.
            keywords: arguments of LIF in place of what ``leaky`` says: ``stateful``, ``surrogate``, ``backend``, ...

        Raises:
            TypeError, ValueError: for another neuron, or one that has no counterpart, in words.
            ImportError: if snnTorch is not installed.
        """
        from fastlif.libraries.snntorch_norse import from_snntorch

        return from_snntorch(cls, leaky, timesteps, keywords)

    @classmethod
    def from_norse(
        cls, cell: nn.Module, timesteps: int | None = 1, *, dt: float | None = None, **keywords: Any
    ) -> nn.Module:
        """The LIF with the spikes and gradients of Norse's ``LIFBoxCell``, for a network that folds time.

        Args:
            cell: a ``LIFBoxCell``, or a ``LIFCell``: of that, its filter of the current, a :class:`fastlif.LI`, comes
                before the LIF in an ``nn.Sequential``. Its surrogate is Norse's default, ``method="super"``.
            timesteps: as in LIF.
            dt: the length of a step in seconds; the cell's own by default.
            keywords: arguments of LIF in place of what ``cell`` says: ``stateful``, ``surrogate``, ``backend``, ...

        Raises:
            TypeError, ValueError: for another neuron, or one that has no counterpart, in words.
            ImportError: if Norse is not installed.
        """
        from fastlif.libraries.snntorch_norse import from_norse

        return from_norse(cls, cell, timesteps, dt, keywords)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x, T, call, states = self._call(input)
        initial_state = None if states is None else self._initial_state(x, T, states.get(call))
        tensors = {}
        if self.has_tensors():
            step = step_shape(x, T)
            tensors = self.tensors(step)
            for name, tensor in tensors.items():
                neuron_values.check_parameter(name, tensor, step, x.device, self.reset_to)
        spikes, state = functional.run_lif(x, T, initial_state, states is not None, self.options(), **tensors)
        if states is not None:
            self._carry(states, call, state)
        return spikes if spikes.ndim == input.ndim else spikes.flatten(0, 1)

    def has_tensors(self) -> bool:
        """Whether gain, decay or threshold can be a tensor: its own, a parametrization's, or a replica's."""
        return bool(self._parameters or self._buffers or self._modules or self._is_replica)

    def tensors(self, step: torch.Size) -> dict[str, torch.Tensor]:
        """Those of gain, decay and threshold that are tensors, as they are used for a ``step`` ``(N, *)``."""
        tensors = {name: getattr(self, name) for name in PARAMETERS}
        tensors = {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
        if "decay" in tensors and "decay" not in self._buffers:
            tensors["decay"] = tensors["decay"].clamp(0, 1)
        return tensors

    def _default(self) -> Neuron:
        return LIF()

    def _make_options(self, single):
        return functional.lif_options(
            self._number("decay"), None, self._number("threshold"), self.reset_to, self._number("gain"), self.rest,
            self.inclusive, self.reset_delay, self.surrogate, self.detach_reset, self.backend,
        )  # fmt: skip

    _shown = ("gain", "rest", "inclusive", "reset_delay")


class NoisyLIF(Neuron):
    """The neuron that is trained in a single noisy step, Eq. (5), and converted to T steps, Eq. (6)-(9).

    With a single step and until :class:`fastlif.MultiStep` converts it, it is
    :func:`fastlif.functional.noisy_spike`; after that, or with more steps, :func:`fastlif.functional.noisy_lif`.
    The noise is drawn in training and in evaluation alike: it is part of the neuron.

    Args:
        timesteps: T, the steps folded into the batch; 1 by default. With None the input and the spikes are
            ``[T, N, *]``, of any T. :class:`fastlif.MultiStep` sets it to a number, as its model's batch is folded.
        alpha, beta, noise, residual, over_time: as in :func:`fastlif.functional.noisy_lif`.
        statistics: ``"layer"`` or ``"sample"``. What :meth:`fastlif.MultiStep.calibrate` froze takes precedence; it
            is kept in buffers.
        decay, tau, threshold, reset, surrogate, detach_reset, backend: as in :func:`fastlif.functional.noisy_lif`.
        stateful, detach_state: as in :class:`fastlif.LIF`, for the converted neuron.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide.
        RuntimeError: for a stateful neuron of a converted model that is called outside of it, or a calibrated one that
            carries a membrane into a call: calibration knows step 1 with an empty membrane alone.
    """

    calibrated_mean: torch.Tensor
    calibrated_deviation: torch.Tensor

    @knows_other_names
    def __init__(
        self,
        timesteps: int | None = 1,
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
        statistics: str = "layer",
        surrogate: str | Callable | Surrogate = "atan",
        detach_reset: bool = False,
        stateful: bool = False,
        detach_state: bool = True,
        backend: str = "auto",
    ):
        super().__init__(timesteps, decay, tau, threshold, reset, surrogate, detach_reset, stateful, backend,
                         detach_state=detach_state)  # fmt: skip
        self.noise = validation.check_type("noise", noise, Noise)
        self.alpha, self.beta = neuron_values.check_normalisation(alpha, beta, noise)
        self.residual = validation.check_choice("residual", residual, neuron_values.RESIDUALS)
        self.over_time = validation.check_choice("over_time", over_time, neuron_values.OVER_TIME)
        self.statistics = statistics
        self.converted = False
        self.set_calibration(torch.empty(0, 0), torch.empty(0, 0))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.converted and self._single(input):
            return functional.run_noisy_spike(input, None, self.options(single=True))
        x, T, call, states = self._call(input)
        initial_state = None if states is None else self._initial_state(x, T, states.get(call))
        statistics = self._statistics(x.shape[0] if T is None else T, call, x, initial_state)
        spikes, state, mean, deviation = functional.run_noisy_lif(
            x, T, initial_state, statistics, None, states is not None, self.options()
        )
        if thread.recording is not None:
            thread.recording.setdefault(self, []).append((mean[:, 0], deviation[:, 0]))
        if states is not None:
            self._carry(states, call, state)
        return spikes if spikes.ndim == input.ndim else spikes.flatten(0, 1)

    def _single(self, input) -> bool:
        """Whether the input is a single step, and the neuron that of Eq. (5)."""
        if self.timesteps is None:
            validation.check_sequence(input)
            return input.shape[0] == 1 and not self.stateful
        if self.timesteps != 1:
            return False
        if thread.current is not None and thread.current.converts:
            raise ValueError(
                "a fastlif.NoisyLIF was put into a MultiStep model after it was made, so that it is not converted: put "
                "it into the single-step model, and make the MultiStep again"
            )
        validation.check_input(input, dimensions="[N, *]", minimum=1)
        return True

    def _default(self) -> Neuron:
        return NoisyLIF()

    def _make_options(self, single):
        if single:
            return functional.noisy_spike_options(self.noise, self.threshold, self.surrogate, self.backend)
        return functional.noisy_lif_options(
            self.decay, None, self.threshold, self.reset_to, self.alpha, self.beta, self.noise, self.residual,
            self.over_time, self.surrogate, self.detach_reset, self.backend,
        )  # fmt: skip

    def _statistics(self, timesteps, call, x, initial_state=None):
        """Where the statistics of a call over this many steps come from; ``call`` is its number in the pass."""
        if thread.recording is not None:
            return "layer"
        mean, deviation = self._buffers[CALIBRATED[0]], self._buffers[CALIBRATED[1]]
        calls, T = mean.shape
        if calls == 0:
            return self.statistics
        first = 0 if thread.current is None else thread.current.first
        end = first + timesteps
        if end > T:
            raise ValueError(f"timesteps={end} exceeds the {T} steps that were calibrated: calibrate again")
        if call is None:
            raise RuntimeError(
                "a calibrated neuron that is called several times in a pass is computed again in the backward "
                "(activation checkpointing), and it cannot be told which of its calls this is: put all of them into "
                "one checkpoint(..., use_reentrant=False) that is not compiled by itself, or leave the neuron out"
            )
        if call >= calls or (calls > 1 and self._pass() is None):
            raise RuntimeError(
                f"this neuron was calibrated for {calls} calls in a pass of its MultiStep model: run it inside that "
                "model, and calibrate again if the forward has changed"
            )
        if mean.device != x.device:
            validation.check_device("calibrated_mean", mean, x.device)
        if initial_state is not None and first == 0 and not torch.compiler.is_compiling():
            neuron_values.check_carried(deviation[call, 0], self.options())
        if calls == 1 and T == timesteps:  # all of them
            return mean, deviation
        return mean[call, first:end], deviation[call, first:end]

    def convert(
        self,
        *,
        alpha: float | None = None,
        beta: float | None = None,
        residual: str | None = None,
        over_time: str | None = None,
        statistics: str | None = None,
    ) -> None:
        """Puts the normalised membrane back in, Eq. (6), with the values given in place of the neuron's own.

        Args:
            alpha, beta, residual, over_time, statistics: as in NoisyLIF; None, the default, keeps the neuron's own. If
                statistics are given, a calibration is dropped.

        Raises:
            TypeError, ValueError: for wrong values, as NoisyLIF itself; the neuron is then as it was.
        """
        alpha, beta = self.alpha if alpha is None else alpha, self.beta if beta is None else beta
        residual = self.residual if residual is None else residual
        over_time = self.over_time if over_time is None else over_time
        chosen = self.statistics if statistics is None else statistics
        validation.check_choice("residual", residual, neuron_values.RESIDUALS)
        validation.check_choice("over_time", over_time, neuron_values.OVER_TIME)
        validation.check_choice("statistics", chosen, neuron_values.STATISTICS)
        self.alpha, self.beta = neuron_values.check_normalisation(alpha, beta, self.noise)
        if statistics is not None:
            self.set_calibration(torch.empty(0, 0), torch.empty(0, 0))
        self.residual, self.over_time, self.statistics, self.converted = residual, over_time, chosen, True

    def set_calibration(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Freezes the statistics, ``[calls, T]`` float32 each: a row for every call of the neuron in one pass, since a
        module can be shared. From then on they are in the state_dict. Empty ones, as a new neuron's, are not."""
        with torch.inference_mode(False):  # tensors that were made in it could not be trained with
            for name, value in zip(CALIBRATED, (mean, deviation)):
                before = getattr(self, name, value)
                device = value.device if before.is_meta else before.device
                value = value.to(device, torch.float32, copy=True)
                self.register_buffer(name, value.contiguous(), value.numel() > 0)  # kernels know its address alone

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        loaded = {prefix + name: state_dict[prefix + name] for name in CALIBRATED if prefix + name in state_dict}
        wrong = neuron_values.wrong_calibration(list(loaded.values())) if loaded else None
        if wrong:  # neither of the two is taken
            errors.append(f"{prefix}calibrated_mean and {prefix}calibrated_deviation {wrong}")
            state_dict = {key: value for key, value in state_dict.items() if key not in loaded}
            missing = []
        elif loaded:
            self.set_calibration(*map(torch.empty_like, loaded.values()))
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)
        for name in CALIBRATED:  # with assign=True they are the tensors that were given
            setattr(self, name, self._buffers[name].float().contiguous())

    _shown = ("alpha", "beta", "noise", "residual", "over_time", "statistics", "converted")
    _earlier = {"residual": "range"}
    _checks = Neuron._checks | {"statistics": partial(validation.check_choice, known=neuron_values.STATISTICS)}
