"""Fig. 2: the single-step network, and the same weights over T steps, from several trainings.

Each training is compared with its own conversions, image by image: only the images on which the two differ say
anything of the difference.
"""

import fastlif
from benchmarks.paper.rate_coding import correct_per_step
from benchmarks.report.rows import Row, by_work, select, spread
from benchmarks.report.verdicts import Finding, Published, beyond, difference_error, mean_and_error, paired
from benchmarks.training import loop
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T

TITLE = "Fig. 2: accuracy of the single-step network and of its conversions"
DESCRIPTION = "accuracy of the single-step network and of its conversions to T = 1, 2, 4, 5, 8, 10 (Fig. 2)"
SINGLE = "single step"
STEPS = (1, 2, 4, 5, 8, T)
SUMMARY = ({"metric": "accuracy", "weights": "all"},)
MARKS = {  # the paper's, at these T
    "mnist": {5: 99.61, 10: 99.64},
    "fashion-mnist": {5: 93.89, 10: 94.07},
    "cifar-10": {5: 91.82, 10: 92.07},
}
PAPER = tuple(
    Published(f"{name}, T = 5 / 10", " / ".join(f"{mark:.2f}" for mark in marks.values()) + " %")
    for name, marks in MARKS.items()
)


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        data, found = lab.data[work.dataset], {}
        images = data.test_images, data.test_labels
        for seed in lab.training_seeds:
            spec = lab.spec(work, seed=seed)
            single = lab.train(spec, f"single step, seed {seed}").model
            options = {"dtype": lab.options.dtype, "seed": seed}
            right = {SINGLE: loop.correct(single, *images, **options)}
            per_step = correct_per_step(fastlif.MultiStep(single, timesteps=T), *images, **options)
            right |= {steps: per_step[steps - 1] for steps in STEPS}
            for steps, one in right.items():
                setting = {"weights": f"seed {seed}", "T": steps}
                accuracy = 100 * one.double().mean().item()
                lab.record("accuracy", spec, setting, "accuracy", "%", accuracy)
                found.setdefault(steps, []).append(accuracy)
                if steps != SINGLE:
                    gain, error = paired(one, right[SINGLE])
                    lab.record("accuracy", spec, setting, "gain over the single step", "points", gain)
                    lab.record("accuracy", spec, setting, "its standard error", "points", error)
            lab.say("  " + ", ".join(f"T = {steps}: {values[-1]:.2f} %" for steps, values in found.items()))
        for steps, accuracies in found.items():
            setting = {"weights": "all", "T": steps}
            lab.record("accuracy", lab.spec(work), setting, "accuracy", "%", spread(accuracies), "trainings")


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        curve = [row for row in select(own, metric="accuracy", weights="all") if row.setting["T"] != SINGLE]
        (single,) = select(own, metric="accuracy", weights="all", T=SINGLE)
        steps = [int(row.setting["T"]) for row in curve]
        axes.axhline(single.median, color="C7", linestyle=":")
        axes.annotate("single step, as trained", (steps[-1], single.median), ha="right", va="bottom", color="C7")
        for one in select(own, metric="accuracy"):
            if one.setting["weights"] != "all" and one.setting["T"] != SINGLE:
                axes.plot(int(one.setting["T"]), one.median, ".", color="C0", alpha=0.4)
        axes.plot(steps, [row.median for row in curve], "o-", color="C0")
        axes.annotate("converted", (steps[-1], curve[-1].median), ha="right", va="bottom", color="C0")
        for at, mark in MARKS.get(own[0].dataset, {}).items():
            axes.plot(at, mark, "k_", markersize=12)
            axes.annotate("the paper", (at, mark), ha="center", va="bottom")
        axes.set(title=name.replace(", ", "\n"), xlabel="time steps T", ylabel="test accuracy (%)", xticks=steps)
    figure.set_size_inches(6 * len(groups), 4.5)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        runs = {row.setting["weights"]: select(own, weights=row.setting["weights"]) for row in own}
        every = {row.setting["T"]: row for row in select(runs.pop("all"), metric="accuracy")}

        def values(metric, steps, runs=runs):
            return [row.median for run in runs.values() for row in select(run, metric=metric, T=steps)]

        gain, error = mean_and_error(values("gain over the single step", T), values("its standard error", T))
        shown = " / ".join(f"{every[str(steps)].median:.2f}" for steps in STEPS)
        single, last = every[SINGLE], every[str(T)]
        trainings = f"{len(runs)} training{'s' if len(runs) > 1 else ''}"
        found.append(
            Finding(
                "Accuracy rises with T",
                beyond(gain, error, len(runs)),
                f"{name}, {trainings}, medians: {single.median:.2f} % single step; {shown} % at T = "
                f"{' / '.join(map(str, STEPS))}; T = {T} less single step {gain:+.2f} +- {error:.2f} points",
                short=f"{single.median:.2f} to {last.median:.2f} %",
            )
        )
        for steps, mark in MARKS.get(own[0].dataset, {}).items() if own[0].form == "full" else ():
            accuracies = values("accuracy", steps)
            errors = [difference_error(accuracy, mark, own[0].test_images) for accuracy in accuracies]
            accuracy, error = mean_and_error(accuracies, errors)
            found.append(
                Finding(
                    f"At T = {steps} the converted network is as accurate as the paper's: {mark:.2f} %",
                    beyond(accuracy - mark, error, len(runs)),
                    f"{name}, {trainings} of {own[0].training}: {accuracy:.2f} % on average, +- {error:.2f}",
                    short=f"{accuracy:.2f} +- {error:.2f} %",
                )
            )
    return found
