"""From an ordinary network to a single-step spiking one: the first of the paper's three steps."""

from __future__ import annotations

import contextlib
import copy
import dis
import functools
import inspect
import warnings
from collections.abc import Callable
from types import CodeType, FunctionType

import torch
from torch import nn

from fastlif import validation
from fastlif.modules import NoisyLIF, mark_passes, neurons

__all__ = ["convert"]

# Hidden activations that are not nn.ReLU. Gates and output layers (sigmoid, tanh, softmax) are not activations to swap.
_ACTIVATION_MODULES = (nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.PReLU, nn.RReLU,
                       nn.SELU, nn.SiLU, nn.Softplus, nn.Threshold)  # fmt: skip
_ACTIVATION_NAMES = ("celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "mish", "prelu", "relu", "relu6",
                     "rrelu", "selu", "silu", "softplus", "threshold")  # fmt: skip
_ACTIVATION_FUNCTIONS = {
    vars(place)[name]
    for place in (nn.functional, torch)
    for stem in _ACTIVATION_NAMES
    for name in (stem, f"{stem}_")
    if name in vars(place)
}
# A ReLU where 0 is the only bound. They are functions of torch and methods of a tensor.
_CLAMPS = {of_whom for name in ("clamp", "clamp_", "clamp_min", "clamp_min_", "clip", "clip_")
           for of_whom in (getattr(torch, name), f"Tensor.{name}")}  # fmt: skip


def convert(model: nn.Module, neuron: Callable[..., nn.Module] = NoisyLIF, **keywords) -> nn.Module:
    """A copy of ``model`` with every ``nn.ReLU`` swapped for a spiking neuron; the weights keep their state_dict keys.

    Args:
        model: any module. It is left as it is; a ReLU that is shared becomes one neuron, shared likewise. It may have
            stateful neurons already, as a part of a converted model has.
        neuron: what makes a neuron, by default :class:`fastlif.NoisyLIF`.
        keywords: passed to it.

    Raises:
        TypeError: if ``model`` is not a module or cannot be copied, or ``neuron`` does not make modules.
        ValueError: if there is neither an ``nn.ReLU`` to swap nor a stateful neuron.

    Warns:
        UserWarning: naming the activations that could not be swapped: functional ones, found in the code of each
            module's class, and modules other than ``nn.ReLU``.
    """
    if not callable(neuron) or isinstance(neuron, nn.Module):
        raise TypeError(f"neuron must be a class or a function that makes modules, got {type(neuron).__name__}")
    model = _copy(model)
    left = _other_activations(model)
    swapped: dict[nn.Module, nn.Module] = {}
    holder = nn.Module()
    holder.model = model  # so that a model that is itself a ReLU has a parent too
    for parent in list(holder.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, nn.ReLU):
                if child not in swapped:
                    made = neuron(**keywords)
                    if not isinstance(made, nn.Module):
                        raise TypeError(f"neuron must make a torch.nn.Module, and made a {type(made).__name__}")
                    swapped[child] = made.train(child.training)
                setattr(parent, name, swapped[child])
                if isinstance(parent, nn.TransformerEncoderLayer):
                    parent.activation_relu_or_gelu = 0  # else its fast path computes a ReLU and calls no neuron
            if isinstance(child, nn.TransformerEncoder):
                child.use_nested_tensor = False  # it is for that fast path alone
    if not swapped and not any(neuron.stateful for neuron in neurons(model)):
        raise ValueError(
            f"{type(model).__name__} has no nn.ReLU to swap"
            + (f"; what it has: {'; '.join(left)}. Replace these by nn.ReLU modules first" if left else "")
        )
    if left:
        warnings.warn(
            f"fastlif.convert could not swap: {'; '.join(left)}. Only nn.ReLU modules are swapped; these stay as they "
            "are",
            stacklevel=2,
        )
    mark_passes(holder.model)
    return holder.model


def _copy(model: nn.Module) -> nn.Module:
    validation.check_module("model", model)
    try:
        return copy.deepcopy(model)
    except (TypeError, RuntimeError, AttributeError) as error:  # of what copy cannot copy, such as an output kept
        name = type(model).__name__
        raise TypeError(f"model must be one that copy.deepcopy can copy, and {name} is not: {error}") from None


