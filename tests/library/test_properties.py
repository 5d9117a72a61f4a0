"""Properties that hold for every input, tried on thousands of drawn ones, the kernels beside the reference.

With FASTLIF_TEST_PROFILE=long there are five times as many as in CI, other ones each time.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from counts import COUNTS
from helpers import DEVICE, step_noise

from fastlif import Noise, Surrogate, reference
from fastlif.functional import lif, noisy_lif, noisy_lif_options, noisy_spike, run_noisy_lif
from fastlif.layout import batch_outermost
from fastlif.noise import philox, residual_noise, uniform_lattice

pytest.importorskip("hypothesis")
pytest.importorskip("triton")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from strategies import DTYPES, Case, cases  # noqa: E402


def examples(count):
    """``count`` of them by default, and as many times more as the profile says."""
    return settings(max_examples=count * settings().max_examples // 100)


# --- What float32 may do: the equations in float64, every number with a bound on its rounding error ----------------

EPS = 2.0**-22  # four times the error of one rounding: for orders of evaluation, and a GPU's divisions
TINY = 2.0**-147 if DEVICE == "cpu" else 2.0**-125  # a GPU's exponential may flush subnormal numbers
LARGEST = float(torch.finfo(torch.float32).max)


class Bounded:
    """A float64 array, and how far from it the same computation in float32 can end. An infinite bound: anywhere."""

    __array_ufunc__ = None  # an array beside it leaves the operators to it

    def __init__(self, value, error=0.0, rounded=False):
        self.value = np.asarray(value, dtype=np.float64)
        finite = np.isfinite(self.value)
        error = error + (EPS * np.abs(self.value) + TINY) * rounded
        error = np.where(np.isnan(error) | finite & (np.abs(self.value) + error > LARGEST), np.inf, error)
        # Not a number, or infinite, whatever the error of what it was computed from
        self.error = np.where(finite | (error == np.inf), error, 0.0)

    def __add__(self, other):
        other = bounded(other)
        return Bounded(self.value + other.value, self.error + other.error, True)

    def __neg__(self):
        return Bounded(-self.value, self.error)

    def __sub__(self, other):
        return self + -bounded(other)

    def __rsub__(self, other):
        return bounded(other) - self

    def __mul__(self, other):
        other = bounded(other)
        error = _product(np.abs(self.value), other.error) + _product(np.abs(other.value) + other.error, self.error)
        return Bounded(self.value * other.value, error, True)

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other):
        room = np.maximum(np.abs(self.value) - self.error, 0)
        value = other / self.value
        return Bounded(value, _product(np.abs(value), self.error) / room + TINY / room, True)

    def sqrt(self):
        value = np.sqrt(self.value)
        return Bounded(value, self.error / value, True)


def bounded(value):
    return value if isinstance(value, Bounded) else Bounded(value)


def _product(size, error):
    """What an error becomes when multiplied: nothing stays nothing, even beside infinity."""
    return np.where((error == 0) | (size == 0) & np.isfinite(error), 0.0, size * error)


def choose(condition, a, b):
    a, b = bounded(a), bounded(b)
    return Bounded(np.where(condition, a.value, b.value), np.where(condition, a.error, b.error))


class Expected(NamedTuple):
    spikes: np.ndarray
    sure: np.ndarray  # bool: rounding cannot change this spike
    state: Bounded
    grad_x: Bounded
    grad_state: Bounded


def expected_of(case):
    """The neuron over time, forward and backward, from the equations alone."""
    with np.errstate(all="ignore"):
        return _expected_of(case)


def _expected_of(case):
    keywords = {"decay": 0.0, "reset": 0.0, "alpha": math.inf, "beta": 0.0, "noise": Noise("none")} | case.arguments()
    keywords = {"detach_reset": True, "seed": None, "statistics": None} | keywords
    threshold, reset = keywords["threshold"], keywords["reset"]
    x = case.input()
    x = x[None] if case.neuron == "noisy_spike" else x
    if keywords["statistics"] == "sample" and not batch_outermost(x):
        x = x.contiguous()
    state = case.initial_state()
    v = Bounded(np.zeros(x.shape[1:]) if state is None else numpy(state.float()))
    noise, mean = drawn_noise(x, keywords)
    at_mean = noise is not None and keywords["surrogate"].at == "mean"
    membranes, spikes, sure, factors, arguments = [], [], [], [], []
    for t, x_t in enumerate(numpy(x)):
        h, a = Bounded(x_t), bounded(keywords["decay"])
        if keywords["statistics"] is None:
            h = h + a * v
        else:
            a, b = normalised(v, t, keywords)
            h = h + a * v + b
        still = h
        if noise is not None:
            h = h + Bounded(noise.value[t], noise.error[t])
        u = still + mean - rounded(threshold) if at_mean else h - threshold
        spiking = h.value > threshold
        certain = (np.abs(h.value - threshold) > h.error) | np.isnan(h.value) & (h.error == 0)
        v = choose(spiking, h - threshold if reset is None else reset, h)
        v = Bounded(v.value, np.where(certain, v.error, np.inf))
        for kept, value in zip((membranes, spikes, sure, factors, arguments), (h, spiking, certain, a, u)):
            kept.append(value)

    of_spikes, of_state = case.gradients()
    of_spikes = numpy(of_spikes[None] if case.neuron == "noisy_spike" else of_spikes)
    grad_v = Bounded(numpy(of_state) * (case.state_gradient and case.neuron != "noisy_spike"))
    grads = []
    for t in reversed(range(len(x))):
        h = membranes[t]
        slope = derivative(arguments[t], keywords["surrogate"])
        if reset is None:
            kept = 1.0 - threshold * slope if not keywords["detach_reset"] else bounded(1.0)
        else:
            kept = Bounded(1.0 - spikes[t])
            kept = kept + (reset - h) * slope if not keywords["detach_reset"] else kept
        # PyTorch multiplies the gradient by reset - h before the slope: at the largest numbers that overflows. What an
        # infinite membrane's own gradient is, a number or none, is left open.
        defined = np.isfinite(h.value) & (np.abs(grad_v.value * ((reset or 0.0) - h.value)) <= LARGEST)
        kept = Bounded(kept.value, np.where(sure[t] & defined, kept.error, np.inf))
        grad_h = of_spikes[t] * slope + grad_v * kept
        grads.insert(0, grad_h)
        grad_v = factors[t] * grad_h
    grad_x = Bounded(np.stack([g.value for g in grads]), np.stack([g.error for g in grads]))
    # Where a spike was not sure, what follows belongs to another trajectory: v's infinite bound says so already.
    return Expected(np.stack(spikes), np.stack(sure), v, grad_x, grad_v)


def drawn_noise(x, keywords):
    """``[T, N, *]`` or None, and its mean: the published formula over the published random bits."""
    noise, seed = keywords["noise"], keywords["seed"]
    if noise.kind == "none":
        return None, None
    residual = keywords.get("residual", "matched")
    kind, scalars = residual_noise(noise, keywords["alpha"], keywords["beta"], residual)
    strides = torch.empty_like(x[0]).stride()
    seed = torch.tensor([seed], device=x.device)
    antithetic = keywords.get("over_time") == "antithetic"
    u = np.stack([
        numpy(uniform_lattice(seed, x[0].numel(), t // 2 if antithetic else t)
              .as_strided(x[0].shape, strides)) for t in range(len(x))
    ])  # fmt: skip
    odd = (np.arange(len(x)) % 2 == 1).reshape(-1, *(1,) * (u.ndim - 1)) & antithetic
    mean, e, *coefficients = map(rounded, scalars)
    if kind == "uniform":
        drawn = Bounded(u) * e + mean  # the second of its two numbers
        return choose(odd, 2 * mean - drawn, drawn), mean
    x = Bounded(u) * e
    root = (1.0 - x * x).sqrt().sqrt().sqrt()
    polynomial = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        polynomial = polynomial * root + coefficient
    drawn = Bounded(u) * polynomial + mean
    return choose(odd, 2 * mean - drawn, drawn), mean


def rounded(number):
    return Bounded(number, rounded=True)


def normalised(v, t, keywords):
    """a_t and b_t of Eq. (9)."""
    decay, beta, statistics = keywords["decay"], keywords["beta"], keywords["statistics"]
    if isinstance(statistics, str):
        A = v * decay
        shape = (len(A.value), -1) if statistics == "sample" else (1, -1)
        value, error = A.value.reshape(shape), np.broadcast_to(A.error, A.value.shape).reshape(shape)
        worst = error.max(axis=1)
        size = np.abs(value).sum(axis=1)
        mean = Bounded(
            value.mean(axis=1), worst + 4 * EPS * size / value.shape[1] + np.where(size > LARGEST, np.inf, 0)
        )
        low, high = Bounded(value.min(axis=1), worst), Bounded(value.max(axis=1), worst)
        above, below = high - mean, mean - low
        deviation = choose(above.value > below.value, above, below)
        deviation = Bounded(deviation.value, np.maximum(above.error, below.error))
        equal = low.value == high.value
        deviation = choose(equal, Bounded(0.0, np.where(worst == np.inf, np.inf, 0.0)), deviation)
        per_group = (-1,) + (1,) * (v.value.ndim - 1)
        mean, deviation = (Bounded(n.value.reshape(per_group), n.error.reshape(per_group)) for n in (mean, deviation))
    else:
        mean, deviation = (Bounded(numpy(value[t])) for value in statistics)
    usable = (deviation.value > 0) & (deviation.value < np.inf)
    unknown = Bounded(0.0, np.where(deviation.error == np.inf, np.inf, 0.0))
    inv_alpha = 1 / keywords["alpha"]
    scale = choose(usable, inv_alpha / deviation, unknown)
    return scale * decay, choose(usable, beta - mean * scale, unknown + beta)


def derivative(u, surrogate):
    """A bump, highest at 0: within u's bound it takes its extremes at the ends, or at 0."""

    def at(u):
        result = reference.SURROGATES[surrogate.name](torch.from_numpy(np.asarray(u)), surrogate.width)
        return result.numpy()

    value = at(u.value)
    error = u.error + 2 * EPS * np.abs(u.value)
    ends = [u.value - error, u.value + error]
    ends.append(np.clip(0.0, *ends))
    change = np.max([np.abs(at(end) - value) for end in ends], axis=0)
    flushed = 2.0**-126 * (1 + surrogate.width)  # exponentials that are nearly 0 may be 0
    return Bounded(value, change + 3 * EPS * np.abs(value) + flushed, True)


