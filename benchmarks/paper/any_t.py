"""Ours: accuracy against T, and the time of an image, once the network is trained.

With calibrated statistics, antithetic noise, and early exit.
"""

from collections.abc import Iterator

from torch import nn

import fastlif
from benchmarks.report.panels import OVER_TIME
from benchmarks.report.rows import Row, by_work, select, spread, value
from benchmarks.report.verdicts import Finding, all_of, at_most, lead, of_each_network
from benchmarks.training.evaluation import over
from benchmarks.training.lab import Lab, Spec
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
            variants = {LAYER: fastlif.MultiStep(single, timesteps=T), CALIBRATED: calibrated, ANTITHETIC: antithetic}
            for variant, multi in variants.items():
                trials.test_steps(spec, multi, STEPS, variant=variant)
            for confidence in confidences:
                taken[confidence].append(
                    trials.test_early_exit(spec, calibrated, variant="early exit", confidence=confidence)
                )
        trials.record_accuracies()
        _time(lab, spec, variants, confidences)
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


class EarlyExit(nn.Module):
    """What is timed: each image at its own number of steps."""

    def __init__(self, model: fastlif.MultiStep, confidence: float):
        super().__init__()
        self.model, self.confidence = model, confidence

    def forward(self, images):
        return self.model.until_confident(images, self.confidence)


def _time(lab: Lab, spec: Spec, variants: dict[str, fastlif.MultiStep], confidences) -> None:
    """The latency of the last training's network in each variant at each T, and with early exit, all in turns."""
    cases = [({"variant": name, "T": steps}, over(multi, steps)) for name, multi in variants.items() for steps in STEPS]
    cases += [({"variant": "early exit", "confidence": one}, EarlyExit(variants[CALIBRATED], one))
              for one in confidences]  # fmt: skip
    for (setting, _), time in zip(cases, lab.seconds_per_image([model for _, model in cases], spec.work)):
        lab.record("any-t", spec, setting, "latency", "s/image", time, "turns")


def draw(rows: list[Row], figure) -> None:
    """Against the steps of an image and, where it was measured, its time."""
    groups, metrics = by_work(rows), ["steps of an image", "latency"][: 1 + bool(select(rows, metric="latency"))]
    figure.set_size_inches(6 * len(metrics), 4.5 * len(groups))
    for panels, (name, own) in zip(figure.subplots(len(groups), len(metrics), squeeze=False), groups.items()):
        for axes, metric in zip(panels, metrics):
            _draw(axes, own, metric)
        panels[0].set(title=name.replace(", ", "\n"), xlabel="time steps of an image, on average")
        panels[0].legend()
        if len(panels) > 1:
            panels[1].set(xlabel="time of an image (s)")


def _draw(axes, own: list[Row], metric: str) -> None:
    """The accuracies against ``metric``; T steps are T, which has no row. What has no latency is left out."""
    for variant in (LAYER, CALIBRATED, ANTITHETIC, "early exit"):
        curve = select(own, metric="accuracy", variant=variant)
        curve = [row for row in curve if metric != "latency" or value(own, metric=metric, **row.setting)]
        places = [value(own, metric=metric, **row.setting) or int(row.setting["T"]) for row in curve]
        look = "s--" if variant == "early exit" else "o-"
        if curve:
            axes.plot(places, [row.median for row in curve], look, label=variant)
        for row, x in zip(curve, places):
            words = row.setting.get("confidence", "")
            axes.annotate(words, (x, row.median), (6, -9), textcoords="offset points", fontsize=7)
    axes.set(ylabel=OVER_TIME["ylabel"])


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
