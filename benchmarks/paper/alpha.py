"""Fig. 5: how much of the noise the membrane replaces, 1/alpha, against accuracy over T."""

import itertools
import math
from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import OVER_TIME, legend_below, panels, plot_over_time
from benchmarks.report.rows import Row, select, value
from benchmarks.report.verdicts import Finding, Published, all_of, lead, of_each_network
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials

TITLE = "Fig. 5: the impact of alpha"
DESCRIPTION = "accuracy of the conversion for alpha in 2, 4, 8, 16, 32, inf over T (Fig. 5)"
SUMMARY = ({"T": "single step"}, {"T": T})
PAPER = (Published("CIFAR-10", "alpha = 2 gains very little with T; the other values converge to close accuracies"),)
ALPHAS = (2.0, 4.0, 8.0, 16.0, 32.0, math.inf)
OTHERS = ALPHAS[1:]  # that leave some noise
GAIN = f"alpha = 2, T = {T} over T = 1"
MORE = {alpha: f"the gain of alpha = {alpha:g} over that of alpha = 2" for alpha in OTHERS}
APART = {pair: f"alpha = {pair[0]:g} over {pair[1]:g}, T = {T}" for pair in itertools.combinations(OTHERS, 2)}
LITTLE = 1.0  # point: what "gains very little" is taken to mean, and "close"


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        trials = Trials(lab, "alpha", work)
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed)
            single = lab.train(spec, f"single step, seed {seed}").model
            trials.test(spec, single, alpha="none", T="single step")
            for alpha in ALPHAS:
                multi = fastlif.MultiStep(single, timesteps=T, alpha=alpha)
                trials.test_steps(spec, multi, range(1, T + 1), alpha=f"{alpha:g}")
        trials.record_accuracies()
        last = {alpha: trials.right(alpha=f"{alpha:g}", T=T) for alpha in ALPHAS}
        gains = {alpha: last[alpha] - trials.right(alpha=f"{alpha:g}", T=1) for alpha in ALPHAS}
        trials.record_lead(GAIN, gains[2.0])
        for alpha, name in MORE.items():
            trials.record_lead(name, gains[alpha] - gains[2.0])
        for (first, second), name in APART.items():
            trials.record_lead(name, last[first] - last[second])


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, **OVER_TIME):
        for alpha in ALPHAS:
            plot_over_time(axes, select(own, alpha=f"{alpha:g}"), f"alpha = {alpha:g}")
        axes.axhline(value(own, alpha="none"), color="black", linestyle=":", label="single step, as trained")
    legend_below(figure)


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    last = {alpha: value(own, alpha=f"{alpha:g}", T=T) for alpha in ALPHAS}
    shown = ", ".join(f"{alpha:g}: {accuracy:.2f} %" for alpha, accuracy in last.items())
    two, more = lead(own, GAIN), {alpha: lead(own, one) for alpha, one in MORE.items()}
    apart = {one: lead(own, one) for one in APART.values()}
    widest = max(apart, key=lambda words: abs(apart[words].mean))
    least = min(more.values(), key=lambda lead: lead.mean)
    yield Finding(
        f"alpha = 2, which leaves no noise, gains at most {LITTLE:g} point from T = 1 to {T}",
        two.at_most(LITTLE),
        f"{name}: {two}",
        short=two.points,
    )
    yield Finding(
        "Larger values of alpha gain more with T than alpha = 2",
        all_of(one.beyond() for one in more.values()),
        f"{name}, T = {T}, medians for alpha = {shown}; beyond alpha = 2's gain: "
        + ", ".join(f"{alpha:g}: {one}" for alpha, one in more.items()),
        short=f"{least.points} or more",
    )
    yield Finding(
        f"Larger values of alpha converge to accuracies within {LITTLE:g} point",
        all_of(one.within(LITTLE) for one in apart.values()),
        f"{name}, each two of them, the widest apart: {widest}: {apart[widest]}",
        short=f"widest apart: {apart[widest].points}",
    )
