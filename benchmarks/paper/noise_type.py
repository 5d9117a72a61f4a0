"""Fig. 6: training with Gaussian noise, with uniform noise, and with none."""

from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import error_bars, legend_below, panels
from benchmarks.report.rows import Row, select
from benchmarks.report.verdicts import Finding, Published, lead, of_each_network
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials

TITLE = "Fig. 6: the impact of the noise's distribution"
DESCRIPTION = "Gaussian and uniform training noise, and none, at T = 1 and 10 (Fig. 6)"
SUMMARY = ({"metric": "accuracy"},)
PAPER = (Published("CIFAR-10", "Gaussian ahead of uniform in a single step; after conversion the gap is not obvious"),)
KINDS = ("gaussian", "uniform", "none")
SINGLE = "single step"
STEPS = (SINGLE, 1, T)
AHEAD = {steps: f"Gaussian over uniform, T = {steps}" for steps in (SINGLE, T)}
NOISE_GAINS = "the gain with Gaussian noise over that with none"
EQUAL = 1.0  # point: what "not obvious" is taken to mean


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        trials = Trials(lab, "noise-type", work)
        for seed in lab.training_seeds:
            for kind in KINDS:
                spec = lab.spec(work, seed=seed, noise=fastlif.Noise(kind))
                words = "" if kind == "gaussian" else f", noise {kind}"
                single = lab.train(spec, f"single step{words}, seed {seed}").model
                beta = 0.0 if kind == "none" else None  # the mean of what the membrane replaces
                trials.test(spec, single, noise=kind, T=SINGLE)
                trials.test_steps(spec, fastlif.MultiStep(single, timesteps=T, beta=beta), STEPS[1:], noise=kind)
        trials.record_accuracies()
        for steps, name in AHEAD.items():
            trials.record_lead(name, trials.right(noise="gaussian", T=steps) - trials.right(noise="uniform", T=steps))
        with_noise, without = (
            trials.right(noise=kind, T=T) - trials.right(noise=kind, T=SINGLE) for kind in ("gaussian", "none")
        )
        trials.record_lead(NOISE_GAINS, with_noise - without)


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, 6, 4, ylabel="test accuracy (%)"):
        for i, kind in enumerate(KINDS):
            points = select(own, noise=kind)
            places, medians = [x + (i - 1) * 0.1 for x in range(len(points))], [row.median for row in points]
            axes.errorbar(places, medians, error_bars(points), fmt="o", capsize=4, label=kind)
        axes.set_xticks(range(3), ["single step", "converted, T = 1", f"converted, T = {T}"])
    legend_below(figure, title="training noise")


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    single, last = (lead(own, AHEAD[steps]) for steps in (SINGLE, T))
    gains = lead(own, NOISE_GAINS)
    shown = {
        steps: ", ".join(f"{row.setting['noise']} {row.median:.2f} %" for row in select(own, T=steps))
        for steps in (SINGLE, T)
    }
    yield Finding(
        "In a single step, Gaussian noise is ahead of uniform noise",
        single.beyond(),
        f"{name}, medians: {shown[SINGLE]}; {AHEAD[SINGLE]}: {single}",
        short=single.points,
    )
    yield Finding(
        f"After conversion the two are within {EQUAL:g} point",
        last.within(EQUAL),
        f"{name}, medians at T = {T}: {shown[T]}; {AHEAD[T]}: {last}",
        short=last.points,
    )
    yield Finding(
        "Ours: a network trained with noise gains more by the conversion than one trained without",
        gains.beyond(),
        f"{name}, {NOISE_GAINS}: {gains}",
        short=gains.points,
    )
