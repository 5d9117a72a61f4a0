"""What the properties are tried on: a case is a few plain values drawn by Hypothesis, its tensors come from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from helpers import DEVICE, DTYPES
from hypothesis import strategies as st

from fastlif import Noise, Surrogate, functional, reference

NEURONS = ("noisy_spike", "lif", "noisy_lif")
STATISTICS = ("layer", "sample", "given")
LAYOUTS = ("contiguous", "permuted", "channels_last", "sliced", "offset", "static", "expanded", "steps apart")
SPECIALS = ("nan", "inf", "-inf", "max", "-max", "subnormal", "-subnormal", "-0.0", "tiny")


@dataclass(frozen=True)
class Case:
    """One call of a neuron."""

    neuron: str
    shape: tuple[int, ...]  # [T, N, *]; T is 1 for noisy_spike
    layout: str = "contiguous"
    dtype: torch.dtype = torch.float32
    values: str = "normal"
    scale: float = 1.0
    specials: tuple[str, ...] = ()
    seed: int = 0
    keywords: dict = field(default_factory=dict)
    statistics: str = "layer"
    state_dtype: torch.dtype | None = None  # of the initial state, None for none
    state_gradient: bool = True  # whether the last membrane is given a gradient too
    gradient_layout: str = "same"

    def generator(self):
        return torch.Generator().manual_seed(self.seed)

    def input(self):
        """``[T, N, *]``, or ``[N, *]`` for noisy_spike."""
        generator = self.generator()
        if self.values == "eighths":  # whose sums are exact, so that many membranes are at the threshold
            x = torch.randint(-8, 17, self.shape, generator=generator) / 8
        else:
            spread = {"normal": 0.6, "narrow": 1e-3, "constant": 0.0, "wide": 30.0}[self.values]
            x = torch.randn(self.shape, generator=generator) * spread + 0.6
        x = (x * self.scale).to(self.dtype)
        limits = torch.finfo(self.dtype)
        interpreted = self.dtype == torch.bfloat16 and DEVICE == "cpu"  # which takes its subnormal numbers for 0
        small = limits.tiny / (1 if interpreted else 4)
        numbers = {"max": limits.max, "-max": limits.min, "tiny": limits.tiny, "subnormal": small,
                   "-subnormal": -small}  # fmt: skip
        for name in self.specials:
            x.view(-1)[int(torch.randint(x.numel(), (1,), generator=generator))] = numbers.get(name) or float(name)
        x = laid_out(x.to(DEVICE), self.layout, generator.manual_seed(self.seed + 4))
        return x[0] if self.neuron == "noisy_spike" else x

    def initial_state(self):
        if self.state_dtype is None:
            return None
        state = torch.randn(self.shape[1:], generator=self.generator().manual_seed(self.seed + 1)) * 0.5 * self.scale
        return state.to(DEVICE, self.state_dtype)

    def gradients(self):
        """Of the spikes, in their dtype, and of the last membrane: ``[T, N, *]`` and ``[N, *]``."""
        generator = self.generator().manual_seed(self.seed + 2)
        shape = self.shape[1:] if self.neuron == "noisy_spike" else self.shape
        of_spikes = laid_out(torch.randn(shape, generator=generator).to(DEVICE, self.dtype), self.gradient_layout,
                             generator)  # fmt: skip
        return of_spikes, torch.randn(self.shape[1:], generator=generator).to(DEVICE)

    def arguments(self):
        """The keywords of the neuron's function, all but the initial state and the backend."""
        keywords = dict(self.keywords)
        if self.neuron == "noisy_lif":
            keywords["statistics"] = self.given_statistics() if self.statistics == "given" else self.statistics
        if self.neuron != "lif":
            keywords["seed"] = self.seed
        return keywords

    def given_statistics(self):
        """Mean and deviation of each step, ``[T]``. Some deviations are 0: no normal form."""
        generator = self.generator().manual_seed(self.seed + 3)
        mean, deviation = torch.rand(2, self.shape[0], generator=generator)
        return (mean * self.scale).to(DEVICE), (deviation * self.scale * (deviation > 0.2)).to(DEVICE)

    def function(self):
        return getattr(functional, self.neuron)


def laid_out(x, layout, generator=None):
    """A tensor of the shape of ``x`` ``[T, N, *]`` in another place or order of memory.

    "static" and "expanded" repeat values along a dimension, of stride 0; the others keep them all.
    """
    dim = int(torch.randint(x.ndim, (1,), generator=generator))
    if layout == "permuted":
        order = torch.randperm(x.ndim, generator=generator).tolist()
        return x.permute(order).contiguous().permute(*(order.index(d) for d in range(x.ndim)))
    if layout == "channels_last" and x.ndim > 3:
        return x.movedim(2, -1).contiguous().movedim(-1, 2)
    if layout == "sliced":
        return torch.stack([x, x + 1], dim=dim + 1).flatten(dim, dim + 1)[
            (slice(None),) * dim + (slice(None, None, 2),)
        ]
    if layout == "offset":
        return torch.cat([x.new_zeros(3), x.flatten()])[3:].view(x.shape)
    if layout == "static":
        return x[:1].expand_as(x)
    if layout == "expanded":
        return x.narrow(dim, 0, 1).expand_as(x)
    if layout == "steps apart":
        return torch.stack([x, x + 1], dim=1)[:, 0]
    return x


