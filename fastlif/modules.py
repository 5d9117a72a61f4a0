"""The neurons as modules, to sit between the plain layers of an existing model.

Time is folded into the batch: a module with ``timesteps=T`` takes and gives ``[T*N, *]``, time-major, so that
``nn.Conv2d``, ``nn.BatchNorm2d`` and ``nn.Linear`` need not know of it. ``x.flatten(0, 1)`` folds ``[T, N, *]``.
One with ``timesteps=None`` takes and gives ``[T, N, *]``. A batch where time should be gives wrong results without an
error: :func:`fastlif.check_time_axis` finds it.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from fastlif import functional, validation
from fastlif.backends import BACKENDS
from fastlif.options import Options
from fastlif.types import Noise, Surrogate

__all__ = ["LIF", "NoisyLIF", "detach", "reset"]

Membranes = dict[int | None, torch.Tensor]  # by the number of a call in its pass; None: it cannot be told
PARAMETERS = ("gain", "decay", "threshold")  # which may be tensors
CALIBRATED = ("calibrated_mean", "calibrated_deviation")


def reset(model: nn.Module) -> None:
    """Forgets the membrane of every neuron in ``model`` that carries one from call to call (``stateful=True``)."""
    validation.check_module("model", model)
    for neuron in neurons(model):
        neuron.reset()


def detach(model: nn.Module) -> None:
    """Cuts the graph at the membrane of every neuron in ``model`` that keeps it from call to call
    (``detach_state=False``): gradients reach back to here and no further (truncated backpropagation through time)."""
    validation.check_module("model", model)
    for neuron in neurons(model):
        neuron.states = {call: state.detach() for call, state in neuron.states.items()}


def neurons(model: nn.Module) -> list[Neuron]:
    """Every fastlif neuron in ``model``, each once."""
    return [module for module in model.modules() if isinstance(module, Neuron)]


@contextlib.contextmanager
def evaluating(model: nn.Module):
    """``model`` in evaluation mode, and its neurons; at the end all modes and carried membranes are as they were."""
    modes = {module: module.training for module in model.modules()}
    carried = {neuron: neuron.states for neuron in neurons(model)}
    model.eval()
    try:
        yield carried.keys()
    finally:
        for module, mode in modes.items():
            module.training = mode
        for neuron, state in carried.items():
            neuron.states = state


def _in_backward() -> bool:
    """Whether this is called from a backward, which is where activation checkpointing calls modules again."""
    return not torch.compiler.is_dynamo_compiling() and torch._C._current_graph_task_id() != -1


@dataclass(eq=False)
class Pass:
    """One forward through a model, from its beginning to its end, as its neurons must know it.

    What activation checkpointing computes again belongs to the pass that it was part of, whatever ran since. The
    backward comes to it from a node of that pass's graph, so these nodes keep the pass.
    """

    timesteps: int | None = None  # T of this pass, if it is one of a MultiStep
    of_neurons: int | None = None  # what the MultiStep has set the timesteps of its neurons to
    static_batch: int | None = None  # the batch size of inputs that are the same at every step, if there are any
    root: nn.Module | None = None  # the model, where convert marked it
    first: int = 0  # the number of its first step, where a run over T is cut into several passes
    states: dict[Neuron, Membranes] | None = None  # and the membranes that go from one to the next
    reached: bool = False  # whether a neuron was called yet: the first one must see the static batch
    calls: dict[Neuron, list] = field(default_factory=dict)  # for each call the checkpoint that it was in
    backward: int = -1  # the one that computes parts again, and the calls in it
    again: dict[Neuron, int] = field(default_factory=dict)

    def call(self, neuron: Neuron) -> int:
        """Counts a call of ``neuron``: its number in this pass, from 0."""
        calls = self.calls.setdefault(neuron, [])
        calls.append(None if torch.compiler.is_compiling() else _checkpoint())
        return len(calls) - 1

    def call_again(self, neuron: Neuron) -> int | None:
        """The number of a call that is computed again; None where that cannot be told."""
        calls = self.calls[neuron]
        if any(checkpoint != calls[0] for checkpoint in calls):
            return None
        if self.backward != torch._C._current_graph_task_id():
            self.backward, self.again = torch._C._current_graph_task_id(), {}
        self.again[neuron] = self.again.get(neuron, -1) + 1
        return self.again[neuron] % len(calls)

    def keep(self, outputs) -> None:
        """Leaves this pass with the graph of ``outputs`` if activation checkpointing may compute parts of it again."""
        around = _checkpoint()
        if all(checkpoint == around for calls in self.calls.values() for checkpoint in calls):
            return
        nodes = [output.grad_fn for output in tree_leaves(outputs) if isinstance(output, torch.Tensor)]
        while nodes:
            node = nodes.pop()
            if node is not None and PASS not in _metadata(node):
                _metadata(node)[PASS] = self
                nodes.extend(following for following, _ in node.next_functions)


PASS = "fastlif.Pass"


def _metadata(node) -> dict:
    """Of a node in a graph. PyTorch's annotations take it for a method."""
    return node.metadata


