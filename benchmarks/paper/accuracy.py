"""Fig. 2: the single-step network, and the same weights over T = 1, 5 and 10 steps."""

import fastlif
from benchmarks.report.rows import Row, by_work, select, value
from benchmarks.report.verdicts import Finding, Published, higher
from benchmarks.training.lab import Lab

TITLE = "Fig. 2: accuracy of the single-step network and of its conversions"
DESCRIPTION = "accuracy of the single-step network and of its T = 1, 5, 10 conversions (Fig. 2)"
SUMMARY = ({"metric": "accuracy"},)
PAPER = (
    Published("MNIST, T = 5 / 10", "99.61 / 99.64 %"),
    Published("Fashion-MNIST, T = 5 / 10", "93.89 / 94.07 %"),
    Published("CIFAR-10, T = 5 / 10", "91.82 / 92.07 %"),
)
STEPS = (1, 5, 10)


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        spec = lab.spec(work)
        single = lab.train(spec, "single step").model
        models = {"single step": single} | {T: fastlif.MultiStep(single, timesteps=T) for T in STEPS}
        for T, model in models.items():
            lab.record("accuracy", spec, {"T": T}, "accuracy", "%", lab.accuracy(model, work), "noise seeds")


def draw(rows: list[Row], figure) -> None:
    axes = figure.subplots()
    groups = by_work(rows)
    for i, T in enumerate(("single step", *STEPS)):
        points = [(x, select(own, T=T)[0]) for x, own in enumerate(groups.values())]
        axes.errorbar(
            [x + (i - 1.5) * 0.1 for x, _ in points],
            [row.median for _, row in points],
            ([row.median - row.p20 for _, row in points], [row.p80 - row.median for _, row in points]),
            fmt="o",
            capsize=4,
            label=T if T == "single step" else f"converted, T = {T}",
        )
    axes.set_xticks(range(len(groups)), [name.replace(", ", "\n") for name in groups])
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylabel("test accuracy (%)")
    axes.legend()


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        single, *converted = (value(own, T=T) for T in ("single step", *STEPS))
        first, *_, last = converted
        shown = " / ".join(f"{accuracy:.2f}" for accuracy in converted)
        found.append(
            Finding(
                "Accuracy rises with T",
                higher(last, max(first, single), own[0].test_images),
                f"{name}, one training: {single:.2f} % single step; {shown} % at T = 1 / 5 / 10",
                short=f"{single:.2f} to {last:.2f} %",
            )
        )
    return found