def numpy(tensor):
    return tensor.detach().double().cpu().numpy()


# --- Running a case ------------------------------------------------------------------------------------------------


class Result(NamedTuple):
    spikes: torch.Tensor
    state: torch.Tensor | None
    grad_x: torch.Tensor
    grad_state: torch.Tensor | None


def run(case, backend, *, x=None, state=None, weights=None, **changes):
    """Forward and backward of ``case``, or of a variant of it."""
    x = (case.input() if x is None else x).detach().requires_grad_()
    state = case.initial_state() if state is None else state
    of_spikes, of_state = weights or case.gradients()
    if case.neuron == "noisy_spike":
        spikes = noisy_spike(x, backend=backend, **case.arguments() | changes)
        return Result(spikes.detach(), None, *torch.autograd.grad(spikes, x, of_spikes), None)
    if state is not None:
        state = state.detach().requires_grad_()
    spikes, last = case.function()(
        x, initial_state=state, return_state=True, backend=backend, **case.arguments() | changes
    )
    outputs = ([spikes, last], [of_spikes, of_state]) if case.state_gradient else ([spikes], [of_spikes])
    leaves = [x] if state is None else [x, state]
    grads = torch.autograd.grad(outputs[0], leaves, outputs[1])
    return Result(spikes.detach(), last.detach(), grads[0], grads[1] if state is not None else None)


