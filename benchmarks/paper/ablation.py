"""Ours: what each choice around the noisy neuron is worth, one varied at a time."""

import copy
import dataclasses
import math

import fastlif
from benchmarks.report.rows import Row, by_work, select, value
from benchmarks.report.verdicts import Finding, lead
from benchmarks.training import datasets, loop
from benchmarks.training.lab import Lab, Spec
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials
from fastlif.neuron import neurons
from fastlif.types import SURROGATE_WIDTHS

TITLE = "Ablation: statistics, residual noise, surrogate, noise width, batch normalisation, fine-tuning"
DESCRIPTION = "statistics, residual noise, surrogate, noise width, batch normalisation, fine-tuning (ours)"
SUMMARY = ({"metric": "accuracy", "T": T, "part": ("statistics", "residual noise", "fine-tuning")},)
PAPER = ()
NOISE_WIDTHS = (2.0, 3.0, 4.0, 4.3)
CALIBRATION_IMAGES = 1000
SINGLE = "single step"
RESIDUAL_STEPS = (1, 4, T)
MATCHED = {steps: f"residual noise matched over range, T = {steps}" for steps in RESIDUAL_STEPS}
BEST = {  # part -> the comparison of its best variant
    "statistics": "the best statistics over the worst",
    "surrogate": "the best surrogate over atan",
    "noise width": "the best noise width over 4",
}
NORM = "with batch normalisation over without"
TUNED = "an epoch over T steps over one in a single step"
EQUAL = 1.0  # point


def measure(lab: Lab) -> None:
    for work in lab.data.workloads(large=False):
        trials = Trials(lab, "ablation", work)
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed, epochs=lab.form.ablation_epochs)
            single = lab.train(spec, f"single step, for the ablation, seed {seed}").model
            _statistics(trials, spec, single)
            _residual_noise(trials, spec, single)
            _trained_otherwise(trials, spec)
            _fine_tuned(trials, spec, single)
        trials.record_accuracies()
        _record_leads(trials)


def _statistics(trials: Trials, spec: Spec, single) -> None:
    for name in ("layer", "sample", "calibrated"):
        multi = fastlif.MultiStep(single, timesteps=T, statistics="sample" if name == "sample" else "layer")
        if name == "calibrated":
            images = trials.lab.data[spec.work.dataset].train_images[:CALIBRATION_IMAGES]
            multi.calibrate(datasets.to_float(images).split(100))
        trials.test(spec, multi, part="statistics", variant=name, T=T)


def _residual_noise(trials: Trials, spec: Spec, single) -> None:
    trials.test(spec, single, part="residual noise", variant="as trained", T=SINGLE)
    for variant, choice in (("matched", {}), ("range", {"residual": "range"}), ("alpha = inf", {"alpha": math.inf})):
        multi = fastlif.MultiStep(single, timesteps=T, **choice)
        trials.test_steps(spec, multi, RESIDUAL_STEPS, part="residual noise", variant=variant)


def _trained_otherwise(trials: Trials, spec: Spec) -> None:
    choices = [("surrogate", name, {"surrogate": name}) for name in SURROGATE_WIDTHS]
    choices += [("noise width", f"{width:g}", {"noise": fastlif.Noise(width=width)}) for width in NOISE_WIDTHS]
    choices += [("batch normalisation", "on" if on else "off", {"batch_norm": on}) for on in (True, False)]
    for part, variant, changes in choices:
        varied = dataclasses.replace(spec, **changes)
        single = trials.lab.train(varied, f"{part} {variant}, seed {spec.recipe.seed}").model
        trials.test(varied, single, part=part, variant=variant, T=SINGLE)
        trials.test(varied, fastlif.MultiStep(single, timesteps=T), part=part, variant=variant, T=T)


def _fine_tuned(trials: Trials, spec: Spec, single) -> None:
    """One more epoch: over T steps, with the gradient through the reset and without it; or in a single step."""
    lab, seed = trials.lab, spec.recipe.seed
    data, count = lab.data[spec.work.dataset], lab.form.curve_images
    recipe = dataclasses.replace(spec.recipe, epochs=1, seed=seed + len(lab.training_seeds))
    trials.test(spec, fastlif.MultiStep(single, timesteps=T), part="fine-tuning", variant="none", T=T)
    for variant in ("in a single step", "over T steps", "over T steps, detach_reset"):
        lab.say(f"{spec.work.dataset} {spec.work.network}: fine-tuning for an epoch, {variant}, seed {seed}")
        model = copy.deepcopy(single) if variant == "in a single step" else fastlif.MultiStep(single, timesteps=T)
        for neuron in neurons(model):
            neuron.detach_reset = variant.endswith("detach_reset")
        lab.warm_up(model, spec)
        (epoch,) = loop.train(model, data.train_images[:count], data.train_labels[:count], recipe)
        setting = {"part": "fine-tuning", "variant": variant, "images": len(data.train_images[:count]), "from": seed}
        lab.record("ablation", spec, setting, "time of the epoch", "s", epoch.seconds)
        multi = fastlif.MultiStep(model, timesteps=T) if variant == "in a single step" else model
        trials.test(spec, multi, part="fine-tuning", variant=variant, T=T)


