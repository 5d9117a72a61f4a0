"""Ours: what each choice around the noisy neuron is worth, one varied at a time."""

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import panels
from benchmarks.report.rows import Row, select, spread, value
from benchmarks.report.verdicts import Finding, all_of, in_words, lead, of_each_network
from benchmarks.training import loop
from benchmarks.training.lab import Lab, Spec
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials
from fastlif.models import neurons

TITLE = "Ablation: statistics, residual noise, noise width, batch normalisation, fine-tuning"
DESCRIPTION = "statistics, residual noise, noise width, batch normalisation, fine-tuning (ours)"
SUMMARY = ({"metric": "accuracy", "T": T, "part": ("statistics", "residual noise", "fine-tuning")},)
PAPER = ()
NOISE_WIDTHS = (2.0, 3.0, 4.0, 4.3)
SINGLE = "single step"
RESIDUAL_STEPS = (1, 4, T)
MATCHED = {steps: f"residual noise matched over range, T = {steps}" for steps in RESIDUAL_STEPS}
STATISTICS = ("layer", "sample", "calibrated")
PAIRS = {pair: f"statistics {pair[0]} over {pair[1]}" for pair in itertools.combinations(STATISTICS, 2)}
WIDTHS = {f"{width:g}": f"noise width {width:g} over 4" for width in NOISE_WIDTHS if width != 4}
NORM = "with batch normalisation over without"
TUNED = "an epoch over T steps over one in a single step"
EQUAL = 1.0  # point


def measure(lab: Lab) -> None:
    for work in lab.data.workloads(large=False):
        trials, times = Trials(lab, "ablation", work), {}
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed, epochs=lab.options.epochs or lab.form.ablation_epochs)
            single = lab.train(spec, f"single step, for the ablation, seed {seed}").model
            _statistics(trials, spec, single)
            _residual_noise(trials, spec, single)
            _trained_otherwise(trials, spec)
            for variant, seconds in _fine_tuned(trials, spec, single).items():
                times.setdefault(variant, []).append(seconds)
        trials.record_accuracies()
        for variant, seconds in times.items():
            setting = {"part": "fine-tuning", "variant": variant}
            lab.record("ablation", spec, setting, "time of the epoch", "s", spread(seconds), "trainings")
        _record_leads(trials)


def _statistics(trials: Trials, spec: Spec, single) -> None:
    for name in STATISTICS:
        multi = fastlif.MultiStep(single, timesteps=T, statistics="sample" if name == "sample" else "layer")
        if name == "calibrated":
            multi = trials.lab.calibrated(multi, spec)
        trials.test(spec, multi, part="statistics", variant=name, T=T)


def _residual_noise(trials: Trials, spec: Spec, single) -> None:
    trials.test(spec, single, part="residual noise", variant="as trained", T=SINGLE)
    for variant, choice in (("matched", {}), ("range", {"residual": "range"}), ("alpha = inf", {"alpha": math.inf})):
        multi = fastlif.MultiStep(single, timesteps=T, **choice)
        trials.test_steps(spec, multi, RESIDUAL_STEPS, part="residual noise", variant=variant)


def _trained_otherwise(trials: Trials, spec: Spec) -> None:
    choices = [("noise width", f"{width:g}", {"noise": fastlif.Noise(width=width)}) for width in NOISE_WIDTHS]
    choices += [("batch normalisation", "on" if on else "off", {"batch_norm": on}) for on in (True, False)]
    for part, variant, changes in choices:
        varied = dataclasses.replace(spec, **changes)
        single = trials.lab.train(varied, f"{part} {variant}, seed {spec.recipe.seed}").model
        trials.test(varied, single, part=part, variant=variant, T=SINGLE)
        trials.test(varied, fastlif.MultiStep(single, timesteps=T), part=part, variant=variant, T=T)