@pytest.fixture(autouse=True)
def wide_tiles(monkeypatch):
    """One program instead of sixteen, where the interpreter pays for each; the kernels' own are in test_kernels.py."""
    if DEVICE == "cuda":
        return
    from fastlif.kernels import lif, lif_reverse
    from fastlif.kernels import noisy_spike as single
    from fastlif.kernels.tile import Tile

    wide = Tile(8, 256, 1, 4)
    backward_tile = lif_reverse._backward_tile
    monkeypatch.setattr(lif, "_forward_tile", lambda *step: wide)
    monkeypatch.setattr(lif_reverse, "_backward_tile", lambda *step: backward_tile(*step)._replace(**wide._asdict()))
    monkeypatch.setattr(single, "noise_tile", lambda numel: wide)


def check(result, expected, case):
    """What a call promises about dtypes, shapes and layouts, and numbers within the bounds of rounding."""
    x = case.input()
    steps = [x] if case.neuron == "noisy_spike" else [*x]
    of_steps = [result.spikes] if case.neuron == "noisy_spike" else [*result.spikes]
    assert result.spikes.dtype == x.dtype and result.spikes.shape == x.shape
    if case.statistics != "sample" or batch_outermost(x):
        strides = zip(steps[0].shape, of_steps[0].stride(), torch.empty_like(steps[0]).stride())
        assert all(mine == theirs for size, mine, theirs in strides if size > 1)
    spikes = numpy(result.spikes).reshape(case.shape)
    assert np.isin(spikes, (0, 1)).all()
    wrong = (spikes != expected.spikes) & still_sure(expected)
    assert not wrong.any(), f"{wrong.sum()} wrong spikes, the first at {np.argwhere(wrong)[0]}"
    COUNTS["spikes compared by properties"] += wrong.size
    left_out = ~still_sure(expected)
    COUNTS["spikes left out by properties: ties"] += int(left_out.sum())
    COUNTS["examples compared by properties"] += 1
    COUNTS["examples of which a tenth or more is left out: ties"] += int(10 * left_out.sum() >= max(left_out.size, 1))
    within(result.grad_x, expected.grad_x, x.dtype)
    if result.state is not None:
        assert result.state.shape == x.shape[1:]
        within(result.state, expected.state, torch.float32)
    if result.grad_state is not None:
        within(result.grad_state, expected.grad_state, case.state_dtype)


