"""The benchmark suite as its users run it, on a few digits; what its findings say; its errors."""

import dataclasses
import functools
import math
import statistics
import sys
from types import SimpleNamespace

import pytest
import torch
from refusals import tree
from test_results import ROW

import fastlif
from benchmarks import demo, experiments, machine
from benchmarks.__main__ import main
from benchmarks.paper import (
    ablation,
    accuracy,
    alpha,
    any_t,
    dynamics,
    inference,
    methods,
    noise_type,
    surrogate,
    training_speed,
    training_time,
)
from benchmarks.report import page as report
from benchmarks.report import rows as results
from benchmarks.report.verdicts import ERROR, LEAD, Lead, all_of, at_least, at_most, ends, faster, mean_and_error
from benchmarks.speed import kernels, nir_peers
from benchmarks.training import lab, loop, presets
from benchmarks.training.data import Work
from benchmarks.training.datasets import DatasetNotFound
from benchmarks.training.lab import Lab, Trained
from benchmarks.training.loop import Epoch
from benchmarks.training.presets import FORMS, Options

TINY = "--quick --dataset digits --backend reference --epochs 1 --limit 60 --width 0.0625 --device cpu".split()


def run(*arguments):
    return main(["run", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every experiment, run once in a folder."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        form = dataclasses.replace(presets.FORMS["quick"], rate_steps=(1, 10, 25), noise_seeds=2, trainings=2)
        patch.setitem(presets.FORMS, "quick", form)
        assert run("all", *TINY, "--out", folder) == 0
    return folder


def read(folder):
    (path,) = folder.glob("*.csv")
    return results.read(path)


@pytest.mark.full
def test_all_is_measured_and_shown_on_a_page_and_rows_say_where_they_come_from(made):
    assert main(["report", "--out", str(made)]) == 0
    page, rows = (made / "report.md").read_text(), read(made)
    assert {row.experiment for row in rows} == set(experiments.FIGURES)
    assert all(experiments.load(name).TITLE.split(":")[0] in page for name in experiments.FIGURES)
    assert len(list(made.glob("*/*.png"))) == len(experiments.FIGURES)
    for row in rows:
        assert math.isfinite(row.median) and row.p20 <= row.median <= row.p80
        assert row.form == "quick" and row.preset == "paper" and row.device and row.commit
        assert f"torch {torch.__version__.split('+')[0]}" in row.versions
    assert {row.network for row in rows if row.dataset == "digits"} == {"4C3-AP2-8C3-AP2-8C3-AP2-32FC-10FC"}


@pytest.mark.full
@pytest.mark.parametrize("command", ["dynamics", "dynamics --seed 2", "accuracy --preset modern --surrogate sigmoid"])
def test_a_run_replaces_its_own_rows_and_stands_beside_those_of_other_options(made, command):
    before, (name, _, other) = read(made), command.partition(" ")
    assert run(*command.split(), *TINY, "--out", made) == 0
    after, usual = read(made), "--backend reference --epochs 1 --limit 60 --width 0.0625"
    added = results.select(before, experiment=name, options=f"--quick {usual}") if other else []
    assert len(after) == len(before) + len(added)
    if other:
        options = f"--quick {usual} {other}" if "seed" in other else f"--quick {other} {usual}"
        assert {row.options for row in after} - {row.options for row in before} == {options}
        data = "" if name == "dynamics" else " --dataset digits"
        assert f"`python -m benchmarks run {name} {options}{data}`" in report.page(made)


def test_the_list_names_every_experiment(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*experiments.NAMES, "run", "report", "static", "nir"))


def test_without_its_data_only_throughput_is_measured_and_labelled(tmp_path, torchvision, monkeypatch, capsys):
    monkeypatch.setattr(training_speed, "TIMED_EPOCHS", 1)
    monkeypatch.setattr(lab.loop, "WARM_UP_BATCHES", 1)
    monkeypatch.setitem(presets.WORKLOADS, "cifar-10", {"resnet18": 800})
    build = lab.networks.build

    def without(name, **_):
        raise DatasetNotFound(f"no complete copy of {name} was found; give --x")

    def small(name, *shape, width, **options):  # in ResNet-18's place: it would take a minute
        return build("small", *shape, width=0.0625, **options)

    monkeypatch.setattr(lab.datasets, "load", without)
    monkeypatch.setattr(lab.networks, "build", small)
    options = "--quick --dataset cifar-10 --backend reference --batch-size 2 --device cpu".split()
    assert run("dynamics", "training-speed", *options, "--out", tmp_path / "without") == 0, "what can be measured is"
    printed = capsys.readouterr().out
    assert "cifar-10 is left out: no complete copy of cifar-10 was found; give --x; --synthetic" in printed
    assert "left out: there is nothing to measure it on here" in printed
    assert run("training-speed", *options, "--synthetic", "--out", tmp_path) == 0
    rows = read(tmp_path)
    assert {(row.dataset, row.network) for row in rows} == {("synthetic cifar-10", "ResNet-18")}
    assert not [row for row in rows if row.metric == "accuracy"]
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert "accuracy is not claimed" in (tmp_path / "report.md").read_text()


# What is shared between experiments


@pytest.fixture
def tiny(tmp_path):
    options = Options(datasets=("digits",), backend="reference", epochs=1, limit=60, width=0.0625, out=tmp_path)
    return Lab(options, torch.device("cpu"))


def test_a_network_is_trained_once(tiny):
    work = Work("digits", "small")
    assert tiny.train(tiny.spec(work), "first") is tiny.train(tiny.spec(work), "second")
    other = tiny.train(tiny.spec(work, surrogate="sigmoid"), "third")
    assert other.model.conv1_activation.surrogate.name == "sigmoid"
    assert len(list((tiny.work_folder / "checkpoints").iterdir())) == 2


def test_networks_differ_in_their_neurons_alone(tiny):
    work = Work("digits", "small")
    single, direct, relu = (tiny.build(tiny.spec(work, neuron=name)) for name in ("noisy", "lif", "relu"))
    assert isinstance(direct, fastlif.MultiStep) and direct.timesteps == lab.T
    assert tiny.build(tiny.spec(work, neuron="lif", timesteps=4)).timesteps == 4
    for key, value in single.state_dict().items():
        assert torch.equal(value, direct.model.state_dict()[key]) and torch.equal(value, relu.state_dict()[key])


@pytest.fixture
def made_up_data(monkeypatch):
    monkeypatch.setattr(lab.datasets, "load", lambda name, **_: lab.datasets.synthetic(name, train=10, test=10))


def test_the_paper_preset_is_the_paper_s(made_up_data):
    tiny = Lab(Options(form="full", width=1.0), torch.device("cpu"))
    for dataset, network, epochs in [("fashion-mnist", "small", 200), ("cifar-10", "vgg16", 1000)]:
        recipe = tiny.spec(Work(dataset, network)).recipe
        assert (recipe.epochs, recipe.learning_rate, recipe.loss) == (epochs, 1e-4, "mse")
        assert recipe.schedule == "warm-restarts" and recipe.shift == (4 if dataset == "cifar-10" else 0)
    assert tiny.spec(Work("mnist", "small")).output == "spiking"


def test_deep_networks_are_trained_in_the_quick_form_if_they_are_narrow(torchvision, made_up_data):
    for width in (None, 0.25):
        found = Lab(Options(datasets=("fashion-mnist-32",), width=width), torch.device("cpu"))
        works = [Work("fashion-mnist-32", network) for network in ("vgg16", "resnet18")]
        trained, timed = (works, []) if width else ([], works)
        assert found.data.workloads() == trained and found.data.timed_only() == timed
        assert found.spec(works[0]).width == (width or 1.0) and found.data.workloads(large=False) == []


@pytest.mark.parametrize("there", [(), ("fashion-mnist",)])
def test_synthetic_data_stand_in_for_each_network_that_has_none(torchvision, monkeypatch, there):
    def load(name, **_):
        if name not in there:
            raise DatasetNotFound(name)
        return lab.datasets.synthetic(name, train=10, test=10)

    monkeypatch.setattr(lab.datasets, "load", load)
    found = Lab(Options(synthetic=True), torch.device("cpu"))
    small = [] if there else [Work("synthetic mnist", "small"), Work("synthetic fashion-mnist", "small")]
    timed = small + [Work("synthetic cifar-10", network) for network in ("vgg16", "resnet18")]
    assert found.data.timed_only() == timed
    for work in timed:
        assert len(found.data[work.dataset].train_images) == found.spec(work).recipe.batch_size, "one batch"


def test_the_membrane_watched_is_that_of_one_sequence(tiny):
    seen = dynamics.watch(0.4, tiny)
    assert any(spike for _, spike in seen)
    assert all(spike == (membrane > 1) for membrane, spike in seen)


@pytest.mark.parametrize("steps", [1, 10, 17])
def test_operations_are_counted_over_just_so_many_steps(steps):
    torch.manual_seed(0)
    relu = lab.networks.build("small", (1, 8, 8), 10, activation=torch.nn.ReLU, width=0.125)
    images = torch.rand(4, 1, 8, 8)
    coded = inference.rate_coded(relu, images, chunk=inference.CHUNK, backend="reference")
    counted = inference._additions(coded, images, steps)
    coded.timesteps = steps
    assert counted == pytest.approx(inference.operations(coded, images)[0])


# What is concluded from rows


def row(experiment, metric, median, spread=0.0, **setting):
    """``spread``: a fraction of the median."""
    about = {"experiment": experiment, "metric": metric, "setting": {name: str(one) for name, one in setting.items()}}
    values = {"median": median, "p20": median * (1 - spread), "p80": median * (1 + spread)}
    return dataclasses.replace(ROW, dataset="digits", **about, **values)


measured = functools.partial(row, "kernels", "time", spread=0.1)


def judged(module, rows):
    return [finding.reproduced for finding in module.findings(rows)]


def lead(experiment, name, mean, error=0.1):
    rows = (row(experiment, metric, value, lead=name) for metric, value in ((LEAD, mean), (ERROR, error)))
    return [dataclasses.replace(one, samples=3) for one in rows]


# Of each experiment the rows that its findings need, and of each claim the comparisons that it takes: with a lead that
# bears it out, one that refutes it, and one that is too close to tell.
CLAIMS = {
    "accuracy": (
        [row("accuracy", "accuracy", 80, T=T) for T in (accuracy.SINGLE, *accuracy.STEPS, accuracy.RELU)],
        [(accuracy.GAINS.values(), 1.0, -1.0, 0.15), ([accuracy.OVER_RELU], 0.1, -2.0, 0.45)],
    ),
    "alpha": (
        [row("alpha", "accuracy", 80, alpha=f"{a:g}", T=10) for a in alpha.ALPHAS],
        [([alpha.GAIN], -3.0, 3.0, 0.9), (alpha.MORE.values(), 2.0, -3.0, 0.1),
         (alpha.APART.values(), -0.5, 3.0, 0.9)],
    ),
    "noise-type": (
        [row("noise-type", "accuracy", 80, noise=kind, T=T) for kind in noise_type.KINDS for T in noise_type.STEPS],
        [([noise_type.AHEAD[noise_type.SINGLE]], 1.0, -1.0, 0.1), ([noise_type.AHEAD[10]], 0.3, 3.0, 0.9),
         ([noise_type.NOISE_GAINS], 2.0, -2.0, 0.1)],
    ),
    "any-t": (
        [row("any-t", "steps of an image", 4 if confidence == any_t.JUDGED else 6, confidence=confidence)
         for confidence in any_t.CONFIDENCES],
        [([any_t.FROZEN], 0.25, 3.0, 0.4), (any_t.MIRRORED.values(), 0.25, -3.0, 0.1),
         ([any_t.EXITS[any_t.JUDGED]], -0.1, -2.0, -0.4)],
    ),
    "methods": (
        [row("methods", "time of an epoch", 1 + (way != methods.OURS), 0.1, method=way) for way in methods.WAYS]
        + [row("methods", "latency", 1, 0.1, method=way, T=T) for way in methods.WAYS for T in methods.STEPS],
        [([methods.LEADS[methods.QCFS, T] for T in methods.FEW], 2.0, -2.0, 0.1),
         ([methods.LEADS[methods.CODED, T] for T in methods.FEW], 2.0, -2.0, 0.1),
         ([methods.LEADS[methods.DIRECT, methods.DIRECT_STEPS]], 3.0, -2.0, -0.9)],
    ),
    "ablation": (
        [row("ablation", "accuracy", 80, part="statistics", variant="layer", T=10)],
        [(ablation.PAIRS.values(), 0.1, 2.0, 0.9), (ablation.MATCHED.values(), 2.0, -2.0, 0.1),
         (ablation.WIDTHS.values(), -3.0, 3.0, 0.9),
         ([ablation.NORM], 2.0, -2.0, 0.1), ([ablation.TUNED], 2.0, -2.0, 0.1)],
    ),
    "surrogate": (
        [row("surrogate", "accuracy", 80, surrogate="atan", at="membrane", T=10)],
        [(surrogate.OTHERS.values(), -3.0, 3.0, 0.9), (surrogate.PLACES.values(), 0.0, -3.0, -0.9)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_each_claim_is_judged_by_its_own_comparisons(name):
    own, claims = CLAIMS[name]
    borne_out = {one: mean for names, mean, *_ in claims for one in names}

    def verdicts(leads):
        rows = [one for words, mean in leads.items() for one in lead(name, words, mean)]
        return judged(experiments.load(name), own + rows)[: len(claims)]

    assert verdicts({}) == [None] * len(claims), "what was not compared cannot be told"
    assert verdicts(borne_out) == [True] * len(claims)
    for number, (names, _, refuting, unsure) in enumerate(claims):
        for one in names:
            for mean, verdict in ((refuting, False), (unsure, None)):
                expected = [verdict if claim == number else True for claim in range(len(claims))]
                assert verdicts(borne_out | {one: mean}) == expected, one


def test_early_exit_is_judged_by_its_steps_too():
    own = [one for name in (any_t.FROZEN, *any_t.MIRRORED.values()) for one in lead("any-t", name, 0.25)]
    assert judged(any_t, own) == [True, True], "a spiking output has no early exit"
    own += [row("any-t", "steps of an image", 6, confidence=confidence) for confidence in any_t.CONFIDENCES]
    assert judged(any_t, own + lead("any-t", any_t.EXITS[any_t.JUDGED], -0.1)) == [True, True, False]


@pytest.mark.parametrize(("quicker", "expected"), [(methods.QCFS, [False, True, True]),
                                                   (methods.DIRECT, [True, False, True]),
                                                   (methods.CODED, [True, True, False])])  # fmt: skip
def test_methods_are_judged_by_their_times_too(quicker, expected):
    """Of an epoch, and of an image at each T: it is enough to be slower at one of them."""
    seconds = dict.fromkeys(methods.WAYS, 2.0) | {methods.OURS: 1.0, quicker: 0.5}
    own = [row("methods", "time of an epoch", time, 0.1, method=method) for method, time in seconds.items()]
    own += [row("methods", "latency", time if T == 4 else 2.0 - (method == methods.OURS), 0.1, method=method, T=T)
            for method, time in seconds.items() for T in methods.STEPS]  # fmt: skip
    assert judged(methods, own)[3:] == expected + expected


@pytest.mark.parametrize(("five", "ten", "expected"), [(0.5, -0.5, [True, False]), (0.1, -0.1, [None, None])])
def test_the_paper_s_accuracy_is_a_mark_for_the_full_form_alone(five, ten, expected):
    own = [row("accuracy", "accuracy", 80, T=T) for T in (accuracy.SINGLE, *accuracy.STEPS)]
    own += [one for name in accuracy.GAINS.values() for one in lead("accuracy", name, 1.0)]
    own += lead("accuracy", accuracy.OVER_THE_PAPER[5], five) + lead("accuracy", accuracy.OVER_THE_PAPER[10], ten)
    full = [dataclasses.replace(one, form="full", dataset="fashion-mnist") for one in own]
    assert judged(accuracy, full) == [True, *expected]
    assert judged(accuracy, [dataclasses.replace(one, form="quick") for one in full]) == [True]
    assert judged(accuracy, [dataclasses.replace(one, options="--width 0.5") for one in full]) == [True]
    fewer = [dataclasses.replace(one, options="--epochs 3") for one in full]
    assert judged(accuracy, fewer) == [True, *expected], "fewer epochs excuse nothing"


@pytest.mark.parametrize(("last", "over", "expected"), [(0.3, 0.5, [True, True]), (-0.3, -0.5, [False, False]),
                                                        (0.1, 0.1, [None, None])])  # fmt: skip
def test_our_own_accuracies_are_goals_of_the_full_form_and_the_modern_preset(last, over, expected):
    own = [row("accuracy", "accuracy", 99, T=T) for T in (accuracy.SINGLE, *accuracy.STEPS)]
    leads = {name: last if steps == 10 else 1.0 for steps, name in accuracy.OVER_GOAL.items()}
    own += [one for name, mean in leads.items() for one in lead("accuracy", name, mean)]
    own += [one for name in accuracy.GAINS.values() for one in lead("accuracy", name, 1.0)]
    own += [one for name in accuracy.OVER_THE_PAPER.values() for one in lead("accuracy", name, 1.0)]
    own += lead("accuracy", accuracy.OVER_SDSNN, over)
    full = [dataclasses.replace(one, form="full", dataset="fashion-mnist", preset="modern") for one in own]
    assert judged(accuracy, full) == [True, True, True, *expected]
    assert judged(accuracy, [dataclasses.replace(one, preset="paper") for one in full]) == [True, True, True]
    assert judged(accuracy, [dataclasses.replace(one, options="--width 0.5") for one in full]) == [True]


@pytest.mark.parametrize(("accuracies", "expected"), [((95.5, 95.6, 95.9), True), ((93.7, 93.8, 93.9), False),
                                                      ((94.8, 94.9, 95.0), None)])  # fmt: skip
def test_a_goal_is_judged_by_the_accuracies_where_no_lead_was_recorded(accuracies, expected):
    own = [row("accuracy", "accuracy", 99, T=T) for T in (accuracy.SINGLE, *accuracy.STEPS)]
    found = dataclasses.asdict(results.spread(accuracies)) | {"test_images": 10_000}
    own = [dataclasses.replace(one, form="full", dataset="fashion-mnist", preset="modern", **found) for one in own]
    goals = accuracy.findings(own)[-2]
    assert goals.reproduced is expected, goals
    right = torch.arange(10_000) < torch.tensor([[round(100 * one)] for one in accuracies])
    mean, error = (100 * one for one in mean_and_error(right.double()))
    assert f"medians: {goals.short}, the means less these goals: {Lead(mean - 94.07, error, 3)} / " in goals.evidence


def test_a_verdict_takes_two_standard_errors_and_three_trainings():
    assert Lead(1.0, 0.49, 3).beyond() is True and Lead(-1.0, 0.49, 3).beyond() is False
    assert Lead(1.0, 0.51, 3).beyond() is None and Lead(1.0, 0.1, 2).beyond() is None
    assert Lead(1.5, 0.2, 3).beyond(1.0) is True and Lead(0.5, 0.2, 3).beyond(1.0) is False
    assert Lead(math.nan, math.nan, 0).points == str(Lead(math.nan, math.nan, 0)) == "not compared"


def test_equal_takes_an_error_that_fits_into_the_margin():
    assert Lead(0.5, 0.2, 3).within(1.0) is True and Lead(-0.5, 0.2, 3).within(1.0) is True
    assert Lead(0.5, 0.3, 3).within(1.0) is None and Lead(0.0, 0.6, 3).within(1.0) is None
    assert Lead(1.5, 0.2, 3).within(1.0) is False and Lead(-1.5, 0.2, 3).within(1.0) is False
    assert Lead(0.0, 0.1, 2).within(1.0) is None


def test_a_verdict_on_a_time_takes_spreads_that_do_not_overlap():
    assert faster(measured(1), measured(1.3)) is True and faster(measured(1.3), measured(1)) is False
    assert faster(measured(1), measured(1.2)) is None and faster(measured(1), measured(1.3), times=1.2) is None
    assert faster(measured(1), measured(2), times=3) is False
    assert at_most(1.15, measured(1)) is True and at_most(1.05, measured(1)) is None
    assert at_most(0.85, measured(1)) is False and at_most(1.15, measured(1), measured(2)) is False
    assert at_least(0.85, measured(1)) is True and at_least(0.95, measured(1)) is None
    assert at_least(1.15, measured(1)) is False and at_least(0.85, measured(1), measured(0.5)) is False


@pytest.mark.parametrize(("direct", "expected"), [(25, True), (33, None), (45, False)])
def test_training_speed_is_judged_by_its_spread(direct, expected):
    speeds = zip(training_speed.WAYS, (100, direct, 10))
    own = [row("training-speed", "training throughput", speed, 0.05, way=way) for way, speed in speeds]
    assert judged(training_speed, own) == [expected]


@pytest.mark.parametrize("part", ["forward", "backward"])
@pytest.mark.parametrize(("forward", "expected"), [(0.9, True), (1.2, None)])
def test_a_time_below_that_of_a_part_of_it_is_no_verdict(forward, expected, part):
    about = {"neuron": "lif", "T": 10, "type": "float32", "size": 100}
    own = [measured(1, library="fastlif", **about, **{"pass": "forward and backward"})]
    own += [measured(6, library="snnTorch", **about, **{"pass": "forward and backward"})]
    own += [measured(forward, library="fastlif", **about, **{"pass": part})]
    finding = kernels._faster(own, "lif", "snnTorch", "forward and backward", 5 / 1.3, T=10)
    assert finding.reproduced is expected and ("measure again" in finding.evidence) == (forward > 1)


def test_two_libraries_are_compared_at_the_sizes_that_both_have():
    about = {"neuron": "lif", "T": 10, "type": "float32", "pass": "forward"}
    own = [measured(1, library="fastlif", size=100, **about)]
    assert kernels._faster(own, "lif", "Norse", "forward", 1) is None
    own += [measured(seconds, library="Norse", size=size, **about) for size, seconds in ((100, 2), (1000, 0.1))]
    finding = kernels._faster(own, "lif", "Norse", "forward", 1)
    assert finding.reproduced and finding.evidence.startswith("100 neuron-steps") and finding.short == "2.0 times"


def test_a_verdict_on_a_time_takes_three_samples():
    two, three = (dataclasses.replace(measured(1), samples=samples) for samples in (2, 3))
    assert at_most(2, three) is True and at_most(2, two) is None and at_most(0.5, two) is None
    assert at_least(0.5, three) is True and at_least(0.5, two) is None
    assert at_most(1.16, three) is None and at_least(0.84, three) is None, "min and max count of so few"
    assert faster(three, measured(1.29)) is faster(measured(1.29), three) is None
    assert faster(three, measured(2)) is True and faster(two, measured(2)) is faster(measured(2), two) is None


@pytest.mark.parametrize("values", [(1.0, 5.0, 6.0), (1.0, 2.0, 4.0, 7.0), (1.0, 4.0, 4.0, 5.0)])
def test_three_measurements_end_at_min_and_max_and_four_beyond(values):
    low, high = ends(dataclasses.replace(ROW, **dataclasses.asdict(results.spread(values))))
    assert low <= min(values) + 1e-9 and high >= max(values) - 1e-9
    assert len(values) > 3 or (low, high) == pytest.approx((1, 6))


def test_what_is_not_a_number_is_no_verdict():
    for one in (Lead(math.nan, 1.0, 3), Lead(1.0, math.nan, 3)):
        assert one.beyond() is one.at_most(1.0) is one.within(1.0) is None
    assert at_most(1, measured(math.nan)) is at_least(1, measured(math.nan)) is None
    assert faster(measured(math.nan), measured(1)) is None


def test_a_claim_of_several_comparisons_needs_all_of_them():
    assert all_of([]) is None
    assert all_of([True, True]) is True and all_of([True, None]) is None and all_of([True, None, False]) is False


SAVED = [  # seconds to the goal, of each training; None: not in its 10 s
    (([1, 1.2, 1.1], [4, 4, 4]), True, "3 trainings: single step 1.1 s (p20-p80 1.0 to 1.2); direct T = 10 4.0 s"),
    (([1, 1.2, 1.1], [4, 4, 2]), None, "; 70.0 % (p20-p80 55.0 to 73.0) saved"),
    (([3, 3, 3], [4, 4, 4]), False, "; 25.0 %"),
    (([None, None, 3], [4, 4, 4]), False, "at most -150.0 %"),
    (([None, None, None], [40, 40, 40]), None, "at most 75.0 %"),
    (([1, 1, 1], [4, None, None]), True, "at least 90.0 %"),
    (([9, 9, 9], [None, None, None]), None, "at least 10.0 %"),
    (([None, None, None], [None, None, None]), None, "never reached it"),
    (([1, 1.1, None], [4, 4, None]), None, "direct T = 10 4.0 s (p20-p80 4.0 to 4.0) in 2 of 3"),
    (([1, 1], [4, 4]), None, "; 75.0 %"),
]


@pytest.mark.parametrize(("seconds", "expected", "words"), SAVED)
def test_training_time(seconds, expected, words, monkeypatch):
    def curve(reached):  # two epochs
        times, accuracies = ((reached, 40 - reached), (90.0, 80.0)) if reached else ((4, 6), (70.0, 70.0))
        return None, Trained(None, [Epoch(0.0, t, {"accuracy": a}) for t, a in zip(times, accuracies)])

    def record(experiment, spec, setting, metric, unit, values, over):
        measures = {**dataclasses.asdict(values), "over": over}
        own.append(dataclasses.replace(row(experiment, metric, 0, **setting), **measures))

    own, work = [], SimpleNamespace(dataset="digits", network="small")
    curves = {seed: dict(zip(training_time.WAYS, map(curve, times))) for seed, times in enumerate(zip(*seconds))}
    monkeypatch.setattr(training_time, "curves", lambda lab, work, ways, seed: curves[seed])
    lab = SimpleNamespace(record=record, training_seeds=list(curves), form=FORMS["quick"])
    lab.data = SimpleNamespace(workloads=lambda: [work])
    training_time.measure(lab)
    (finding,) = training_time.findings(own)
    assert finding.reproduced is expected and words in finding.evidence
    figure = pytest.importorskip("matplotlib.figure").Figure()
    training_time.draw(own, figure)
    drawn = [(bar.get_hatch(), bar.get_height()) for bar in figure.axes[0].patches]
    in_all = [statistics.median(40 if time else 10 for time in times) for times in seconds]
    assert drawn == [("//", time) if None in times else (None, pytest.approx(statistics.median(times)))
                     for times, time in zip(seconds, in_all)], "reached is what all trainings reached"  # fmt: skip


def test_a_network_without_a_goal_is_left_out(tiny, monkeypatch, capsys):
    monkeypatch.setitem(presets.FORMS, "quick", dataclasses.replace(FORMS["quick"], goals={}))
    training_time.measure(tiny)
    assert not tiny.rows and "digits small is left out: the quick form has no goal for it" in capsys.readouterr().out


@pytest.mark.parametrize(("rate", "expected"), [(201.0, True), (50.0, False), (None, None)])
def test_inference_is_judged_against_the_better_baseline(rate, expected):
    own = []
    for goal in (inference.SAME, inference.OWN):
        for method, latency in ((inference.OURS, 2.0), (inference.RATE, 900.0), (inference.HALF, rate)):
            for what in ("steps", "latency", "synaptic operations"):
                own.append(row("inference", "goal's accuracy", 84, method=method, goal=goal))
                if rate or method == inference.OURS:
                    own.append(row("inference", f"{what} to the goal", latency, method=method, goal=goal))
    assert set(judged(inference, own)) == {expected}


def test_a_data_set_is_measured_once(monkeypatch, tmp_path):
    """However often it is named."""
    named = []
    monkeypatch.setattr(dynamics, "measure", lambda lab: named.extend(lab.options.datasets))
    run("dynamics", *TINY, "--dataset", "digits", "--out", tmp_path)
    assert named == ["digits"]


# Errors


def test_results_of_something_else_are_not_overwritten(tmp_path, monkeypatch, capsys):
    path = results.path_for(machine.describe(torch.device("cpu")), tmp_path)
    path.write_text("my,own,table\n1,2,3\n")
    monkeypatch.setattr(dynamics, "measure", lambda lab: lab.record("dynamics", "", {}, "", "", 1.0))
    assert run("dynamics", *TINY, "--out", tmp_path) == 2
    assert "is not a file of results" in capsys.readouterr().err
    assert path.read_text() == "my,own,table\n1,2,3\n"


def test_a_package_that_is_not_there_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    for name in [name for name in sys.modules if name.startswith("benchmarks.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["list"]) == 2
    assert "need the package tqdm: pip install" in capsys.readouterr().err


def test_without_matplotlib_nothing_is_trained_and_no_report_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(demo.loop, "train", None)
    assert main(["demo", "--out", str(tmp_path)]) == main(["report"]) == 2
    assert capsys.readouterr().err.count("need the package matplotlib: pip install '.[demo]'") == 2
    assert not tree(tmp_path)


@pytest.mark.parametrize("package", ["nir", "norse"])
def test_without_its_peers_the_table_of_nir_stays(tmp_path, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(nir_peers, "tables", None)
    assert main(["nir", "--out", str(tmp_path / "nir.md")]) == 2
    printed = capsys.readouterr().err
    assert package in printed and "pip install '.[nir,peers]'" in printed and not tree(tmp_path)


def test_what_a_peer_needs_and_lacks_is_no_result_of_it(tmp_path, monkeypatch, capsys):
    def import_it():
        raise ImportError("no nirtorch")

    monkeypatch.setattr(nir_peers, "PACKAGES", ())
    monkeypatch.setattr(nir_peers, "tables", lambda: nir_peers.attempt(import_it))
    assert main(["nir", "--out", str(tmp_path / "nir.md")]) == 2
    assert "no nirtorch" in capsys.readouterr().err and not tree(tmp_path)


def test_whatever_is_stopped_says_so(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write", stop)
    monkeypatch.setattr(demo, "run", stop)
    for command in ("report", "demo"):
        assert main([command]) == 130 and f"{command} was stopped" in capsys.readouterr().err


@pytest.mark.parametrize("named", [True, False])
def test_rows_of_a_resumed_training_name_its_commit(tiny, named, monkeypatch):
    """Older checkpoints name none."""
    load = loop.checkpoint.load

    def without_commits(*place):
        state = load(*place)
        return state | {"history": [{"loss": one["loss"], "seconds": 1.0, "metrics": {}} for one in state["history"]]}

    first, now = (dataclasses.replace(tiny.options, resume=resume) for resume in (False, True))
    spec = tiny.spec(Work("digits", "small"))
    Lab(first, tiny.device, commit="old").train(spec, "first")
    later = Lab(now, tiny.device, commit="new")
    if not named:
        monkeypatch.setattr(loop.checkpoint, "load", without_commits)
    later.train(spec, "again")
    later.record("accuracy", spec, {}, "accuracy", "%", 1.0)
    later.record("accuracy", "words", {}, "time", "s", 1.0)
    assert [row.commit for row in later.rows] == ["old and new" if named else "new", "new"]


def test_a_run_is_resumed_from_its_own_checkpoints(tmp_path, capsys):
    work = tmp_path / "work"
    assert run("accuracy", *TINY, "--out", tmp_path) == 0
    trained = tree(work)
    assert run("accuracy", *TINY, "--out", tmp_path, "--resume") == 0
    assert tree(work) == trained, "nothing was trained again"
    longer = [option if option != "60" else "70" for option in TINY]
    assert run("accuracy", *longer, "--out", tmp_path, "--resume") == 0
    networks = 2 * presets.FORMS["quick"].trainings  # spiking ones, and their twins with ReLU
    paths = list((work / "checkpoints").glob("*.pt"))
    assert len(paths) == 2 * networks, "a network of less data is not taken for one of more"
    for path in paths:
        path.write_bytes(b"x")
    assert run("accuracy", *TINY, "--out", tmp_path, "--resume") == 2
    assert "is damaged or not a checkpoint" in capsys.readouterr().err


# What is committed


def test_the_committed_page_is_made_from_the_committed_rows():
    page = report.page(results.FOLDER)
    assert page == (results.FOLDER / "report.md").read_text()
    assert [path for path in results.FOLDER.rglob("*.png") if path.name not in page] == [], "pictures of nothing"
