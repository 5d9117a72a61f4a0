"""Whole networks: images a second and peak memory, beside the same network with ReLU and on SpikingJelly's layers.

The images are synthetic, so nothing is said of accuracy. A network's ReLU twin and all that is compared with it take
turns, batch by batch, in an order that changes: so their ratios hold on a machine that does other things besides. A
training step is a forward pass under autocast, cross-entropy, a backward pass and a step of Adam. Over T steps the same
images come at every step. float32 is as PyTorch has it: on a GPU convolutions may round to TensorFloat-32.
"""

import torch

from benchmarks import options
from benchmarks.report.panels import legend_beside
from benchmarks.report.rows import Row, by_work, select, spread, value
from benchmarks.report.verdicts import Finding, at_most, faster
from benchmarks.speed import measure as measuring
from benchmarks.speed import peers
from benchmarks.speed.contenders import (
    AT_MEAN,
    CALIBRATED,
    COMPILED,
    CONVERTED,
    EAGER,
    FUSED,
    GRAPH,
    INFERENCE,
    LIF,
    PEER,
    RELU,
    SINGLE,
    TRAINING,
    Task,
    Way,
    make_task,
    no_peer,
    prepare,
)
from benchmarks.training import networks
from benchmarks.training.lab import Lab

TITLE = "Whole networks: training and inference beside ReLU and SpikingJelly's layers"
DESCRIPTION = "images a second and peak memory of the paper's network, VGG-16 and ResNet-18, beside ReLU's"
_TRAINED = {"metric": "time against ReLU", "pass": TRAINING, "layout": "channels_last", "mode": EAGER}
SUMMARY = (_TRAINED | {"neurons": SINGLE}, _TRAINED | {"neurons": (LIF, PEER), "T": 10})
PAPER = ()
# Images of a batch, per form.
BATCH = {"quick": {"small": 50, "vgg16": 4, "resnet18": 4}, "full": {"small": 128, "vgg16": 128, "resnet18": 128}}

# What is compared with ReLU: neurons, time steps.
CONTENDERS = {
    TRAINING: ((SINGLE, 1), (AT_MEAN, 1), (FUSED, 1), (LIF, 10), (PEER, 1), (PEER, 10)),
    INFERENCE: ((SINGLE, 1), *((neurons, T) for neurons in (CONVERTED, CALIBRATED, PEER) for T in (1, 5, 10))),
}
# What is compared with SpikingJelly's layers: pass, our neurons, time steps.
BESIDE_SPIKINGJELLY = (
    (TRAINING, LIF, 10), (TRAINING, SINGLE, 1), (INFERENCE, CONVERTED, 10), (INFERENCE, CALIBRATED, 10),
)  # fmt: skip
WORTH_COMPILING = ((SINGLE, 1), (CONVERTED, 10))  # compiling takes far longer than the measurement
# Per form: the ways, the most telling ones first, as the time may not be enough for all of them; the seconds
# for everything and those for each comparison, in which 20 turns take up to 50.
WAYS = {
    "quick": (
        Way("float32", "channels_last", EAGER),
        Way("float32", "contiguous", EAGER, ("small",)),
        Way("float32", "channels_last", COMPILED, ("small",)),
    ),
    "full": (
        Way("bfloat16", "channels_last", EAGER),
        Way("bfloat16", "channels_last", GRAPH),
        Way("float32", "channels_last", EAGER),
        Way("float32", "channels_last", GRAPH),
        Way("float32", "contiguous", EAGER),
        Way("bfloat16", "channels_last", COMPILED),
        Way("float32", "channels_last", COMPILED),
    ),
}
BUDGET = {"quick": 420, "full": 110}
EACH = {"quick": 60.0, "full": 4.0}
BATCHES_A_TURN = {"cpu": 1, "cuda": 2}


def measure(lab: Lab) -> None:
    options.no_dtype(lab.options.dtype)
    end = lab.seconds + BUDGET[lab.options.form]
    names = [name for name in networks.NETWORKS if lab.data.can_build(name)]
    tasks = {name: make_task(lab, name, BATCH[lab.options.form][name]) for name in names}
    left_out = {name: no_peer(lab, task) for name, task in tasks.items()}
    for way in WAYS[lab.options.form]:
        if way.mode == GRAPH and lab.device.type != "cuda":
            lab.say(f"{way} is left out: it takes a GPU")
            continue
        for direction in CONTENDERS:
            for name in way.networks:
                if name in tasks:
                    contenders = _contenders(direction, way, with_peer=not left_out[name])
                    _compare(lab, tasks[name], way, direction, contenders, end)


