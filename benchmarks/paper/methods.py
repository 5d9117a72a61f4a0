"""Ours: a single step of training beside the other ways to a spiking network of few steps, on the same data.

One network, trained in four ways by one recipe: in a single noisy step (ours); with quantised activations, the
conversion that people use today (QCFS); with plain ReLUs, for a rate-coded network; and directly, over T = 4 steps.
"""

import copy
import itertools
from collections.abc import Iterator

import fastlif
from benchmarks.paper.inference import SCALING_IMAGES
from benchmarks.paper.rate_coding import rate_coded
from benchmarks.report.panels import error_bars
from benchmarks.report.rows import Row, by_work, select, spread, value
from benchmarks.report.verdicts import Finding, all_of, faster, lead, of_each_network
from benchmarks.training import datasets
from benchmarks.training.data import Work
from benchmarks.training.evaluation import over
from benchmarks.training.lab import Lab, Spec
from benchmarks.training.networks import QuantisedReLU
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
        seconds, first = {method: [] for method in WAYS}, {}
        for seed in lab.training_seeds:
            for method, changes in WAYS.items():
                spec = lab.spec(work, seed=seed, **changes)
                trained = lab.train(spec, f"{method}, seed {seed}")
                seconds[method] += [epoch.seconds for epoch in trained.epochs]
                multi = _over_time(lab, spec, trained.model)
                trials.test_steps(spec, multi, STEPS, method=method)
                if seed == lab.training_seeds[0]:
                    first[method] = spec, multi
        _time(lab, work, first)
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


def _time(lab: Lab, work: Work, trained: dict[str, tuple[Spec, fastlif.MultiStep]]) -> None:
    """The latency of each method's network at each T, all in turns."""
    cases = list(itertools.product(trained, STEPS))
    models = [over(trained[method][1], steps) for method, steps in cases]
    for (method, steps), time in zip(cases, lab.seconds_per_image(models, work)):
        about = trained[method][0], {"method": method, "T": steps}
        lab.record("methods", *about, "latency", "s/image", time, "turns")


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for (left, right), (name, own) in zip(figure.subplots(len(groups), 2, squeeze=False), groups.items()):
        for method in WAYS:
            curve = select(own, metric="accuracy", method=method)
            times = [value(own, metric="latency", method=method, T=row.setting["T"]) * 1e3 for row in curve]
            steps, accuracies = [int(row.setting["T"]) for row in curve], [row.median for row in curve]
            for axes, places in ((left, steps), (right, times)):
                axes.errorbar(places, accuracies, error_bars(curve), fmt="o-", capsize=4, label=method)
        left.set(title=name.replace(", ", "\n"), xlabel="time steps T", ylabel="test accuracy (%)", xscale="log")
        left.set_xticks(STEPS, STEPS)
        left.legend()
        right.set(xlabel="time of an image (ms)", xscale="log", title=f"T = {', '.join(map(str, STEPS))}")
    figure.set_size_inches(11, 4.5 * len(groups))


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    leads = {key: lead(own, words) for key, words in LEADS.items()}
    times = {method: select(own, metric="time of an epoch", method=method)[0] for method in WAYS}

    def beside(other):
        accuracies = {
            method: [f"{row.median:.2f}" for row in select(own, metric="accuracy", method=method)]
            for method in (OURS, other)
        }
        shown = "; ".join(f"{method} {' / '.join(each)} %" for method, each in accuracies.items())
        over = "; ".join(f"T = {one}: {leads[other, one]}" for one in STEPS)
        return f"{name}, T = {' / '.join(map(str, STEPS))}: {shown}; ours over it: {over}"

    qcfs = f"the QCFS conversion, of our own QuantisedReLU with {QuantisedReLU().levels} levels"
    for other, title in ((QCFS, qcfs), (CODED, "a rate-coded ReLU network")):
        yield Finding(
            f"Ours: at T = {', '.join(map(str, FEW))} the conversion is ahead of {title}",
            all_of(leads[other, one].beyond() for one in FEW),
            beside(other),
            short=", ".join(leads[other, one].points for one in FEW),
            about=other,
            heading=f"at T = {', '.join(map(str, FEW))} the conversion is ahead of other methods",
        )
    yield Finding(
        f"Ours: at T = {DIRECT_STEPS} the conversion is within {EQUAL:g} point of direct training, or ahead",
        leads[DIRECT, DIRECT_STEPS].beyond(-EQUAL),
        beside(DIRECT),
        short=leads[DIRECT, DIRECT_STEPS].points,
    )
    direct = f"direct training's over T = {DIRECT_STEPS}"
    for other, words in ((QCFS, "QCFS's"), (DIRECT, direct), (CODED, "the ReLU network's")):
        yield Finding(
            f"Ours: an epoch takes less time than {words}",
            faster(times[OURS], times[other]),
            f"{name}: {times[OURS].median:.1f} s against {times[other].median:.1f} s",
            short=f"{times[other].median / times[OURS].median:.2f} times as fast",
            about=other,
            heading="an epoch takes less time than by other methods",
        )
    latencies = {method: select(own, metric="latency", method=method, T=FEW) for method in WAYS}
    for other, words in ((QCFS, "by QCFS"), (DIRECT, "by the directly trained network"), (CODED, "by rate coding")):
        pairs = list(zip(latencies[OURS], latencies[other]))
        yield Finding(
            f"Ours: at T = {', '.join(map(str, FEW))} an image takes less time than {words}",
            all_of(faster(*pair) for pair in pairs),
            f"{name}: "
            + " / ".join(f"{1e3 * ours.median:.2f} against {1e3 * its.median:.2f}" for ours, its in pairs)
            + " ms",
            short=", ".join(f"{its.median / ours.median:.2f}" for ours, its in pairs) + " times as fast",
            about=other,
            heading=f"at T = {', '.join(map(str, FEW))} an image takes less time than by other methods",
        )
