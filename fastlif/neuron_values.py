"""What a neuron computes with, checked: its numbers and tensors, its statistics, its state and its seed."""

from __future__ import annotations

import enum
import math
import numbers

import torch

from fastlif import validation
from fastlif.backends import capturing

STATISTICS = ("layer", "sample")
RESIDUALS = ("matched", "range")
OVER_TIME = ("independent", "antithetic")


class Given(enum.Enum):
    """What stands for a parameter where numbers are checked, if it is a tensor."""

    TENSOR = "a tensor"

    def __str__(self):
        return self.value


def number_or_given(value):
    return Given.TENSOR if isinstance(value, torch.Tensor) else value


def check_decay(decay, tau=None) -> float:
    """The decay, from whichever of decay and tau was given; 0.5 if neither was, and 0 in the place of a tensor."""
    if decay is Given.TENSOR and tau is None:
        return 0.0
    if tau is None:
        decay = validation.check_number("decay", 0.5 if decay is None else decay)
    elif decay is not None:
        raise ValueError(f"give exactly one of decay and tau, got decay={decay} and tau={tau}")
    else:
        tau = validation.check_number("tau", tau)
        if tau < 1:
            raise ValueError(f"tau must be at least 1 (decay = 1 - 1/tau), got {tau}")
        decay = 1 - 1 / tau
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must lie in [0, 1], got {decay}")
    return decay


def check_threshold(threshold) -> float:
    """The threshold as a number; 1 in the place of a tensor."""
    return 1.0 if threshold is Given.TENSOR else validation.check_number("threshold", threshold)


def check_gain(gain) -> float:
    """The gain as a number; 1 in the place of a tensor."""
    return 1.0 if gain is Given.TENSOR else validation.check_number("gain", gain, finite=True)


def check_parameter(
    name: str, tensor: torch.Tensor, step: torch.Size, device: torch.device, reset: float | None = 0.0
) -> None:
    """A gain, decay or threshold that is a tensor, for an input whose time ``step`` has this shape."""
    validation.check_dense(name, tensor)
    validation.check_floating(name, tensor)
    sizes = zip(reversed(tensor.shape), reversed(step))
    if tensor.ndim > len(step) or any(size not in (1, of_step) for size, of_step in sizes):
        raise ValueError(
            f"{name} must be a number or a tensor that broadcasts against one time step, {tuple(step)}, got shape "
            f"{tuple(tensor.shape)}"
        )
    validation.check_device(name, tensor, device)
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
        return validation.check_number("reset", reset, finite=True)
    if threshold - threshold != 0:
        raise ValueError(f"threshold must be finite to be subtracted from the membrane (reset=None), got {threshold}")
    return None


def check_normalisation(alpha, beta, noise) -> tuple[float, float]:
    """alpha and beta of Eq. (9), given the training noise that the membrane takes its share of."""
    alpha, beta = validation.check_number("alpha", alpha), validation.check_number("beta", beta, finite=True)
    if alpha <= 0:
        raise ValueError(f"alpha must be greater than 0, got {alpha}")
    if alpha < validation.SMALLEST:
        raise ValueError(f"alpha must be at least {validation.SMALLEST:g}, got {alpha}")
    if noise.kind != "none" and noise.half_range < 1 / alpha < noise.half_range * (1 + 1e-9):
        while 1 / alpha > noise.half_range:  # 1 / (1 / r), the smallest alpha, is not r for every r
            alpha = math.nextafter(alpha, math.inf)
    if noise.kind != "none" and 1 / alpha > noise.half_range:
        smallest = f"at least {1 / noise.half_range}" if noise.half_range else "inf"
        raise ValueError(
            f"alpha={alpha} gives the membrane the range 1/alpha = {1 / alpha}, more than the noise's half-range "
            f"{noise.half_range}: alpha must be {smallest} for this noise"
        )
    return alpha, beta