def still_sure(expected):
    return np.logical_and.accumulate(expected.sure, axis=0)


def stored(error, value, dtype):
    """The error of a number once it is stored: by half a step of its dtype, or not at all where it overflows."""
    limits = torch.finfo(dtype)
    # Triton's interpreter cuts bfloat16 off instead of rounding it, and some subnormal numbers wholly
    cut_off = dtype == torch.bfloat16 and DEVICE == "cpu"
    unit, floor = (limits.eps, limits.tiny) if cut_off else (limits.eps / 2, limits.tiny * limits.eps)
    error = np.where(np.isfinite(value), error + unit * (np.abs(value) + error) + floor, error)
    return np.where(np.abs(value) + error > limits.max, np.inf, error)


def within(actual, expected, dtype):
    assert actual.dtype == dtype
    value = expected.value.reshape(actual.shape)
    error = np.broadcast_to(expected.error, expected.value.shape).reshape(actual.shape)
    error = stored(error, value, dtype)
    actual = numpy(actual)
    with np.errstate(invalid="ignore"):
        good = (np.abs(actual - value) <= error) | (error == np.inf)
    good |= (actual == value) | np.isnan(actual) & np.isnan(value)
    assert good.all(), f"{actual[~good][:5]} should be {value[~good][:5]}, within {error[~good][:5]}"


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


def same_gradient(actual, expected, case, backend):
    """PyTorch's vectorised exponential differs in its last bit from that of the elements that fill no vector."""
    if backend == "triton" or case.keywords["surrogate"].name not in ("sigmoid", "gaussian"):
        return same(actual, expected)
    largest = float(expected.nan_to_num(posinf=0, neginf=0).abs().max())
    unit = torch.finfo(expected.dtype).eps
    torch.testing.assert_close(actual, expected, rtol=unit, atol=1e-5 * largest, equal_nan=True)


