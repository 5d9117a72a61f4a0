"""The neurons by themselves: time, achieved bandwidth and memory over size, T and dtype, beside other libraries.

Bandwidth is what the algorithm must move (input, spikes, gradients; with statistics of the layer or of a sample the
membrane too) over the time, whatever else was moved. Everyone, ours too, is checked against the reference beforehand,
in the type that is measured. Eager PyTorch's noisy spike is the exception: it draws other random numbers. On a CPU
nobody gets huge pages, which ours ask for elsewhere: all are on the same footing.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor

from benchmarks import options
from benchmarks.report.panels import legend_beside
from benchmarks.report.rows import Row, Spread, select, value
from benchmarks.report.verdicts import Finding, all_of, at_least, faster
from benchmarks.speed import measure as measuring
from benchmarks.speed import peers
from benchmarks.training.lab import Lab
from fastlif import Noise, functional
from fastlif.compiled import graphs

TITLE = "The neurons by themselves: speed against the memory's and against other libraries"
DESCRIPTION = "time, bandwidth and memory of every neuron over size, T and dtype, beside other libraries"
_LARGE = {"metric": "time", "neuron": "lif", "T": 10, "size": 10**7, "type": "float32"}
SUMMARY = (_LARGE | {"pass": "forward and backward"},)
PAPER = ()
OURS = "fastlif"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PASSES = ("forward", "backward", "forward and backward")
NEURONS = ("noisy_spike, gaussian", "noisy_spike, uniform", "noisy_lif, given", "noisy_lif, layer", "noisy_lif, sample")
# Per form: neuron-steps, the most telling first; time steps, those at STEPS_SIZE alone but for the first.
SIZES = {"quick": (100_000, 1_000_000, 10_000_000), "full": (10**8, 10**4, 10**7, 10**6, 10**5)}
STEPS_SIZE = {"quick": 10**6, "full": 10**7}
STEPS = {"quick": (10, 1, 4, 8, 16, 32), "full": (10, 1, 4, 8, 16, 32)}
BUDGET = {"quick": 1.0, "full": 0.05}  # seconds that a call is repeated for, on average
TIME_LIMIT = {"quick": math.inf, "full": 100}  # skip the rest after this many seconds
# What is claimed: the neuron's fraction of a copy's bandwidth; how many times as fast it is as another library.
OF_A_COPY = (
    ("lif", "float32", 0.9), ("lif", "float16", 0.9),
    ("noisy_spike, gaussian", "float32", 0.85), ("noisy_spike, gaussian", "float16", 0.75),
)  # fmt: skip
_NO_SLOWER = tuple(("lif", peers.COMPILED, one, 1) for one in (PASSES[0], PASSES[2]))
TIMES_AS_FAST = {
    "CPU": (
        ("lif", "SpikingJelly", "forward", 10), ("lif", "SpikingJelly", "forward and backward", 5),
        ("lif", "snnTorch", "forward", 10), ("lif", "snnTorch", "forward and backward", 5),
        ("lif", "Norse", "forward", 1), ("lif", "Norse", "forward and backward", 1),
        ("noisy_spike, gaussian", peers.EAGER, "forward", 2.5, 1), *_NO_SLOWER,
        ("noisy_spike, gaussian", peers.EAGER, "backward", 1, 1),
        ("noisy_spike, uniform", peers.EAGER, "backward", 1, 1),
    ),
    "GPU": (("lif", "SpikingJelly", "forward and backward", 1.5), *_NO_SLOWER),
}  # fmt: skip
LARGE = 10**8  # bytes that are moved: several times a GPU's L2 cache
SAMPLES = 10  # that a time step is made of


@mock.patch.object(graphs, "in_huge_pages", lambda output: None)  # which no other library asks for
def measure(lab: Lab) -> None:
    options.no_dtype(lab.options.dtype)
    copy = measuring.copy_bandwidth(lab.device)
    lab.record("kernels", "a copy", {}, "copy bandwidth", "GB/s", copy * 1e-9, "copies")
    lab.say(f"copy bandwidth {copy.median / 1e9:.1f} GB/s")
    lifs = {OURS: lif_of(lab)} | checked_peers(lab)
    form = lab.options.form
    sizes, (usual, *others), end = SIZES[form], STEPS[form], lab.seconds + TIME_LIMIT[form]
    cells = [(sizes[0], usual, dtype) for dtype in DTYPES]
    cells += [(STEPS_SIZE[form], T, dtype) for T in others for dtype in DTYPES]
    cells += [(size, usual, dtype) for size in sizes[1:] for dtype in DTYPES]
    for size, T, dtype in cells:
        if form == "quick" and dtype != "float32" and (size, T) != (STEPS_SIZE[form], usual):
            continue
        if lab.seconds > end:
            lab.say(f"what follows {size:,} neuron-steps, T = {T}, {dtype} is left out: {TIME_LIMIT[form]} s are over")
            return
        everyone = form == "full" or T == usual
        _compare(lab, copy, "lif", lifs if everyone else {OURS: lifs[OURS]}, T, size, dtype)
        for neuron in NEURONS if T == usual else ():
            steps = 1 if neuron.startswith("noisy_spike") else T
            wrong = _wrong(neuron, steps, lab.device, dtype, lab.options.backend)
            if wrong:
                raise options.UsageError(f"{neuron} in {dtype} is not what the reference computes: {wrong}")
            functions = {OURS: ours(neuron, steps, lab.device, lab.options.backend)}
            if steps == 1:
                functions[peers.EAGER] = functools.partial(plain_noisy_spike, kind=neuron.split(", ")[1])
            _compare(lab, copy, neuron, functions, steps, size, dtype)


@functools.cache
def _wrong(neuron: str, T: int, device: torch.device, dtype: str, backend: str) -> str | None:
    """How ours of that name in ``NEURONS`` differs from the reference, drawing the same noise."""
    own, expected = (ours(neuron, T, device, one, seed=1) for one in (backend, "reference"))
    return peers.disagreement(own, device, DTYPES[dtype], T, expected=expected, exact=True)


def lif_of(lab: Lab) -> peers.Neuron:
    """Our LIF on the chosen backend."""
    return lambda x: functional.lif(x, backend=lab.options.backend)


def checked_peers(lab: Lab) -> dict[str, peers.Neuron]:
    """The other libraries' neurons, those that compute what ours does."""
    checked = {name: peers.checked(name, lab.device) for name in peers.PEERS}
    for name, (_, wrong) in checked.items():
        if wrong:
            lab.say(f"{name} is not compared: {wrong}")
    return {name: neuron for name, (neuron, wrong) in checked.items() if not wrong}


