"""The configurations of the compiled kernels that tables show, and the call that launches each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from fastlif.operators.scan import Parameters
from fastlif.options import options
from fastlif.types import NOISE_KINDS, SURROGATE_WIDTHS

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
SIZES = {"usual": 1 << 21, "odd": (1 << 21) + 1, "huge": 1 << 32, "one": 1}  # elements of a step


@dataclass(frozen=True)
class Case:
    """A launcher of fastlif.kernels in one configuration. What a launcher has no use for is left at its default."""

    launcher: str
    noise: str = "gaussian"
    statistics: str = "layer"  # or "sample", or "none": plain LIF
    T: int = 1
    reset: str = "hard"  # or "soft", or "delayed"
    # "one", "contiguous", "channels_last": decay and threshold are tensors, of one value or as for batch_norm
    learned: str = "none"
    detach_reset: bool = False
    surrogate: str = "atan"
    at: str = "membrane"  # or "mean": where the surrogate is taken
    over_time: str = "independent"  # or "antithetic"
    bits: bool = False  # the forward stores its spikes at one bit each, too
    state: bool = False  # with an initial and a final membrane, and their gradients
    batch_norm: str = "none"  # or "contiguous", "channels_last": the layout of images of 32 x 32 in 64 channels
    # "odd": 16 does not divide it, so accesses are narrow; "huge": 64-bit addresses; "one": one element in one channel,
    # whose sizes of 1 Triton takes for constants
    size: str = "usual"

    def __str__(self):
        noise = "no noise" if self.noise == "none" else self.noise
        if self.launcher.startswith("noisy_spike"):
            words = [noise]
        elif self.statistics == "none":
            words = ["plain LIF", f"T = {self.T}", self.reset]
        else:
            words = [noise, f"per {self.statistics}", f"T = {self.T}", self.reset]
        words += [f"batch norm, {self.batch_norm}"] * (self.batch_norm != "none")
        words += [f"learned decay and threshold, {self.learned}"] * (self.learned != "none")
        words += ["bits"] * self.bits + ["detached"] * self.detach_reset + ["state"] * self.state
        words += [self.over_time] * (self.over_time != "independent")
        words += [self.surrogate + " at the mean" * (self.at == "mean")] * self.launcher.endswith("backward")
        words += {"usual": [], "odd": ["odd size"], "huge": ["over 2^31 elements"], "one": ["one element"]}[self.size]
        return ", ".join(words)


def _vary(case: Case, **choices: Iterable) -> list[Case]:
    """``case`` with every combination of the given values."""
    return [replace(case, **dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())]


_SPIKE_FORWARD, _SPIKE_BACKWARD = Case("noisy_spike_forward"), Case("noisy_spike_backward")
_LIF_FORWARD = Case("lif_forward", noise="none", statistics="none", T=10)
_LIF_BACKWARD = replace(_LIF_FORWARD, launcher="lif_backward")
_GIVEN_FORWARD, _GIVEN_BACKWARD = Case("lif_forward", T=10), Case("lif_backward", T=10)
_STEPS = Case("noisy_lif_forward", T=10)
LONG = 32  # beyond what the backward keeps in registers

DEFAULT_CASES = [
    *_vary(_SPIKE_FORWARD, noise=NOISE_KINDS),
    *_vary(_SPIKE_FORWARD, bits=(True,)),
    *_vary(_SPIKE_BACKWARD, surrogate=SURROGATE_WIDTHS),
    *_vary(_SPIKE_BACKWARD, noise=("uniform", "none")),
    *_vary(_SPIKE_FORWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_SPIKE_BACKWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_LIF_FORWARD, T=(1, 10)),
    *_vary(_LIF_FORWARD, bits=(True,)),
    *_vary(_LIF_FORWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_LIF_BACKWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_LIF_FORWARD, learned=("one", "contiguous", "channels_last")),
    *_vary(_LIF_BACKWARD, learned=("one", "contiguous", "channels_last")),
    *_vary(_LIF_FORWARD, reset=("delayed",)),
    *_vary(_LIF_BACKWARD, reset=("delayed",), detach_reset=(False, True)),
    *_vary(_LIF_FORWARD, reset=("soft",), state=(False, True)),
    *_vary(_LIF_BACKWARD, T=(1, 4, 10, 16, LONG)),
    *_vary(_LIF_BACKWARD, detach_reset=(True,), reset=("hard", "soft")),
    *_vary(_LIF_BACKWARD, reset=("soft",), state=(True,), T=(10, LONG)),
    *_vary(_GIVEN_FORWARD, noise=NOISE_KINDS),
    *_vary(_GIVEN_FORWARD, bits=(True,)),
    *_vary(_GIVEN_FORWARD, state=(True,)),
    *_vary(_GIVEN_FORWARD, statistics=("sample",)),
    *_vary(_GIVEN_BACKWARD, T=(1, 2, 4, 5, 10, 16, LONG)),
    *_vary(_GIVEN_BACKWARD, noise=("uniform", "none"), T=(10, LONG)),
    *_vary(_GIVEN_BACKWARD, statistics=("sample",), T=(1, 4, 10)),
    *_vary(_GIVEN_BACKWARD, at=("mean",), T=(1, 4, 10, LONG)),
    *_vary(_GIVEN_BACKWARD, at=("mean",), reset=("soft",)),
    *_vary(_GIVEN_FORWARD, over_time=("antithetic",), noise=("gaussian", "uniform")),
    *_vary(_GIVEN_BACKWARD, over_time=("antithetic",), T=(2, 4, 10, LONG)),
    *_vary(_STEPS, over_time=("antithetic",), statistics=("layer", "sample")),
    *_vary(_STEPS, state=(False, True)),
    *_vary(_STEPS, bits=(True,)),
    *_vary(_STEPS, statistics=("sample",)),
    *_vary(_STEPS, noise=("uniform", "none")),
]

_SCANS = [("none", "none"), *itertools.product(NOISE_KINDS, ("layer", "sample"))]
_ANY = {"reset": ("hard", "soft"), "state": (False, True)}


def _all_cases() -> Iterator[Case]:
    norms = ("contiguous", "channels_last")
    yield from _vary(_SPIKE_FORWARD, noise=NOISE_KINDS, batch_norm=norms, size=SIZES)
    yield from _vary(_SPIKE_BACKWARD, noise=NOISE_KINDS, batch_norm=norms, size=("usual", "odd"))
    yield from _vary(_LIF_FORWARD, T=(1, 10), batch_norm=norms, size=SIZES)
    yield from _vary(_LIF_BACKWARD, T=(1, 4, 10, 16, LONG), batch_norm=norms, size=("usual", "odd"))
    learned = {"learned": ("one", *norms), "reset": ("hard", "soft", "delayed")}
    yield from _vary(_LIF_FORWARD, **learned, T=(1, 10), size=SIZES)
    yield from _vary(_LIF_BACKWARD, **learned, T=(1, 4, 10, 16, LONG), size=("usual", "odd"))
    yield from _vary(_SPIKE_FORWARD, noise=NOISE_KINDS, size=SIZES)
    yield from _vary(_SPIKE_BACKWARD, noise=NOISE_KINDS, surrogate=SURROGATE_WIDTHS, size=SIZES)
    for noise, statistics in _SCANS:
        scan = {"noise": (noise,), "statistics": (statistics,)}
        yield from _vary(_LIF_FORWARD, **scan, **_ANY, T=(1, 10), size=SIZES)
        yield from _vary(_LIF_BACKWARD, **scan, T=(*range(1, 17), LONG), size=("usual", "odd"))
        yield from _vary(_LIF_BACKWARD, **scan, **_ANY, T=(1, 10, 16, LONG), detach_reset=(False, True))
        yield from _vary(_LIF_BACKWARD, **scan, T=(1, 10, 16, LONG), surrogate=SURROGATE_WIDTHS)
        yield from _vary(_LIF_BACKWARD, **scan, T=(1, 10, 16, LONG), size=("huge",))
        if noise != "none":
            yield from _vary(_LIF_FORWARD, **scan, **_ANY, T=(10,), over_time=("antithetic",))
            yield from _vary(_LIF_BACKWARD, **scan, **_ANY, T=(*range(2, 17), LONG), over_time=("antithetic",))
            yield from _vary(_LIF_BACKWARD, **scan, **_ANY, T=(*range(1, 17), LONG), at=("mean",))
    yield from _vary(_STEPS, noise=NOISE_KINDS, statistics=("layer", "sample"), **_ANY, size=SIZES)
    yield from _vary(_SPIKE_FORWARD, noise=NOISE_KINDS, bits=(True,), size=("usual", "odd", "huge"))
    yield from _vary(_LIF_FORWARD, bits=(True,), **_ANY, T=(1, 10), size=("usual", "odd", "huge"))
    for case in (_GIVEN_FORWARD, _STEPS):
        yield from _vary(case, noise=("gaussian", "uniform"), bits=(True,), **_ANY, size=("usual", "odd", "huge"))


ALL_CASES = list(dict.fromkeys(_all_cases()))


def launch(case: Case, dtype: torch.dtype, make=torch.empty, device: str = "meta") -> None:
    """Calls the case's launcher, by default on tensors without memory."""
    from fastlif import kernels

    def empty(*shape, dtype=torch.float32):
        return make(shape, dtype=dtype, device=device)

    launcher = getattr(kernels, case.launcher)
    size = SIZES[case.size]
    groups = 50 if case.statistics == "sample" else 1
    norm, shape = None, (groups, size // groups // 16 * 16 + size % 2)
    channels, pixels = {"one": (1, 1), "odd": (43, 5419)}.get(case.size, (64, 32 * 32))  # an odd size's divisors
    if case.batch_norm != "none":
        norm = [empty(channels)] * 4
    if case.batch_norm != "none" or case.learned != "none":
        shape = size // channels // pixels, channels, pixels
    parameters = None
    if case.learned != "none":
        count, stride = {"one": (1, 1), "contiguous": (channels, pixels), "channels_last": (channels, 1)}[case.learned]
        parameters = Parameters(None, empty(count), empty(count), count, stride)

    def layer(*steps):  # [N, C, *], or [N, *]
        if "channels_last" in (case.batch_norm, case.learned):
            return empty(*steps, shape[0], shape[2], shape[1], dtype=dtype).transpose(-1, -2)
        return empty(*steps, *shape, dtype=dtype)

    scan = not case.launcher.startswith("noisy_spike")
    x, spikes, grad_x = (layer(*(case.T,) * scan) for _ in range(3))
    seed = None if case.noise == "none" else empty(1, dtype=torch.int64)
    chosen = options(
        threshold=1.0, noise=case.noise, noise_scalars=() if case.noise == "none" else (0.5,) * 9, decay=0.5,
        inv_alpha=0.25, beta=0.5, reset=0.0 if case.reset == "hard" else None,
        reset_delay=case.reset == "delayed", detach_reset=case.detach_reset,
        surrogate=case.surrogate, surrogate_width=SURROGATE_WIDTHS[case.surrogate], surrogate_at=case.at,
        over_time=case.over_time,
    )  # fmt: skip
    bits = empty(case.T, kernels.bytes_of(math.prod(shape)), dtype=torch.uint8) if case.bits else None
    state, other_state = (empty(*shape) if case.state else None for _ in range(2))
    mean, deviation = (None if case.statistics == "none" else empty(case.T, groups) for _ in range(2))
    if case.launcher == "noisy_spike_forward":
        launcher(x, spikes, seed, norm, chosen, bits)
    elif case.launcher == "noisy_spike_backward":
        launcher(spikes, x, grad_x, seed, norm, chosen)
    elif case.launcher == "noisy_lif_forward":
        launcher(x, spikes, state, empty(*shape), mean, deviation, seed, chosen, bits)
    elif case.launcher == "lif_forward":
        launcher(x, case.T, spikes, state, other_state, mean, deviation, seed, norm, parameters, chosen, bits)
    else:
        wanted = (False,) + (parameters is not None,) * 2
        launcher(
            spikes, other_state, x, case.T, state, grad_x, state, mean, deviation, seed, norm, parameters, wanted,
            chosen,
        )  # fmt: skip
