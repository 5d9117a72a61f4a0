"""What the neurons share as modules: the time axis, the membrane carried between calls, parameters, copies, repr."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fastlif import neuron_values, validation
from fastlif.backends import BACKENDS, capturing
from fastlif.layout import step_shape
from fastlif.options import Options
from fastlif.passes import Membranes, Pass, Running, in_backward, pass_again, thread
from fastlif.types import Surrogate

__all__ = ["Neuron"]

MOVED_ON = (
    "a stateful neuron cannot be computed again in the backward (activation checkpointing), as its membrane has moved "
    "on since: leave it out of the checkpoint, or use stateful=False"
)
PARAMETERS = ("gain", "decay", "threshold")  # which may be tensors
TABLE = "or it is called on a table and on no batch, which fastlif.check_time_axis finds in the model before MultiStep"


class Neuron(nn.Module):
    """What LIF and NoisyLIF share: the time axis, and the membrane carried between calls."""

    timesteps: int | None
    decay: float | torch.Tensor
    threshold: float | torch.Tensor
    # What is checked whenever it is set. The numbers of the equations are checked where a record is made of them.
    _checks: dict[str, Callable[[str, Any], Any]] = {
        "stateful": validation.check_flag,
        "detach_state": validation.check_flag,
    }
    _make_options: Callable[[bool], Options]  # what options() keeps
    _default: Callable[[], Neuron]  # a neuron of this kind as it is without arguments
    _is_replica = False  # nn.DataParallel makes it True in a device's copy, where what is learned is a plain attribute

    def __init__(self, timesteps, decay, tau, threshold, reset, surrogate, detach_reset, stateful, backend,
                 reset_delay=False, detach_state=True):  # fmt: skip
        super().__init__()
        if isinstance(timesteps, float):
            raise TypeError("timesteps must be an integer, got float: a time constant is given by name, tau=2.0")
        self.timesteps = None if timesteps is None else validation.check_timesteps(timesteps)
        self.decay = neuron_values.check_decay(decay, tau)
        self.threshold = neuron_values.check_threshold(threshold)
        self.reset_to = neuron_values.check_reset(reset, self.threshold, reset_delay)
        self.surrogate = Surrogate.of(surrogate)
        self.detach_reset = validation.check_flag("detach_reset", detach_reset)
        self.stateful = stateful
        self.detach_state = detach_state
        self.backend = validation.check_choice("backend", backend, BACKENDS)
        # The membrane of each call in a pass, by its number: not in the state_dict, and pickled without its graph.
        self.states: Membranes = {}
        self.needs_pass = False  # whether its model, made by convert or held by a MultiStep, marks the passes
        self.compiled_apart = False  # whether a part of its MultiStep that is compiled by itself was trained
        self.unmarked = False  # whether convert marked none for it, as it was not stateful then
        self.running = Running()  # the passes of its MultiStep, in whatever thread

    @property
    def tau(self) -> float | torch.Tensor:
        """The time constant in steps, 1 / (1 - decay); to set it sets the decay, to a number."""
        return math.inf if type(self.decay) is float and self.decay == 1 else 1 / (1 - self.decay)

    @tau.setter
    def tau(self, value: float) -> None:
        self.decay = neuron_values.check_decay(None, value)

    def reset(self) -> None:
        """Forgets the membranes carried from the last pass; ``reset_to`` is where a spike puts one."""
        self.states = {}

    def __setattr__(self, name, value):
        if name == "reset":
            raise AttributeError(f"reset() forgets the membrane and cannot be set: set reset_to={value!r} instead")
        check = self._checks.get(name)
        if check is not None:
            value = check(name, value)
        if name in PARAMETERS and not isinstance(getattr(type(self), name, None), property):
            self._set_parameter(name, value)
        elif name == "tau":
            object.__setattr__(self, name, value)  # a property: no parameter may take its place
        else:
            super().__setattr__(name, value)
        vars(self)["_kept"] = {}  # whatever was set, the records may be others now

    def __getstate__(self):
        state = {name: value for name, value in vars(self).items() if name not in ("_kept", "_compiled_call_impl")}
        state["compiled_apart"] = False  # a copy is not compiled
        if "states" in state:
            state["states"] = {call: membrane.detach() for call, membrane in self.states.items()}
        return state

    def __setstate__(self, state):
        """Loads a neuron of an older version too. What it lacks is as in a new neuron, or in ``_earlier`` where that
        would change its results."""
        held = {*state, *state["_parameters"], *state["_buffers"], *state["_modules"]}
        new = vars(self._default()) | self._earlier
        super().__setstate__({name: value for name, value in new.items() if name not in held} | state)

    def _set_parameter(self, name, value):
        """A tensor as gain, decay or threshold is a buffer, if it is no ``nn.Parameter``; a number takes its place."""
        if value is None:
            raise TypeError(f"{name} must be a number or a tensor, got None")
        is_buffer = isinstance(value, torch.Tensor) and not (isinstance(value, nn.Parameter) or self._is_replica)
        if is_buffer and value.requires_grad:
            raise ValueError(
                f"{name} must be a number, an nn.Parameter, which is learned, or a tensor without a gradient: a "
                "tensor that was computed from others cannot be kept. torch.nn.utils.parametrize computes it in each "
                "call; pruning and torch.nn.utils.weight_norm do not work for a neuron"
            )
        if is_buffer and name in self._parameters:
            raise TypeError(
                f"{name} is learned, and a tensor in its place would not be: change it in place under torch.no_grad(), "
                f"neuron.{name}.clamp_(...) or neuron.{name}.copy_(...), or give an nn.Parameter. To stop learning it, "
                f"give a number, or del neuron.{name} first"
            )
        if is_buffer:
            vars(self).pop(name, None)
            self.register_buffer(name, value)
        else:
            self._buffers.pop(name, None)
            if not isinstance(value, nn.Parameter):
                self._parameters.pop(name, None)
            super().__setattr__(name, value)

    def _is_tensor(self, name: str) -> bool:
        """Whether gain, decay or threshold is a tensor, kept or computed: told without computing it, as activation
        checkpointing counts what a graph saves."""
        return name in self._parameters or name in self._buffers or name in getattr(self, "parametrizations", ())

    def _number(self, name: str) -> object:
        """Gain, decay or threshold, where they are checked as numbers."""
        tensor = self._is_tensor(name)
        return neuron_values.Given.TENSOR if tensor else neuron_values.number_or_given(getattr(self, name))

    def options(self, single: bool = False) -> Options:
        """The record of what this neuron computes, checked and made once; for a NoisyLIF there is a ``single`` one."""
        if torch.compiler.is_dynamo_compiling():
            return self._make_options(single)
        kept = vars(self).setdefault("_kept", {})
        if single not in kept:
            kept[single] = self._make_options(single)
        return kept[single]

    def _pass(self) -> Pass | None:
        """The pass that a call belongs to, if anyone marked one."""
        current = thread.current
        if current is not None:
            return current if current.root is None or self.needs_pass else None
        if torch.compiler.is_dynamo_compiling():
            if not (self.compiled_apart or self.running) or torch.compiler._is_exporting_flag:
                return None
            return torch._dynamo.disable(self._pass)()  # it may be computed again, or in another thread
        if torch._C._current_graph_task_id() == -1:  # not in a backward
            if self.running and not torch.compiler.is_compiling():
                raise RuntimeError(
                    "a neuron of a MultiStep was called in another thread than the model: call both in one thread"
                )
            return None
        found = pass_again()
        if found is not None and self in found.calls:
            return found
        if self.needs_pass:
            raise RuntimeError(
                "part of a MultiStep model is computed again in a backward (activation checkpointing) that does not "
                "begin at the model's output, or in another such part: it cannot be told which pass it belongs to. Use "
                "checkpoint(..., use_reentrant=False), and return what the loss is computed from. If torch.compile "
                "runs the checkpoint, set torch._dynamo.config.skip_fwd_side_effects_in_bwd_under_checkpoint = True"
            )
        return None

    def _call(self, x: torch.Tensor) -> tuple[torch.Tensor, int | None, int | None, Membranes | None]:
        """The input, its timesteps, the number of this call in its pass, and the membranes by number.

        The input is ``[T*N, *]`` beside T, or ``[T, N, *]`` beside None: for a neuron with ``timesteps=None``, and in
        the static part of a MultiStep model, where it comes as ``[N, *]``. The membranes are None if this neuron
        carries none on.
        """
        if self.stateful and in_backward():
            raise RuntimeError(MOVED_ON)
        current, T, states = self._pass(), self.timesteps, self.states if self.stateful else None
        call: int | None = 0
        if current is None:  # outside of any pass that was marked
            if self.stateful and self.needs_pass:
                raise RuntimeError(
                    "a stateful neuron of a converted model was called outside of that model, which alone tells its "
                    "calls apart: call the whole model and not its forward, or fastlif.convert(part), a copy of the "
                    "part, which tells them apart too"
                )
            if self.stateful and self.unmarked:
                raise RuntimeError(
                    "a neuron of a converted model was made stateful after the conversion, which alone marks where a "
                    "pass begins, so that the calls of a shared neuron can be told apart: convert the model again, "
                    "model = fastlif.convert(model), or from the start with fastlif.convert(model, stateful=True)"
                )
        elif current is thread.current:  # an ordinary call: counted
            call = current.call(self)
            if current.of_neurons not in (None, T):
                raise ValueError(
                    f"a neuron with timesteps={T} was called in a MultiStep model with timesteps={current.of_neurons}: "
                    "set the timesteps of the model, which sets that of all its neurons"
                )
            T = T if current.timesteps is None else current.timesteps
            if current.states is not None:
                states = current.states.setdefault(self, {})
        elif self.stateful:  # computed again in compiled code
            raise RuntimeError(MOVED_ON)
        else:  # a backward computes it again (activation checkpointing): its number is found
            call = current.call_again(self)
            T = current.timesteps
        if T is None:
            validation.check_sequence(x)
            return x, None, call, states
        if current is not None and current.static:
            validation.check_input(x, dimensions="[T*N, *]", minimum=1)
            reached, current.reached = current.reached, True
            if x.shape[0] == current.batch:
                return (x, T, call, states) if T == 1 else (x.expand(T, *x.shape), None, call, states)
            if not reached or (current.batch and x.shape[0] % (T * current.batch)):
                raise ValueError(
                    f"a neuron of a MultiStep model got the batch {x.shape[0]} where the input has {current.batch} and "
                    f"timesteps={T}: a layer before it changes the batch, try MultiStep(..., repeat_input=True), then "
                    "run fastlif.check_time_axis; or it takes the batch second, give it batch_first=True; "
                    f"{TABLE}"
                )
        if current is None or T == 1 or not current.batch:
            validation.check_folded_batch(x, T)
            return x, T, call, states
        validation.check_input(x, dimensions="[T*N, *]", minimum=1)
        if x.shape[0] % (T * current.batch):
            raise ValueError(
                f"a neuron of a MultiStep model got the batch {x.shape[0]} where {T * current.batch} = timesteps * "
                "batch went in: the batch must be the first dimension of what layers take (batch_first=True in "
                f"PyTorch's transformers), and no layer may gather samples; {TABLE}"
            )
        return x, T, call, states

    def _carry(self, states: Membranes, call: int | None, state: torch.Tensor) -> None:
        """Keeps the membrane for the next call. Into a CUDA graph goes a copy to where the last one lies: each replay
        reads and writes the same memory."""
        before, wanted = states.get(call), state.requires_grad
        if before is not None and not wanted and not torch.compiler.is_compiling() and capturing(state):
            with torch.inference_mode(before.is_inference() or torch.is_inference_mode_enabled()):
                before.copy_(state)
        else:
            states[call] = state.detach() if self.detach_state else state

    def _initial_state(self, x: torch.Tensor, timesteps: int | None, state: torch.Tensor | None) -> torch.Tensor | None:
        if torch.compiler._is_exporting_flag or torch._C._get_tracing_state():  # is_exporting() errs in 2.11
            raise RuntimeError(
                "a stateful neuron cannot be exported or traced, as the program would forget its membrane: export with "
                "stateful=False, or carry the membrane yourself, through initial_state and return_state of "
                "fastlif.functional"
            )
        if state is None:
            return None
        step = step_shape(x, timesteps)
        if state.shape != step:
            raise ValueError(
                f"the membrane carried from the last call has shape {tuple(state.shape)}, this call's time step "
                f"{tuple(step)}: call fastlif.reset(model) before a batch of another shape"
            )
        if state.device != x.device:
            raise ValueError(
                f"the membrane carried from the last call is on {state.device}, this call's input on {x.device}: "
                "call fastlif.reset(model) before a batch on another device"
            )
        if torch.compiler.is_compiling():
            return state
        if torch._C._functorch.is_functorch_wrapped_tensor(state):
            neuron_values.check_within_vmap(state)
        if torch.is_inference_mode_enabled() or not state.is_inference():
            return state
        return state.clone()  # which autograd can save

    def _apply(self, fn, recurse=True):
        """Moves with the module, but the membrane and its statistics keep their dtype: they are float32."""
        for name, tensor in self._buffers.items():  # an empty one stays on "meta" when a state_dict is loaded
            if tensor.is_meta and not tensor.numel():
                self._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        kept = dict(self._buffers)
        super()._apply(fn, recurse)

        def moved(tensor):
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        for name, tensor in kept.items():
            setattr(self, name, moved(tensor))
        self.states = {call: moved(state) for call, state in self.states.items()}
        return self

    def extra_repr(self) -> str:
        """The whole neuron in its constructor's words; beyond the equation's numbers, what differs from the default."""
        shown = {"timesteps": self.timesteps, "decay": self.decay, "threshold": self.threshold, "reset": self.reset_to}
        default = self._default()
        for name in (*self._shown, "surrogate", "detach_reset", "stateful", "detach_state", "backend"):
            value = getattr(self, name)
            if isinstance(value, torch.Tensor) or value != getattr(default, name):
                shown[name] = value
        return ", ".join(f"{name}={neuron_values.in_words(value)}" for name, value in shown.items())

    _shown: tuple[str, ...] = ()
    _earlier: dict[str, object] = {}  # of attributes that older pickles lack: what was computed then
