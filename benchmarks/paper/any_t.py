"""Ours: accuracy against T once the network is trained: calibrated statistics, antithetic noise, and early exit."""

from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import OVER_TIME, panels, plot_over_time
from benchmarks.report.rows import Row, select, spread, value
from benchmarks.report.verdicts import Finding, all_of, at_most, lead, of_each_network
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials

TITLE = "Any T: calibrated statistics, antithetic noise, early exit"
DESCRIPTION = "accuracy against T with calibrated statistics, antithetic noise and early exit (ours)"
PAPER = ()
STEPS = (1, 2, 4, 8, T)
LAYER, CALIBRATED, ANTITHETIC = "statistics of the layer", "calibrated", "calibrated, antithetic noise"
CONFIDENCES = (0.8, 0.9, 0.95, 0.99)
JUDGED = 0.9  # until_confident's default
SUMMARY = (
    {"metric": "accuracy", "variant": (LAYER, CALIBRATED, ANTITHETIC), "T": T},
    {"metric": ("accuracy", "steps of an image"), "variant": "early exit", "confidence": (0.8, 0.9, 0.95)},
)
FROZEN = f"calibrated over statistics of the layer, T = {T}"
MIRRORED = {steps: f"antithetic over independent noise, T = {steps}" for steps in (2, 4, T)}
EXITS = {confidence: f"early exit at confidence {confidence:g} over T = {T}" for confidence in CONFIDENCES}
EQUAL = 0.5  # point


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        trials = Trials(lab, "any-t", work)
        confidences = CONFIDENCES if "cross-entropy" in lab.spec(work).recipe.loss else ()
        if not confidences:
            lab.say("early exit is left out: it takes scores that were trained by cross-entropy, as --preset modern's")
        taken = {confidence: [] for confidence in confidences}
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed)
            single = lab.train(spec, f"single step, seed {seed}").model
            calibrated, antithetic = (
                lab.calibrated(fastlif.MultiStep(single, timesteps=T, over_time=over_time), spec)
                for over_time in ("independent", "antithetic")
            )
            trials.test_steps(spec, fastlif.MultiStep(single, timesteps=T), STEPS, variant=LAYER)
            trials.test_steps(spec, calibrated, STEPS, variant=CALIBRATED)
            trials.test_steps(spec, antithetic, STEPS, variant=ANTITHETIC)
            for confidence in confidences:
                taken[confidence].append(
                    trials.test_early_exit(spec, calibrated, variant="early exit", confidence=confidence)
                )
        trials.record_accuracies()
        for confidence, steps in taken.items():
            setting = {"variant": "early exit", "confidence": confidence}
            lab.record("any-t", lab.spec(work), setting, "steps of an image", "steps", spread(steps), "trainings")
        last = trials.right(variant=CALIBRATED, T=T)
        trials.record_lead(FROZEN, last - trials.right(variant=LAYER, T=T))
        for steps, name in MIRRORED.items():
            independent = trials.right(variant=CALIBRATED, T=steps)
            trials.record_lead(name, trials.right(variant=ANTITHETIC, T=steps) - independent)
        for confidence in confidences:
            trials.record_lead(EXITS[confidence], trials.right(variant="early exit", confidence=confidence) - last)


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, folded=True, **OVER_TIME | {"xlabel": "time steps of an image, on average"}):
        accuracies = select(own, metric="accuracy")
        for variant in (LAYER, CALIBRATED, ANTITHETIC):
            plot_over_time(axes, select(accuracies, variant=variant), variant)
        exits = select(accuracies, variant="early exit")
        steps = [value(own, metric="steps of an image", confidence=row.setting["confidence"]) for row in exits]
        if exits:
            axes.plot(steps, [row.median for row in exits], "s--", label="calibrated, early exit")
        for row, x in zip(exits, steps):
            axes.annotate(row.setting["confidence"], (x, row.median), (6, -9), textcoords="offset points", fontsize=7)
        axes.legend()


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    frozen, mirrored = lead(own, FROZEN), {steps: lead(own, one) for steps, one in MIRRORED.items()}
    yield Finding(
        f"Ours: calibrated statistics are within {EQUAL:g} points of the layer's",
        frozen.within(EQUAL),
        f"{name}: {FROZEN}: {frozen}",
        short=frozen.points,
    )
    yield Finding(
        "Ours: antithetic noise over time is ahead of independent noise",
        all_of(one.beyond() for one in mirrored.values()),
        f"{name}: " + "; ".join(f"T = {steps}: {one}" for steps, one in mirrored.items()),
        short=" / ".join(one.points for one in mirrored.values()),
    )
    if taken := {one.setting["confidence"]: one for one in select(own, metric="steps of an image")}:
        exits = {confidence: lead(own, EXITS[confidence]) for confidence in CONFIDENCES}
        judged = taken[f"{JUDGED:g}"]
        yield Finding(
            f"Ours: early exit at {JUDGED:g} is within {EQUAL:g} points of T = {T} in at most {T // 2} steps",
            all_of([exits[JUDGED].within(EQUAL), at_most(T // 2, judged)]),
            f"{name}, over T = {T}: "
            + "; ".join(
                f"confidence {confidence:g}: {taken[f'{confidence:g}'].median:.2f} steps of an image, {one}"
                for confidence, one in exits.items()
            ),
            short=f"{judged.median:.1f} steps, {exits[JUDGED].points}",
        )
