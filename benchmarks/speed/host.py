"""What the host spends: on a call of a neuron beside ReLU, on a launch beside Triton's own way, on a neuron in a model
that ``torch.compile`` made, on small calls.

Beside ReLU the launch itself is replaced by a function that does nothing. So the figures are Python's and PyTorch's
part of a call, which is the same on a CPU as before a GPU's kernels. ReLU's figures contain its 16,384 elements, some
microseconds on a CPU. Launches are timed up to a driver that launches nothing; so is a model that is compiled as for a
GPU, by torch 2.15 or later. The small calls beside other libraries are timed whole. All of it runs in one thread,
whatever the machine's file of results is named after.
"""

import contextlib
import functools
import itertools
import sys
from unittest import mock

import torch
from torch import nn

import fastlif
from benchmarks import options
from benchmarks.report.rows import Row, select, spread
from benchmarks.report.verdicts import Finding, at_least, at_most
from benchmarks.speed import kernels
from benchmarks.speed import measure as measuring
from benchmarks.speed.cases import Case, launch
from benchmarks.training.lab import Lab
from fastlif.operators import scan, single_step

TITLE = "A call: the host's time beside ReLU, of a launch, and of small calls beside other libraries"
DESCRIPTION = "the host's time of a call beside ReLU and of a launch, small calls beside other libraries"
SUMMARY = ({"metric": "time against ReLU", "pass": ("forward", "forward and backward")}, {"metric": "calls of Python"})
PAPER = ()
SHAPE = (64, 256)
T = 4  # of the neurons that have time steps
LAUNCHES = {  # what is launched -> its case, and how many launches it takes
    "single step": (Case("noisy_spike_forward"), 1),
    f"given statistics, T = {T}": (Case("lif_forward", T=T), 1),
    "statistics of the layer, T = 10": (Case("noisy_lif_forward", T=10), 10),
}
JIT = "Triton's JIT"
SMALL = {(1, 1, 64): 200, (10, 4, 64): 50}  # input [T, N, features], and the calls in a turn
ROW = 8  # neurons of a model that is compiled
OWN, OPERATORS = "launches", "operators"
CALLS = 100  # in a turn
SECONDS = 3.0  # of each comparison
LIMITS = {"forward": 4, "forward, with gradient": 4, "forward and backward": 2}  # times ReLU's


def _neurons(backend: str) -> dict[str, nn.Module]:
    given = fastlif.NoisyLIF(T, statistics="sample", backend=backend)
    given.convert()
    given.set_calibration(torch.full((1, T), 0.2), torch.full((1, T), 0.5))
    return {
        "NoisyLIF": fastlif.NoisyLIF(backend=backend),
        "LIF": fastlif.LIF(T, backend=backend),
        "NoisyLIF, calibrated": given,
    }


class Nothing:
    """In place of what launches."""

    noisy_spike_forward = noisy_spike_backward = lif_forward = lif_backward = staticmethod(lambda *arguments: None)


@contextlib.contextmanager
def without_launches():
    nothing = {"launchers": lambda *arguments: Nothing}
    with mock.patch.multiple(single_step, **nothing), mock.patch.multiple(scan, **nothing):
        yield


def _passes(module: nn.Module, leaf: torch.Tensor, grad: torch.Tensor):
    x = leaf.detach()

    return {
        "forward": lambda: module(x),
        "forward, with gradient": lambda: module(leaf),
        "forward and backward": lambda: torch.autograd.grad(module(leaf), leaf, grad),
    }


def calls_of_python(call) -> list[str]:
    """The names of the functions written in Python that ``call`` calls, itself among them if it is one."""
    names = []
    sys.setprofile(lambda frame, event, _: event == "call" and names.append(frame.f_code.co_name))
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


