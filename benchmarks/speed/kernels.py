"""The neurons by themselves: time, achieved bandwidth and memory over size, T and dtype, beside other libraries.

Bandwidth is what the algorithm must move (input, spikes, gradients; with statistics of the layer or of a sample the
membrane too) over the time, whatever else was moved. Everyone, ours too, is checked against the reference beforehand,
in the type that is measured. Eager PyTorch's noisy spike is the exception: it draws other random numbers. On a CPU
nobody gets huge pages, which ours ask for elsewhere: all are on the same footing.
"""

import functools
import math
from unittest import mock

import torch

from benchmarks import options
from benchmarks.report.rows import Row, Spread, select, value
from benchmarks.report.verdicts import Finding, at_least, faster
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
LARGE = 10**8  # bytes that are moved: several times a GPU's L2 cache
SAMPLES = 10  # that a time step is made of


def measure(lab: Lab) -> None:
    options.no_dtype(lab.options.dtype)
    with mock.patch.object(graphs, "in_huge_pages", lambda output: None):  # which no other library asks for
        _measure(lab)


def _measure(lab: Lab) -> None:
    copy = measuring.copy_bandwidth(lab.device)
    lab.record("kernels", "a copy", {}, "copy bandwidth", "GB/s", _scaled(copy, 1e-9), "copies")
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
                functions[peers.EAGER] = peers.plain_noisy_spike
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
    found = {}
    for name, make in peers.PEERS.items():
        if not peers.version(name):
            lab.say(f"{name} is left out: it is not installed (pip install {name.lower()})")
            continue
        try:
            neuron = make(lab.device)
            surrogate = peers.SURROGATES.get(name, "atan")
            wrong = peers.disagreement(neuron, lab.device, torch.float32, surrogate=surrogate)
        except Exception as error:  # whatever another library raises
            wrong = str(error).split("\n")[0]
        if wrong:
            lab.say(f"{name} is left out, as it does not do what is compared: {wrong}")
        else:
            found[name] = neuron
    return found


def ours(neuron: str, T: int, device: torch.device, backend: str = "auto", seed: int | None = None) -> peers.Neuron:
    """Our function of that name in ``NEURONS``, for ``T`` steps."""
    name, variant = neuron.split(", ")
    if name == "noisy_spike":
        return lambda x: functional.noisy_spike(x, noise=Noise(variant), seed=seed, backend=backend)
    given = (torch.full((T,), 0.2, device=device), torch.full((T,), 0.5, device=device))
    statistics = given if variant == "given" else variant
    return lambda x: functional.noisy_lif(x, statistics=statistics, seed=seed, backend=backend)


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
            reason = str(error).split("\n")[0]
            lab.say(f"{library}'s {neuron}, {dtype}, T = {T}, {size:,} neuron-steps, is left out: {reason}")
    if not able:
        return
    each = [{library: function} for library, function in able.items() if library != peers.COMPILED]
    for direction in PASSES:
        for functions in each if direction == "backward" else [able]:
            _in_turns(lab, copy, neuron, direction, functions, x, leaf, grad, dtype)
    for library, function in able.items():
        memory = measuring.peak_memory(_call(PASSES[2], function, x, leaf, grad), lab.device) / 1e6
        setting = _setting(neuron, library, PASSES[2], x, dtype)
        lab.record("kernels", "one layer", setting, "peak memory", "MB", memory, "calls")


def _in_turns(lab, copy, neuron, direction, functions, x, leaf, grad, dtype) -> None:
    try:
        calls = [_call(direction, function, x, leaf, grad) for function in functions.values()]
        times = measuring.in_turns(calls, lab.device, budget=BUDGET[lab.options.form])
    except RuntimeError as error:
        names, reason = ", ".join(functions), str(error).split("\n")[0]
        lab.say(f"{direction} of {neuron}, {dtype}, {x.numel():,} neuron-steps, is left out ({names}): {reason}")
        return
    moved = moved_bytes(neuron, direction, x.numel(), x.element_size(), x.shape[0])
    for library, seconds in zip(functions, times):
        _record(lab, _setting(neuron, library, direction, x, dtype), seconds, moved, copy)