# --- The properties ------------------------------------------------------------------------------------------------

BACKENDS = st.sampled_from(("triton", "reference", "reference", "reference"))


@examples(700)
@given(cases(steps=st.integers(1, 20)))
def test_reference_within_rounding_of_the_equations(case):
    check(run(case, "reference"), expected_of(case), case)


@examples(250)
@given(cases())
def test_within_rounding_of_the_equations(case):
    """Spikes, membrane and gradients of kernels and reference are the equations', but for float32's rounding."""
    expected = expected_of(case)
    results = {backend: run(case, backend) for backend in ("triton", "reference")}
    for result in results.values():
        check(result, expected, case)
    if case.neuron == "lif" or case.neuron == "noisy_spike" and case.keywords["noise"].kind == "none":
        same(results["triton"].spikes, results["reference"].spikes)  # at ties too


@examples(50)
@given(
    cases(
        neurons=("noisy_lif",), noise=("gaussian",), statistics=("layer",), dtypes=DTYPES[:1], layouts=("contiguous",)
    ),
)
def test_compiled_within_rounding_of_the_equations(case):
    """One combination of what is compiled for, with sizes and numbers varied."""
    fixed = {"surrogate": Surrogate("atan"), "detach_reset": False, "reset": case.keywords["reset"] or 0.0,
             "over_time": "independent"}  # fmt: skip
    shape = (*case.shape[:-1], case.shape[-1] + 1)  # a layer of one neuron would be another graph
    case = dataclasses.replace(case, shape=shape, keywords=case.keywords | fixed)
    check(run(case, "compiled"), expected_of(case), case)


@examples(250)
@given(cases(special=False), st.sampled_from(("nan", "inf", "-inf", "max", "-max", "subnormal", "-0.0")), BACKENDS)
def test_a_special_value_stays_with_its_own(case, name, backend):
    """A special value in one neuron, or in one sample, leaves the results of all the others as they are, to the bit."""
    layer = case.neuron == "noisy_lif" and case.statistics == "layer"
    if layer:  # what a special value does to the statistics changes the others, but spoils none: keep them small
        shape, keywords = (min(case.shape[0], 3), *case.shape[1:]), case.keywords | {"threshold": 1.0, "reset": 0.0}
        case = dataclasses.replace(case, shape=shape, keywords=keywords, dtype=torch.float32)
    x = case.input()
    poisoned = dataclasses.replace(case, specials=(name,)).input()
    changed = (x != poisoned).reshape(case.shape).any(dim=0)
    if case.neuron == "noisy_lif" and case.statistics == "sample":
        changed |= changed.reshape(len(changed), -1).any(dim=1).view(-1, *(1,) * (changed.ndim - 1))
    before, after = (run(case, backend, x=value) for value in (x, poisoned))
    assert bool(torch.isin(after.spikes, torch.tensor([0.0, 1.0], device=DEVICE).to(x.dtype)).all())
    for mine, theirs in zip(after, before):
        if mine is not None:
            over_time = mine.numel() == x.numel() and mine.shape == x.shape
            others = ~changed.expand(case.shape if over_time else case.shape[1:])
            mine, theirs = mine.reshape(others.shape)[others], theirs.reshape(others.shape)[others]
            assert bool(mine.isfinite().all()) if layer else True
            if not layer:
                same(mine, theirs)


