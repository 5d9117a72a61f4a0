"""Every argument check: each error names the argument, its value and what is allowed, before anything is launched.

Those of what a neuron computes with are in neuron_values.py.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import TypeVar

import torch

from fastlif.libraries.names import library_of, no_neuron, whose_neurons

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SMALLEST, LARGEST = 1e-18, 1e18  # their squares and inverses are float32 numbers
LARGEST_TIMESTEPS = 2**31 - 1  # what the noise tells apart

T = TypeVar("T")


def check_choice(name: str, value, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def check_number(name: str, value, *, finite: bool = False) -> float:
    """``value`` as a float; NaN is never a number here."""
    if isinstance(value, bool) or not isinstance(value, (float, int, torch.SymFloat, torch.SymInt, numbers.Real)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        value = float(value)
    except OverflowError:  # an int beyond float64
        raise ValueError(f"{name} must be a number that a float can hold, got one that is too large") from None
    if value != value or (finite and value - value != 0):  # math.isnan cannot be traced for a changing number
        raise ValueError(f"{name} must be {'a finite number' if finite else 'a number'}, got {value}")
    return value


def check_positive(name: str, value) -> float:
    """A finite number greater than 0, in the range that float32 can compute with."""
    value = check_number(name, value, finite=True)
    if value <= 0:
        raise ValueError(f"{name} must be greater than 0, got {value}")
    if not SMALLEST <= value <= LARGEST:
        raise ValueError(f"{name} must lie in [{SMALLEST:g}, {LARGEST:g}], got {value}")
    return value


def check_flag(name: str, value) -> bool:
    if not isinstance(value, bool):
        kind = type(value)
        place = "" if kind.__module__ == "builtins" else f"{kind.__module__}."  # numpy has a bool too
        raise TypeError(f"{name} must be True or False, got {place}{kind.__name__}")
    return value


def check_type(name: str, value, expected: type[T]) -> T:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a fastlif.{expected.__name__}, got {type(value).__name__}")
    return value


def check_module(name: str, value) -> None:
    if not isinstance(value, torch.nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(value).__name__}")


def check_watchable(model, neurons) -> None:
    """A model that is watched through its hooks must have neurons, all of which can be watched, and no part that
    torch.compile runs without hooks."""
    if not neurons:
        if whose_neurons(model) == "SpikingJelly":
            raise ValueError(
                f"{type(model).__name__} has no fastlif neuron; its neurons are SpikingJelly's, which can be watched "
                "after model = fastlif.accelerate(model)"
            )
        raise ValueError(no_neuron(model))
    for name, module in model.named_modules():
        library = library_of(module)
        if library and module not in neurons:
            raise ValueError(
                f"model must have no neurons but those that fastlif computes, and {name or 'it'} is a "
                f"{type(module).__name__} of {library}, which cannot be watched"
            )
        if hasattr(module, "_orig_mod") or module._compiled_call_impl is not None:
            raise RuntimeError(
                f"model must not be compiled, and {name or 'it'} is, by torch.compile, which leaves out the hooks that "
                "this needs: give the model as it was before"
            )


def check_index(name: str, value, *, minimum: int, end: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if int(value) < minimum or (end is not None and int(value) >= end):
        allowed = f"at least {minimum}" if end is None else f"from {minimum} to {end - 1}"
        raise ValueError(f"{name} must be {allowed}, got {value}")


def check_sizes(name: str, sizes) -> tuple[int, ...]:
    """A shape whose sizes are all at least 1."""
    if not isinstance(sizes, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of integers, got {type(sizes).__name__}")
    wrong = [size for size in sizes if isinstance(size, bool) or not isinstance(size, numbers.Integral) or size < 1]
    if wrong or not sizes:
        raise ValueError(f"{name} must hold integers of at least 1, such as (3, 32, 32), got {sizes!r}")
    return tuple(map(int, sizes))


def check_batch(batch) -> torch.Tensor:
    """The input of a batch, which is a tensor or a tuple that begins with one."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(first, torch.Tensor):
        name = type(batch).__name__
        shown = name if first is batch else f"{name} of {type(first).__name__}"
        raise TypeError(f"each batch must be a tensor, or a tuple that begins with one, got {shown}")
    if first.numel() == 0:
        raise ValueError(f"each batch must hold something, got one of shape {tuple(first.shape)}")
    return first