class Thread(threading.local):
    """What holds in one thread."""

    def __init__(self):
        self.current: Pass | None = None
        self.recording: dict[Neuron, list] | None = None  # while calibrating: (mean, deviation) of each call


thread = Thread()


def _checkpoint():
    """The same for two calls in a forward only if one activation checkpoint holds both, or none holds either."""
    if not torch.is_grad_enabled():  # as in a reentrant one, which nothing tells from the next
        return object()
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    try:
        return hooks and weakref.ref(hooks[0])  # the others run their parts under hooks of their own
    except TypeError:
        return object()


def mark_passes(model: nn.Module) -> None:
    """Lets each call of ``model`` be a pass, in which the calls of a stateful neuron carry a membrane each."""
    stateful = [neuron for neuron in neurons(model) if neuron.stateful]
    for neuron in neurons(model):
        neuron.unmarked = not neuron.stateful
    if stateful:
        model.register_forward_pre_hook(_begin_pass)
        model.register_forward_hook(_end_pass, always_call=True)
    for neuron in stateful:
        neuron.needs_pass = True


def _begin_pass(model, arguments):
    around = thread.current
    if around is not None and around.root is not model and (around.root is None or _holds(around.root, model)):
        return  # the pass of a model around this one goes on
    thread.current = Pass(root=model)  # in place of one that an interrupt from the keyboard has left, if there is one


def _holds(model: nn.Module, part: nn.Module) -> bool:
    return any(module is part for module in model.modules())


def _end_pass(model, arguments, output):
    if thread.current is not None and thread.current.root is model:
        thread.current = None


