"""What is done with a model as a whole: its neurons found, copied, evaluated, and their membranes forgotten."""

from __future__ import annotations

import contextlib
import copy
import itertools

import torch
from torch import nn

from fastlif import validation
from fastlif.libraries.names import of_spikingjelly
from fastlif.neuron import Neuron
from fastlif.passes import begin_pass, end_pass

__all__ = ["detach", "reset"]


def reset(model: nn.Module) -> None:
    """Forgets the membrane of every neuron in ``model`` that carries one from call to call: of ours with
    ``stateful=True``, and of SpikingJelly's."""
    validation.check_module("model", model)
    for neuron in [*neurons(model), *of_spikingjelly(model)]:
        neuron.reset()


def detach(model: nn.Module) -> None:
    """Cuts the graph at the membrane of every neuron in ``model`` that keeps it from call to call
    (``detach_state=False``, or SpikingJelly's): gradients reach back to here and no further (truncated backpropagation
    through time)."""
    validation.check_module("model", model)
    for node in of_spikingjelly(model):
        node.detach()
    for neuron in neurons(model):
        neuron.states = {call: state.detach() for call, state in neuron.states.items()}


def copy_of(model: nn.Module) -> nn.Module:
    """A copy of the model, or an error that says what cannot be copied."""
    validation.check_module("model", model)
    try:
        return copy.deepcopy(model)
    except (TypeError, RuntimeError, AttributeError) as error:  # of what copy cannot copy, such as an output kept
        name = type(model).__name__
        kept = isinstance(error, RuntimeError) and "created explicitly by the user" in str(error)
        reason = (
            "it keeps a tensor with its graph, such as a membrane (reset the model first) or a weight of "
            "torch.nn.utils.weight_norm (take that of torch.nn.utils.parametrizations) or torch.nn.utils.prune "
            "(call the model once under torch.no_grad())"
        )
        raise TypeError(
            f"model must be one that copy.deepcopy can copy, and {name} is not: {reason if kept else error}"
        ) from None


def neurons(model: nn.Module) -> list[Neuron]:
    """Every fastlif neuron in ``model``, each once."""
    return [module for module in model.modules() if isinstance(module, Neuron)]


def with_places(found: dict[str, list[str]]) -> list[str]:
    """For a message: each thing that was found, how often, and the first of the names in the model where it is."""
    return [f"{len(paths)} x {what} ({paths[0]}, ...)" if len(paths) > 1 else f"{what} ({paths[0]})"
            for what, paths in found.items()]  # fmt: skip


@contextlib.contextmanager
def evaluating(model: nn.Module):
    """``model`` in evaluation mode, and its neurons; at the end all modes and carried membranes are as they were."""
    modes = {module: module.training for module in model.modules()}
    carried = {neuron: neuron.states for neuron in neurons(model)}
    for neuron, states in carried.items():
        neuron.states = dict(states)
    model.eval()
    try:
        yield carried.keys()
    finally:
        for module, mode in modes.items():
            module.training = mode
        for neuron, state in carried.items():
            neuron.states = state


def on_its_device(model: nn.Module, input: torch.Tensor) -> torch.Tensor:
    """A loader's ``input``, moved from the CPU to where ``model`` has its first parameter or buffer with values."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    first = next((tensor for tensor in tensors if not tensor.is_meta), input)
    return input.to(first.device) if input.is_cpu else input


def mark_passes(model: nn.Module) -> None:
    """Lets each call of ``model`` be a pass, in which the calls of a stateful neuron carry a membrane each."""
    for neuron in neurons(model):
        neuron.unmarked = not neuron.stateful
        neuron.needs_pass |= neuron.stateful
    if any(neuron.stateful for neuron in neurons(model)):
        model.register_forward_pre_hook(begin_pass)
        model.register_forward_hook(end_pass, always_call=True)
