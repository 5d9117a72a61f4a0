"""Every argument check: each error names the argument, its value and what is allowed, before anything is launched."""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Iterable
from typing import TypeVar

import torch

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
STATISTICS = ("layer", "sample")
RESIDUALS = ("matched", "range")
OVER_TIME = ("independent", "antithetic")
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
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return value


def check_type(name: str, value, expected: type[T]) -> T:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a fastlif.{expected.__name__}, got {type(value).__name__}")
    return value


def check_module(name: str, value) -> None:
    if not isinstance(value, torch.nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(value).__name__}")


def check_watchable(model, neurons) -> None:
    """A model that is watched through its hooks must have neurons, and no part that torch.compile runs without them."""
    if not neurons:
        raise ValueError(f"{type(model).__name__} has no fastlif neuron: convert it first, with fastlif.convert")
    for name, module in model.named_modules():
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


class Given(enum.Enum):
    """What stands for a parameter where numbers are checked, if it is a tensor."""

    TENSOR = "a tensor"

    def __str__(self):
        return self.value


def number_or_given(value):
    return Given.TENSOR if isinstance(value, torch.Tensor) else value


def check_decay(decay, tau) -> float:
    """The decay, from whichever of decay and tau was given; 0.5 if neither was, and 0 in the place of a tensor."""
    if decay is Given.TENSOR and tau is None:
        return 0.0
    if tau is None:
        decay = check_number("decay", 0.5 if decay is None else decay)
    elif decay is not None:
        raise ValueError(f"give exactly one of decay and tau, got decay={decay} and tau={tau}")
    else:
        tau = check_number("tau", tau)
        if tau < 1:
            raise ValueError(f"tau must be at least 1 (decay = 1 - 1/tau), got {tau}")
        decay = 1 - 1 / tau
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must lie in [0, 1], got {decay}")
    return decay


def check_threshold(threshold) -> float:
    """The threshold as a number; 1 in the place of a tensor."""
    return 1.0 if threshold is Given.TENSOR else check_number("threshold", threshold)


def check_gain(gain) -> float:
    """The gain as a number; 1 in the place of a tensor."""
    return 1.0 if gain is Given.TENSOR else check_number("gain", gain, finite=True)


def check_parameter(name: str, tensor: torch.Tensor, x: torch.Tensor, reset: float | None = 0.0) -> None:
    """A gain, decay or threshold that is a tensor, for the input x ``[T, N, *]``."""
    check_dense(name, tensor)
    check_floating(name, tensor)
    step = x.shape[1:]
    sizes = zip(reversed(tensor.shape), reversed(step))
    if tensor.ndim > len(step) or any(size not in (1, of_step) for size, of_step in sizes):
        raise ValueError(
            f"{name} must be a number or a tensor that broadcasts against one time step, {tuple(step)}, got shape "
            f"{tuple(tensor.shape)}"
        )
    check_device(name, tensor, x.device)
    check_parameter_values(name, tensor, reset)


def check_parameter_values(name: str, tensor: torch.Tensor, reset: float | None = 0.0) -> None:
    """Refuses values that no neuron has: outside of compiled code on a CPU, where looking costs next to nothing."""
    if torch.compiler.is_compiling() or tensor.device.type != "cpu":
        return
    try:
        with torch.no_grad():
            low, high = (value.item() for value in tensor.aminmax()) if tensor.numel() else (0.0, 0.0)
    except RuntimeError:  # under torch.vmap, or without values
        return
    if low != low:
        raise ValueError(f"{name} must hold numbers, and there is NaN in it")
    if name == "decay" and not 0 <= low <= high <= 1:
        raise ValueError(f"decay must lie in [0, 1], got values from {low:g} to {high:g}: clamp it")
    if name == "gain" and not -math.inf < low <= high < math.inf:
        raise ValueError(f"gain must be finite, got values from {low:g} to {high:g}")
    if name == "threshold" and reset is None and not -math.inf < low <= high < math.inf:
        raise ValueError(
            f"threshold must be finite to be subtracted from the membrane (reset=None), got values from {low:g} to "
            f"{high:g}"
        )


def check_reset(reset, threshold: float = 1.0, reset_delay: bool = False) -> float | None:
    """The membrane after a spike; None, which subtracts the threshold, needs a finite one."""
    if reset_delay and reset is not None:
        raise ValueError(
            f"reset_delay subtracts the threshold one step later: give reset=None with it, got reset={reset}"
        )
    if reset is not None:
        return check_number("reset", reset, finite=True)
    if threshold - threshold != 0:
        raise ValueError(f"threshold must be finite to be subtracted from the membrane (reset=None), got {threshold}")
    return None


def check_normalisation(alpha, beta, noise) -> tuple[float, float]:
    """alpha and beta of Eq. (9), given the training noise that the membrane takes its share of."""
    alpha, beta = check_number("alpha", alpha), check_number("beta", beta, finite=True)
    if alpha <= 0:
        raise ValueError(f"alpha must be greater than 0, got {alpha}")
    if alpha < SMALLEST:
        raise ValueError(f"alpha must be at least {SMALLEST:g}, got {alpha}")
    if noise.kind != "none" and noise.half_range < 1 / alpha < noise.half_range * (1 + 1e-9):
        while 1 / alpha > noise.half_range:  # 1 / (1 / r), the smallest alpha, is not r for every r
            alpha = math.nextafter(alpha, math.inf)
    if noise.kind != "none" and 1 / alpha > noise.half_range:
        smallest = f"at least {1 / noise.half_range:g}" if noise.half_range else "inf"
        raise ValueError(
            f"alpha={alpha:g} gives the membrane the range 1/alpha = {1 / alpha:g}, more than the noise's half-range "
            f"{noise.half_range:g}: alpha must be {smallest} for this noise"
        )
    return alpha, beta