def _record_leads(trials: Trials) -> None:
    def right(part, variant, steps=T):
        return trials.right(part=part, variant=variant, T=steps)

    for steps, name in MATCHED.items():
        trials.record_lead(name, right("residual noise", "matched", steps) - right("residual noise", "range", steps))
    for part, variants, other in (
        ("statistics", ("layer", "sample", "calibrated"), None),
        ("surrogate", SURROGATE_WIDTHS, "atan"),
        ("noise width", [f"{width:g}" for width in NOISE_WIDTHS], "4"),
    ):
        worst, *_, best = sorted(variants, key=lambda variant, part=part: right(part, variant).mean())
        trials.record_lead(BEST[part], right(part, best) - right(part, other or worst))
    trials.record_lead(NORM, right("batch normalisation", "on") - right("batch normalisation", "off"))
    trials.record_lead(TUNED, right("fine-tuning", "over T steps") - right("fine-tuning", "in a single step"))


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        accuracies = select(own, metric="accuracy")
        names = list(dict.fromkeys((row.setting["part"], row.setting["variant"]) for row in accuracies))
        for steps, marker in ((SINGLE, "s"), (T, "o")):
            points = [(value(own, part=part, variant=variant, T=steps), y) for y, (part, variant) in enumerate(names)]
            points = [point for point in points if point[0] is not None]
            label = "single step" if marker == "s" else f"converted, T = {T}"
            axes.plot(*zip(*points), marker, label=label)
        axes.set_yticks(range(len(names)), [f"{part}: {variant}" for part, variant in names])
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
        axes.set(title=name, xlabel="test accuracy (%)")
        axes.legend()
    figure.set_size_inches(8 * len(groups), 6)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():

        def shown(part, own=own):
            rows = select(own, part=part, T=T)
            return ", ".join(f"{row.setting['variant']} {row.median:.2f} %" for row in rows)

        leads = {one: lead(own, one) for one in (*MATCHED.values(), *BEST.values(), NORM, TUNED)}
        residual = {steps: leads[one] for steps, one in MATCHED.items()}
        times = ", ".join(f"{row.median:.1f} s" for row in select(own, metric="time of the epoch"))
        found += [
            Finding(
                f"Ours: layer, sample and calibrated statistics agree within {EQUAL:g} point",
                leads[BEST["statistics"]].within(EQUAL),
                f"{name}, T = {T}: {shown('statistics')}; {BEST['statistics']}: {leads[BEST['statistics']]}",
                short=f"{leads[BEST['statistics']].mean:.2f} points apart",
            ),
            Finding(
                "Ours: residual noise of training's spread converts better than that of training's width",
                residual[T].beyond(),
                f"{name}, T = {T}: {shown('residual noise')}; matched over range: "
                + ", ".join(f"T = {steps}: {one}" for steps, one in residual.items()),
                short=f"{residual[T].mean:+.2f} points",
            ),
            Finding(
                f"Ours: the default surrogate, atan, is within {EQUAL:g} point of the best",
                leads[BEST["surrogate"]].within(EQUAL),
                f"{name}, T = {T}: {shown('surrogate')}; {BEST['surrogate']}: {leads[BEST['surrogate']]}",
                short=f"the best {leads[BEST['surrogate']].mean:+.2f} points",
            ),
            Finding(
                f"Ours: the default noise width, 4, is within {EQUAL:g} point of the best",
                leads[BEST["noise width"]].within(EQUAL),
                f"{name}, T = {T}: {shown('noise width')}; {BEST['noise width']}: {leads[BEST['noise width']]}",
                short=f"the best {leads[BEST['noise width']].mean:+.2f} points",
            ),
            Finding(
                "Ours: batch normalisation helps",
                leads[NORM].beyond(),
                f"{name}, T = {T}: {shown('batch normalisation')}; {NORM}: {leads[NORM]}",
                short=f"{leads[NORM].mean:+.2f} points",
            ),
            Finding(
                "Ours: an epoch of fine-tuning over T steps is worth more than one more in a single step",
                leads[TUNED].beyond(),
                f"{name}, T = {T}: {shown('fine-tuning')}; {TUNED}: {leads[TUNED]}; the epochs took {times}",
                short=f"{leads[TUNED].mean:+.2f} points",
            ),
        ]
    return found
