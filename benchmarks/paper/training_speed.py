"""Fig. 3: accuracy against the time spent in training, in a single step and directly over T = 10 steps.

The direct way is measured twice: on our kernels, and in plain eager PyTorch, so that what the method saves and what
the kernels save are told apart. Where a data set is not there, only the throughput is measured, on data of its shape.
"""

import dataclasses
from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import panels
from benchmarks.report.rows import Row, select, spread, value
from benchmarks.report.verdicts import Finding, Published, faster, of_each_network
from benchmarks.training.data import Work
from benchmarks.training.lab import Lab, Spec, Trained
from benchmarks.training.loop import train
from benchmarks.training.presets import T

TITLE = "Fig. 3: training speed, single step against direct training at T = 10"
DESCRIPTION = "accuracy against wall-clock, single step and direct T = 10; throughput (Fig. 3)"
SUMMARY = ({"metric": "training throughput"},)
PAPER = (Published("single step against T = 10", "3 to 5 times faster"),)
SINGLE, DIRECT, EAGER = "single step", "direct T = 10", "direct T = 10 in eager PyTorch"
WAYS = {SINGLE: {"neuron": "noisy"}, DIRECT: {"neuron": "lif"}, EAGER: {"neuron": "lif", "backend": "reference"}}
TIMED_EPOCHS = 3
Curves = dict[str, tuple[Spec, Trained]]


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        for way, (spec, trained) in curves(lab, work, ways(lab)).items():
            seconds, images = 0.0, len(lab.data[work.dataset].train_images[: spec.train_images])
            times = [epoch.seconds for epoch in trained.epochs]
            for number, epoch in enumerate(trained.epochs, start=1):
                seconds += epoch.seconds
                setting = {"way": way, "epoch": number}
                lab.record("training-speed", spec, setting, "time so far", "s", seconds)
                lab.record("training-speed", spec, setting, "accuracy", "%", epoch.metrics["accuracy"])
            lab.record("training-speed", spec, {"way": way}, "time of an epoch", "s", spread(times), "epochs")
            speed = spread(images / time for time in times)
            lab.record("training-speed", spec, {"way": way}, "training throughput", "images/s", speed, "epochs")
    for work in lab.data.timed_only():
        throughput(lab, work)


def curves(lab: Lab, work: Work, chosen: dict[str, dict[str, str]], seed: int | None = None) -> Curves:
    """The network trained in each of the ``chosen`` ways. The accuracy after each epoch is that over T = 10 steps.

    ``seed``: of the trainings, in place of the options'.
    """
    form, found = lab.form, {}
    for way, changes in chosen.items():
        epochs = lab.options.epochs or form.curve_epochs
        epochs = epochs if way == SINGLE else max(1, epochs // 2)
        spec = lab.spec(work, epochs=epochs, train_images=form.curve_images, curve=True, seed=seed, **changes)
        found[way] = spec, lab.train(spec, f"{way}, timed, seed {spec.recipe.seed}")
    return found


def ways(lab: Lab) -> dict[str, dict[str, str]]:
    """What each way changes in the network; where the neurons run in eager PyTorch anyway, the last is the second."""
    eager = lab.options.backend == "reference"
    return {way: changes for way, changes in WAYS.items() if not (eager and way == EAGER)}


def throughput(lab: Lab, work: Work) -> None:
    """Images a second, in training and over T steps: the accuracy is not looked at."""
    data = lab.data[work.dataset]
    for way, changes in ways(lab).items():
        spec = lab.spec(work, **changes)
        model = lab.build(spec)
        lab.say(f"{work.dataset} {work.network}, {way}: throughput")
        lab.warm_up(model, spec)
        count = spec.recipe.batch_size * lab.form.throughput_batches
        recipe = dataclasses.replace(spec.recipe, epochs=TIMED_EPOCHS)
        epochs = train(model, data.train_images[:count], data.train_labels[:count], recipe)
        speed = spread(min(count, len(data.train_images)) / epoch.seconds for epoch in epochs)
        lab.record("training-speed", spec, {"way": way}, "training throughput", "images/s", speed, "epochs")
        if way == SINGLE:
            converted = {steps: fastlif.MultiStep(model, timesteps=steps) for steps in (1, 5, 10)}
            for steps, time in zip(converted, lab.seconds_per_image([*converted.values()], work)):
                setting = {"way": f"converted T = {steps}"}
                lab.record("training-speed", spec, setting, "time of an image at inference", "s", time, "turns")


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, 5.5, 4):
        if select(own, metric="accuracy"):
            for way in WAYS:
                accuracy = select(own, way=way, metric="accuracy")
                times = [value(own, way=way, epoch=row.setting["epoch"], metric="time so far") for row in accuracy]
                axes.plot(times, [row.median for row in accuracy], "o-", markersize=4, label=way)
            axes.set(xlabel="training time (s)", ylabel=f"test accuracy over T = {T} steps (%)")
            axes.legend()
        else:
            speeds = select(own, metric="training throughput")
            axes.bar([row.setting["way"].replace(" in ", "\nin ") for row in speeds], [row.median for row in speeds])
            axes.set(title=f"{axes.get_title()}\n(throughput only)", ylabel="training throughput (images/s)")


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    speeds = {row.setting["way"]: row for row in select(own, metric="training throughput")}
    if not {SINGLE, DIRECT} <= speeds.keys():
        return
    single, direct = speeds[SINGLE].median, speeds[DIRECT].median
    eager = speeds[EAGER].median if EAGER in speeds else None
    beside = f" and {eager:.3g} in eager PyTorch ({single / eager:.1f} times)" if eager else ""
    yield Finding(
        "A single step trains at least 3 times as fast as T = 10 steps",
        faster(speeds[DIRECT], speeds[SINGLE], times=3),  # as they are speeds, theirs comes first
        f"{name}: {single:.3g} images/s against {direct:.3g} on the same backend ({single / direct:.1f} times){beside}",
        short=f"{single / direct:.1f} times",
    )
