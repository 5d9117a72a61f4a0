"""Table 2: what reaching an accuracy costs, for our conversion and for a rate-coded one of the same network.

The rate-coded network has the same layers, trained by the same recipe with ReLUs; its neurons run on the same kernels.
It is measured as the standard method has it, and with half-charged membranes, the stronger baseline. Two goals: what
ours has at T = 10, and what each method converges to (ours at T = 10, the ReLU network), both less one point.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

import fastlif
from benchmarks.paper.operations import operations
from benchmarks.paper.rate_coding import rate_coded
from benchmarks.report.panels import OVER_TIME, panels, plot_over_time
from benchmarks.report.rows import Row, select, spread, value
from benchmarks.report.verdicts import Finding, Published, faster, of_each_network
from benchmarks.training import datasets
from benchmarks.training.data import Work
from benchmarks.training.evaluation import correct_per_step, over
from benchmarks.training.lab import Lab, Spec
from benchmarks.training.presets import T

TITLE = "Table 2: inference against rate-coded ANN-to-SNN conversion"
DESCRIPTION = "steps, latency and operations to an accuracy: ours against rate coding (Table 2)"
PAPER = (
    Published("ours", "5 / 10 steps: MNIST 99.61 / 99.64 %, Fashion-MNIST 93.89 / 94.07 %, CIFAR-10 91.82 / 92.07 %"),
    Published("ANN-to-SNN conversions it cites (CIFAR-10)", "50 to 2,500 steps: 90.95 to 91.89 %"),
    Published("inference", "more than 100 times faster"),
)
OURS, RATE, HALF = "ours", "rate-coded", "rate-coded, half-charged"
METHODS = (OURS, RATE, HALF)
SAME, OWN = "ours at T = 10 less 1 point", "its own limit less 1 point"
SUMMARY = ({"metric": ("steps to the goal", "latency to the goal"), "goal": SAME},)
MARGIN = 1.0  # points
TRIED = (
    "thresholds at the 99.9th percentile of the activations, membranes empty and half-charged, every T to the largest "
    "of the curve. The paper compares with the steps that other authors report, for deeper networks"
)
SCALING_IMAGES = 500  # of the training set, that thresholds are taken from
COUNTED_IMAGES = 50
CHUNK = 10  # steps of the rate-coded network at once


def measure(lab: Lab) -> None:
    # Not of deep networks: VGG-16's largest spike of a window is not its largest rate, and a ReLU of ResNet-18 is
    # called twice, where rate coding takes a threshold for each call.
    for work in lab.data.workloads(large=False):
        limit, reached = _ours(lab, work)
        reached += _rate_coded(lab, work, same=limit)
        models = {(one.setting["method"], one.steps): one.model for one in reached}  # a method may reach two at once
        times = dict(zip(models, lab.seconds_per_image([*models.values()], work)))
        for one in reached:  # the time is in proportion to the steps, of which rate coding takes many
            time = times[one.setting["method"], one.steps] * (one.steps / one.model.timesteps)
            _record(lab, one.spec, one.setting, "latency to the goal", "s/image", time, "turns")


@dataclass(frozen=True)
class Reached:
    """A goal that a method reached, in the fewest steps."""

    spec: Spec
    setting: dict[str, str]  # method and goal
    steps: int
    model: fastlif.MultiStep  # with so many timesteps, or the largest chunk of them


def _ours(lab: Lab, work: Work) -> tuple[float, list[Reached]]:
    """Our conversion over T steps: its accuracy in % at the last, and the goals reached."""
    spec = lab.spec(work)
    multi = fastlif.MultiStep(lab.train(spec, "single step").model, timesteps=T)
    images = _tested(lab, work)
    seeds = range(lab.options.seed, lab.options.seed + lab.form.noise_seeds)
    runs = [correct_per_step(multi, *images, dtype=lab.options.dtype, seed=seed) for seed in seeds]
    per_step = 100 * torch.stack(runs).double().mean(2)  # [seeds, T]
    accuracies = dict(enumerate(map(spread, per_step.T.tolist()), start=1))
    for step, accuracy in accuracies.items():
        _record(lab, spec, {"method": OURS, "T": step}, "accuracy", "%", accuracy, "noise seeds")
    _, analogue = operations(multi, _counted(lab, work))
    _record(lab, spec, {"method": "all, before the first neuron"}, "multiply-accumulates", "1/image", analogue)
    medians = {step: accuracy.median for step, accuracy in accuracies.items()}
    return medians[T], _reached(lab, spec, OURS, multi, medians, dict.fromkeys((SAME, OWN), medians[T] - MARGIN))


def _rate_coded(lab: Lab, work: Work, same: float) -> list[Reached]:
    """The ReLU network and its conversions, to its own accuracy and to ``same``, ours in %, less the margin."""
    spec, data = lab.spec(work, neuron="relu"), lab.data[work.dataset]
    relu = lab.train(spec, "ReLU").model
    images = _tested(lab, work)
    own = lab.accuracy_on(relu, *images)
    _record(lab, spec, {"method": "ReLU network"}, "accuracy", "%", own)
    _, dense = operations(relu, _counted(lab, work))
    _record(lab, spec, {"method": "ReLU network"}, "multiply-accumulates", "1/image", dense)
    scaling = datasets.to_float(data.train_images[:SCALING_IMAGES])
    reached = []
    for method in (RATE, HALF):
        coded = rate_coded(relu, scaling, half_charged=method == HALF, chunk=CHUNK, backend=lab.options.backend)
        found = correct_per_step(coded, *images, steps=max(lab.form.rate_steps), dtype=lab.options.dtype)
        accuracies = dict(enumerate((100 * found.double().mean(1)).tolist(), start=1))
        for steps in lab.form.rate_steps:
            _record(lab, spec, {"method": method, "T": steps}, "accuracy", "%", accuracies[steps])
        goals = {SAME: same - MARGIN, OWN: own - MARGIN}
        reached += _reached(lab, spec, method, coded, accuracies, goals)
    return reached


def _additions(multi: fastlif.MultiStep, images: Tensor, steps: int) -> float:
    """Synaptic operations per image over ``steps`` from the first one on."""
    multi, additions = over(multi, steps), 0.0
    for start in range(0, steps, CHUNK):
        multi.timesteps = min(CHUNK, steps - start)
        additions += operations(multi, images)[0]
    return additions


def _tested(lab: Lab, work: Work) -> tuple[Tensor, Tensor]:
    """The images that accuracies are taken on, and their labels."""
    data = lab.data[work.dataset]
    return data.test_images[: lab.form.rate_images], data.test_labels[: lab.form.rate_images]


def _counted(lab: Lab, work: Work) -> Tensor:
    """The images that operations are counted on."""
    return datasets.to_float(lab.data[work.dataset].test_images[:COUNTED_IMAGES])


def _reached(lab: Lab, spec: Spec, method: str, multi, accuracies: dict[int, float], goals) -> list[Reached]:
    """Of the ``goals`` those that ``multi`` reaches. Records the fewest steps for it, and their operations."""
    reached = []
    for name, goal in goals.items():
        setting = {"method": method, "goal": name}
        _record(lab, spec, setting, "goal's accuracy", "%", goal)
        steps = next((steps for steps in sorted(accuracies) if accuracies[steps] >= goal), None)
        if steps is None:
            continue
        additions = _additions(multi, _counted(lab, spec.work), steps)
        _record(lab, spec, setting, "steps to the goal", "steps", steps)
        _record(lab, spec, setting, "synaptic operations to the goal", "1/image", additions)
        reached.append(Reached(spec, setting, steps, over(multi, min(CHUNK, steps))))
    return reached


def _record(lab: Lab, spec: Spec, *values) -> None:
    lab.record("inference", spec, *values, test_images=len(_tested(lab, spec.work)[0]))


def draw(rows: list[Row], figure) -> None:
    for axes, own in panels(rows, figure, xscale="log", **OVER_TIME):
        for method in METHODS:
            curve = [row for row in select(own, method=method, metric="accuracy") if "T" in row.setting]
            plot_over_time(axes, curve, method)
        relu = value(own, method="ReLU network", metric="accuracy")
        axes.axhline(relu, color="black", linestyle=":", label="the ReLU network")
        axes.legend()


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    for goal in (SAME, OWN):
        steps, latency, operations = (
            {row.setting["method"]: row for row in select(own, goal=goal, metric=f"{what} to the goal")}
            for what in ("steps", "latency", "synaptic operations")
        )
        goals = {method: value(own, method=method, goal=goal, metric="goal's accuracy") for method in METHODS}
        shown = "; ".join(
            f"{method} to {goals[method]:.2f} %: {steps[method].median:.0f} steps, "
            f"{latency[method].median * 1e6:.0f} us, {operations[method].median:.2e} operations"
            if method in steps
            else f"{method} never reached {goals[method]:.2f} %"
            for method in METHODS
        )
        rivals = [latency[method] for method in (RATE, HALF) if method in latency]
        best = min(rivals, key=lambda row: row.median, default=None)
        times = f"{best.median / latency[OURS].median:.1f} times" if best else ""
        ratio = f"; the better rate-coded one takes {times} as long" if best else ""
        reproduced = faster(latency[OURS], best, times=100) if best else None
        yield Finding(
            f"Inference is more than 100 times faster than by ANN-to-SNN conversion, to {goal}",
            reproduced,
            f"{name}, an image: {shown}{ratio}" + (f". Tried: {TRIED}" if reproduced is False else ""),
            short=times or "never reached",
            about=f"to {goal}",
            heading="Inference is more than 100 times faster than by ANN-to-SNN conversion",
        )