def _other_activations(model: nn.Module) -> list[str]:
    """What computes an activation in ``model`` and is not an ``nn.ReLU``, in words."""
    found: dict[str, list[str]] = {}  # where each kind of them is
    functions_by_class: dict[type, set[str]] = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            continue
        if isinstance(module, _ACTIVATION_MODULES):
            found.setdefault(type(module).__name__, []).append(path)
            continue
        if isinstance(module, (nn.RNN, nn.RNNCell)) and module.nonlinearity == "relu":
            found.setdefault(f'{type(module).__name__} with nonlinearity="relu"', []).append(path)
        for name, value in vars(module).items():
            listed = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            if not name.startswith("_") and any(isinstance(v, (nn.ReLU, *_ACTIVATION_MODULES)) for v in listed):
                found.setdefault(f"modules in a plain {type(value).__name__}", []).append(f"{path}.{name}")
            for function in _functions(value):  # such as nn.TransformerEncoderLayer.activation
                found.setdefault(f"the function {function}", []).append(f"{path}.{name}")
        for cls in type(module).__mro__:
            generated = cls is type(module) and isinstance(module, torch.fx.GraphModule)
            if generated or cls.__module__.split(".")[0] not in ("torch", "builtins", "fastlif"):
                if cls not in functions_by_class:
                    methods = [value for name, value in vars(cls).items() if name != "__init__"]
                    functions_by_class[cls] = {name for method in methods for name in _functions(method, bound=True)}
                for function in sorted(functions_by_class[cls]):
                    found.setdefault(f"{function} in {cls.__name__}", []).append(path)
    return [
        (f"{len(paths)} x " if len(paths) > 1 else "")
        + f"{what} ({paths[0].lstrip('.') or 'the model'}{', ...' if len(paths) > 1 else ''})"
        for what, paths in found.items()
    ]


# What a method reaches through self, and what is no tensor: nothing that flows through the network.
_OTHER = object()


def _functions(value, bound: bool = False) -> set[str]:
    """The activation functions that ``value``, an attribute, is or calls, by the names that it has for them.

    They are read from its compiled code and that of helpers in its file, which is there where the source is not, as
    in a notebook. A name counts for what it stands for: an alias is found, and a module called ``relu`` is none.
    """
    if isinstance(value, (staticmethod, classmethod, functools.partial)):
        bound = isinstance(value, classmethod)
        value = value.func if isinstance(value, functools.partial) else value.__func__
    if not inspect.isroutine(value):
        return set()
    value = inspect.unwrap(value)
    if value in _ACTIVATION_FUNCTIONS:
        return {value.__name__}
    found: set[str] = set()
    searched = [value] if isinstance(value, FunctionType) else []
    for function in searched:  # which grows
        known = {name: _OTHER for name in function.__code__.co_varnames[:1] if bound and function is value}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            with contextlib.suppress(ValueError):  # of a cell that nothing was put into yet
                known[name] = cell.cell_contents
        for name, loaded, arguments in _loads(function.__code__, function.__globals__, known):
            if loaded in _ACTIVATION_FUNCTIONS:
                found.add(name if name.endswith(loaded.__name__) else f"{name} ({loaded.__name__})")
            elif loaded in ("Tensor.relu", "Tensor.relu_") and arguments() == []:
                found.add(name)
            elif loaded in _CLAMPS and arguments() in ([0], [0, ("min",)]):
                found.add(f"{name} at 0")
            elif isinstance(loaded, FunctionType) and loaded.__globals__ is function.__globals__:
                if loaded not in searched:
                    searched.append(loaded)
    return found


def _loads(code: CodeType, variables: dict, known: dict):
    """Whatever ``code`` loads: its name, what that stands for ("Tensor.relu" if it is unknown), and its arguments."""
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("EXTENDED_ARG", "NOP", "PUSH_NULL")]
    name, value = "", None
    for i, instruction in enumerate(instructions):
        loaded = instruction.argval[-1] if isinstance(instruction.argval, tuple) else instruction.argval
        if instruction.opname == "LOAD_GLOBAL":
            name, value = loaded, variables.get(loaded, _OTHER)
        elif "LOAD_FAST" in instruction.opname or instruction.opname == "LOAD_DEREF":
            name, value = loaded, known.get(loaded)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            name = f"Tensor.{loaded}" if value is None else f"{name}.{loaded}"
            if value is not None:
                value = vars(value).get(loaded, _OTHER) if inspect.ismodule(value) else _OTHER
        else:
            name, value = "", None
            if isinstance(loaded, CodeType):
                yield from _loads(loaded, variables, known)
            continue
        if value is not None and not inspect.ismodule(value) and not inspect.isroutine(value):
            value = _OTHER
        yield name, name if value is None else value, functools.partial(_last_arguments, instructions[i + 1 :], code)


def _last_arguments(instructions: list[dis.Instruction], code: CodeType) -> list | None:
    """The constants that end the arguments, keywords after them, of the call that takes what was loaded last."""
    depth, ending = 0, []
    for instruction in instructions:
        depth += dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        if depth < 0:
            return ending if instruction.opname.startswith("CALL") else None
        if instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            ending.append(instruction.argval)
        elif instruction.opname == "KW_NAMES":
            ending.append(code.co_consts[instruction.arg])
        elif instruction.opname != "PRECALL":
            ending.clear()
    return None