def numbers(*likely, low, high):
    return st.sampled_from(likely) | st.floats(low, high, width=16)


@st.composite
def shapes(draw, steps, limit, samples):
    """[T, N, *] with at most about ``limit`` elements in a step and ``samples`` in the batch."""
    if draw(st.integers(0, 39)) == 39:  # across the noise's blocks of 2,048, the statistics' of 1,024 and 4 of these
        return min(draw(steps), 2), *draw(st.sampled_from([(1, 4099), (2049,), (1, 3, 1025), (2, 1024)]))
    sizes = []
    for size in draw(st.lists(st.sampled_from((2, 3, 1, 5, 7, 17, 64, 257)), min_size=1, max_size=5)):
        sizes.append(size if math.prod(sizes) * size <= limit else 1)
    return draw(steps), min(sizes[0], samples), *sizes[1:]


@st.composite
def noises(draw, scale, kinds):
    kind = draw(st.sampled_from(kinds))
    low, high = draw(st.sampled_from([(0.0, 1.0), (-0.5, 1.0), (-3.0, 5.0), (0.25, 0.25), (0.0, 0.01)]))
    return Noise(kind, low * scale, high * scale, draw(numbers(4.0, 3.0, 1.0, 6.0, 0.1, 20.0, low=0.125, high=30)))


def smallest_alpha(noise):
    """The limit 1 / alpha = half-range, exactly."""
    if noise.half_range == 0:
        return math.inf
    alpha = 1 / noise.half_range
    return alpha if 1 / alpha <= noise.half_range else math.nextafter(alpha, math.inf)


surrogates = st.builds(
    Surrogate, st.sampled_from(sorted(reference.SURROGATES)), st.none() | st.floats(0.0625, 30, width=16),
    st.sampled_from(("membrane", "mean")),
)  # fmt: skip


STEPS = st.sampled_from((1, 2, 3) * 12 + (4, 5, 8, 13, 17, 20))


@st.composite
def cases(
    draw, *, neurons=NEURONS, noise=("gaussian", "uniform", "none"), statistics=STATISTICS, dtypes=DTYPES,
    layouts=LAYOUTS, special=True, samples=4, limit=300, steps=STEPS,
):  # fmt: skip
    """Calls of a neuron, with arguments that it accepts."""
    neuron = draw(st.sampled_from(neurons))
    shape = draw(shapes(st.just(1) if neuron == "noisy_spike" else steps, limit, samples))
    dtype = draw(st.sampled_from(dtypes))
    subnormal = neuron == "lif" and dtype == torch.float32
    scale = draw(st.sampled_from((1.0,) * 6 + (1e-3, 1e3) + (1e-41,) * subnormal))
    unit = scale if scale > 1e-30 else 0.0  # Triton's interpreter takes a subnormal argument for a float64
    threshold = draw(numbers(1.0, 0.75, 0.0, -0.5, 1e6, -1e30, low=-2, high=2)) * unit
    keywords = {"threshold": threshold, "surrogate": draw(surrogates)}
    if neuron != "lif":
        keywords["noise"] = draw(noises(scale, noise))
    if neuron != "noisy_spike":
        keywords["decay"] = draw(numbers(0.5, 1.0, 0.0, 0.9, low=0, high=1))
        reset = draw(st.none() | numbers(0.0, -0.25, 0.5, 3.0, 1e6, low=-2, high=2))
        keywords["reset"] = None if reset is None else reset * unit
        keywords["detach_reset"] = draw(st.booleans())
    if neuron == "noisy_lif":
        least = smallest_alpha(keywords["noise"]) if keywords["noise"].kind != "none" else 0.5 / scale
        keywords["alpha"] = draw(st.sampled_from([least * 2, least * 1.25, least, least * 30, math.inf]))
        keywords["beta"] = draw(numbers(0.5, 0.0, -1.0, low=-2, high=2)) * scale
        keywords["residual"] = draw(st.sampled_from(("matched", "range")))
        keywords["over_time"] = draw(st.sampled_from(("independent", "antithetic")))
    return Case(
        neuron=neuron,
        shape=shape,
        layout=draw(st.sampled_from(layouts)),
        dtype=dtype,
        values=draw(st.sampled_from(("normal",) * 5 + ("eighths", "narrow", "constant", "wide"))),
        scale=scale,
        specials=tuple(draw(st.lists(st.sampled_from(SPECIALS), max_size=3))) if special and draw(
            st.integers(0, 3)) == 3 else (),
        seed=draw(st.integers(0, 2**40)),
        keywords=keywords,
        statistics=draw(st.sampled_from(statistics)) if neuron == "noisy_lif" else "layer",
        state_dtype=None if neuron == "noisy_spike" else draw(
            st.sampled_from((None, torch.float32, torch.float32, torch.float16))),
        state_gradient=draw(st.booleans()),
        gradient_layout=draw(st.sampled_from(("same", "same", "expanded", "permuted"))),
    )  # fmt: skip