def measure(lab: Lab) -> None:
    options.no_dtype(lab.options.dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _beside_relu(lab)
        if reason := _why_no_launches():
            lab.say(f"launches are left out: {reason}")
        else:
            _beside_jit(lab)
            _compiled(lab)
        _beside_others(lab)
    finally:
        torch.set_num_threads(threads)


def _in_turns(lab: Lab, first, second, calls: int) -> list[list[float]]:
    """Seconds of each of two calls, turn by turn, once both are warm."""
    for _ in range(calls):
        first()
        second()
    return measuring.by_turns([first, second], lab.device, budget=SECONDS, calls=calls)


def _beside_relu(lab: Lab) -> None:
    leaf = torch.randn(SHAPE, device=lab.device).requires_grad_()
    grad = torch.randn(SHAPE, device=lab.device)
    relu = _passes(nn.ReLU(), leaf, grad)
    record = functools.partial(lab.record, "host", "one layer")
    with without_launches():
        for name, neuron in _neurons(lab.options.backend).items():
            for direction, call in _passes(neuron.to(lab.device), leaf, grad).items():
                setting = {"neuron": name, "pass": direction}
                own, others = _in_turns(lab, call, relu[direction], CALLS)
                record(setting, "time", "us", spread(1e6 * time for time in own), "turns")
                record(setting | {"neuron": "ReLU"}, "time", "us", spread(1e6 * time for time in others), "turns")
                ratio = spread(mine / theirs for mine, theirs in zip(own, others))
                record(setting, "time against ReLU", "", ratio, "turns")
                lab.say(f"{name}, {direction}: {1e6 * spread(own).median:.1f} us, {ratio.median:.2f} of ReLU's")
            counted = float(len(calls_of_python(functools.partial(neuron, leaf.detach()))))
            record({"neuron": name, "pass": "forward"}, "calls of Python", "", counted)


def _repeat(call, count: int) -> None:
    for _ in range(count):
        call()


def _why_no_launches() -> str | None:
    try:
        from triton import knobs
    except ImportError as error:
        return str(error)
    return "TRITON_INTERPRET is set, and interpreted kernels are not launched" if knobs.runtime.interpret else None


def _beside_jit(lab: Lab) -> None:
    from triton.runtime.jit import JITFunction

    from emulator import driver
    from fastlif import kernels as launchers

    record = functools.partial(lab.record, "host", "one layer")
    with driver.launching_nothing():
        for name, (case, count) in LAUNCHES.items():
            with mock.patch.object(launchers, case.launcher) as launcher:
                launch(case, torch.float16)
            ours = functools.partial(getattr(launchers, case.launcher), *launcher.call_args.args)
            with mock.patch.object(JITFunction, "run", autospec=True, side_effect=JITFunction.run) as asked:
                ours()
            once = functools.partial(JITFunction.run, *asked.call_args.args, **asked.call_args.kwargs)
            own, others = _in_turns(lab, ours, functools.partial(_repeat, once, count), CALLS)
            record({"launch": name, "by": kernels.OURS}, "time", "us", spread(1e6 * time for time in own), "turns")
            record({"launch": name, "by": JIT}, "time", "us", spread(1e6 * time for time in others), "turns")
            ratio = spread(theirs / mine for mine, theirs in zip(own, others))
            record({"launch": name, "by": JIT}, "time of the JIT against ours", "", ratio, "turns")
            lab.say(f"launches, {name}: {1e6 * spread(own).median:.1f} us, by {JIT} {ratio.median:.1f} times as long")


def _compiled(lab: Lab) -> None:
    """A row of neurons that is compiled as for a GPU: with launches of its own, and with operators that hide them."""
    from emulator import driver
    from fastlif import kernels as launchers

    if not launchers.visible():
        return lab.say("compiled models are left out: torch before 2.15 cannot be shown the launches")
    from emulator import inductor

    for name, neuron in _neurons("triton").items():
        with driver.launching_nothing(), driver.on_cpu_tensors(), inductor.on_a_gpu():
            _with_and_without_operators(lab, name, nn.Sequential(*[neuron] * ROW))


def _with_and_without_operators(lab: Lab, name: str, model: nn.Sequential) -> None:
    from fastlif import kernels as launchers

    leaf = torch.rand(2 * T, 2, 300).requires_grad_()
    grad = torch.ones_like(leaf)
    # Two functions, since PyTorch finds what it has compiled by a function's code.
    own = _passes(torch.compile(lambda x: model(x)), leaf, grad)
    others = _passes(torch.compile(lambda x: model(x)), leaf, grad)
    for passes, shown in ((own, True), (others, False)):
        with mock.patch.object(launchers, "visible", return_value=shown):
            for call in 2 * list(passes.values()):
                call()
    record = functools.partial(lab.record, "host", "neurons in a row")
    for direction in own:
        times = _in_turns(lab, own[direction], others[direction], CALLS)
        for by, seconds in zip((OWN, OPERATORS), times):
            setting = {"neuron": name, "pass": direction, "compiled": by}
            record(setting, "time", "us", spread(1e6 / ROW * time for time in seconds), "turns")
        ratio = spread(theirs / mine for mine, theirs in zip(*times))
        record({"neuron": name, "pass": direction}, "time of operators against ours", "", ratio, "turns")
        us = 1e6 / ROW * spread(times[0]).median
        lab.say(f"{name}, compiled, {direction}: {us:.1f} us, by operators {ratio.median:.1f} times as long")


def _beside_others(lab: Lab) -> None:
    functions = {kernels.OURS: kernels.lif_of(lab)} | kernels.checked_peers(lab)
    record = functools.partial(lab.record, "host", "one layer")
    for shape, calls in SMALL.items():
        leaf = torch.rand(shape, device=lab.device).mul_(1.5).requires_grad_()
        passes = {name: _passes(function, leaf, torch.ones_like(leaf)) for name, function in functions.items()}
        for name, direction in itertools.product(functions, ("forward", "forward and backward")):
            own, others = _in_turns(lab, passes[kernels.OURS][direction], passes[name][direction], calls)
            setting = {"library": name, "pass": direction, "T": shape[0], "size": leaf.numel()}
            record(setting, "time", "us", spread(1e6 * time for time in others), "turns")
            ratio = spread(theirs / mine for mine, theirs in zip(own, others))
            record(setting, "time against ours", "", ratio, "turns")
            lab.say(f"{name}, T = {shape[0]}, {leaf.numel():,}, {direction}: {ratio.median:.2f} of ours")


def draw(rows: list[Row], figure) -> None:
    relu, others = figure.subplots(1, 2)
    for axes, about, key, label in (
        (relu, select(rows, metric="time against ReLU"), "neuron", "the host's time / ReLU's"),
        (others, select(rows, metric="time against ours"), "library", "time / ours"),
    ):
        names = [f"{row.setting[key]}, {row.setting['pass']}{_size(row)}" for row in about]
        axes.barh(names, [row.median for row in about])
        axes.axvline(1, color="black", linestyle=":")
        axes.set(xlabel=label)
        axes.tick_params(labelsize=6)
    figure.set_size_inches(14, 8)


def _size(row: Row) -> str:
    return f", {int(row.setting['size']):,} neuron-steps" if "size" in row.setting else ""


def _times(row: Row) -> str:
    return f"{row.median:.2f} times (p20-p80 {row.p20:.2f}-{row.p80:.2f})"


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for direction, limit in LIMITS.items():
        own = select(rows, metric="time against ReLU", **{"pass": direction})
        if own:
            shown = "; ".join(f"{row.setting['neuron']} {_times(row)}" for row in own)
            claim = f"Ours: the host's time of a {direction.replace(',', '')} is at most {limit} times ReLU's"
            most = f"at most {max(row.median for row in own):.2f} times"
            first, last = LIMITS["forward"], LIMITS["forward and backward"]
            heading = f"the host's time is at most {first} times ReLU's, with backward {last} times"
            found.append(Finding(claim, at_most(limit, *own), shown, most, direction, heading))
    launched = select(rows, metric="time of the JIT against ours")
    if launched:
        shown = "; ".join(f"{row.setting['launch']} {_times(row)}" for row in launched)
        least = min(row.median for row in launched)
        claim = "Ours: a launch takes less of the host's time than by Triton's JIT"
        found.append(Finding(claim, at_least(1, *launched), shown, short=f"{least:.1f} times or more"))
    compiled = select(rows, metric="time of operators against ours")
    if compiled:
        shown = "; ".join(f"{row.setting['neuron']}, {row.setting['pass']} {_times(row)}" for row in compiled)
        claim = "Ours: a model compiled for a GPU launches the kernels in less of the host's time than by operators"
        least = min(row.median for row in compiled)
        found.append(Finding(claim, at_least(1, *compiled), shown, short=f"{least:.1f} times or more"))
    counted = select(rows, metric="calls of Python")
    if counted:
        shown = ", ".join(f"{row.setting['neuron']} {row.median:.0f}" for row in counted)
        claim = "Ours: a forward makes at most 25 calls of Python, the launch left out"
        most = max(row.median for row in counted)
        found.append(Finding(claim, most <= 25, shown, short=f"at most {most:.0f}"))
    others = [row for row in select(rows, metric="time against ours") if row.setting["library"] != kernels.OURS]
    for library in dict.fromkeys(row.setting["library"] for row in others):
        own = select(others, library=library)
        shown = "; ".join(f"{row.setting['pass']}{_size(row)}: {_times(row)}" for row in own)
        claim, least = f"Ours: small calls are faster than with {library}", min(row.median for row in own)
        heading = "small calls are faster than with other libraries"
        found.append(Finding(claim, at_least(1, *own), shown, f"{least:.2f} times or more", library, heading))
    return found
