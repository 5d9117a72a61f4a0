"""Fig. 2: the single-step network, the same weights over T steps, and its twin with ReLU, from several trainings."""

import functools
from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import OVER_TIME, error_bars, panels
from benchmarks.report.rows import Row, select
from benchmarks.report.verdicts import Finding, Published, all_of, lead, lead_over, of_each_network
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials

TITLE = "Fig. 2: accuracy of the single-step network and of its conversions"
DESCRIPTION = "accuracy of the single-step network, of its conversions to T = 1 to 10, and of a ReLU network (Fig. 2)"
SINGLE = "single step"
RELU = "ReLU"
SUMMARY = ({"metric": "accuracy", "T": (SINGLE, 1, 4, T, RELU)},)
STEPS = (1, 2, 4, 5, 8, T)
MARKS = {  # data set -> T -> the paper's accuracy in %
    "mnist": {5: 99.61, 10: 99.64},
    "fashion-mnist": {5: 93.89, 10: 94.07},
    "cifar-10": {5: 91.82, 10: 92.07},
}
PAPER = tuple(
    Published(f"{name}, T = 5 / 10", " / ".join(f"{mark:.2f}" for mark in marks.values()) + " %")
    for name, marks in MARKS.items()
)
OURS = "fashion-mnist", "modern"  # the data set and the preset of our own goals, and of SDSNN's mark
GOALS = {1: 94.07, 4: 94.5, T: 94.8}  # %
SDSNN = 93.72  # %, in a single step: arXiv 2508.10913
OVER_GOAL = {steps: f"T = {steps} over our goal" for steps in GOALS}
OVER_SDSNN = "T = 1 over SDSNN's"
OVER_RELU = f"T = {T} over the ReLU network"
OVER_THE_PAPER = {steps: f"T = {steps} over the paper's" for steps in (5, 10)}
EQUAL = 0.5  # point
GAINS = {start: f"T = {T} over {words}" for start, words in ((SINGLE, "the single step"), (1, "T = 1"))}


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        trials = Trials(lab, "accuracy", work)
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed)
            single = lab.train(spec, f"single step, seed {seed}").model
            trials.test(spec, single, T=SINGLE)
            trials.test_steps(spec, fastlif.MultiStep(single, timesteps=T), STEPS)
            relu = lab.spec(work, seed=seed, neuron="relu")
            trials.test(relu, lab.train(relu, f"ReLU, seed {seed}").model, T=RELU)
        trials.record_accuracies()
        for start, name in GAINS.items():
            trials.record_lead(name, trials.right(T=T) - trials.right(T=start))
        trials.record_lead(OVER_RELU, trials.right(T=T) - trials.right(T=RELU))
        for steps, mark in MARKS.get(work.dataset, {}).items():
            trials.record_lead(OVER_THE_PAPER[steps], trials.right(T=steps) - mark / 100)
        if (work.dataset, lab.options.preset) == OURS:
            for steps, goal in GOALS.items():
                trials.record_lead(OVER_GOAL[steps], trials.right(T=steps) - goal / 100)
            trials.record_lead(OVER_SDSNN, trials.right(T=1) - SDSNN / 100)


def _marks(rows: list[Row]) -> dict[int, float]:
    """The paper's accuracies that the rows of one network can be held to."""
    return MARKS.get(rows[0].dataset, {}) if _whole(rows) else {}


def _whole(rows: list[Row]) -> bool:
    """Whether they are those of a whole network on all images."""
    return rows[0].form == "full" and not {"--limit", "--width"} & set(rows[0].options.split())


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, folded=True, xticks=STEPS, **OVER_TIME):
        (single,) = select(own, T=SINGLE)
        curve = [select(own, T=steps)[0] for steps in STEPS]
        words = functools.partial(axes.annotate, textcoords="offset points", ha="right")
        axes.axhline(single.median, color="C7", linestyle=":")
        words("single step, as trained", (T, single.median), (0, 4), color="C7")
        axes.errorbar(STEPS, [row.median for row in curve], error_bars(curve), fmt="o-", capsize=4, color="C0")
        words("converted", (STEPS[1], curve[1].median), (8, -14), ha="left", color="C0")
        for row in select(own, T=RELU):
            axes.axhline(row.median, color="black", linestyle="--")
            words("ReLU", (T, row.median), (0, 4))
        for steps, mark in _marks(own).items():
            axes.plot(steps, mark, "kx")
            words("the paper", (steps, mark), (-6, 3))
        axes.margins(y=0.12)  # room for the words


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    median = {row.setting["T"]: row.median for row in select(own, metric="accuracy")}
    gains = {name: lead(own, name) for name in GAINS.values()}
    over_time = " / ".join(f"{median[str(steps)]:.2f}" for steps in STEPS)
    yield Finding(
        "Accuracy rises with T",
        all_of(gain.beyond() for gain in gains.values()),
        f"{name}, {own[0].training}, medians: {median[SINGLE]:.2f} % in a single step; {over_time} % at T = "
        f"{' / '.join(map(str, STEPS))}; " + "; ".join(f"{words}: {gain}" for words, gain in gains.items()),
        short=f"{median[SINGLE]:.2f} to {median[str(T)]:.2f} %",
        about=own[0].dataset,
    )
    for row in select(own, T=RELU):  # older rows have none
        over = lead(own, OVER_RELU)
        yield Finding(
            f"Ours: T = {T} is within {EQUAL:g} points of the same network with ReLU",
            over.within(EQUAL),
            f"{name}, {own[0].training}: ReLU {row.median:.2f} %, {OVER_RELU}: {over}",
            short=over.points,
            about=own[0].dataset,
        )
    for steps, mark in _marks(own).items():
        over = lead(own, OVER_THE_PAPER[steps])
        yield Finding(
            f"The accuracy at T = {steps} is the paper's or higher",
            over.beyond(),
            f"{name}, {own[0].training}, the mean less {mark:.2f} %: {over}",
            short=f"{mark + over.mean:.2f} against {mark:.2f} %",
            about=own[0].dataset,
        )
    if _whole(own) and (own[0].dataset, own[0].preset) == OURS:
        goals = ", ".join(f"{goal:g} % at T = {steps}" for steps, goal in GOALS.items())
        over_goals = {steps: lead(own, name) for steps, name in OVER_GOAL.items()}
        for steps, goal in GOALS.items():
            if not over_goals[steps].trainings:  # older rows have none
                over_goals[steps] = lead_over(goal, select(own, metric="accuracy", T=steps)[0])
        shown = " / ".join(f"{median[str(steps)]:.2f}" for steps in GOALS) + " %"
        yield Finding(
            f"Ours: the accuracy is at least {goals}",
            all_of(one.beyond() for one in over_goals.values()),
            f"{name}, {own[0].training}, medians: {shown}, the means less these goals: "
            + " / ".join(map(str, over_goals.values())),
            short=shown,
            about=own[0].dataset,
        )
        over = lead(own, OVER_SDSNN)
        yield Finding(
            "Ours: the accuracy at T = 1 is that of SDSNN, another single-step method, or higher",
            over.beyond(),
            f"{name}, {own[0].training}, the mean less SDSNN's published {SDSNN:.2f} % (arXiv 2508.10913): {over}",
            short=f"{median['1']:.2f} against {SDSNN:.2f} %",
            about=own[0].dataset,
        )