def _fine_tuned(trials: Trials, spec: Spec, single) -> dict[str, float]:
    """One more epoch: over T steps, with the gradient through the reset and without it; or in a single step.

    Returns the seconds of each.
    """
    lab, seed, times = trials.lab, spec.recipe.seed, {}
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
        times[variant] = epoch.seconds
        multi = fastlif.MultiStep(model, timesteps=T) if variant == "in a single step" else model
        trials.test(spec, multi, part="fine-tuning", variant=variant, T=T)
    return times


def _record_leads(trials: Trials) -> None:
    def right(part, variant, steps=T):
        return trials.right(part=part, variant=variant, T=steps)

    for steps, name in MATCHED.items():
        trials.record_lead(name, right("residual noise", "matched", steps) - right("residual noise", "range", steps))
    for (first, second), name in PAIRS.items():
        trials.record_lead(name, right("statistics", first) - right("statistics", second))
    for variant, name in WIDTHS.items():
        trials.record_lead(name, right("noise width", variant) - right("noise width", "4"))
    trials.record_lead(NORM, right("batch normalisation", "on") - right("batch normalisation", "off"))
    trials.record_lead(TUNED, right("fine-tuning", "over T steps") - right("fine-tuning", "in a single step"))


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, 8, 6, xlabel="test accuracy (%)"):
        accuracies = select(own, metric="accuracy")
        names = list(dict.fromkeys((row.setting["part"], row.setting["variant"]) for row in accuracies))
        for steps, marker in ((SINGLE, "s"), (T, "o")):
            points = [(value(own, part=part, variant=variant, T=steps), y) for y, (part, variant) in enumerate(names)]
            points = [point for point in points if point[0] is not None]
            axes.plot(*zip(*points), marker, label=steps if steps == SINGLE else f"converted, T = {T}")
        axes.set_yticks(range(len(names)), [f"{part}: {variant}" for part, variant in names])
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
        axes.legend()


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    def shown(part):
        rows = select(own, part=part, T=T)
        return ", ".join(f"{row.setting['variant']} {row.median:.2f} %" for row in rows)

    residual = {steps: lead(own, one) for steps, one in MATCHED.items()}
    pairs, widths = ({one: lead(own, one) for one in names.values()} for names in (PAIRS, WIDTHS))
    norm, tuned = lead(own, NORM), lead(own, TUNED)
    times = ", ".join(f"{row.median:.1f} s" for row in select(own, metric="time of the epoch"))
    yield Finding(
        f"Ours: layer, sample and calibrated statistics agree within {EQUAL:g} point",
        all_of(one.within(EQUAL) for one in pairs.values()),
        f"{name}, T = {T}: {shown('statistics')}; {in_words(pairs)}",
        short=f"widest apart: {max(pairs.values(), key=lambda one: abs(one.mean)).points}",
    )
    yield Finding(
        "Ours: residual noise of training's spread converts better than that of training's width, at T = "
        + ", ".join(map(str, MATCHED)),
        all_of(one.beyond() for one in residual.values()),
        f"{name}, T = {T}: {shown('residual noise')}; matched over range: "
        + "; ".join(f"T = {steps}: {one}" for steps, one in residual.items()),
        short=" / ".join(one.points for one in residual.values()),
    )
    yield Finding(
        f"Ours: no noise width is more than {EQUAL:g} point ahead of the default, 4",
        all_of(one.at_most(EQUAL) for one in widths.values()),
        f"{name}, T = {T}: {shown('noise width')}; {in_words(widths)}",
        short=f"best: {max(widths.values(), key=lambda one: one.mean).points}",
    )
    yield Finding(
        "Ours: batch normalisation helps",
        norm.beyond(),
        f"{name}, T = {T}: {shown('batch normalisation')}; {NORM}: {norm}",
        short=norm.points,
    )
    yield Finding(
        "Ours: an epoch of fine-tuning over T steps is worth more than one more in a single step",
        tuned.beyond(),
        f"{name}, T = {T}: {shown('fine-tuning')}; {TUNED}: {tuned}; the epochs took {times}",
        short=tuned.points,
    )
