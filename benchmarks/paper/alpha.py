"""Fig. 5: how much of the noise the membrane replaces, 1/alpha, against accuracy over T."""

import math

import fastlif
from benchmarks.paper.rate_coding import accuracy_per_step
from benchmarks.report.rows import Row, by_work, select, spread, value
from benchmarks.report.verdicts import Finding, Published, close, higher_gain
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T

TITLE = "Fig. 5: the impact of alpha"
DESCRIPTION = "accuracy of the conversion for alpha in 2, 4, 8, 16, 32, inf over T (Fig. 5)"
SUMMARY = ({"T": "single step"}, {"T": T})
PAPER = (Published("CIFAR-10", "alpha = 2 gains very little with T; the other values converge to close accuracies"),)
ALPHAS = (2.0, 4.0, 8.0, 16.0, 32.0, math.inf)


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        spec, data = lab.spec(work), lab.data[work.dataset]
        single = lab.train(spec, "single step").model
        accuracy = lab.accuracy(single, work)
        lab.record("alpha", spec, {"alpha": "none", "T": "single step"}, "accuracy", "%", accuracy, "noise seeds")
        for alpha in ALPHAS:
            multi = fastlif.MultiStep(single, timesteps=T, alpha=alpha)
            images = data.test_images, data.test_labels
            runs = [accuracy_per_step(multi, *images, dtype=lab.options.dtype, seed=seed) for seed in lab.noise_seeds]
            for step, accuracies in enumerate(zip(*runs, strict=True), start=1):
                accuracy = spread(100 * a for a in accuracies)
                setting = {"alpha": f"{alpha:g}", "T": step}
                lab.record("alpha", spec, setting, "accuracy", "%", accuracy, "noise seeds")


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        for alpha in ALPHAS:
            curve = select(own, alpha=f"{alpha:g}")
            label = f"alpha = {alpha:g}"
            axes.plot([int(row.setting["T"]) for row in curve], [row.median for row in curve], "o-", label=label)
        single = value(own, alpha="none")
        axes.axhline(single, color="black", linestyle=":", label="single step, as trained")
        axes.set(title=name, xlabel="time steps T", ylabel="test accuracy (%)")
        axes.legend()
    figure.set_size_inches(6 * len(groups), 4.5)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        gains = {a: value(own, alpha=f"{a:g}", T=T) - value(own, alpha=f"{a:g}", T=1) for a in ALPHAS}
        last = {a: value(own, alpha=f"{a:g}", T=T) for a in ALPHAS}
        others = [a for a in ALPHAS if a != 2]
        shown = ", ".join(f"{a:g}: {last[a]:.2f} % ({gains[a]:+.2f})" for a in ALPHAS)
        found.append(
            Finding(
                "alpha = 2, which leaves no noise, gains little with T; larger ones gain more",
                higher_gain(min(gains[a] for a in others), gains[2.0], own[0].test_images),
                f"{name}: accuracy at T = {T} (gain over T = 1) for alpha = {shown}",
                short=f"{gains[2.0]:+.2f} against {min(gains[a] for a in others):+.2f} points or more",
            )
        )
        low, high = min(last[a] for a in others), max(last[a] for a in others)
        found.append(
            Finding(
                "Larger values of alpha converge to close accuracies",
                close(low, high, own[0].test_images),
                f"{name}: {low:.2f} to {high:.2f} % at T = {T} for alpha from 4 to inf",
                short=f"{low:.2f} to {high:.2f} %",
            )
        )
    return found
