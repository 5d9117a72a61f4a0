"""Ours: what each choice around the noisy neuron is worth, one varied at a time."""

import copy
import dataclasses
import math

import fastlif
from benchmarks.report.rows import Row, by_work, select, value
from benchmarks.report.verdicts import Finding, close, higher
from benchmarks.training import datasets, loop
from benchmarks.training.data import Work
from benchmarks.training.lab import Lab, Spec
from benchmarks.training.presets import T
from fastlif.neuron import neurons
from fastlif.types import SURROGATE_WIDTHS

TITLE = "Ablation: statistics, residual noise, surrogate, noise width, batch normalisation, fine-tuning"
DESCRIPTION = "statistics, residual noise, surrogate, noise width, batch normalisation, fine-tuning (ours)"
SUMMARY = ({"metric": "accuracy", "T": T, "part": ("statistics", "residual noise", "fine-tuning")},)
PAPER = ()
NOISE_WIDTHS = (2.0, 3.0, 4.0, 4.3)
CALIBRATION_IMAGES = 1000
RESIDUAL_STEPS = (1, 4, T)


def measure(lab: Lab) -> None:
    for work in lab.data.workloads(large=False):
        spec = lab.spec(work, epochs=lab.form.ablation_epochs)
        single = lab.train(spec, "single step, for the ablation").model
        _statistics(lab, work, spec, single)
        _residual_noise(lab, spec, single)
        _trained_otherwise(lab, spec)
        _fine_tuned(lab, work, spec, single)


def _statistics(lab: Lab, work: Work, spec: Spec, single) -> None:
    for name in ("layer", "sample", "calibrated"):
        multi = fastlif.MultiStep(single, timesteps=T, statistics="sample" if name == "sample" else "layer")
        if name == "calibrated":
            images = lab.data[work.dataset].train_images[:CALIBRATION_IMAGES]
            multi.calibrate(datasets.to_float(images).split(100))
        _record(lab, spec, "statistics", name, T, multi)


def _residual_noise(lab: Lab, spec: Spec, single) -> None:
    _record(lab, spec, "residual noise", "as trained", "single step", single)
    for variant, choice in (("matched", {}), ("range", {"residual": "range"}), ("alpha = inf", {"alpha": math.inf})):
        for steps in RESIDUAL_STEPS:
            multi = fastlif.MultiStep(single, timesteps=steps, **choice)
            _record(lab, spec, "residual noise", variant, steps, multi)


def _trained_otherwise(lab: Lab, spec: Spec) -> None:
    choices = [("surrogate", name, {"surrogate": name}) for name in SURROGATE_WIDTHS]
    choices += [("noise width", f"{width:g}", {"noise": fastlif.Noise(width=width)}) for width in NOISE_WIDTHS]
    choices += [("batch normalisation", "on" if on else "off", {"batch_norm": on}) for on in (True, False)]
    for part, variant, changes in choices:
        varied = dataclasses.replace(spec, **changes)
        single = lab.train(varied, f"{part} {variant}").model
        _record(lab, varied, part, variant, "single step", single)
        _record(lab, varied, part, variant, T, fastlif.MultiStep(single, timesteps=T))


def _fine_tuned(lab: Lab, work: Work, spec: Spec, single) -> None:
    """One more epoch: over T steps, with the gradient through the reset and without it; or in a single step."""
    data, count = lab.data[work.dataset], lab.form.curve_images
    recipe = dataclasses.replace(spec.recipe, epochs=1, seed=spec.recipe.seed + 1)
    _record(lab, spec, "fine-tuning", "none", T, fastlif.MultiStep(single, timesteps=T))
    for variant in ("in a single step", "over T steps", "over T steps, detach_reset"):
        lab.say(f"{work.dataset} {work.network}: fine-tuning for an epoch, {variant}")
        model = copy.deepcopy(single) if variant == "in a single step" else fastlif.MultiStep(single, timesteps=T)
        for neuron in neurons(model):
            neuron.detach_reset = variant.endswith("detach_reset")
        lab.warm_up(model, spec)
        (epoch,) = loop.train(model, data.train_images[:count], data.train_labels[:count], recipe)
        setting = {"part": "fine-tuning", "variant": variant, "images": len(data.train_images[:count])}
        lab.record("ablation", spec, setting, "time of the epoch", "s", epoch.seconds)
        multi = fastlif.MultiStep(model, timesteps=T) if variant == "in a single step" else model
        _record(lab, spec, "fine-tuning", variant, T, multi)


def _record(lab: Lab, spec: Spec, part: str, variant: str, steps, model) -> None:
    setting = {"part": part, "variant": variant, "T": steps}
    lab.record("ablation", spec, setting, "accuracy", "%", lab.accuracy(model, spec.work), "noise seeds")


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        accuracies = select(own, metric="accuracy")
        names = list(dict.fromkeys((row.setting["part"], row.setting["variant"]) for row in accuracies))
        for steps, marker in (("single step", "s"), (T, "o")):
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

        def at(part, steps=T, own=own):
            return {row.setting["variant"]: row.median for row in select(own, part=part, T=steps)}

        def shown(values):
            return ", ".join(f"{variant} {accuracy:.2f} %" for variant, accuracy in values.items())

        statistics, norm, tuned = at("statistics"), at("batch normalisation"), at("fine-tuning")
        residual = {steps: at("residual noise", steps) for steps in RESIDUAL_STEPS}
        trained = at("residual noise", "single step")
        images = own[0].test_images
        times = ", ".join(f"{row.median:.1f} s" for row in select(own, metric="time of the epoch"))
        surrogates, widths = at("surrogate"), at("noise width")
        best = max(surrogates, key=surrogates.get)
        found += [
            Finding(
                "Ours: layer, sample and calibrated statistics agree within a point",
                close(min(statistics.values()), max(statistics.values()), images),
                f"{name}, T = {T}: {shown(statistics)}",
                short=f"{min(statistics.values()):.2f} to {max(statistics.values()):.2f} %",
            ),
            Finding(
                "Ours: residual noise of training's spread converts better than that of training's width",
                higher(residual[T]["matched"], residual[T]["range"], images),
                "; ".join([f"{name}, {shown(trained)}", *(f"T = {t}: {shown(at_t)}" for t, at_t in residual.items())]),
                short=f"{residual[T]['matched']:.2f} against {residual[T]['range']:.2f} %",
            ),
            Finding(
                "Ours: the default surrogate, atan, is within a point of the best",
                close(surrogates[best], surrogates["atan"], images),
                f"{name}, T = {T}: {shown(surrogates)}",
                short=f"{surrogates['atan']:.2f} against {surrogates[best]:.2f} %",
            ),
            Finding(
                "Ours: the default noise width, 4, is within a point of the best",
                close(max(widths.values()), widths["4"], images),
                f"{name}, T = {T}: {shown(widths)}",
                short=f"{widths['4']:.2f} against {max(widths.values()):.2f} %",
            ),
            Finding(
                "Ours: batch normalisation helps",
                higher(norm["on"], norm["off"], images),
                f"{name}, T = {T}: {shown(norm)}",
                short=f"{norm['on']:.2f} against {norm['off']:.2f} %",
            ),
            Finding(
                "Ours: an epoch of fine-tuning over T steps is worth more than one more in a single step",
                higher(tuned["over T steps"], tuned["in a single step"], images),
                f"{name}, T = {T}: {shown(tuned)}; the epochs took {times}",
                short=f"{tuned['over T steps']:.2f} against {tuned['in a single step']:.2f} %",
            ),
        ]
    return found