@pytest.mark.full
@examples(260)
@given(
    cases(
        neurons=("lif", "noisy_lif"),
        noise=("none",),
        steps=st.integers(2, 5),
        layouts=("contiguous", "static", "permuted"),
    ),
    st.integers(1, 4),
    BACKENDS,
)
def test_two_halves_are_the_whole(case, first, backend):
    """The membrane, and its gradient, carried from one call to the next: bit for bit."""
    T = case.shape[0]
    cut = min(first, T - 1)
    whole = run(case, backend)
    x, state = case.input().requires_grad_(), case.initial_state()
    state = None if state is None else state.requires_grad_()
    of_spikes, of_state = case.gradients()
    spikes, v = [], state
    for part in (slice(None, cut), slice(cut, None)):
        arguments = case.arguments()
        if isinstance(arguments.get("statistics"), tuple):
            arguments["statistics"] = tuple(value[part] for value in arguments["statistics"])
        s, v = case.function()(x[part], initial_state=v, return_state=True, backend=backend, **arguments)
        spikes.append(s)
    outputs = [*spikes, v] if case.state_gradient else spikes
    weights = [of_spikes[:cut], of_spikes[cut:], of_state][: len(outputs)]
    grads = torch.autograd.grad(outputs, [x] if state is None else [x, state], weights)
    same(torch.cat(spikes), whole.spikes)
    same(v, whole.state)
    same(grads[0], whole.grad_x)
    if state is not None:
        same(grads[1], whole.grad_state)


@examples(200)
@given(
    cases(neurons=("noisy_lif",), noise=("gaussian", "uniform"), statistics=("layer", "given"), special=False), BACKENDS
)
def test_without_the_membrane_each_step_is_a_noisy_single_step(case, backend):
    """alpha = inf: the spikes of step t are those of the training noise drawn for (seed, t)."""
    x, keywords = case.input(), case.arguments() | {"alpha": math.inf}
    spikes = noisy_lif(x, backend=backend, **keywords)
    noise, threshold = keywords["noise"], keywords["threshold"]
    seed = torch.tensor([case.seed], device=DEVICE)
    n = torch.stack([step_noise(x_t, seed, t, noise.kind, noise.scalars(), keywords["over_time"])
                     for t, x_t in enumerate(x)])  # fmt: skip
    h = x.double() + n
    size = x.abs().double() + abs(noise.low) + abs(noise.high) + abs(keywords["beta"]) + noise.half_range
    sure = (h - threshold).abs() > 1e-4 * noise.half_range / noise.width + 8 * EPS * size
    same(spikes[sure], (h > threshold).to(x.dtype)[sure])
    assert sure.double().mean() > 0.9 or case.shape[0] * math.prod(case.shape[1:]) < 100 or case.values == "wide"


@examples(260)
@given(
    cases(neurons=("noisy_lif", "lif"), statistics=("sample", "given"), layouts=("contiguous",), special=False),
    st.randoms(use_true_random=False),
    BACKENDS,
)
def test_a_sample_does_not_depend_on_its_batch(case, random, backend):
    """Permuted, split or padded batches give permuted, split or padded results; with noise, the first samples stay."""
    x, state, (of_spikes, of_state) = case.input(), case.initial_state(), case.gradients()
    whole = run(case, backend, weights=(of_spikes, of_state))
    N = case.shape[1]
    still = case.neuron == "lif" or case.keywords["noise"].kind == "none"
    samples = random.choices(range(N), k=random.randint(1, N + 2)) if still else list(range(random.randint(1, N)))
    index = torch.tensor(samples, device=DEVICE)
    part = run(case, backend, x=x[:, index], state=None if state is None else state[index],
               weights=(of_spikes[:, index], of_state[index]))  # fmt: skip
    same(part.spikes, whole.spikes[:, index])
    same(part.state, whole.state[index])
    same_gradient(part.grad_x, whole.grad_x[:, index], case, backend)
    if state is not None:
        same_gradient(part.grad_state, whole.grad_state[index], case, backend)