def _setting(neuron, library, direction, x, dtype):
    return {"neuron": neuron, "library": library, "pass": direction, "T": x.shape[0], "size": x.numel(), "type": dtype}


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


def _record(lab, setting, seconds: Spread, moved: int, copy: Spread) -> None:
    lab.record("kernels", "one layer", setting, "time", "ms", _scaled(seconds, 1e3), "calls")
    achieved = Spread(*(moved / t for t in (seconds.median, seconds.p80, seconds.p20)), seconds.samples)
    lab.record("kernels", "one layer", setting, "bandwidth", "GB/s", _scaled(achieved, 1e-9), "calls")
    of_copy = _scaled(achieved, 1 / copy.median)
    lab.record("kernels", "one layer", setting, "fraction of the copy bandwidth", "", of_copy, "calls")


def moved_bytes(neuron: str, direction: str, size: int, itemsize: int, T: int) -> int:
    """The fewest bytes that a pass must move: input, spikes, gradients, and a membrane that leaves the registers.

    Such a membrane is written at every step, and read at every step but the first; a GPU may keep it in its L2 cache.
    """
    membrane = 8 - 4 / T if neuron.endswith((", layer", ", sample")) else 0
    forward, backward = 2 * itemsize + membrane, 3 * itemsize
    per_element = {"forward": forward, "backward": backward, "forward and backward": forward + backward}
    return round(size * per_element[direction])


def _scaled(spread: Spread, factor: float) -> Spread:
    return Spread(spread.median * factor, spread.p20 * factor, spread.p80 * factor, spread.samples)


def draw(rows: list[Row], figure) -> None:
    by_size, by_steps, roof = figure.subplots(1, 3)
    times = select(rows, metric="time", type="float32", neuron="lif")
    T = STEPS["quick"][0]
    for number, library in enumerate(dict.fromkeys(row.setting["library"] for row in times)):
        for style, direction in (("o-", "forward"), ("s--", "forward and backward")):
            own = select(times, library=library, **{"pass": direction})
            label = f"{library}, {direction}" if direction == "forward" else None
            sized = sorted(select(own, T=T), key=lambda row: int(row.setting["size"]))
            sizes = [int(row.setting["size"]) for row in sized]
            by_size.loglog(sizes, [row.median for row in sized], style, label=label, color=f"C{number}", markersize=4)
    title = f"LIF, T = {T}, float32\n(dashed: forward and backward)"
    by_size.set(title=title, xlabel="neuron-steps", ylabel="time (ms)")
    by_size.legend(fontsize=7)
    for direction in PASSES[:2]:
        own = sorted(select(times, library=OURS, **{"pass": direction}), key=lambda row: int(row.setting["T"]))
        common = [row for row in own if abs(int(row.setting["size"]) / _common_size(own) - 1) < 0.1]
        by_steps.plot(
            [int(row.setting["T"]) for row in common],
            [1e6 * row.median / int(row.setting["size"]) for row in common], "o-", label=direction,
        )  # fmt: skip
    by_steps.set(title="Ours against T, at one number of neuron-steps", xlabel="T", ylabel="time of a neuron-step (ns)")
    by_steps.set_ylim(bottom=0)
    by_steps.legend()
    for neuron in ("lif", *NEURONS):
        own = select(rows, metric="bandwidth", neuron=neuron, library=OURS, type="float32", **{"pass": "forward"})
        own = [row for row in own if row.setting["T"] == ("1" if neuron.startswith("noisy_spike") else str(T))]
        own = sorted(own, key=lambda row: int(row.setting["size"]))
        places = [(int(row.setting["size"]), 4, int(row.setting["T"])) for row in own]
        moved = [moved_bytes(neuron, "forward", *place) / 1e6 for place in places]
        roof.loglog(moved, [row.median for row in own], "o-", markersize=4, label=neuron)
    copied = value(rows, metric="copy bandwidth")
    if copied:
        roof.axhline(copied, color="black", linestyle=":", label="copy bandwidth")
    roof.set(title="Roofline: ours, forward", xlabel="bytes to move (MB)", ylabel="achieved bandwidth (GB/s)")
    roof.legend(fontsize=7)
    figure.set_size_inches(16, 4.5)


def _common_size(rows: list[Row]) -> int:
    """The size that most values of T were measured at."""
    sizes = [round(int(row.setting["size"]), -3) for row in rows]
    return max(set(sizes), key=sizes.count) or 1


