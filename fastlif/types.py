"""The two small values a user hands around, the noise of Eq. (5) and the surrogate gradient.

At the end stand the keywords of ``functional.lif`` and ``noisy_lif``, which type checkers need by themselves.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import operator
import pickle
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType
from typing import Any, TypedDict

import torch

from fastlif.noise import noise_scalars
from fastlif.reference import SURROGATES
from fastlif.validation import LARGEST, check_choice, check_number, check_positive

NOISE_KINDS = ("gaussian", "uniform", "none")
SURROGATE_WIDTHS = {
    "atan": 2.0,
    "sigmoid": 4.0,
    "rectangular": 1.0,
    "triangular": 1.0,
    "fast_sigmoid": 25.0,
    "gaussian": 0.5,
}
SURROGATE_PLACES = ("membrane", "mean")
OWN: dict[str, Surrogate] = {}  # surrogates that are a user's functions, by the name that records have for them
PROCESS = uuid.uuid4().hex[:8]  # in the names of functions that no other process knows again
_naming = threading.Lock()


@dataclass(frozen=True)
class Noise:
    """The random membrane potential N_noise of the single-step neuron, Eq. (5).

    Args:
        kind: ``"gaussian"`` (default): a normal of mean ``(low + high) / 2`` and standard deviation
            ``(high - low) / 2 / width``, truncated to ``[low, high]``; ``"uniform"`` on ``[low, high]``;
            ``"none"``: nothing is drawn and ``low``, ``high``, ``width`` are not used.
        low, high: the range, in units of the membrane potential; 0 and 1 by default, as in the paper.
        width: how many standard deviations of the Gaussian fit into half of the range; 4 by default.

    Raises:
        ValueError: for an unknown kind, ``low > high``, a bound that is not finite, or ``width <= 0``.
    """

    kind: str = "gaussian"
    low: float = 0.0
    high: float = 1.0
    width: float = 4.0

    def __post_init__(self):
        check_choice("noise kind", self.kind, NOISE_KINDS)
        for name in ("low", "high"):
            object.__setattr__(self, name, check_number(f"noise {name}", getattr(self, name), finite=True))
            if abs(getattr(self, name)) > LARGEST:
                raise ValueError(f"noise {name} must lie in [{-LARGEST:g}, {LARGEST:g}], got {getattr(self, name)}")
        if self.low > self.high:
            raise ValueError(f"noise low must not exceed high, got low={self.low} and high={self.high}")
        object.__setattr__(self, "width", check_positive("noise width", self.width))

    def scalars(self) -> tuple[float, ...]:
        """Its :func:`fastlif.noise.noise_scalars`."""
        return noise_scalars(self.kind, self.mean, self.half_range, self.width)

    @property
    def mean(self) -> float:
        """The middle m of the range, in units of the membrane potential."""
        return (self.low + self.high) / 2

    @property
    def half_range(self) -> float:
        """Half the length r of the range, in units of the membrane potential."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Surrogate:
    """The function that stands in for the spike's derivative in the backward pass.

    It is a bump, highest at the threshold. With ``at="membrane"`` it is taken at the membrane as it was drawn, with its
    noise n. With ``at="mean"`` it is taken where the membrane is on average over the noise,
    ``u = h - n + E n - threshold``. Then the gradient of the single step, Eq. (5), does not depend on what was drawn,
    and its backward draws nothing.

    Why that is a gradient: with noise of density g, symmetric about its mean, the neuron fires with probability G(u),
    the integral of g, whose derivative is g(u). So the surrogate at the mean is the derivative of a firing probability,
    for noise with the surrogate as density. That is the neuron's own noise exactly for uniform noise and
    ``"rectangular"`` of width ``high - low``, and up to truncation for Gaussian noise and ``"gaussian"`` of its
    standard deviation. For Gaussian noise the rule was derived by Ma et al.,
    "Exploiting noise as a resource for computation and learning in spiking neural networks", Patterns 2023.

    Args:
        name: ``"atan"`` (default), ``"sigmoid"``, ``"rectangular"``, ``"triangular"``, ``"fast_sigmoid"`` or
            ``"gaussian"``; the formulas are in :mod:`fastlif.reference`. Or a function ``(u, width) -> derivative`` of
            your own, in PyTorch's operations: it gets u of a membrane's shape, and width as a tensor without
            dimensions. Define it once, outside of loops: each function, and each ``functools.partial``, is compiled
            for, and kept. What it reads from outside must be numbers. On the backend "compiled" they keep the values
            of its first backward. An exported program that is trained needs a Surrogate of the same function where it
            is loaded; a method or an object is not known again there.
        width: its parameter w, a width, or a slope for ``"atan"``, ``"sigmoid"`` and ``"fast_sigmoid"``; by default 2,
            4, 1, 1, 25 and 0.5, in that order, and 1 for a function.
        at: ``"membrane"`` (default) or ``"mean"``; without noise the two are one.
        triton: for a function of your own, the same as a ``triton.jit`` function of (u, width), which the backend
            "triton" needs. Define it at the top of a module, if the model is to be saved whole.

    Raises:
        ValueError: for an unknown name or place, or ``width <= 0``.
    """

    name: str | Callable = "atan"
    width: float | None = None
    at: str = "membrane"
    triton: Callable | None = None
    key: str = field(init=False, repr=False, compare=False)  # what records call it

    def __post_init__(self):
        if not callable(self.name):
            check_choice("surrogate", self.name, tuple(SURROGATE_WIDTHS))
            if self.triton is not None:
                raise ValueError(f"triton belongs to a surrogate of your own, got it with the name {self.name!r}")
        default = 1.0 if callable(self.name) else SURROGATE_WIDTHS[self.name]
        width = default if self.width is None else self.width
        object.__setattr__(self, "width", check_positive("surrogate width", width))
        check_choice("surrogate at", self.at, SURROGATE_PLACES)
        object.__setattr__(self, "key", _own_key(self, self.name) if callable(self.name) else self.name)

    def __copy__(self) -> Surrogate:  # it never changes
        return self

    def __deepcopy__(self, memo) -> Surrogate:  # nor can Triton's functions be copied
        return self

    def __reduce__(self):  # a function is known in the process that it comes to as well
        if self.triton is None:
            return type(self), (self.name, self.width, self.at)
        return _with_triton, (type(self), self.name, self.width, self.at, *_place(self.triton))

    @classmethod
    def of(cls, value: Surrogate | Callable | str) -> Surrogate:
        """``value`` itself, or the surrogate of that name or function with its default width."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str) or (callable(value) and not isinstance(value, type)):
            return cls(value)
        raise TypeError(f"surrogate must be a name, a function or a fastlif.Surrogate, got {type(value).__name__}")

    def triton_function(self) -> Callable:
        """What the kernels call for a function of a user's own."""
        if self.triton is None:
            raise RuntimeError(
                f"the surrogate {self.key!r} is a function of PyTorch, which Triton's kernels cannot call: give the "
                "same as a Triton function, Surrogate(function, triton=...), or choose backend=\"compiled\" or "
                "\"reference\""
            )
        return self.triton


