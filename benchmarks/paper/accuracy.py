"""Fig. 2: the single-step network, and the same weights over T steps, from several trainings."""

import fastlif
from benchmarks.report.rows import Row, by_work, select
from benchmarks.report.verdicts import Finding, Published, lead
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials

TITLE = "Fig. 2: accuracy of the single-step network and of its conversions"
DESCRIPTION = "accuracy of the single-step network and of its conversions to T = 1, 2, 4, 5, 8, 10 (Fig. 2)"
SUMMARY = ({"metric": "accuracy"},)
SINGLE = "single step"
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
GAIN = f"T = {T} over the single step"


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        trials = Trials(lab, "accuracy", work)
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed)
            single = lab.train(spec, f"single step, seed {seed}").model
            trials.test(spec, single, T=SINGLE)
            trials.test_steps(spec, fastlif.MultiStep(single, timesteps=T), STEPS)
        trials.record_accuracies()
        trials.record_lead(GAIN, trials.right(T=T) - trials.right(T=SINGLE))
        for steps, mark in MARKS.get(work.dataset, {}).items():
            trials.record_lead(_over_the_paper(steps), trials.right(T=steps) - mark / 100)


def _over_the_paper(steps: int) -> str:
    return f"T = {steps} over the paper's"


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        (single,) = select(own, T=SINGLE)
        curve = [select(own, T=steps)[0] for steps in STEPS]
        axes.axhline(single.median, color="C7", linestyle=":")
        axes.annotate("single step, as trained", (T, single.median), ha="right", va="bottom", color="C7")
        spreads = [[row.median - row.p20 for row in curve], [row.p80 - row.median for row in curve]]
        axes.errorbar(STEPS, [row.median for row in curve], spreads, fmt="o-", capsize=4, color="C0")
        axes.annotate("converted", (T, curve[-1].p80), ha="right", va="bottom", color="C0")
        if own[0].form == "full":
            marks = MARKS.get(own[0].dataset, {})
            axes.plot(marks.keys(), marks.values(), "kx")
            for steps, mark in marks.items():
                axes.annotate("the paper", (steps, mark), ha="center", va="bottom")
        axes.set(title=name.replace(", ", "\n"), xlabel="time steps T", ylabel="test accuracy (%)", xticks=STEPS)
    figure.set_size_inches(6 * len(groups), 4.5)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        median = {row.setting["T"]: row.median for row in select(own, metric="accuracy")}
        gain = lead(own, GAIN)
        over_time = " / ".join(f"{median[str(steps)]:.2f}" for steps in STEPS)
        found.append(
            Finding(
                "Accuracy rises with T",
                gain.beyond(),
                f"{name}, trainings: {gain.trainings}, medians: {median[SINGLE]:.2f} % in a single step; {over_time} % "
                f"at T = {' / '.join(map(str, STEPS))}; {GAIN}: {gain}",
                short=f"{median[SINGLE]:.2f} to {median[str(T)]:.2f} %",
            )
        )
        for steps, mark in MARKS.get(own[0].dataset, {}).items() if own[0].form == "full" else ():
            over = lead(own, _over_the_paper(steps))
            found.append(
                Finding(
                    f"The accuracy at T = {steps} is the paper's or higher",
                    over.beyond(),
                    f"{name}, {own[0].training}, trainings: {over.trainings}, the mean less {mark:.2f} %: {over}",
                    short=f"{mark + over.mean:.2f} against {mark:.2f} %",
                )
            )
    return found