def _contenders(direction: str, way: Way, *, with_peer: bool) -> list[tuple[str, int]]:
    """Those that are run in this way; SpikingJelly's network as its users run it."""
    found = [one for one in CONTENDERS[direction] if one[0] != PEER or (with_peer and way.mode == EAGER)]
    return [one for one in found if way.mode != COMPILED or one in WORTH_COMPILING]


def _compare(lab: Lab, task: Task, way: Way, direction: str, contenders, end: float) -> None:
    """Measures ReLU and the contenders in turns, and records what is found."""
    about, ready = f"{task.title}, {direction}, {way}", {}

    def left_out(what: str, reason: str) -> None:
        lab.say(f"{about}: {what} left out: {reason}")

    def record(neurons: str, T: int, metric: str, unit: str, values) -> None:
        setting = {"neurons": neurons, "pass": direction, "T": T, "type": way.type, "layout": way.layout}
        setting |= {"mode": way.mode, "batch": len(task.images)}
        lab.record("end-to-end", task.title, setting, metric, unit, values, "turns", dataset=task.dataset)

    if lab.seconds > end:
        return left_out("it is", f"the {BUDGET[lab.options.form]} s for the experiment are over")
    if way.mode == COMPILED:
        torch.compiler.reset()  # networks of one class share a limit of compilations
    for neurons, T in ((RELU, 1), *contenders):
        if lab.seconds > end:
            left_out(f"{neurons}, T = {T}, and what follows are", "the time for the experiment is over")
            break
        try:
            ready[neurons, T] = prepare(lab, task, way, direction, neurons, T)
        except Exception as error:  # whatever a compiler or a device raises: what is left can still be measured
            left_out(f"{neurons}, T = {T}, is", peers.line(error))
    if len(ready) < 2 or (RELU, 1) not in ready:
        return left_out("it is", "there is nothing to compare")
    calls, memories = zip(*ready.values())
    turn = {"budget": EACH[lab.options.form], "calls": BATCHES_A_TURN[lab.device.type]}
    try:
        measured = measuring.by_turns(calls, lab.device, **turn)
    except Exception as error:
        return left_out("it is", peers.line(error))
    found = []
    for (neurons, T), times, memory in zip(ready, measured, memories):
        record(neurons, T, "throughput", "images/s", spread(len(task.images) / time for time in times))
        record(neurons, T, "peak memory", "MB", memory / 1e6)
        if neurons != RELU:
            ratio = spread(time / beside for time, beside in zip(times, measured[0]))
            record(neurons, T, "time against ReLU", "", ratio)
            found.append(f"{neurons}, T = {T} {ratio.median:.2f}")
    lab.say(f"{about}: time against ReLU: {'; '.join(found)}")


# What the rows show


def _by_way(rows: list[Row], direction: str) -> dict[str, list[Row]]:
    """The rows of each way in which ReLU was measured, the fastest first."""
    groups: dict[str, list[Row]] = {}
    for row in select(rows, **{"pass": direction}):
        way = Way(*(row.setting[name] for name in ("type", "layout", "mode")))
        groups.setdefault(str(way), []).append(row)
    speeds = {way: value(own, metric="throughput", neurons=RELU) for way, own in groups.items()}
    return {way: groups[way] for way in sorted(groups, key=lambda way: -(speeds[way] or 0)) if speeds[way]}


def draw(rows: list[Row], figure) -> None:
    works = by_work(rows)
    panels = figure.subplots(len(works), 3, squeeze=False)
    for (speeds, memories, steps), (name, own) in zip(panels, works.items()):
        training, inference = (_by_way(own, direction) for direction in CONTENDERS)
        _bars(speeds, training, "throughput")
        speeds.set(title=f"{name}\ntraining", ylabel="images/s")
        _bars(memories, training, "peak memory")
        memories.set(title="training", ylabel="peak memory (MB)")
        legend_beside(memories)
        way = next((way for way, measured in inference.items() if select(measured, neurons=CONVERTED, T=1)), None)
        if way:
            _against_T(steps, select(inference[way], metric="time against ReLU"))
            steps.set(title=f"inference, {way}", xlabel="T", ylabel="time against ReLU")
    figure.set_size_inches(19, 4 * len(works))


def _bars(axes, ways: dict[str, list[Row]], metric: str) -> None:
    """A metric of all contenders, side by side for each way."""
    contenders = ((RELU, 1), *CONTENDERS[TRAINING])
    width = 1 / (len(contenders) + 1)
    for number, (neurons, T) in enumerate(contenders):
        found = {place: value(own, metric=metric, neurons=neurons, T=T) for place, own in enumerate(ways.values())}
        shift = (number - (len(contenders) - 1) / 2) * width
        found = {place + shift: median for place, median in found.items() if median}
        color, label = f"C{number}", f"{neurons}, T = {T}"  # the same where another's bar is missing
        if found:
            axes.bar(list(found), list(found.values()), width=width, color=color, label=label)
    axes.set_xticks(range(len(ways)), [way.replace(", ", "\n") for way in ways], fontsize=7)


