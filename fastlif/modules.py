"""The neurons as modules, to sit between the plain layers of an existing model.

Time is folded into the batch: a module with ``timesteps=T`` takes and gives ``[T*N, *]``, time-major, so that
``nn.Conv2d``, ``nn.BatchNorm2d`` and ``nn.Linear`` need not know of it. ``x.flatten(0, 1)`` folds ``[T, N, *]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from fastlif import functional, validation
from fastlif.backends import BACKENDS
from fastlif.types import Noise, Surrogate

__all__ = ["LIF", "NoisyLIF", "reset"]

CALIBRATED = ("calibrated_mean", "calibrated_deviation")


def reset(model: nn.Module) -> None:
    """Forgets the membrane of every neuron in ``model`` that carries one from call to call (``stateful=True``)."""
    validation.check_module("model", model)
    for neuron in neurons(model):
        neuron.reset()


def neurons(model: nn.Module) -> list[Neuron]:
    """Every fastlif neuron in ``model``, each once."""
    return [module for module in model.modules() if isinstance(module, Neuron)]


def _in_backward() -> bool:
    """Whether this is called from a backward, which is where activation checkpointing calls modules again."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


@dataclass
class Pass:
    """One forward of a MultiStep model, known to all of its neurons."""

    static_batch: int | None  # the batch size of inputs that are the same at every step, if there are any
    reached: bool = False  # whether a neuron was called yet: the first one must see that batch