@pytest.mark.full
@examples(260)
@given(
    cases(special=False, statistics=("given",), dtypes=DTYPES[:1], noise=("none",)), st.sampled_from((-1, 2)), BACKENDS
)
def test_layouts_do_not_matter_and_gradients_are_linear(case, factor, backend):
    """The same values in contiguous memory give the same bits; a multiple of the gradient comes back multiplied."""
    first = run(case, backend)
    x, state = (None if value is None else value.contiguous() for value in (case.input(), case.initial_state()))
    weights = tuple(factor * value for value in case.gradients())
    second = run(case, backend, x=x, state=state, weights=weights)
    same(second.spikes, first.spikes)
    if first.state is not None:
        same(second.state, first.state)
    for once, multiple in ((first.grad_x, second.grad_x), (first.grad_state, second.grad_state)):
        if once is not None and factor == -1:
            same_gradient(multiple, -once, case, backend)
        elif once is not None:  # doubled, a subnormal number on the way may round otherwise
            limits = torch.finfo(once.dtype)
            atol = 1e-5 * float(once.nan_to_num(posinf=0, neginf=0).abs().max()) + limits.tiny * limits.eps
            finite = multiple.isfinite()  # and a large one may overflow
            torch.testing.assert_close(multiple[finite], 2 * once[finite], rtol=0, atol=atol)


@examples(200)
@given(cases(), BACKENDS)
def test_the_same_call_gives_the_same_bits(case, backend):
    for once, again in zip(run(case, backend), run(case, backend)):
        if once is not None:
            same(once, again)


def test_few_spikes_are_left_out():
    """What the properties above could not compare, since rounding decides it, is little."""
    left_out = COUNTS["examples of which a tenth or more is left out: ties"]  # a single one may be most of the spikes
    assert left_out <= 0.1 * COUNTS["examples compared by properties"]


# --- Not drawn: the smallest layer and the largest ------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["triton", "reference", "compiled"])
@pytest.mark.parametrize("statistics", ["layer", "sample", "given"])
@pytest.mark.parametrize("T", [1, 2, 7])
def test_a_layer_of_one_neuron(T, statistics, backend):
    """By itself a membrane is its own mean: no normal form, unless the statistics are given."""
    case = Case("noisy_lif", (T, 1), seed=T, statistics=statistics, keywords=ONE_NEURON)
    expected = expected_of(case)
    if backend != "compiled":
        check(run(case, backend), expected, case)
    spikes, v = noisy_lif(case.input(), return_state=True, backend=backend, **case.arguments())
    assert still_sure(expected).all()
    assert numpy(spikes).tolist() == expected.spikes.tolist()
    within(v, expected.state, torch.float32)
    if statistics != "given":
        alone = noisy_lif(case.input(), return_state=True, backend=backend, **case.arguments() | {"decay": 0.0})
        same(alone, (spikes, v))


ONE_NEURON = {"decay": 0.5, "reset": 0.0, "detach_reset": False, "threshold": 1.0, "alpha": 4.0, "beta": 0.5,
              "noise": Noise(), "surrogate": Surrogate("atan")}  # fmt: skip

CHUNK = 2048 * 2**12
SIZES = pytest.mark.parametrize("numel", [5003, 2**31 + 5003], ids=["small", "over 2^31"])


@pytest.fixture
def room(numel):
    if numel > 2**31 and (DEVICE == "cpu" or torch.cuda.mem_get_info()[0] < 60e9):
        pytest.skip("needs a GPU with 60 GB of free memory")


def large_input(numel):
    return torch.rand(numel, dtype=torch.float16, device=DEVICE, generator=torch.Generator(DEVICE).manual_seed(0))


@SIZES
def test_noisy_spike_of_any_size(numel, room):
    """Without noise everywhere, with it at the beginning, around 2^31 and at the end."""
    x = large_input(numel).requires_grad_()
    spikes = noisy_spike(x, noise=Noise("none"), threshold=0.5, surrogate="triangular", backend="triton")
    spikes.backward(spikes.detach() + 1)
    for part, fired, grad in zip(x.detach().split(CHUNK), spikes.detach().split(CHUNK), x.grad.split(CHUNK)):
        assert torch.equal(fired, (part > 0.5).half())
        slope = 1 - (part.float() - 0.5).abs()
        torch.testing.assert_close(grad.float(), slope * (fired.float() + 1), rtol=1e-3, atol=1e-3)
    x = x.detach()
    del spikes, grad, fired
    noise = Noise("uniform")
    spikes = noisy_spike(x, noise=noise, seed=7, backend="triton")
    for start in (0,) if numel < CHUNK else (0, 2**31 - CHUNK, 2**31):
        part, fired = x[start : start + CHUNK], spikes[start : start + CHUNK]
        h = part.double() + 0.5 + 0.5 * lattice(7, start, len(part))
        sure = (h - 1).abs() > 1e-5
        assert torch.equal(fired[sure], (h > 1).half()[sure]) and bool(sure.any())


