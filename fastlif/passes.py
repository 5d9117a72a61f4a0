"""Which forward through a model a neuron's call belongs to, and which call it is: :class:`Pass`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from fastlif.neuron import Neuron

COMPILED = "compiled"  # the token of all calls in compiled code, which cannot tell their checkpoints
Membranes = dict[int | None, torch.Tensor]  # by the number of a call in its pass; None if that is unknown


def in_backward() -> bool:
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
    batch: int | None = None  # the batch size of its input, at each step
    static: bool = False  # whether its input is the same at every step, and its first layers run on that once
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
        calls.append(COMPILED if torch.compiler.is_compiling() else _checkpoint())
        return len(calls) - 1

    @property
    def converts(self) -> bool:
        """Whether it is one of a MultiStep over several steps, whose neurons are all converted."""
        return self.of_neurons is not None and self.timesteps != 1

    def call_again(self, neuron: Neuron) -> int | None:
        """The number of a call that is computed again; None where that cannot be told."""
        calls = self.calls[neuron]
        if any(checkpoint != calls[0] for checkpoint in calls) or len(calls) > 1 and calls[0] is COMPILED:
            return None
        if self.backward != torch._C._current_graph_task_id():
            self.backward, self.again = torch._C._current_graph_task_id(), {}
        self.again[neuron] = self.again.get(neuron, -1) + 1
        return self.again[neuron] % len(calls)

    def keep(self, outputs) -> None:
        """Leaves this pass with the graph of ``outputs`` if activation checkpointing may compute parts of it again. It
        may, for all that is known, compute again whatever is compiled."""
        around = _checkpoint()
        if all(checkpoint == around for calls in self.calls.values() for checkpoint in calls):
            return
        nodes: list[Any] = [output.grad_fn for output in tensors_in(outputs)]  # Any: metadata is annotated as a method
        if any(nodes):
            for neuron, calls in self.calls.items():
                if COMPILED in calls and not neuron.compiled_apart:
                    neuron.compiled_apart = True
        while nodes:
            node = nodes.pop()
            if node is not None and PASS not in node.metadata:
                node.metadata[PASS] = self
                nodes.extend(following for following, _ in node.next_functions)


class Running(list[Pass]):
    """The passes of a MultiStep that run now, in whatever thread. None run in its copies and pickles."""

    def __reduce__(self):  # copy.deepcopy asks it too; parts that share it share the new one
        return Running, ()


def tensors_in(output) -> Iterator[torch.Tensor]:
    """The tensors of a model's output, in tuples, lists, dicts and dataclasses."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from tensors_in(value)
    elif isinstance(output, dict):
        yield from tensors_in(list(output.values()))
    elif is_dataclass(type(output)):
        yield from tensors_in([getattr(output, part.name, None) for part in fields(output)])


PASS = "fastlif.Pass"


def pass_again() -> Pass | None:
    """In a backward: the pass of what activation checkpointing computes again, if that is known."""
    node: Any = torch._C._current_autograd_node()
    return None if node is None else node.metadata.get(PASS)


class Thread(threading.local):
    """What holds in one thread."""

    def __init__(self):
        self.current: Pass | None = None
        self.recording: dict[Neuron, list] | None = None  # while calibrating: (mean, deviation) of each call
        self.packing = 0  # how many packed_spikes() there are around


thread = Thread()


def _checkpoint():
    """A token of the activation checkpoint that this call is in: calls in one checkpoint have equal tokens, and so have
    calls outside of any. Where it cannot be told, every call has a token of its own."""
    if not torch.is_grad_enabled():  # as in a reentrant one, which nothing tells from the next
        return object()
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    try:
        return hooks and weakref.ref(hooks[0])  # the others run their parts under hooks of their own
    except TypeError:
        return object()


def begin_pass(model, arguments):
    around = thread.current
    if around is not None and around.root is not model:
        if around.root is None or any(part is model for part in around.root.modules()):
            return  # the pass of a model around this one goes on
    thread.current = Pass(root=model)  # in place of one that an interrupt from the keyboard has left, if there is one


def end_pass(model, arguments, output):
    if thread.current is not None and thread.current.root is model:
        thread.current = None
