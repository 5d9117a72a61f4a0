"""What other libraries call things: whoever gives us an argument or a neuron of theirs is told ours."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from torch import nn

SOFT = "; None subtracts the threshold, a number is where a spike puts the membrane"
OTHER_NAMES = {  # of arguments in other libraries: whose, ours, and what to know
    "v_threshold": ("SpikingJelly", "threshold", ""),
    "v_reset": ("SpikingJelly", "reset", SOFT),
    "surrogate_function": ("SpikingJelly", "surrogate", ""),
    "step_mode": ("SpikingJelly", "timesteps", "; time is folded into the batch, [T*N, *]"),
    "beta": ("snnTorch", "decay", ""),
    "spike_grad": ("snnTorch", "surrogate", ""),
    "reset_mechanism": ("snnTorch", "reset", SOFT),
    "init_hidden": ("snnTorch", "stateful", ""),
    "tau_mem_inv": ("Norse", "tau", "; it is 1 / (dt * tau_mem_inv), in steps"),
    "v_th": ("Norse", "threshold", ""),
    "method": ("Norse", "surrogate", ""),
}
NEURONS = {  # where the classes of their neurons stand
    "spikingjelly.activation_based.neuron": "SpikingJelly",
    "snntorch._neurons": "snnTorch",
    "norse.torch.module.lif": "Norse",
}
TAKEN_OVER = {
    "SpikingJelly": "fastlif.accelerate(model)",
    "snnTorch": "fastlif.LIF.from_snntorch(leaky)",
    "Norse": "fastlif.LIF.from_norse(cell)",
}

P = ParamSpec("P")
R = TypeVar("R")


def knows_other_names(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which names our argument where it is called with that of another library."""
    arguments = inspect.signature(function).parameters
    name = function.__qualname__.removesuffix(".__init__")
    others = {other: known for other, known in OTHER_NAMES.items() if other not in arguments and known[1] in arguments}

    @functools.wraps(function)
    def named(*args: P.args, **keywords: P.kwargs) -> R:
        try:
            return function(*args, **keywords)
        except TypeError:  # looked at only then: a call that is right pays nothing
            for keyword in keywords:
                if keyword in others:
                    whose, ours, more = others[keyword]
                    raise TypeError(f"{name} takes {ours}, not {keyword} ({whose}'s name){more}") from None
            raise

    return named


def library_of(module: nn.Module) -> str | None:
    """The other library whose neuron ``module`` is, or is derived from; None if it is none."""
    for cls in type(module).__mro__:
        for place, library in NEURONS.items():
            if cls.__module__.startswith((place + ".", place + "_")) or cls.__module__ == place:
                return library
    return None


def whose_neurons(model: nn.Module) -> str | None:
    """The other library that the first neuron in ``model`` that is not ours comes from; None if there is none."""
    return next(filter(None, map(library_of, model.modules())), None)


def take_over(model: nn.Module) -> str:
    """For the end of a message: whose neurons ``model`` has, and what makes ours of them. Empty if it has none."""
    library = whose_neurons(model)
    return f"; its neurons are {library}'s, for which there is {TAKEN_OVER[library]}" if library else ""


def no_neuron(model: nn.Module) -> str:
    """The message for a ``model`` without a neuron of ours."""
    return f"{type(model).__name__} has no fastlif neuron" + (
        take_over(model) or ": convert it first, with fastlif.convert"
    )


def of_spikingjelly(model: nn.Module) -> list[Any]:
    """Whatever of SpikingJelly's in ``model`` has a memory: on our kernels or not."""
    base = sys.modules.get("spikingjelly.activation_based.base")
    return [module for module in model.modules() if isinstance(module, base.MemoryModule)] if base else []
