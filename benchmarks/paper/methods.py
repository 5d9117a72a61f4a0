"""Ours: a single step of training beside the other ways to a spiking network of few steps, on the same data.

One network, trained in four ways by one recipe: in a single noisy step (ours); with quantised activations, the
conversion that people use today (QCFS); with plain ReLUs, for a rate-coded network; and directly, over T = 4 steps.
"""

import copy
import itertools

import fastlif
from benchmarks.paper.inference import SCALING_IMAGES
from benchmarks.paper.rate_coding import rate_coded
from benchmarks.report.rows import Row, by_work, select, spread, value
from benchmarks.report.verdicts import Finding, all_of, faster, lead
from benchmarks.training import datasets
from benchmarks.training.lab import Lab, Spec
from benchmarks.training.trials import Trials

TITLE = "Methods: a single step, QCFS, rate coding and direct training over T = 4"
DESCRIPTION = "accuracy and time against T: a single step, QCFS, rate coding, direct training over T = 4 (ours)"
PAPER = ()
DIRECT_STEPS = 4
OURS, QCFS, CODED, DIRECT = "single step, converted", "QCFS", "ReLU, rate-coded", f"direct, T = {DIRECT_STEPS}"
WAYS = {
    OURS: {},
    QCFS: {"neuron": "quantised"},
    CODED: {"neuron": "relu"},
    DIRECT: {"neuron": "lif", "timesteps": DIRECT_STEPS},
}
STEPS = (1, 2, 4, 8, 32)
FEW = (1, 2, 4)
SUMMARY = (
    {"metric": "accuracy", "T": DIRECT_STEPS},
    {"metric": "time of an epoch"},
    {"metric": "accuracy", "method": QCFS, "T": STEPS[-1]},
)
LEADS = {(other, steps): f"single step over {other}, T = {steps}"
         for other, steps in itertools.product((QCFS, CODED, DIRECT), STEPS)}  # fmt: skip
EQUAL = 1.0  # point


def measure(lab: Lab) -> None:
    for work in lab.data.workloads(large=False):
        trials = Trials(lab, "methods", work)
        seconds = {method: [] for method in WAYS}
        for seed in lab.training_seeds:
            for method, changes in WAYS.items():
                spec = lab.spec(work, seed=seed, **changes)
                trained = lab.train(spec, f"{method}, seed {seed}")
                seconds[method] += [epoch.seconds for epoch in trained.epochs]
                multi = _over_time(lab, spec, trained.model)
                trials.test_steps(spec, multi, STEPS, method=method)
                if seed == lab.training_seeds[0]:
                    _time(lab, spec, method, multi)
        trials.record_accuracies()
        for method, changes in WAYS.items():
            about = lab.spec(work, **changes)
            lab.record("methods", about, {"method": method}, "time of an epoch", "s", spread(seconds[method]), "epochs")
        for (other, steps), name in LEADS.items():
            trials.record_lead(name, trials.right(method=OURS, T=steps) - trials.right(method=other, T=steps))


def _over_time(lab: Lab, spec: Spec, model) -> fastlif.MultiStep:
    """The spiking network of a trained one, over the most steps."""
    if spec.neuron == "quantised":
        return rate_coded(model, chunk=STEPS[-1], backend=spec.backend)
    if spec.neuron == "relu":
        scaling = datasets.to_float(lab.data[spec.work.dataset].train_images[:SCALING_IMAGES])
        return rate_coded(model, scaling, chunk=STEPS[-1], backend=spec.backend)
    multi = copy.deepcopy(model) if spec.neuron == "lif" else fastlif.MultiStep(model, timesteps=STEPS[-1])
    multi.timesteps = STEPS[-1]
    return multi


def _time(lab: Lab, spec: Spec, method: str, multi: fastlif.MultiStep) -> None:
    for steps in STEPS:
        multi.timesteps = steps
        fastlif.reset(multi)
        time = lab.seconds_per_image(multi, spec.work)
        lab.record("methods", spec, {"method": method, "T": steps}, "latency", "s/image", time, "batches")


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for (left, right), (name, own) in zip(figure.subplots(len(groups), 2, squeeze=False), groups.items()):
        for method in WAYS:
            curve = select(own, metric="accuracy", method=method)
            times = [value(own, metric="latency", method=method, T=row.setting["T"]) * 1e3 for row in curve]
            steps, accuracies = [int(row.setting["T"]) for row in curve], [row.median for row in curve]
            spreads = [[row.median - row.p20 for row in curve], [row.p80 - row.median for row in curve]]
            left.errorbar(steps, accuracies, spreads, fmt="o-", capsize=4, label=method)
            right.errorbar(times, accuracies, spreads, fmt="o-", capsize=4, label=method)
        left.set(title=name.replace(", ", "\n"), xlabel="time steps T", ylabel="test accuracy (%)", xscale="log")
        left.set_xticks(STEPS, STEPS)
        left.legend()
        right.set(xlabel="time of an image (ms)", xscale="log", title=f"T = {', '.join(map(str, STEPS))}")
    figure.set_size_inches(11, 4.5 * len(groups))


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        leads = {key: lead(own, words) for key, words in LEADS.items()}
        times = {method: select(own, metric="time of an epoch", method=method)[0] for method in WAYS}

        def shown(*methods, own=own):
            rows = {method: select(own, metric="accuracy", method=method) for method in methods}
            return "; ".join(
                f"{method} {' / '.join(f'{row.median:.2f}' for row in rows[method])} %" for method in methods
            )

        def over(other, steps, leads=leads):
            return "; ".join(f"T = {one}: {leads[other, one]}" for one in steps)

        steps = f"T = {' / '.join(map(str, STEPS))}"
        for other, title in ((QCFS, "the QCFS conversion"), (CODED, "a rate-coded ReLU network")):
            found.append(
                Finding(
                    f"Ours: at T = {', '.join(map(str, FEW))} the conversion is ahead of {title}",
                    all_of(leads[other, one].beyond() for one in FEW),
                    f"{name}, {steps}: {shown(OURS, other)}; ours over it: {over(other, STEPS)}",
                    short=" / ".join(leads[other, one].points for one in FEW),
                )
            )
        found += [
            Finding(
                f"Ours: at T = {DIRECT_STEPS} the conversion is within {EQUAL:g} point of direct training, or ahead",
                leads[DIRECT, DIRECT_STEPS].beyond(-EQUAL),
                f"{name}, {steps}: {shown(OURS, DIRECT)}; ours over it: {over(DIRECT, STEPS)}",
                short=leads[DIRECT, DIRECT_STEPS].points,
            ),
            *(
                Finding(
                    f"Ours: an epoch takes less time than {words}",
                    faster(times[OURS], times[other]),
                    f"{name}: {times[OURS].median:.1f} s against {times[other].median:.1f} s",
                    short=f"{times[other].median / times[OURS].median:.2f} times as fast",
                )
                for other, words in ((QCFS, "QCFS's"), (DIRECT, f"direct training's over T = {DIRECT_STEPS}"))
            ),
        ]
    return found