def lattice(seed, start, count):
    """u of the elements from ``start`` on, a multiple of 2,048, from their counters: see fastlif/noise.py."""
    index = start // 8 + torch.arange(-(-count // 2048) * 256, device=DEVICE).view(-1, 1, 256)
    zero = torch.zeros_like(index, dtype=torch.int32)
    key = torch.tensor([seed], dtype=torch.int32, device=DEVICE), torch.zeros(1, dtype=torch.int32, device=DEVICE)
    words = philox((index.to(torch.int32), zero, zero, zero), key)
    bits = torch.cat([word & 0xFFFF for word in words] + [(word >> 16) & 0xFFFF for word in words], dim=1)
    return ((2 * bits.double() + 1) / 65536 - 1).flatten()[:count]


@SIZES
def test_lif_of_any_size(numel, room):
    """Two steps, each of the size, against the reference piece by piece, the gradients too."""
    x = large_input(numel).expand(2, 1, numel).requires_grad_()
    spikes, v = lif(x, threshold=0.75, return_state=True, backend="triton")
    (grad,) = torch.autograd.grad(spikes, x, spikes.detach())
    for start in range(0, numel, CHUNK):
        part = (..., slice(start, start + CHUNK))
        leaf = x.detach()[part].requires_grad_()
        fired, last = lif(leaf, threshold=0.75, return_state=True, backend="reference")
        assert torch.equal(spikes.detach()[part], fired.detach()) and torch.equal(v.detach()[part], last.detach())
        (expected,) = torch.autograd.grad(fired, leaf, fired.detach())
        torch.testing.assert_close(grad[part], expected, rtol=2e-3, atol=1e-4)


@SIZES
def test_layer_statistics_of_any_size(numel, room):
    """Mean and largest deviation of the second step against a sum in float64, and its spikes given these."""
    x = large_input(numel)
    chosen = noisy_lif_options(
        0.5, None, 1.0, 0.0, 4.0, 0.25, Noise("none"), "matched", "independent", "atan", False, "triton"
    )  # fmt: skip
    spikes, v, mean, deviation = run_noisy_lif(x.expand(2, 1, numel), None, None, "layer", None, True, chosen)
    total, low, high = 0.0, math.inf, -math.inf
    for part, fired in zip(x.split(CHUNK), spikes[0, 0].split(CHUNK)):
        h = part.float() + 0.25
        assert torch.equal(fired, (h > 1).half())
        A = 0.5 * torch.where(h > 1, 0.0, h)
        total, low, high = total + float(A.double().sum()), min(low, float(A.min())), max(high, float(A.max()))
    mu, largest = total / numel, max(high - total / numel, total / numel - low)
    assert float(mean[1]) == pytest.approx(mu, rel=1e-4) and float(deviation[1]) == pytest.approx(largest, rel=1e-4)
    given = mean, deviation
    again, last, _, _ = run_noisy_lif(x.expand(2, 1, numel), None, None, given, None, True, chosen)
    for actual, expected in zip((*again, last), (*spikes, v)):
        assert all(
            torch.equal(mine, theirs) for mine, theirs in zip(actual.split(CHUNK, -1), expected.split(CHUNK, -1))
        )


def test_the_smallest_alpha_is_accepted_for_every_noise():
    for high in range(1, 200):
        noise = Noise("uniform", 0.0, high / 100)
        noisy_lif(torch.zeros(1, 1, device=DEVICE), noise=noise, alpha=1 / noise.half_range, backend="reference")
