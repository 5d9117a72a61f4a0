"""Fig. 6: training with Gaussian noise, with uniform noise, and with none."""

import fastlif
from benchmarks.report.rows import Row, by_work, select, value
from benchmarks.report.verdicts import Finding, Published, close, higher, higher_gain
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T

TITLE = "Fig. 6: the impact of the noise's distribution"
DESCRIPTION = "Gaussian and uniform training noise, and none, at T = 1 and 10 (Fig. 6)"
SUMMARY = ({"metric": "accuracy"},)
PAPER = (Published("CIFAR-10", "Gaussian ahead of uniform in a single step; after conversion the gap is not obvious"),)
KINDS = ("gaussian", "uniform", "none")
STEPS = ("single step", 1, T)


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        for kind in KINDS:
            spec = lab.spec(work, noise=fastlif.Noise(kind))
            single = lab.train(spec, "single step" if kind == "gaussian" else f"single step, noise {kind}").model
            beta = 0.0 if kind == "none" else None  # the mean of what the membrane replaces
            for steps in STEPS:
                model = single if steps == "single step" else fastlif.MultiStep(single, timesteps=steps, beta=beta)
                accuracy = lab.accuracy(model, work)
                setting = {"noise": kind, "beta": 0.5 if beta is None else beta, "T": steps}
                lab.record("noise-type", spec, setting, "accuracy", "%", accuracy, "noise seeds")


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        for i, kind in enumerate(KINDS):
            points = select(own, noise=kind)
            axes.errorbar(
                [x + (i - 1) * 0.1 for x in range(len(points))],
                [row.median for row in points],
                ([row.median - row.p20 for row in points], [row.p80 - row.median for row in points]),
                fmt="o",
                capsize=4,
                label=kind,
            )
        axes.set_xticks(range(3), ["single step", "converted, T = 1", f"converted, T = {T}"])
        axes.set(title=name, ylabel="test accuracy (%)")
        axes.legend(title="training noise")
    figure.set_size_inches(6 * len(groups), 4)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        at = {(kind, steps): value(own, noise=kind, T=steps) for kind in KINDS for steps in STEPS}

        images = own[0].test_images

        def shown(steps, at=at):
            return ", ".join(f"{kind} {at[kind, steps]:.2f} %" for kind in KINDS)

        def between(steps, at=at):
            return f"{at['gaussian', steps]:.2f} against {at['uniform', steps]:.2f} %"

        found.append(
            Finding(
                "In a single step, Gaussian noise is ahead of uniform noise",
                higher(at["gaussian", "single step"], at["uniform", "single step"], images),
                f"{name}, single step: {shown('single step')}",
                short=between("single step"),
            )
        )
        found.append(
            Finding(
                "After conversion the two are about equal",
                close(at["gaussian", T], at["uniform", T], images),
                f"{name}, T = {T}: {shown(T)}",
                short=between(T),
            )
        )
        gain = {kind: at[kind, T] - at[kind, "single step"] for kind in KINDS}
        found.append(
            Finding(
                "Ours: a network trained with noise gains more by the conversion than one trained without",
                higher_gain(gain["gaussian"], gain["none"], images),
                f"{name}, T = {T} less single step: " + ", ".join(f"{kind} {gain[kind]:+.2f} points" for kind in KINDS),
                short=f"{gain['gaussian']:+.2f} against {gain['none']:+.2f} points",
            )
        )
    return found