def check_statistics(statistics, timesteps: int, device: torch.device):
    """"layer", "sample", or a pair of float32 ``[T]`` tensors on the input's device."""
    if isinstance(statistics, str):
        return check_choice("statistics", statistics, STATISTICS)
    if not (isinstance(statistics, (tuple, list)) and len(statistics) == 2
            and all(isinstance(value, torch.Tensor) for value in statistics)):
        raise ValueError(
            f"statistics must be one of {', '.join(STATISTICS)}, or a pair (mean, deviation) of tensors with one value "
            f"per time step, got {statistics!r}"
        )
    for name, value in zip(("mean", "deviation"), statistics):
        check_dense(f"statistics: {name}", value)
        check_floating(f"statistics: {name}", value)
        if value.shape != (timesteps,):
            raise ValueError(
                f"statistics: {name} must have one value per time step, shape ({timesteps},), got {tuple(value.shape)}"
            )
        check_device(f"statistics: {name}", value, device)
    return tuple(value.detach().to(torch.float32).contiguous() for value in statistics)


def check_statistics_values(statistics) -> None:
    """Refuses values that no membrane has: outside of compiled code on a CPU, where looking costs next to nothing."""
    if isinstance(statistics, str) or torch.compiler.is_compiling() or statistics[0].device.type != "cpu":
        return
    mean, deviation = statistics
    try:
        good = bool((mean.isfinite() & deviation.isfinite() & (deviation >= 0)).all())
    except RuntimeError:  # under torch.vmap, or without values
        return
    if not good:
        raise ValueError(
            "statistics must be a pair (mean, deviation) of finite values, the deviation at least 0, "
            f"got {mean.tolist()} and {deviation.tolist()}"
        )


def wrong_calibration(values: list) -> str | None:
    """What is wrong with the values under a neuron's two keys for calibration, in words, if anything is."""
    if len(values) != 2:
        return "must be there together: one of them is missing"
    if not all(isinstance(value, torch.Tensor) and value.dtype.is_floating_point for value in values):
        return "must be floating point tensors"
    mean, deviation = values
    if mean.shape != deviation.shape or mean.ndim != 2 or not mean.numel():
        return f"must both be [calls, T], got shapes {tuple(mean.shape)} and {tuple(deviation.shape)}"
    if mean.is_meta or bool((mean.isfinite() & deviation.isfinite() & (deviation >= 0)).all()):
        return None
    return "must hold finite values, the deviation at least 0"


def check_batches(name: str, batches) -> None:
    if isinstance(batches, (torch.Tensor, dict, str)) or not isinstance(batches, Iterable):
        raise TypeError(
            f"{name} must be an iterable of batches, such as a data loader or a list of tensors, got "
            f"{type(batches).__name__}"
        )


def check_input(x, *, dimensions: str, minimum: int) -> None:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"input must be a torch.Tensor, got {type(x).__name__}")
    if x.dtype not in DTYPES:
        raise TypeError(f"input must be float32, float16, bfloat16 or float64, got {_dtype_name(x)}")
    if x.layout != torch.strided or x.is_nested:
        check_dense("input", x)
    if x.ndim < minimum:
        raise ValueError(f"input must be {dimensions} with at least {minimum} dimensions, got shape {tuple(x.shape)}")


def check_dense(name: str, tensor: torch.Tensor) -> None:
    if tensor.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got a nested one: pad it, with .to_padded_tensor(0.0)")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {tensor.layout}: call .to_dense() first")


def check_floating(name: str, tensor: torch.Tensor) -> None:
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"{name} must have a floating point dtype, got {_dtype_name(tensor)}")


def check_sequence(x) -> None:
    check_input(x, dimensions="[T, N, *]", minimum=2)
    if x.shape[0] == 0:
        raise ValueError(f"input must be [T, N, *] with at least one time step, got shape {tuple(x.shape)}")


def check_initial_state(state, x) -> None:
    if state is None:
        return
    if not isinstance(state, torch.Tensor):
        raise TypeError(f"initial_state must be a torch.Tensor, got {type(state).__name__}")
    check_dense("initial_state", state)
    check_floating("initial_state", state)
    if state.shape != x.shape[1:]:
        raise ValueError(
            f"initial_state must have the shape of one time step, {tuple(x.shape[1:])}, got {tuple(state.shape)}"
        )
    check_device("initial_state", state, x.device)


def check_device(name: str, tensor: torch.Tensor, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(f"{name} must be on the input's device {device}, got {tensor.device}")


def check_seed(seed, device: torch.device) -> torch.Tensor:
    """The seed as a ``[1]`` int64 tensor."""
    if isinstance(seed, bool) or not isinstance(seed, (numbers.Integral, torch.Tensor)):
        raise TypeError(f"seed must be an integer or a one-element int64 tensor, got {type(seed).__name__}")
    if not isinstance(seed, torch.Tensor):
        if not -(2**63) <= int(seed) < 2**63:
            raise ValueError(f"seed must fit into 64 bits, got {seed}")
        return torch.tensor([int(seed)], dtype=torch.int64, device=device)
    if seed.dtype != torch.int64:
        raise TypeError(f"seed must be an integer or a one-element int64 tensor, got dtype {_dtype_name(seed)}")
    check_dense("seed", seed)
    if seed.numel() != 1:
        raise ValueError(f"seed must have one element, got shape {tuple(seed.shape)}")
    check_device("seed", seed, device)
    return seed.reshape(1)


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


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