def check_makers(neuron) -> dict:
    """What makes the neurons of a conversion, by the pattern of the names that it is for; None makes none."""
    if not isinstance(neuron, dict):
        if not callable(neuron) or isinstance(neuron, torch.nn.Module):
            raise TypeError(
                "neuron must be a class or a function that makes modules, or a dict from patterns to these, got "
                f"{type(neuron).__name__}"
            )
        return {"*": neuron}
    for pattern, maker in neuron.items():
        if not isinstance(pattern, str):
            raise TypeError(f"neuron's patterns must be strings such as 'layer1.*', got {type(pattern).__name__}")
        if maker is not None and (not callable(maker) or isinstance(maker, torch.nn.Module)):
            raise TypeError(
                f"neuron[{pattern!r}] must be a class or a function that makes modules, or None, got "
                f"{type(maker).__name__}"
            )
    if all(maker is None for maker in neuron.values()):
        raise ValueError(f"neuron must have a pattern with something that makes neurons, got {neuron}")
    return neuron


def check_activations(activations) -> tuple:
    """The types of the modules that a conversion swaps, as a tuple."""
    kinds = activations if isinstance(activations, (tuple, list)) else (activations,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, torch.nn.Module):
            shown = kind.__name__ if isinstance(kind, type) else type(kind).__name__
            raise TypeError(f"activations must be types of modules, such as (nn.ReLU, nn.ReLU6), got {shown}")
    if not kinds:
        raise ValueError("activations must name at least one type of module, such as nn.ReLU, got none")
    return tuple(kinds)


def check_timesteps(timesteps, name: str = "timesteps") -> int:
    check_index(name, timesteps, minimum=1)
    if timesteps > LARGEST_TIMESTEPS:
        raise ValueError(f"{name} must be at most {LARGEST_TIMESTEPS}, got {timesteps}")
    return int(timesteps)


def check_batches(name: str, batches) -> None:
    if isinstance(batches, (torch.Tensor, dict, str)) or not isinstance(batches, Iterable):
        raise TypeError(
            f"{name} must be an iterable of batches, such as a data loader or a list of tensors, got "
            f"{type(batches).__name__}"
        )


def check_input(x, *, dimensions: str, minimum: int, any_dtype: bool = False) -> None:
    """``any_dtype`` is for a model's input, whose first layers may take what no neuron does, such as token ids."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"input must be a torch.Tensor, got {type(x).__name__}{_how_to_trace(x)}")
    if not any_dtype and x.dtype not in DTYPES:
        raise TypeError(f"input must be float32, float16, bfloat16 or float64, got {dtype_name(x)}")
    if x.layout != torch.strided or x.is_nested:
        check_dense("input", x)
    if x.ndim < minimum:
        raise ValueError(f"input must be {dimensions} with at least {minimum} dimensions, got shape {tuple(x.shape)}")


def _how_to_trace(x) -> str:
    """What to do about a proxy of torch.fx, if it is one."""
    if type(x).__module__ != "torch.fx.proxy":
        return ""
    return (
        ": torch.fx cannot look into a neuron. Name the classes of fastlif's neurons in its tracer's leaf modules; for "
        'torchvision, tracer_kwargs={"leaf_modules": [fastlif.NoisyLIF, fastlif.LIF]}'
    )


def check_dense(name: str, tensor: torch.Tensor) -> None:
    if tensor.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got a nested one: pad it, with .to_padded_tensor(0.0)")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {tensor.layout}: call .to_dense() first")


def check_floating(name: str, tensor: torch.Tensor) -> None:
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"{name} must have a floating point dtype, got {dtype_name(tensor)}")


def check_sequence(x, any_dtype: bool = False) -> None:
    check_input(x, dimensions="[T, N, *]", minimum=2, any_dtype=any_dtype)
    if x.shape[0] == 0:
        raise ValueError(f"input must be [T, N, *] with at least one time step, got shape {tuple(x.shape)}")


def check_device(name: str, tensor: torch.Tensor, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(f"{name} must be on the input's device {device}, got {tensor.device}")


def check_folded_batch(x, timesteps: int) -> None:
    """A module's input is ``[T*N, *]``: the batch must hold T whole steps."""
    check_input(x, dimensions="[T*N, *]", minimum=1)
    if type(timesteps) is not int or timesteps < 1:  # it may have been set to anything since
        timesteps = timesteps if isinstance(timesteps, torch.SymInt) else check_timesteps(timesteps)
    if x.shape[0] % timesteps:
        raise ValueError(
            f"timesteps={timesteps} must divide the batch, since the input is [T*N, *] with time folded into it; got "
            f"shape {tuple(x.shape)}"
        )


def dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