class Neuron(nn.Module):
    """What LIF and NoisyLIF share: the time axis, and the membrane carried between calls."""

    def __init__(self, timesteps, decay, tau, threshold, reset, surrogate, detach_reset, stateful, backend):
        super().__init__()
        self.timesteps = validation.check_timesteps(timesteps)
        self.decay = validation.check_decay(decay, tau)
        self.threshold = validation.check_number("threshold", threshold)
        self.reset_to = validation.check_reset(reset, self.threshold)
        self.surrogate = Surrogate.of(surrogate)
        self.detach_reset = validation.check_flag("detach_reset", detach_reset)
        self.stateful = validation.check_flag("stateful", stateful)
        self.backend = validation.check_choice("backend", backend, BACKENDS)
        # A plain attribute, detached: it never enters the state_dict, and copies and pickles like any tensor.
        self.state: torch.Tensor | None = None
        self.current: Pass | None = None  # during a MultiStep's forward
        self.last: Pass | None = None  # the one before, whose parts activation checkpointing may compute again
        self.calls = 0  # of this neuron in that pass

    @property
    def reset(self) -> Callable[[], None]:
        """``reset()`` forgets the membrane carried from the last call; ``reset_to`` is where a spike puts it."""
        return self._forget

    @reset.setter
    def reset(self, value) -> None:
        raise AttributeError(f"reset() forgets the membrane and cannot be set: set reset_to={value!r} instead")

    def _forget(self) -> None:
        self.state = None

    def begin_pass(self, current: Pass) -> None:
        """Called by MultiStep before each pass through the model."""
        self.current = current
        self.calls = 0

    def end_pass(self) -> None:
        """Called by MultiStep after each pass, failed ones too."""
        if not torch.compiler.is_compiling():
            self.last = self.current
        self.current = None
        self.calls = 0

    def _unfold(self, x: torch.Tensor) -> torch.Tensor:
        """``[T*N, *]``, or ``[N, *]`` in the static part of a MultiStep model, as ``[T, N, *]`` without a copy."""
        T = self.timesteps
        current = self.last if self.current is None and _in_backward() else self.current
        if current is not None and current.static_batch is not None:
            validation.check_input(x, dimensions="[T*N, *]", minimum=1)
            static, reached = current.static_batch, current.reached
            current.reached = True
            if x.shape[0] == static:
                return x.expand(T, *x.shape)
            if not reached or (static and x.shape[0] % (T * static)):
                raise ValueError(
                    f"a neuron of a MultiStep model got the batch {x.shape[0]} where the input has {static} and "
                    f"timesteps={T}: a layer before it changes the batch; try MultiStep(..., repeat_input=True)"
                )
        validation.check_folded_batch(x, T)
        return x.unflatten(0, (T, x.shape[0] // T))

    def _initial_state(self, x: torch.Tensor) -> torch.Tensor | None:
        if not self.stateful:
            return None
        if torch.compiler.is_exporting():
            raise RuntimeError(
                "a stateful neuron cannot be exported, as the exported program would forget its membrane: export with "
                "stateful=False, or carry the membrane yourself, through initial_state and return_state of "
                "fastlif.functional"
            )
        if _in_backward():
            raise RuntimeError(
                "a stateful neuron cannot be computed again in the backward (activation checkpointing), as its "
                "membrane has moved on since: leave it out of the checkpoint, or use stateful=False"
            )
        if self.state is None:
            return None
        if self.state.shape != x.shape[1:]:
            raise ValueError(
                f"the membrane carried from the last call has shape {tuple(self.state.shape)}, this call's time step "
                f"{tuple(x.shape[1:])}: call fastlif.reset(model) before a batch of another shape"
            )
        if self.state.device != x.device:
            raise ValueError(
                f"the membrane carried from the last call is on {self.state.device}, this call's input on {x.device}: "
                "call fastlif.reset(model) before a batch on another device"
            )
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled() or not self.state.is_inference():
            return self.state
        return self.state.clone()  # which autograd can save

    def _apply(self, fn, recurse=True):
        """Moves with the module, but the membrane and its statistics keep their dtype: they are float32."""
        kept = {name: getattr(self, name) for name in ("state", *self._buffers)}
        super()._apply(fn, recurse)
        for name, tensor in kept.items():
            if tensor is not None:
                moved = fn(tensor)
                setattr(self, name, moved if moved.dtype == tensor.dtype else tensor.to(moved.device))
        return self

    def extra_repr(self) -> str:
        """The whole neuron in its constructor's words; beyond the equation's numbers, what differs from the default."""
        shown = {"timesteps": self.timesteps, "decay": self.decay, "threshold": self.threshold, "reset": self.reset_to}
        default = NoisyLIF() if isinstance(self, NoisyLIF) else LIF()
        for name in (*self._shown, "surrogate", "detach_reset", "stateful", "backend"):
            if getattr(self, name) != getattr(default, name):
                shown[name] = getattr(self, name)
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())

    _shown: tuple[str, ...] = ()


class LIF(Neuron):
    """The leaky integrate-and-fire neuron, Eq. (1)-(3): ``[T*N, *]`` to spikes ``[T*N, *]``.

    Args:
        timesteps: T, the steps folded into the batch; 1 by default.
        decay, tau, threshold, reset, surrogate, detach_reset, backend: as in :func:`fastlif.functional.lif`.
        stateful: begin each call with the membrane that the last one ended with, instead of zero. It is carried
            detached, so gradients reach back to the start of the call; :func:`fastlif.reset` forgets it.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide.
    """

    @validation.knows_other_names
    def __init__(
        self,
        timesteps: int = 1,
        *,
        decay: float | None = None,
        tau: float | None = None,
        threshold: float = 1.0,
        reset: float | None = 0.0,
        surrogate: str | Surrogate = "atan",
        detach_reset: bool = False,
        stateful: bool = False,
        backend: str = "auto",
    ):
        super().__init__(timesteps, decay, tau, threshold, reset, surrogate, detach_reset, stateful, backend)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x = self._unfold(input)
        result = functional.lif(
            x,
            decay=self.decay,
            threshold=self.threshold,
            reset=self.reset_to,
            surrogate=self.surrogate,
            detach_reset=self.detach_reset,
            initial_state=self._initial_state(x),
            return_state=self.stateful,
            backend=self.backend,
        )
        if not self.stateful:
            return result.flatten(0, 1)
        spikes, state = result
        self.state = state.detach()
        return spikes.flatten(0, 1)


class NoisyLIF(Neuron):
    """The neuron that is trained in a single noisy step, Eq. (5), and converted to T steps, Eq. (6)-(9).

    With ``timesteps=1`` and until :class:`fastlif.MultiStep` converts it, it is
    :func:`fastlif.functional.noisy_spike`; after that, or with more timesteps, :func:`fastlif.functional.noisy_lif`.
    The noise is drawn in training and in evaluation alike: it is part of the neuron.

    Args:
        timesteps: T, the steps folded into the batch; 1 by default.
        alpha, beta, noise, residual: as in :func:`fastlif.functional.noisy_lif`.
        statistics: ``"layer"`` or ``"sample"``. What :meth:`fastlif.MultiStep.calibrate` froze takes precedence; it
            is kept in buffers.
        decay, tau, threshold, reset, surrogate, detach_reset, backend: as in :func:`fastlif.functional.noisy_lif`.
        stateful: as in :class:`fastlif.LIF`, for the converted neuron.

    Raises:
        TypeError, ValueError: for wrong arguments, at once; in a call, for a batch that T does not divide.
    """

    @validation.knows_other_names
    def __init__(
        self,
        timesteps: int = 1,
        *,
        decay: float | None = None,
        tau: float | None = None,
        threshold: float = 1.0,
        reset: float | None = 0.0,
        alpha: float = 4.0,
        beta: float = 0.5,
        noise: Noise = Noise(),
        residual: str = "matched",
        statistics: str = "layer",
        surrogate: str | Surrogate = "atan",
        detach_reset: bool = False,
        stateful: bool = False,
        backend: str = "auto",
    ):
        super().__init__(timesteps, decay, tau, threshold, reset, surrogate, detach_reset, stateful, backend)
        self.noise = validation.check_type("noise", noise, Noise)
        self.alpha, self.beta = validation.check_normalisation(alpha, beta, noise)
        self.residual = validation.check_choice("residual", residual, validation.RESIDUALS)
        self.statistics = validation.check_choice("statistics", statistics, validation.STATISTICS)
        self.converted = False
        # Once calibrated, [calls, T]: a row for every call of the neuron in one pass, since a module can be shared.
        # Until then empty, and not in the state_dict.
        for name in CALIBRATED:
            self.register_buffer(name, torch.empty(0, 0), persistent=False)
        self.recording: list | None = None  # while calibrating: (mean, deviation) of each call

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.timesteps == 1 and not self.converted:
            return functional.noisy_spike(
                input, noise=self.noise, threshold=self.threshold, surrogate=self.surrogate, backend=self.backend
            )
        x = self._unfold(input)
        spikes, state, mean, deviation = functional.noisy_lif_with_statistics(
            x,
            decay=self.decay,
            tau=None,
            threshold=self.threshold,
            reset=self.reset_to,
            alpha=self.alpha,
            beta=self.beta,
            noise=self.noise,
            residual=self.residual,
            statistics=self._statistics(),
            surrogate=self.surrogate,
            detach_reset=self.detach_reset,
            seed=None,
            initial_state=self._initial_state(x),
            backend=self.backend,
        )
        if self.recording is not None:
            self.recording.append((mean[:, 0], deviation[:, 0]))
        if self.current is not None:
            self.calls += 1
        if self.stateful:
            self.state = state.detach()
        return spikes.flatten(0, 1)

    def _statistics(self):
        if self.recording is not None:
            return "layer"
        calls, T = self.calibrated_mean.shape
        if calls == 0:
            return self.statistics
        if self.timesteps > T:
            raise ValueError(f"timesteps={self.timesteps} exceeds the {T} steps that were calibrated: calibrate again")
        if self.calls >= calls or (self.current is None and calls > 1):
            raise RuntimeError(
                f"this neuron was calibrated for {calls} calls in a pass of its MultiStep model: run it inside that "
                "model, and calibrate again if the forward has changed"
            )
        now = self.calls, slice(self.timesteps)
        return self.calibrated_mean[now], self.calibrated_deviation[now]

    def convert(self, *, alpha=None, beta=None, residual=None, statistics=None) -> None:
        """Puts the normalised membrane back in, Eq. (6), with the values given in place of the neuron's own."""
        alpha, beta = self.alpha if alpha is None else alpha, self.beta if beta is None else beta
        residual = self.residual if residual is None else residual
        statistics = self.statistics if statistics is None else statistics
        self.residual = validation.check_choice("residual", residual, validation.RESIDUALS)
        self.statistics = validation.check_choice("statistics", statistics, validation.STATISTICS)
        self.alpha, self.beta = validation.check_normalisation(alpha, beta, self.noise)
        self.converted = True

    def set_calibration(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Freezes the statistics, ``[calls, T]`` float32 each; from then on they are in the state_dict."""
        with torch.inference_mode(False):  # tensors that were made in it could not be trained with
            for name, value in zip(CALIBRATED, (mean, deviation)):
                value = value.to(self.calibrated_mean.device, torch.float32, copy=True)
                self.register_buffer(name, value, persistent=True)

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        loaded = {prefix + name: state_dict[prefix + name] for name in CALIBRATED if prefix + name in state_dict}
        wrong = validation.wrong_calibration(list(loaded.values())) if loaded else None
        if wrong:  # neither of the two is taken
            errors.append(f"{prefix}calibrated_mean and {prefix}calibrated_deviation {wrong}")
            state_dict = {key: value for key, value in state_dict.items() if key not in loaded}
            missing = []
        elif loaded:
            self.set_calibration(*map(torch.empty_like, loaded.values()))
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)

    _shown = ("alpha", "beta", "noise", "residual", "statistics", "converted")