def ours(neuron: str, T: int, device: torch.device, backend: str = "auto", seed: int | None = None) -> peers.Neuron:
    """Our function of that name in ``NEURONS``, for ``T`` steps."""
    name, variant = neuron.split(", ")
    if name == "noisy_spike":
        return lambda x: functional.noisy_spike(x, noise=Noise(variant), seed=seed, backend=backend)
    given = (torch.full((T,), 0.2, device=device), torch.full((T,), 0.5, device=device))
    statistics = given if variant == "given" else variant
    return lambda x: functional.noisy_lif(x, statistics=statistics, seed=seed, backend=backend)


def plain_noisy_spike(x: Tensor, kind: str) -> Tensor:
    """What a user of eager PyTorch would write: noise of this kind, compared, with the atan surrogate."""
    noise = torch.rand_like(x) if kind == "uniform" else torch.randn_like(x).mul_(0.125).add_(0.5)
    return peers.PlainSpike.apply(noise.add_(x))


def _compare(lab: Lab, copy: Spread, neuron: str, functions, T: int, size: int, dtype: str) -> None:
    """Measures the functions on one input ``[T, 10, size / (10 T)]``, in turns. Each backward is measured by itself: it
    keeps its graph, and what torch.compile made can be gone back through only once."""
    shape = (T, SAMPLES, max(1, size // (T * SAMPLES)))
    try:
        x = torch.rand(shape, device=lab.device).mul_(1.5).to(DTYPES[dtype])
        grad = torch.randn(shape, device=lab.device).to(DTYPES[dtype])
    except torch.OutOfMemoryError:
        lab.say(f"{neuron} of {size:,} neuron-steps is left out: it does not fit into the memory")
        return
    leaf, able = x.detach().requires_grad_(), {}
    for library, function in functions.items():
        if dtype != "float32" and library in ("snnTorch", "Norse"):
            continue  # membranes in 16 bits: another computation
        try:
            if neuron == "lif" and dtype != "float32":
                wrong = peers.disagreement(function, lab.device, DTYPES[dtype], T, exact=library == OURS)
                if wrong:
                    raise RuntimeError(f"it does not do what is compared: {wrong}")
            torch.autograd.grad(function(leaf), leaf, grad)
            able[library] = function
        except (RuntimeError, TypeError, ValueError) as error:  # no memory, or too much for another library
            what = f"{library}'s {neuron}, {dtype}, T = {T}, {size:,} neuron-steps"
            lab.say(f"{what}, is left out: {peers.line(error)}")
    if not able:
        return

    def record(library: str, direction: str, *values) -> None:
        setting = {"neuron": neuron, "library": library, "pass": direction, "T": T, "size": x.numel(), "type": dtype}
        lab.record("kernels", "one layer", setting, *values, "calls")

    each = [{library: function} for library, function in able.items() if library != peers.COMPILED]
    for direction, some in [(one, some) for one in PASSES for some in (each if one == "backward" else [able])]:
        try:
            calls = [_call(direction, function, x, leaf, grad) for function in some.values()]
            times = measuring.in_turns(calls, lab.device, budget=BUDGET[lab.options.form])
        except RuntimeError as error:
            what = f"{direction} of {neuron}, {dtype}, {x.numel():,} neuron-steps"
            lab.say(f"{what}, is left out ({', '.join(some)}): {peers.line(error)}")
            continue
        moved = moved_bytes(neuron, direction, x.numel(), x.element_size(), T)
        for library, seconds in zip(some, times):
            achieved = Spread(*(moved / t for t in (seconds.median, seconds.p80, seconds.p20)), seconds.samples)
            record(library, direction, "time", "ms", seconds * 1e3)
            record(library, direction, "bandwidth", "GB/s", achieved * 1e-9)
            record(library, direction, "fraction of the copy bandwidth", "", achieved * (1 / copy.median))
    for library, function in able.items():
        memory = measuring.peak_memory(_call(PASSES[2], function, x, leaf, grad), lab.device)
        record(library, PASSES[2], "peak memory", "MB", memory / 1e6)


def _call(direction: str, function, x, leaf, grad):
    if direction == "backward":
        spikes = function(leaf)
        return lambda: torch.autograd.grad(spikes, leaf, grad, retain_graph=True)
    if direction == "forward and backward":
        return lambda: torch.autograd.grad(function(leaf), leaf, grad)

    def forward():
        with torch.no_grad():
            function(x)

    return forward


def moved_bytes(neuron: str, direction: str, size: int, itemsize: int, T: int) -> int:
    """The fewest bytes that a pass must move: input, spikes, gradients, and a membrane that leaves the registers.

    Such a membrane is written at every step, and read at every step but the first; a GPU may keep it in its L2 cache.
    """
    membrane = 8 - 4 / T if neuron.endswith((", layer", ", sample")) else 0
    forward, backward = 2 * itemsize + membrane, 3 * itemsize
    per_element = {"forward": forward, "backward": backward, "forward and backward": forward + backward}
    return round(size * per_element[direction])


def _size(row: Row) -> int:
    return int(row.setting["size"])


def draw(rows: list[Row], figure) -> None:
    by_size, by_steps, roof = figure.subplots(1, 3)
    times = select(rows, metric="time", type="float32", neuron="lif")
    T = STEPS["quick"][0]
    for number, library in enumerate(dict.fromkeys(row.setting["library"] for row in times)):
        for style, direction in (("o-", "forward"), ("s--", "forward and backward")):
            own = sorted(select(times, library=library, T=T, **{"pass": direction}), key=_size)
            label = f"{library}, {direction}" if direction == "forward" else None
            medians = [row.median for row in own]
            by_size.loglog(list(map(_size, own)), medians, style, label=label, color=f"C{number}", markersize=4)
    title = f"LIF, T = {T}, float32\n(dashed: forward and backward)"
    by_size.set(title=title, xlabel="neuron-steps", ylabel="time (ms)")
    legend_beside(by_size)
    for direction in PASSES[:2]:
        own = sorted(select(times, library=OURS, **{"pass": direction}), key=lambda row: int(row.setting["T"]))
        own = [row for row in own if abs(_size(row) / STEPS_SIZE[row.form] - 1) < 0.1]
        if own and own[0].form == "quick":  # only T is measured in turns with others there
            own = [row for row in own if row.setting["T"] != str(T)]
        nanoseconds = [1e6 * row.median / _size(row) for row in own]
        by_steps.plot([int(row.setting["T"]) for row in own], nanoseconds, "o-", label=direction)
    by_steps.set(title="Ours against T, at one number of neuron-steps", xlabel="T", ylabel="time of a neuron-step (ns)")
    by_steps.set_ylim(bottom=0)
    by_steps.legend()
    for neuron in ("lif", *NEURONS):
        steps = 1 if neuron.startswith("noisy_spike") else T
        about = {"metric": "bandwidth", "neuron": neuron, "library": OURS, "type": "float32", "pass": "forward"}
        own = sorted(select(rows, T=steps, **about), key=_size)
        moved = [moved_bytes(neuron, "forward", _size(row), 4, steps) / 1e6 for row in own]
        roof.loglog(moved, [row.median for row in own], "o-", markersize=4, label=neuron)
    copied = value(rows, metric="copy bandwidth")
    if copied:
        roof.axhline(copied, color="black", linestyle=":", label="copy bandwidth")
    roof.set(title="Roofline: ours, forward", xlabel="bytes to move (MB)", ylabel="achieved bandwidth (GB/s)")
    legend_beside(roof)
    figure.set_size_inches(19, 4.5)


def findings(rows: list[Row]) -> list[Finding]:
    gpu = "threads" not in rows[0].device
    found = list(_beside_a_copy(rows)) if gpu else []
    found += [_faster(rows, *goal) for goal in TIMES_AS_FAST["GPU" if gpu else "CPU"]]
    return [finding for finding in found if finding]


def _beside_a_copy(rows: list[Row]) -> Iterator[Finding]:
    for neuron, dtype, goal in OF_A_COPY:
        for direction in PASSES[:2]:
            about = {"neuron": neuron, "library": OURS, "type": dtype, "pass": direction}
            own = select(rows, metric="fraction of the copy bandwidth", **about)
            large = [row for row in own if _size(row) * 2 * DTYPES[dtype].itemsize >= LARGE]
            if large:
                worst = min(large, key=lambda row: row.median)
                claim = f"Ours: {neuron}, {dtype}, {direction} moves its bytes at {goal:.0%} of a copy's speed"
                shown = f"{worst.median:.0%} or more (at T = {worst.setting['T']}, {_size(worst):,})"
                heading = "neurons beside a copy of their bytes"
                about = f"{neuron}, {dtype}, {direction}, goal {goal:.0%}"
                yield Finding(claim, at_least(goal, *large), shown, f"{worst.median:.0%}", about, heading)


def _faster(rows: list[Row], neuron: str, library: str, direction: str, goal: float, T: int = 10) -> Finding | None:
    """That ours is ``goal`` times as fast at every size that both were measured at; None within their spread."""
    about = {"metric": "time", "neuron": neuron, "type": "float32", "T": T}
    ours, theirs = (
        {_size(row): row for row in select(rows, library=name, **about, **{"pass": direction})}
        for name in (OURS, library)
    )
    sizes = sorted(ours.keys() & theirs.keys(), reverse=True)
    if not sizes:
        return None
    verdicts = {size: faster(ours[size], theirs[size], goal) for size in sizes}
    times = {size: theirs[size].median / ours[size].median for size in sizes}
    largest, *smaller = sizes
    mine, others = ours[largest], theirs[largest]
    shown = (
        f"{largest:,} neuron-steps, {neuron}, T = {T}: {mine.median:.3g} ms (p20-p80 {mine.p20:.3g}-{mine.p80:.3g}) "
        f"against {others.median:.3g} ({others.p20:.3g}-{others.p80:.3g}): {times[largest]:.1f} times"
    )
    memory = about | {"metric": "peak memory", "size": largest}
    memories = [value(rows, library=name, **memory) for name in (OURS, library)]
    if all(memories):
        shown += f"; peak memory, forward and backward, {memories[0]:.3g} MB against {memories[1]:.3g}"
    shown += "".join(f"; {times[size]:.2g} times at {size:,}" for size in smaller)
    for name, size, one in itertools.product((OURS, library), sizes, PASSES[:2] if direction == PASSES[2] else ()):
        part = value(rows, library=name, size=size, **about, **{"pass": one})
        if part and part > (ours if name == OURS else theirs)[size].median:
            verdicts[size] = None
            shown += f"; {name}'s {one} alone took {part:.3g} ms at {size:,}: measure again"
    least, most = min(times.values()), max(times.values())
    short = f"{least:.1f} to {most:.1f} times" if smaller else f"{least:.1f} times"
    claim = f"Ours: {neuron}, {direction}, is at least {goal:g} times as fast as {library}, at every size"
    heading = f"{neuron} beside other libraries, at every size"
    about = f"{library}, {direction}, goal {goal:g} times"
    return Finding(claim, all_of(verdicts.values()), shown, short, about, heading)
