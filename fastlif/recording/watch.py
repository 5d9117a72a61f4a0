"""What calls a function after each call of a neuron or of a layer: hooks on a model, which can be removed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from torch import Tensor, nn

from fastlif.libraries.spikingjelly import Accelerated
from fastlif.neuron import Neuron
from fastlif.passes import thread

WATCHED = (Neuron, Accelerated)  # what can be watched: ours, and SpikingJelly's where we compute them


def watch(model: nn.Module, kinds, note: Callable) -> contextlib.ExitStack:
    """Calls ``note(name, module, input, output)`` after each call of a module of these kinds.

    Returns its hooks, for a ``with`` that removes them. A copy that is made of the model meanwhile has them too, but
    notes nothing.
    """

    def hook_for(name, module):
        def hook(called, arguments, keywords, output):
            if called is module:
                note(name, module, next(iter((*arguments, *keywords.values()))), output)  # theirs is called x_seq

        return hook

    hooks = contextlib.ExitStack()
    for name, module in model.named_modules():
        if isinstance(module, kinds):
            hook = hook_for(name or type(module).__name__, module)
            hooks.enter_context(module.register_forward_hook(hook, with_kwargs=True))
    return hooks


def watched_neurons(model: nn.Module) -> list[Neuron | Accelerated]:
    """Every neuron in ``model`` that can be watched, each once."""
    return [module for module in model.modules() if isinstance(module, WATCHED)]


def of_pass() -> int | None:
    """T of the pass that runs now, if it is one of a MultiStep."""
    return None if thread.current is None else thread.current.timesteps


def unfold(neuron: Neuron | Accelerated, output: Tensor) -> Tensor:
    """What a neuron just gave, ``[T, N, *]`` without a copy: T is that of the pass, if it is a MultiStep's."""
    timesteps = of_pass() or neuron.timesteps
    if isinstance(neuron, Accelerated) and output.ndim < (2 if timesteps is None else 1):  # a step without dimensions
        output = output[..., None]
    return output if timesteps is None else output.unflatten(0, (timesteps, output.shape[0] // timesteps))