def _against_T(axes, rows: list[Row]) -> None:
    for neurons in (CONVERTED, CALIBRATED, PEER, SINGLE):
        own = select(rows, neurons=neurons)
        if own:
            axes.plot([int(row.setting["T"]) for row in own], [row.median for row in own], "o-", label=neurons)
    axes.axhline(1, color="black", linestyle=":", label=RELU)
    axes.set_ylim(bottom=0)
    legend_beside(axes)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        found += [_as_fast_as_relu(name, own), _ten_steps(name, own)]
        found += [_beside_spikingjelly(name, own, *which) for which in BESIDE_SPIKINGJELLY]
    return [finding for finding in found if finding]


def _as_fast_as_relu(name: str, rows: list[Row]) -> Finding | None:
    """Judged in the way in which ReLU trains fastest."""
    ways = _by_way(rows, TRAINING)
    single = {way: row for way, own in ways.items() for row in select(own, metric="time against ReLU", neurons=SINGLE)}
    if not single:
        return None
    way, best = next(iter(single.items()))
    shown = f"{name}: {best.median:.2f} of ReLU's time (p20-p80 {best.p20:.2f}-{best.p80:.2f}) in {way}, where ReLU is "
    shown += "fastest"
    for neurons, words in (
        (AT_MEAN, "with the rectangular surrogate at the mean of the noise"),
        (FUSED, "fused with batch normalisation"),
    ):
        ratio = value(ways[way], metric="time against ReLU", neurons=neurons)
        shown += f"; {words}, {ratio:.2f}" if ratio else ""
    others = ", ".join(f"{row.median:.2f} in {other}" for other, row in single.items() if other != way)
    shown += f"; {others}" if others else ""
    claim = "Ours: a single-step spiking network trains within 5% of its ReLU twin's time"
    return Finding(claim, at_most(1.05, best), shown, short=f"{best.median:.2f}")


def _ten_steps(name: str, rows: list[Row]) -> Finding | None:
    """Judged in the way in which ReLU is fastest, of those that both were measured in."""
    for way, own in _by_way(rows, INFERENCE).items():
        ratios = select(own, metric="time against ReLU")
        times = [row for T in (1, 10) for row in select(ratios, neurons=CONVERTED, T=T)]
        if len(times) != 2:
            continue
        one, ten = (row.median for row in times)
        single, calibrated = value(ratios, neurons=SINGLE), value(ratios, neurons=CALIBRATED, T=10)
        shown = f"{name}: {ten / one:.1f} times in {way}"
        shown += f"; {ten / single:.1f} times the unconverted single step" if single else ""
        shown += f"; calibrated, {calibrated / ten:.2f} of the time at T = 10" if calibrated else ""
        claim = "Ours: inference at T = 10 costs less than 10 times T = 1"
        cheaper = faster(times[1], times[0], times=0.1)  # a tenth as fast, or faster
        return Finding(claim, cheaper, shown, short=f"{ten / one:.1f} times")
    return None


def _beside_spikingjelly(name: str, rows: list[Row], direction: str, neurons: str, T: int) -> Finding | None:
    """Judged in the way in which ReLU is fastest, of those that SpikingJelly was measured in."""
    for way, own in _by_way(rows, direction).items():
        both = [select(own, neurons=one, T=T) for one in (neurons, PEER)]
        if not all(both):
            continue
        ours, theirs = (select(one, metric="time against ReLU")[0] for one in both)
        speeds, memories = ([value(one, metric=name) for one in both] for name in ("throughput", "peak memory"))
        times = f"{theirs.median / ours.median:.2f} times as fast"
        shown = (
            f"{name}: {ours.median:.2f} times as long as ReLU (p20-p80 {ours.p20:.2f}-{ours.p80:.2f}) against "
            f"{theirs.median:.2f} ({theirs.p20:.2f}-{theirs.p80:.2f}), {times}, in {way}; {speeds[0]:.3g} images/s "
            f"against {speeds[1]:.3g}; peak memory {memories[0]:.3g} MB against {memories[1]:.3g}"
        )
        shown += "; what lies before the first neuron is run once for ours, at every step for theirs" if T > 1 else ""
        claim = f"Ours: {direction} at T = {T} ({neurons}) is faster than on SpikingJelly's layers"
        heading = "whole networks are faster than on SpikingJelly's layers"
        about = f"{direction} at T = {T} ({neurons})"
        return Finding(claim, faster(ours, theirs), shown, times, about, heading)
    return None
