"""Activations that a model computes in its code, where there is no module to swap: they are read from compiled code."""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib.util
import inspect
import sys
from types import CodeType, FunctionType

import torch
from torch import nn

# Hidden activations. Gates and output layers (sigmoid, tanh, softmax) are not activations to swap.
ACTIVATION_MODULES = (nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.PReLU, nn.ReLU,
                      nn.RReLU, nn.SELU, nn.SiLU, nn.Softplus, nn.Threshold)  # fmt: skip
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

_OTHER = object()  # what a method reaches through self, and what is no tensor: nothing that flows through the network


def functions_of(value, bound: bool = False, forward: bool = False) -> set[str]:
    """The names of the activation functions that ``value``, an attribute, is or calls.

    They are read from its compiled code and from that of the functions it calls: code is there where the source is
    not, as in a notebook. What a name stands for counts. So an alias is found, and a module called ``relu`` is none.
    In a ``forward`` modules count that are made there. Other methods may build the model.
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
        for name, loaded, call in _loads(function.__code__, function.__globals__, known):
            if loaded in _ACTIVATION_FUNCTIONS:
                found.add(name if name.endswith(loaded.__name__) else f"{name} ({loaded.__name__})")
            elif inspect.isclass(loaded):
                if forward and function is value and _is_used(*call()):
                    found.add(f"{name}()")
            elif loaded in ("Tensor.relu", "Tensor.relu_") and call()[0] == []:
                found.add(name)
            elif loaded in _CLAMPS and call()[0] in ([0], [0, ("min",)]):
                if function.__globals__ is value.__globals__:  # elsewhere it rather keeps an index or a size in bounds
                    found.add(f"{name} at 0")
            elif isinstance(loaded, FunctionType) and _is_of_a_user(loaded) and loaded not in searched:
                searched.append(loaded)
    return found


def _is_of_a_user(function: FunctionType) -> bool:
    """Whether a function is neither PyTorch's, nor ours, nor Python's own."""
    package = (function.__module__ or "").split(".")[0]
    return package not in ("torch", "fastlif") and package not in sys.stdlib_module_names


def _loads(code: CodeType, variables: dict, known: dict):
    """Whatever ``code`` loads: its name, what that stands for ("Tensor.relu" if it is unknown), and its call."""
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("EXTENDED_ARG", "NOP", "PUSH_NULL")]
    name, value, module = "", None, None
    for i, instruction in enumerate(instructions):
        loaded = instruction.argval
        if isinstance(loaded, tuple) and loaded:  # of an instruction that loads two
            loaded = loaded[-1]
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
                yield from _loads(loaded, variables, dict(known))
            elif instruction.opname in ("IMPORT_NAME", "IMPORT_FROM"):
                if instruction.opname == "IMPORT_FROM":  # a module's own __getattr__ might import more
                    imported = getattr(module, "__dict__", {}).get(loaded, _OTHER)
                else:  # "import a.b" gives a; "from a.b import c", whose level and names stand before it, gives a.b
                    level, names = instructions[i - 2].argval, instructions[i - 1].argval
                    path = _absolute(loaded, level, variables.get("__package__") or "")
                    imported = sys.modules.get(path if names else path.partition(".")[0], _OTHER)
                if instructions[i + 1].opname.startswith("STORE"):
                    variable = _names(instructions[i + 1])[0]
                    if imported is not _OTHER or variable not in known:  # of "try" and "except" one is loaded
                        known[variable] = imported
                else:  # a name is taken from it
                    module = imported
            continue
        is_activation = inspect.isclass(value) and issubclass(value, ACTIVATION_MODULES)
        if not (value is None or inspect.ismodule(value) or inspect.isroutine(value) or is_activation):
            value = _OTHER
        yield name, name if value is None else value, functools.partial(_call, instructions[i + 1 :], code)


def _absolute(path: str, level: int, package: str) -> str:
    """The full name of a module that ``package`` imports as ``path`` behind ``level`` dots; "" if there is none."""
    try:
        return importlib.util.resolve_name("." * level + path, package)
    except ImportError:
        return ""


def _is_used(arguments: list | None, after: list[dis.Instruction], code: CodeType) -> bool:
    """Whether what a call makes is called itself, or put into a local variable that no attribute gets. An attribute is
    a module to swap."""
    if arguments is None:
        return False
    if not after[0].opname.startswith("STORE_FAST"):
        return _call(after, code)[0] is not None
    variable = _names(after[0])[0]
    return not any(
        instruction.opname == "STORE_ATTR" and any(variable in _names(one) for one in after[i - 2 : i])
        for i, instruction in enumerate(after)
    )


def _names(instruction: dis.Instruction) -> tuple:
    """The variables of an instruction: two of those that Python 3.13 made of two."""
    return instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)


def _call(instructions: list[dis.Instruction], code: CodeType) -> tuple[list | None, list[dis.Instruction], CodeType]:
    """Of the call of what was loaded last: the constants that end its arguments, keywords after them, what follows it,
    and ``code``. They are None if it is not called."""
    depth = 0
    ending: list = []
    for i, instruction in enumerate(instructions):
        depth += dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        if depth < 0:
            is_call = instruction.opname.startswith("CALL") and depth == -1
            return ending if is_call else None, instructions[i + 1 :], code
        if instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            ending.append(instruction.argval)
        elif instruction.opname == "KW_NAMES" and instruction.arg is not None:
            ending.append(code.co_consts[instruction.arg])
        elif instruction.opname != "PRECALL":
            ending.clear()
    return None, [], code