def check_statistics(statistics, timesteps: int, device: torch.device):
    """"layer", "sample", or a pair of float32 ``[T]`` tensors on the input's device, their values checked outside of
    compiled code on a CPU, where looking costs next to nothing."""
    if isinstance(statistics, str):
        return validation.check_choice("statistics", statistics, STATISTICS)
    if not (isinstance(statistics, (tuple, list)) and len(statistics) == 2
            and all(isinstance(value, torch.Tensor) for value in statistics)):
        raise ValueError(
            f"statistics must be one of {', '.join(STATISTICS)}, or a pair (mean, deviation) of tensors with one value "
            f"per time step, got {statistics!r}"
        )
    for name, value in zip(("mean", "deviation"), statistics):
        validation.check_dense(f"statistics: {name}", value)
        validation.check_floating(f"statistics: {name}", value)
        if value.shape != (timesteps,):
            raise ValueError(
                f"statistics: {name} must have one value per time step, shape ({timesteps},), got {tuple(value.shape)}"
            )
        validation.check_device(f"statistics: {name}", value, device)
    mean, deviation = (value.detach().to(torch.float32).contiguous() for value in statistics)
    if not torch.compiler.is_compiling() and device.type == "cpu":
        try:
            good = bool((mean.isfinite() & deviation.isfinite() & (deviation >= 0)).all())
        except RuntimeError:  # under torch.vmap, or without values
            good = True
        if not good:
            raise ValueError(
                "statistics must be a pair (mean, deviation) of finite values, the deviation at least 0, "
                f"got {mean.tolist()} and {deviation.tolist()}"
            )
    return mean, deviation


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


def check_carried(deviation, options) -> None:
    """The calibrated ``deviation`` of step 1, for a call that begins with the membrane of the last one."""
    if capturing(deviation):
        return  # a graph cannot wait for a value
    if options.decay * options.inv_alpha and not bool(deviation):
        raise RuntimeError(
            "the calibrated statistics of step 1 are those of an empty membrane, and would drop the one that a "
            "stateful neuron carries from the last call: use stateful=False, call fastlif.reset(model) before each "
            'call, or do not calibrate and use statistics="sample"'
        )


def check_within_vmap(membrane) -> None:
    """Refuses a membrane that is carried out of torch.vmap, where it has no values."""
    functorch = torch._C._functorch
    level = functorch.maybe_current_level() or 0
    while functorch.is_functorch_wrapped_tensor(membrane):
        if functorch.is_batchedtensor(membrane) and functorch.maybe_get_level(membrane) > level:
            raise RuntimeError(
                "a stateful neuron cannot carry its membrane out of torch.vmap: call fastlif.reset(model) after it, "
                "or pass the membrane yourself, through initial_state and return_state of fastlif.functional.lif"
            )
        membrane = functorch.get_unwrapped(membrane)


def check_initial_state(state, x) -> None:
    if state is None:
        return
    if not isinstance(state, torch.Tensor):
        raise TypeError(f"initial_state must be a torch.Tensor, got {type(state).__name__}")
    validation.check_dense("initial_state", state)
    validation.check_floating("initial_state", state)
    if state.shape != x.shape[1:]:
        raise ValueError(
            f"initial_state must have the shape of one time step, {tuple(x.shape[1:])}, got {tuple(state.shape)}"
        )
    validation.check_device("initial_state", state, x.device)


def check_seed(seed, device: torch.device) -> torch.Tensor:
    """The seed as a ``[1]`` int64 tensor."""
    if isinstance(seed, bool) or not isinstance(seed, (numbers.Integral, torch.Tensor)):
        raise TypeError(f"seed must be an integer or a one-element int64 tensor, got {type(seed).__name__}")
    if not isinstance(seed, torch.Tensor):
        number = int(seed)
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"seed must fit into 64 bits, got {seed}")
        number -= 2**64 if number >= 2**63 else 0  # torch.initial_seed() gives a negative one unsigned
        return torch.full((1,), number, dtype=torch.int64, device=device)  # without a copy, for which a GPU waits
    if seed.dtype != torch.int64:
        raise TypeError(
            f"seed must be an integer or a one-element int64 tensor, got dtype {validation.dtype_name(seed)}"
        )
    validation.check_dense("seed", seed)
    if seed.numel() != 1:
        raise ValueError(f"seed must have one element, got shape {tuple(seed.shape)}")
    validation.check_device("seed", seed, device)
    return seed.reshape(1)


def in_words(value) -> str:
    """A value as a neuron's repr shows it."""
    if not isinstance(value, torch.Tensor):
        return repr(value)
    return f"{'learned' if value.requires_grad else 'tensor'} {list(value.shape)}"