class Neuron(nn.Module):
    """What LIF and NoisyLIF share: the time axis, and the membrane carried between calls."""

    timesteps: int | None
    decay: float | torch.Tensor
    threshold: float | torch.Tensor

    def __init__(self, timesteps, decay, tau, threshold, reset, surrogate, detach_reset, stateful, backend,
                 reset_delay=False, detach_state=True):  # fmt: skip
        super().__init__()
        self.timesteps = None if timesteps is None else validation.check_timesteps(timesteps)
        self.decay = validation.check_decay(decay, tau)
        self.threshold = validation.check_threshold(threshold)
        self.reset_to = validation.check_reset(reset, self.threshold, reset_delay)
        self.surrogate = Surrogate.of(surrogate)
        self.detach_reset = validation.check_flag("detach_reset", detach_reset)
        self.stateful = validation.check_flag("stateful", stateful)
        self.detach_state = validation.check_flag("detach_state", detach_state)
        self.backend = validation.check_choice("backend", backend, BACKENDS)
        # The membrane of each call in a pass, by its number. In a plain attribute: it never enters the state_dict,
        # and copies and pickles like any tensor, without its graph.
        self.states: Membranes = {}
        self.needs_pass = False  # whether its model, made by convert or held by a MultiStep, marks the passes
        self.unmarked = False  # whether convert marked none for it, as it was not stateful then
        self.running: list[Pass] = []  # the passes of its MultiStep, in whatever thread

    @property
    def reset(self) -> Callable[[], None]:
        """``reset()`` forgets the membranes carried from the last pass; ``reset_to`` is where a spike puts one."""
        return self._forget

    @reset.setter
    def reset(self, value) -> None:
        raise AttributeError(f"reset() forgets the membrane and cannot be set: set reset_to={value!r} instead")

    def _forget(self) -> None:
        self.states = {}

    def __setattr__(self, name, value):
        if name in PARAMETERS and not isinstance(getattr(type(self), name, None), property):
            self._set_parameter(name, value)
        else:
            super().__setattr__(name, value)
        vars(self)["_kept"] = {}  # whatever was set, the records may be others now

    def __getstate__(self):
        state = {name: value for name, value in vars(self).items() if name != "_kept"}
        if "states" in state:
            state["states"] = {call: membrane.detach() for call, membrane in self.states.items()}
        return state

    def __setstate__(self, state):
        """Of an older version too: what it did not know is as in a new neuron, but for what it computed otherwise."""
        held = {*state, *state["_parameters"], *state["_buffers"], *state["_modules"]}
        new = vars(self._default()) | self._earlier
        super().__setstate__({name: value for name, value in new.items() if name not in held} | state)

    def _set_parameter(self, name, value):
        """A tensor as gain, decay or threshold is a buffer, if it is no ``nn.Parameter``; a number takes its place."""
        is_buffer = isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)
        if is_buffer and value.requires_grad:
            raise ValueError(
                f"{name} must be a number, an nn.Parameter, which is learned, or a tensor without a gradient: a "
                "tensor that was computed from others cannot be kept"
            )
        vars(self).pop(name, None)
        self._buffers.pop(name, None)
        if is_buffer:
            self._parameters.pop(name, None)
            self.register_buffer(name, value)
        else:
            super().__setattr__(name, value)

    def _make_options(self, single):
        raise NotImplementedError

    def _default(self) -> Neuron:
        return NoisyLIF() if isinstance(self, NoisyLIF) else LIF()

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
        if torch.compiler.is_dynamo_compiling() or torch._C._current_graph_task_id() == -1:  # not in a backward
            if self.running and not torch.compiler.is_compiling():
                raise RuntimeError(
                    "a neuron of a MultiStep model was called in another thread than the model, where it cannot be "
                    "told which pass it belongs to: call all parts of the model in the thread that calls the model"
                )
            return None
        node = torch._C._current_autograd_node()
        found = None if node is None else _metadata(node).get(PASS)
        if found is not None and self in found.calls:
            return found
        if self.needs_pass:
            raise RuntimeError(
                "part of a MultiStep model is computed again in a backward (activation checkpointing) that does not "
                "begin at the model's output, or in another such part: it cannot be told which pass it belongs to. Use "
                "checkpoint(..., use_reentrant=False), and return what the loss is computed from"
            )
        return None

    def _unfold(self, x: torch.Tensor) -> tuple[torch.Tensor, int | None, Membranes | None]:
        """The input as ``[T, N, *]`` without a copy, the number of this call in its pass, and the membranes by number.

        The membranes are None if this neuron carries none on. The input comes as ``[T*N, *]``, or as ``[N, *]`` in the
        static part of a MultiStep model; as it is with ``timesteps=None``.
        """
        if self.stateful and _in_backward():
            raise RuntimeError(
                "a stateful neuron cannot be computed again in the backward (activation checkpointing), as its "
                "membrane has moved on since: leave it out of the checkpoint, or use stateful=False"
            )
        current, T, states = self._pass(), self.timesteps, self.states if self.stateful else None
        call: int | None = 0
        if current is None:
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
        elif current is thread.current:
            call = current.call(self)
            if current.of_neurons not in (None, T):
                raise ValueError(
                    f"a neuron with timesteps={T} was called in a MultiStep model with timesteps={current.of_neurons}: "
                    "set the timesteps of the model, which sets that of all its neurons"
                )
            if current.timesteps is not None:
                T = current.timesteps
            if current.states is not None:
                states = current.states.setdefault(self, {})
        else:
            call = current.call_again(self)
            T = current.timesteps
        if T is None:
            validation.check_sequence(x)
            return x, call, states
        if current is not None and current.static_batch is not None:
            validation.check_input(x, dimensions="[T*N, *]", minimum=1)
            static, reached = current.static_batch, current.reached
            current.reached = True
            if x.shape[0] == static:
                return x.expand(T, *x.shape), call, states
            if not reached or (static and x.shape[0] % (T * static)):
                raise ValueError(
                    f"a neuron of a MultiStep model got the batch {x.shape[0]} where the input has {static} and "
                    f"timesteps={T}: a layer before it changes the batch; try MultiStep(..., repeat_input=True)"
                )
        validation.check_folded_batch(x, T)
        return x.view(T, x.shape[0] // T, *x.shape[1:]), call, states

    def _initial_state(self, x: torch.Tensor, state: torch.Tensor | None) -> torch.Tensor | None:
        if torch.compiler._is_exporting_flag:  # is_exporting() is true in whatever torch 2.11 compiles
            raise RuntimeError(
                "a stateful neuron cannot be exported, as the exported program would forget its membrane: export with "
                "stateful=False, or carry the membrane yourself, through initial_state and return_state of "
                "fastlif.functional"
            )
        if state is None:
            return None
        if state.shape != x.shape[1:]:
            raise ValueError(
                f"the membrane carried from the last call has shape {tuple(state.shape)}, this call's time step "
                f"{tuple(x.shape[1:])}: call fastlif.reset(model) before a batch of another shape"
            )
        if state.device != x.device:
            raise ValueError(
                f"the membrane carried from the last call is on {state.device}, this call's input on {x.device}: "
                "call fastlif.reset(model) before a batch on another device"
            )
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled() or not state.is_inference():
            return state
        return state.clone()  # which autograd can save

    def _apply(self, fn, recurse=True):
        """Moves with the module, but the membrane and its statistics keep their dtype: they are float32."""
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
        return ", ".join(f"{name}={_in_words(value)}" for name, value in shown.items())

    _shown: tuple[str, ...] = ()
    _earlier: dict[str, object] = {}  # what was computed before there was an attribute for it


def _in_words(value) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    return f"{'learned' if value.requires_grad else 'tensor'} {list(value.shape)}"


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

    @validation.knows_other_names
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
        number = validation.number_or_given
        super().__init__(timesteps, number(decay), tau, number(threshold), reset, surrogate, detach_reset, stateful,
                         backend, reset_delay, detach_state)  # fmt: skip
        self.gain = validation.check_gain(number(gain))
        self.rest = validation.check_number("rest", rest, finite=True)
        self.inclusive = validation.check_flag("inclusive", inclusive)
        self.reset_delay = validation.check_flag("reset_delay", reset_delay)
        for name, value in (("gain", gain), ("decay", decay), ("threshold", threshold)):
            if isinstance(value, torch.Tensor):
                validation.check_floating(name, value)
                validation.check_parameter_values(name, value, reset)
                setattr(self, name, value)

    @classmethod
    def from_snntorch(cls, leaky: nn.Module, timesteps: int | None = 1, **keywords: Any) -> LIF:
        """The LIF with the spikes and gradients of snnTorch's ``Leaky``, for a network that folds time.

        Args:
            leaky: a ``snntorch.Leaky`` that resets to zero, or subtracts with its delay (its default), and has the
                surrogate ``atan``, ``sigmoid`` or ``fast_sigmoid``. What it learns, beta or the threshold, is copied
                and learned here too.
            timesteps: as in LIF.
            keywords: arguments of LIF in place of what ``leaky`` says: ``stateful``, ``surrogate``, ``backend``, ...

        Raises:
            TypeError, ValueError: for another neuron, or one that has no counterpart, in words.
            ImportError: if snnTorch is not installed.
        """
        from fastlif.peers import from_snntorch

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
        from fastlif.peers import from_norse

        return from_norse(cls, cell, timesteps, dt, keywords)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x, call, states = self._unfold(input)
        initial_state = None if states is None else self._initial_state(x, states.get(call))
        tensors = self.tensors(x) if self._parameters or self._buffers else {}
        for name, tensor in tensors.items():
            validation.check_parameter(name, tensor, x, self.reset_to)
        spikes, state = functional.run_lif(x, initial_state, states is not None, self.options(), **tensors)
        if states is not None:
            states[call] = state.detach() if self.detach_state else state
        return spikes if self.timesteps is None else spikes.flatten(0, 1)

    def tensors(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Those of gain, decay and threshold that are tensors, as they are used for x ``[T, N, *]``."""
        tensors = {}
        for name in PARAMETERS:
            tensor = self._parameters.get(name, self._buffers.get(name))
            if tensor is not None:
                learned = name == "decay" and name in self._parameters
                tensors[name] = tensor.clamp(0, 1) if learned else tensor
        return tensors

    def _make_options(self, single):
        number = validation.number_or_given
        return functional.lif_options(
            number(self.decay), None, number(self.threshold), self.reset_to, number(self.gain), self.rest,
            self.inclusive, self.reset_delay, self.surrogate, self.detach_reset, self.backend,
        )  # fmt: skip

    _shown = ("gain", "rest", "inclusive", "reset_delay")


class NoisyLIF(Neuron):
    """The neuron that is trained in a single noisy step, Eq. (5), and converted to T steps, Eq. (6)-(9).

    With ``timesteps=1`` and until :class:`fastlif.MultiStep` converts it, it is
    :func:`fastlif.functional.noisy_spike`; after that, or with more timesteps, :func:`fastlif.functional.noisy_lif`.
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
        RuntimeError: for a stateful neuron of a converted model that is called outside of it.
    """

    calibrated_mean: torch.Tensor
    calibrated_deviation: torch.Tensor

    @validation.knows_other_names
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
        self.threshold = validation.check_number("threshold", threshold)
        self.noise = validation.check_type("noise", noise, Noise)
        self.alpha, self.beta = validation.check_normalisation(alpha, beta, noise)
        self.residual = validation.check_choice("residual", residual, validation.RESIDUALS)
        self.over_time = validation.check_choice("over_time", over_time, validation.OVER_TIME)
        self.statistics = validation.check_choice("statistics", statistics, validation.STATISTICS)
        self.converted = False
        # Once calibrated, [calls, T]: a row for every call of the neuron in one pass, since a module can be shared.
        # Until then empty, and not in the state_dict.
        for name in CALIBRATED:
            self.register_buffer(name, torch.empty(0, 0), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.converted and self._single(input):
            return functional.run_noisy_spike(input, None, self.options(single=True))
        x, call, states = self._unfold(input)
        initial_state = None if states is None else self._initial_state(x, states.get(call))
        spikes, state, mean, deviation = functional.run_noisy_lif(
            x, initial_state, self._statistics(x, call), None, states is not None, self.options()
        )
        if thread.recording is not None:
            thread.recording.setdefault(self, []).append((mean[:, 0], deviation[:, 0]))
        if states is not None:
            states[call] = state.detach() if self.detach_state else state
        return spikes if self.timesteps is None else spikes.flatten(0, 1)

    def _single(self, input) -> bool:
        """Whether the input is a single step, and the neuron that of Eq. (5)."""
        if self.timesteps is None:
            validation.check_sequence(input)
            return input.shape[0] == 1 and not self.stateful
        if self.timesteps != 1:
            return False
        validation.check_input(input, dimensions="[N, *]", minimum=1)
        return True

    def _make_options(self, single):
        if single:
            return functional.noisy_spike_options(self.noise, self.threshold, self.surrogate, self.backend)
        return functional.noisy_lif_options(
            self.decay, None, self.threshold, self.reset_to, self.alpha, self.beta, self.noise, self.residual,
            self.over_time, self.surrogate, self.detach_reset, self.backend,
        )  # fmt: skip

    def _statistics(self, x, call):
        if thread.recording is not None:
            return "layer"
        mean, deviation = self._buffers[CALIBRATED[0]], self._buffers[CALIBRATED[1]]
        calls, T = mean.shape
        if calls == 0:
            return self.statistics
        first = 0 if thread.current is None else thread.current.first
        end = first + x.shape[0]
        if end > T:
            raise ValueError(f"timesteps={end} exceeds the {T} steps that were calibrated: calibrate again")
        if call is None:
            raise RuntimeError(
                "a calibrated neuron that is called several times in a pass is computed again in the backward "
                "(activation checkpointing), and it cannot be told which of its calls this is: put all of them into "
                "one checkpoint(..., use_reentrant=False), or leave the neuron out"
            )
        if call >= calls or (calls > 1 and self._pass() is None):
            raise RuntimeError(
                f"this neuron was calibrated for {calls} calls in a pass of its MultiStep model: run it inside that "
                "model, and calibrate again if the forward has changed"
            )
        if mean.device != x.device:
            validation.check_device("calibrated_mean", mean, x.device)
        if calls == 1 and T == x.shape[0]:  # the usual case, and the quicker view
            return mean.view(T, 1), deviation.view(T, 1)
        now = call, slice(first, end), None
        return mean[now], deviation[now]

    def convert(
        self,
        *,
        alpha: float | None = None,
        beta: float | None = None,
        residual: str | None = None,
        over_time: str | None = None,
        statistics: str | None = None,
    ) -> None:
        """Puts the normalised membrane back in, Eq. (6), with the values given in place of the neuron's own."""
        alpha, beta = self.alpha if alpha is None else alpha, self.beta if beta is None else beta
        residual = self.residual if residual is None else residual
        over_time = self.over_time if over_time is None else over_time
        statistics = self.statistics if statistics is None else statistics
        validation.check_choice("residual", residual, validation.RESIDUALS)
        validation.check_choice("over_time", over_time, validation.OVER_TIME)
        validation.check_choice("statistics", statistics, validation.STATISTICS)
        self.alpha, self.beta = validation.check_normalisation(alpha, beta, self.noise)
        self.residual, self.over_time, self.statistics, self.converted = residual, over_time, statistics, True

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

    _shown = ("alpha", "beta", "noise", "residual", "over_time", "statistics", "converted")
    _earlier = {"residual": "range"}
