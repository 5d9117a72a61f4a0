"""Fig. 4: the time each way of training needs to a benchmark accuracy, from the curves of several trainings."""

import functools
from collections.abc import Iterator

from benchmarks.paper import training_speed
from benchmarks.paper.training_speed import DIRECT, SINGLE, curves
from benchmarks.report.panels import error_bars, panels
from benchmarks.report.rows import Row, select, spread
from benchmarks.report.verdicts import ENOUGH, Finding, Published, at_least, of_each_network
from benchmarks.training.lab import Lab
from benchmarks.training.loop import Epoch

TITLE = "Fig. 4: training time to a benchmark accuracy"
DESCRIPTION = "time that each way of training needs to a benchmark accuracy (Fig. 4)"
SUMMARY = ({"metric": ("best accuracy", "time to the goal", "time saved")},)
PAPER = (
    Published("Fashion-MNIST to 92 %: single step / T = 10", "135 / 528 s, 75 % saved"),
    Published("CIFAR-10, VGG-16 to 88 %: single step / T = 10", "3,132 / 9,900 s, 70 % saved"),
    Published("CIFAR-10, ResNet-18 to 90 %: single step / T = 10", "7,290 / 19,998 s, 65 % saved"),
)
WAYS = {way: training_speed.WAYS[way] for way in (SINGLE, DIRECT)}  # on the same backend
SAVED = 65  # % of the time: the least that the paper reports
# Whether the single step and the direct way reached the goal in all trainings -> what the time saved is, where the time
# in all stands for a longer one that was not seen.
BOUNDS = {(True, True): "measured", (True, False): "at least", (False, True): "at most"}


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        goal = lab.form.goals.get((work.dataset, work.network))
        if goal is None:
            lab.say(f"{work.dataset} {work.network} is left out: the {lab.options.form} form has no goal for it")
            continue
        trainings = [curves(lab, work, WAYS, seed) for seed in lab.training_seeds]
        record, reached = functools.partial(lab.record, "training-time"), {}
        for way, (spec, _) in trainings[0].items():
            setting, epochs = {"way": way, "goal": f"{goal:g} %"}, [training[way][1].epochs for training in trainings]
            best = spread(max(epoch.metrics["accuracy"] for epoch in one) for one in epochs)
            record(spec, setting, "best accuracy", "%", best, "trainings")
            record(spec, setting, "time in all", "s", spread(map(_seconds, epochs)), "trainings")
            needed = [one[:count] for one in epochs if (count := _epochs_to(goal, one))]
            if needed:
                record(spec, setting, "time to the goal", "s", spread(map(_seconds, needed)), "trainings")
                record(spec, setting, "epochs to the goal", "epochs", spread(map(len, needed)), "trainings")
            reached[way] = len(needed) == len(epochs)
        bound = BOUNDS.get((reached[SINGLE], reached[DIRECT]))
        if bound:
            times = [[_time_to(goal, training[way][1].epochs) for way in WAYS] for training in trainings]
            saved = spread(100 - 100 * single / direct for single, direct in times)
            setting = {"against": DIRECT, "goal": f"{goal:g} %", "bound": bound}
            record(trainings[0][SINGLE][0], setting, "time saved", "%", saved, "trainings")


def _epochs_to(goal: float, epochs: list[Epoch]) -> int | None:
    return next((number for number, e in enumerate(epochs, 1) if e.metrics["accuracy"] >= goal), None)


def _seconds(epochs: list[Epoch]) -> float:
    return sum(epoch.seconds for epoch in epochs)


def _time_to(goal: float, epochs: list[Epoch]) -> float:
    """The time to the goal; if it was never reached the time in all, which is less than it would have taken."""
    return _seconds(epochs[: _epochs_to(goal, epochs)])


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, 5.5, 4):
        for way in WAYS:
            count = sum(row.samples for row in select(own, way=way, metric="time to the goal"))
            trainings = own[0].samples
            reached = count == trainings
            for row in select(own, way=way, metric="time to the goal" if reached else "time in all"):
                words = f"reached in {count} of {trainings}" if count else "not reached in this time"
                label = way.replace(" in ", "\nin ") + ("" if reached else f"\n{words}")
                look = {"facecolor": "C0"} if reached else {"facecolor": "none", "hatch": "//"}
                axes.bar(label, row.median, yerr=error_bars([row]), capsize=4, edgecolor="C0", **look)
        axes.set(ylabel=f"training time to {own[0].setting['goal']} (s)")
        axes.title.set_fontsize(9)


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    times = {way: select(own, way=way, metric="time to the goal") for way in WAYS}
    trainings = own[0].samples
    shown = [f"{way} {_words(*times[way], unit='s', of=trainings)}" for way in WAYS]
    saved = next(iter(select(own, metric="time saved")), None)
    if saved:
        bound = saved.setting["bound"].removeprefix("measured")
        shown.append(f"{bound} {_words(saved, unit='%', of=trainings)} saved".strip())
    yield Finding(
        f"Training in a single step saves at least {SAVED} % of the time to a benchmark accuracy",
        _verdict(saved),
        f"{name}, to {own[0].setting['goal']}, {trainings} trainings: {'; '.join(shown)}",
        short=f"{saved.median:.0f} % saved" if saved else "not reached in every training",
    )


def _verdict(saved: Row | None) -> bool | None:
    if saved is None or saved.samples < ENOUGH:
        return None
    told, bound = at_least(SAVED, saved), saved.setting["bound"]
    return None if (bound, told) in (("at least", False), ("at most", True)) else told


def _words(row: Row | None = None, *, unit: str, of: int) -> str:
    if row is None:
        return "never reached it"
    number = f"{row.median:.1f} {unit} (p20-p80 {row.p20:.1f} to {row.p80:.1f})"
    return number if row.samples == of else f"{number} in {row.samples} of {of}"