def findings(rows: list[Row]) -> list[Finding]:
    gpu = "threads" not in rows[0].device
    return [found for found in (_gpu_findings(rows) if gpu else _cpu_findings(rows)) if found]


def _cpu_findings(rows: list[Row]):
    both = "forward and backward"
    for library in ("SpikingJelly", "snnTorch"):
        yield _faster(rows, "lif", library, "forward", 10, T=10)
        yield _faster(rows, "lif", library, both, 5, T=10)
    for direction in ("forward", both):
        yield _faster(rows, "lif", "Norse", direction, 1, T=10)
    yield _faster(rows, "noisy_spike, gaussian", peers.EAGER, "forward", 2.5, T=1)
    yield from _beside_the_compiler(rows)


def _gpu_findings(rows: list[Row]):
    for neuron, dtype, goal in (
        ("lif", "float32", 0.9), ("lif", "float16", 0.9), ("noisy_spike, gaussian", "float32", 0.85),
        ("noisy_spike, gaussian", "float16", 0.75),
    ):  # fmt: skip
        for direction in PASSES[:2]:
            about = {"neuron": neuron, "library": OURS, "type": dtype, "pass": direction}
            own = select(rows, metric="fraction of the copy bandwidth", **about)
            large = [row for row in own if int(row.setting["size"]) * 2 * DTYPES[dtype].itemsize >= LARGE]
            if large:
                worst = min(large, key=lambda row: row.median)
                claim = f"Ours: {neuron}, {dtype}, {direction} moves its bytes at {goal:.0%} of a copy's speed"
                shown = f"{worst.median:.0%} or more (at T = {worst.setting['T']}, {int(worst.setting['size']):,})"
                yield Finding(claim, at_least(goal, *large), shown, short=f"{worst.median:.0%}")
    yield _faster(rows, "lif", "SpikingJelly", "forward and backward", 1.5, T=10)
    yield from _beside_the_compiler(rows)


def _beside_the_compiler(rows: list[Row]):
    for direction in (PASSES[0], PASSES[2]):
        yield _faster(rows, "lif", peers.COMPILED, direction, 1, T=10)


def _faster(rows: list[Row], neuron: str, library: str, direction: str, goal: float, T: int) -> Finding | None:
    """That ours is ``goal`` times as fast at the largest size that both were measured at; None within their spread."""
    about = {"metric": "time", "neuron": neuron, "pass": direction, "type": "float32", "T": T}
    theirs = select(rows, library=library, **about)
    if not theirs:
        return None
    largest = max(theirs, key=lambda row: int(row.setting["size"]))
    size = largest.setting["size"]
    (ours,) = select(rows, library=OURS, size=size, **about)
    shown = (
        f"{int(size):,} neuron-steps, {neuron}, T = {T}: {ours.median:.3g} ms (p20-p80 {ours.p20:.3g}-{ours.p80:.3g}) "
        f"against {largest.median:.3g} ({largest.p20:.3g}-{largest.p80:.3g}): {largest.median / ours.median:.1f} times"
    )
    memories = [value(rows, metric="peak memory", neuron=neuron, library=name, size=size, T=T, type="float32")
                for name in (OURS, library)]  # fmt: skip
    if all(memories):
        shown += f"; peak memory, forward and backward, {memories[0]:.3g} MB against {memories[1]:.3g}"
    for row in sorted(theirs, key=lambda row: int(row.setting["size"])):
        smaller = value(rows, library=OURS, size=row.setting["size"], **about)
        if row is not largest and smaller:
            shown += f"; {row.median / smaller:.2g} times at {int(row.setting['size']):,}"
    claim = f"Ours: {neuron}, {direction}, is at least {goal:g} times as fast as {library}"
    verdict, times = faster(ours, largest, goal), f"{largest.median / ours.median:.1f} times"
    for row in (ours, largest):
        own = row.setting["library"]
        forward = value(rows, **about | {"library": own, "size": size, "pass": "forward"})
        if forward and forward > row.median:
            verdict, shown = None, f"{shown}; {own}'s forward alone took {forward:.3g} ms: measure again"
    return Finding(claim, verdict, shown, short=times)