def _place(function: Callable) -> tuple[str, str]:
    """Module and name of a Triton function, by which it is pickled, as Python's own functions are."""
    inner = getattr(function, "fn", function)  # what triton.jit was given
    place = inner.__module__, inner.__qualname__
    if _at(*place) is not function:
        raise pickle.PicklingError(
            f"the Triton function of a surrogate cannot be found as {'.'.join(place)}, by which it would be saved: "
            "define it under that name at the top of a module"
        )
    return place


def _at(module: str, name: str) -> Any:
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        return None


def _with_triton(kind, name, width, at, module, function) -> Surrogate:
    """What was pickled: the Triton function is found in its module."""
    found = _at(module, function)
    if found is None:
        raise pickle.UnpicklingError(f"a surrogate's Triton function, {module}.{function}, is not there to be imported")
    return kind(name, width, at, found)


def _own_key(surrogate: Surrogate, function: Callable) -> str:
    """The name that records have for a function: always the same for the same function."""
    compiling = torch.compiler.is_dynamo_compiling()
    with contextlib.nullcontext() if compiling else _naming:  # a compiler cannot enter a lock
        for key, known in OWN.items():
            same = known.name is function or (isinstance(function, MethodType) and known.name == function)
            if same and known.triton is surrogate.triton:
                return key
        fingerprint = PROCESS if compiling else _fingerprint(function)
        key = f"{getattr(function, '__qualname__', type(function).__name__)} ({fingerprint})"
        if key in SURROGATES:
            key = f"{key} {len(OWN)}"
        OWN[key], SURROGATES[key] = surrogate, function
        return key


def _fingerprint(function: Callable) -> str:
    """The same in every process for a function that says and reads the same, and for others another: an exported
    program, which holds the name alone, takes no other function."""
    return hashlib.sha256(repr(_meaning(function)).encode()).hexdigest()[:8]


def _meaning(value: Any, depth: int = 4) -> Any:
    """What a function, or a value that it reads, says. What cannot be compared is this process's alone."""
    inner = functools.partial(_meaning, depth=depth - 1)
    if depth and isinstance(value, FunctionType):
        reads = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):  # of a cell that nothing was put into yet
                reads.append(cell.cell_contents)
        named = (value.__globals__.get(name) for name in value.__code__.co_names)
        reads += [number for number in named if isinstance(number, (int, float))]
        return inner(value.__code__), [inner(one) for one in reads]
    if depth and isinstance(value, CodeType):
        return value.co_code, [inner(one) for one in value.co_consts], value.co_names
    if depth and isinstance(value, tuple):
        return [inner(one) for one in value]
    return value if isinstance(value, (int, float, str, bytes, type(None))) else PROCESS


class ScanArguments(TypedDict, total=False):
    """Keywords that ``functional.lif`` and ``functional.noisy_lif`` have in common, for type checkers."""

    tau: float | None
    reset: float | None
    surrogate: str | Callable | Surrogate
    detach_reset: bool
    initial_state: torch.Tensor | None
    backend: str


class LIFArguments(ScanArguments, total=False):
    """The keywords of ``functional.lif``, but for return_state."""

    decay: float | torch.Tensor | None
    threshold: float | torch.Tensor
    gain: float | torch.Tensor
    rest: float
    inclusive: bool
    reset_delay: bool


class NoisyLIFArguments(ScanArguments, total=False):
    """The keywords of ``functional.noisy_lif``, but for return_state."""

    decay: float | None
    threshold: float
    alpha: float
    beta: float
    noise: Noise
    residual: str
    over_time: str
    statistics: str | tuple[torch.Tensor, torch.Tensor]
    seed: int | torch.Tensor | None
