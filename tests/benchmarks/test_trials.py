"""What the benchmarks say of accuracies, and of the time of training."""

import collections
import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

import fastlif
from benchmarks.paper import ablation, accuracy, alpha, any_t, inference, methods, noise_type, surrogate, training_speed
from benchmarks.report import verdicts
from benchmarks.report.rows import select, spread
from benchmarks.training import evaluation, loop, trials
from benchmarks.training.data import Work
from benchmarks.training.lab import Lab, Trained
from fastlif.models import neurons
from fastlif.types import SURROGATE_WIDTHS


@pytest.mark.parametrize(("neuron", "timesteps"), [("noisy", 10), ("lif", 10), ("relu", None)])
def test_a_network_learns_from_the_training_images_and_is_tested_on_others(neuron, timesteps, monkeypatch, a_lab):
    """And what is trained in a single step is tested over ten."""
    trained, tested = [], []

    def train(model, images, labels, recipe, *, after_epoch=lambda model: None, **_):
        trained.append((images.unique().item(), recipe.epochs))
        return [after_epoch(model)]

    def evaluate(model, images, labels, dtype, seed):
        tested.append((getattr(model, "timesteps", None), images.unique().item(), seed))
        return 0.5

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    spec = a_lab.spec(Work("digits", "small"), neuron=neuron, curve=True)
    assert a_lab.train(spec, "").epochs == [{"accuracy": 50.0}]
    assert trained == [(0, 1), (0, 1)] and tested == [(timesteps, 255, 1)]  # first for a warm-up


def test_images_are_erased_where_that_is_asked_for(a_lab):
    images, labels = torch.ones(50, 1, 8, 8, dtype=torch.uint8), torch.zeros(50).long()
    a_lab.options = dataclasses.replace(a_lab.options, erase=True)
    recipe = a_lab.spec(Work("digits", "small")).recipe
    assert recipe.erase and "--erase" in a_lab.options.shown(torch.device("cpu"))
    for erased in (recipe.erase, False):
        ((x, _),) = loop.batches(images, labels, 50, None, recipe.shift, erased)
        assert (x == 0).any().item() == erased


def test_the_surrogate_that_is_asked_for_is_trained_with(a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, preset="modern", surrogate="sigmoid")
    model = a_lab.build(a_lab.spec(Work("digits", "small")))
    assert {neuron.surrogate for neuron in neurons(model)} == {fastlif.Surrogate("sigmoid")}


def test_the_accuracy_of_a_row_is_that_of_its_own_network(monkeypatch, a_lab):
    """Of four images the network of seed s gets s right in a single step, and over t steps as many as t over alpha.
    The ReLU network gets all of them."""
    specs = [a_lab.spec(Work("digits", "small"), neuron=neuron) for neuron in ("noisy", "relu")]
    built = {spec.neuron: Trained(a_lab.build(spec), []) for spec in specs}

    def first(count):
        return torch.arange(4) < count

    def per_step(model, images, labels, dtype, seed):
        return torch.stack([first(t / neurons(model)[0].alpha) for t in range(1, model.timesteps + 1)])

    def right(model, images, labels, dtype, seed):
        return first(seed if neurons(model) else 4)

    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: built[spec.neuron])
    monkeypatch.setattr(trials, "correct", right)
    monkeypatch.setattr(trials, "correct_per_step", per_step)
    monkeypatch.setattr(accuracy, "OURS", ("digits", "paper"))
    accuracy.measure(a_lab)
    alpha.measure(a_lab)
    found = {row.setting["T"]: row.median for row in select(a_lab.rows, experiment="accuracy", metric="accuracy")}
    assert found == {"single step": 50, "1": 25, "2": 25, "4": 25, "5": 50, "8": 50, "10": 75, "ReLU": 100}
    (single,) = select(a_lab.rows, experiment="accuracy", metric="accuracy", T="single step")
    assert (single.p20, single.p80, single.samples, single.over) == (35, 65, 3, "trainings")
    for a, (one, ten) in {"2": (25, 100), "4": (25, 75), "8": (25, 50), "inf": (0, 0)}.items():
        rows = select(a_lab.rows, experiment="alpha", metric="accuracy", alpha=a)
        assert [row.setting["T"] for row in rows] == [str(t) for t in range(1, 11)]
        assert (rows[0].median, rows[-1].median) == (one, ten)
    own = select(a_lab.rows, experiment="accuracy")
    gain = verdicts.lead(own, accuracy.GAINS["single step"])  # 50, 25 and 0 points
    assert (gain.mean, gain.trainings) == (25, 3) and verdicts.lead(own, accuracy.GAINS[1]).mean == 50
    assert verdicts.lead(own, accuracy.OVER_RELU).mean == -25
    assert verdicts.lead(own, accuracy.OVER_SDSNN).mean == pytest.approx(25 - 93.72, abs=1e-3)
    goals = [verdicts.lead(own, accuracy.OVER_GOAL[one]).mean for one in accuracy.GOALS]
    assert goals == pytest.approx([25 - 94.07, 25 - 94.5, 75 - 94.8], abs=1e-3)
    own = select(a_lab.rows, experiment="alpha")
    assert verdicts.lead(own, alpha.GAIN).mean == 75 and verdicts.lead(own, alpha.MORE[8.0]).mean == 25 - 75
    assert verdicts.lead(own, alpha.APART[4.0, 8.0]).mean == 75 - 50


def _trained(lab, spec):
    """Not trained at all, in two epochs of a second for each step over time."""
    model = lab.build(spec)
    return Trained(model, [loop.Epoch(1.0, float(getattr(model, "timesteps", 1)))] * 2)


def timesteps(lab, models, work):
    """Instead of seconds per image; of early exit the confidence."""
    return [spread([getattr(model, "timesteps", 0) or model.confidence]) for model in models]


@pytest.fixture
def worth(monkeypatch):
    """Instead of tests of networks: what each setting is worth, in every training: another number for each."""
    numbers = itertools.count()
    worth = collections.defaultdict(lambda: next(numbers) ** 2 / 1e4)

    def note(own, spec, model, **setting):
        own._note(spec, setting, torch.full((4,), worth[tuple(setting.values())]))

    def note_steps(own, spec, model, steps, **setting):
        for T in steps:
            note(own, spec, model, **setting, T=T)

    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: _trained(lab, spec))
    monkeypatch.setattr(Lab, "calibrated", lambda lab, model, spec: model)
    monkeypatch.setattr(Lab, "warm_up", lambda *_: None)
    monkeypatch.setattr(Lab, "seconds_per_image", timesteps)
    monkeypatch.setattr(loop, "train", lambda *_: [loop.Epoch(1.0, 2.0)])
    monkeypatch.setattr(trials.Trials, "test", note)
    monkeypatch.setattr(trials.Trials, "test_steps", note_steps)
    monkeypatch.setattr(trials.Trials, "test_early_exit", lambda *one, **setting: note(*one, **setting) or 3.0)
    return worth


def assert_leads(a_lab, worth, wanted):
    """``wanted``: of each lead the setting that is ahead by it, and the other one."""
    found = {row.setting["lead"]: row.median for row in select(a_lab.rows, metric="lead")}
    assert found == {name: pytest.approx(100 * (worth[first] - worth[second]), abs=1e-3)
                     for name, (first, second) in wanted.items()}  # fmt: skip


def test_leads_of_the_noise_are_those_of_their_names(worth, a_lab):
    noise_type.measure(a_lab)
    wanted = {name: (("gaussian", T), ("uniform", T)) for T, name in noise_type.AHEAD.items()}
    gains = {kind: worth[kind, 10] - worth[kind, noise_type.SINGLE] for kind in ("gaussian", "none")}
    worth |= gains
    assert_leads(a_lab, worth, wanted | {noise_type.NOISE_GAINS: ("gaussian", "none")})


def test_leads_of_any_t_are_those_of_their_names(worth, a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, preset="modern")
    any_t.measure(a_lab)
    wanted = {name: ((any_t.ANTITHETIC, T), (any_t.CALIBRATED, T)) for T, name in any_t.MIRRORED.items()}
    wanted |= {name: (("early exit", one), (any_t.CALIBRATED, 10)) for one, name in any_t.EXITS.items()}
    assert_leads(a_lab, worth, wanted | {any_t.FROZEN: ((any_t.CALIBRATED, 10), (any_t.LAYER, 10))})
    taken = select(a_lab.rows, metric="steps of an image")
    assert [(row.setting["confidence"], row.median) for row in taken] == [(f"{c:g}", 3) for c in any_t.CONFIDENCES]
    latencies = [(row.setting["variant"], row.median) for row in select(a_lab.rows, metric="latency")]
    assert latencies == [(variant, T) for variant in (any_t.LAYER, any_t.CALIBRATED, any_t.ANTITHETIC)
                         for T in any_t.STEPS] + [("early exit", one) for one in any_t.CONFIDENCES]  # fmt: skip
    figure = pytest.importorskip("matplotlib.figure").Figure()
    any_t.draw(a_lab.rows, figure)
    steps, times = ([list(line.get_xdata()) for line in axes.lines] for axes in figure.axes)
    assert steps == 3 * [list(any_t.STEPS)] + [4 * [3]]
    assert times == 3 * [list(any_t.STEPS)] + [list(any_t.CONFIDENCES)]


def test_a_spiking_output_has_no_early_exit(worth, a_lab, capsys):
    any_t.measure(a_lab)
    assert not select(a_lab.rows, variant="early exit") and "early exit is left out" in capsys.readouterr().out


def test_leads_of_the_ablation_are_those_of_their_names(worth, a_lab):
    ablation.measure(a_lab)

    def over(part, first, second, T=10):
        return (part, first, T), (part, second, T)

    wanted = {name: over("residual noise", "matched", "range", T) for T, name in ablation.MATCHED.items()}
    wanted |= {name: over("statistics", *pair) for pair, name in ablation.PAIRS.items()}
    wanted |= {name: over("noise width", variant, "4") for variant, name in ablation.WIDTHS.items()}
    wanted |= {ablation.NORM: over("batch normalisation", "on", "off")}
    wanted |= {ablation.TUNED: over("fine-tuning", "over T steps", "in a single step")}
    assert_leads(a_lab, worth, wanted)
    times = select(a_lab.rows, metric="time of the epoch")
    assert [(row.median, row.samples) for row in times] == 3 * [(2.0, 3)]


def test_leads_of_the_surrogates_are_those_of_their_names(worth, a_lab, monkeypatch):
    trained = collections.Counter()
    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: trained.update([spec.surrogate]) or _trained(lab, spec))
    surrogate.measure(a_lab)
    drawn, mean = surrogate.SURROGATE_PLACES
    expected = [*SURROGATE_WIDTHS, *(fastlif.Surrogate(name, at="mean") for name in SURROGATE_WIDTHS)]
    assert trained == dict.fromkeys(expected, 3), "a name where the other experiments have a name: trained once for all"
    wanted = {f"{name} at the mean over {name} at the membrane": ((name, mean, 10), (name, drawn, 10))
              for name in SURROGATE_WIDTHS}  # fmt: skip
    wanted |= {f"{name} at the {at} over atan at the membrane": ((name, at, 10), ("atan", drawn, 10))
               for name in SURROGATE_WIDTHS for at in (drawn, mean) if (name, at) != ("atan", drawn)}  # fmt: skip
    assert_leads(a_lab, worth, wanted)


def test_leads_of_the_methods_are_those_of_their_names(worth, a_lab):
    methods.measure(a_lab)
    wanted = {name: ((methods.OURS, T), (other, T)) for (other, T), name in methods.LEADS.items()}
    assert_leads(a_lab, worth, wanted)
    times = {row.setting["method"]: row.median for row in select(a_lab.rows, metric="time of an epoch")}
    assert times == {method: 4 if method == methods.DIRECT else 1 for method in methods.WAYS}
    latencies = [(row.setting["method"], row.median) for row in select(a_lab.rows, metric="latency")]
    assert latencies == [(method, T) for method in methods.WAYS for T in methods.STEPS]


def test_a_lead_s_error_has_the_images_part_and_the_trainings():
    """By the formula of McNemar's test for each training: b images for one, c for the other, of n."""
    values = torch.zeros(2, 100)
    values[0, :6], values[0, 6:8] = 1, -1
    values[1, :10] = 1
    mean, error = verdicts.mean_and_error(values)
    images = [math.sqrt(8 - 16 / 100) / 100, math.sqrt(10 - 100 / 100) / 100]
    assert mean == pytest.approx(0.07)
    trainings = 12.71 / 1.96 * 0.03  # 0.04 and 0.10 have a deviation of 0.0424, over the root of 2; Student's t for two
    assert error == pytest.approx(math.hypot(sum(images) / 2, trainings), rel=1e-4)
    assert verdicts.mean_and_error(torch.zeros(3, 100)) == verdicts.mean_and_error(torch.zeros(1, 100)) == (0, 0.015)
    assert verdicts.mean_and_error(torch.ones(3, 2)) == (1, 0.75), "two images tell nothing"
    assert verdicts.mean_and_error(values[:1]) == (pytest.approx(0.04), pytest.approx(images[0]))


@pytest.mark.parametrize(("asked", "expected"), [(None, [8, 4]), (7, [7, 3]), (1, [1, 1])])
def test_direct_training_gets_half_of_the_epochs(asked, expected, monkeypatch, a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, epochs=asked)
    monkeypatch.setattr(Lab, "train", lambda self, spec, title: spec.recipe.epochs)
    ways = {way: training_speed.WAYS[way] for way in (training_speed.SINGLE, training_speed.DIRECT)}
    found = training_speed.curves(a_lab, Work("digits", "small"), ways)
    assert [epochs for _, epochs in found.values()] == expected


def test_a_training_s_throughput_is_its_images_over_the_epochs_time(monkeypatch, a_lab):
    epochs = [loop.Epoch(1.0, seconds, {"accuracy": 50.0 + seconds}) for seconds in (2.0, 4.0, 8.0)]
    curve = a_lab.spec(Work("digits", "small")), Trained(nn.Identity(), epochs)
    monkeypatch.setattr(training_speed, "curves", lambda lab, work, ways: {"way": curve})
    training_speed.measure(a_lab)
    found = {metric: [row.median for row in select(a_lab.rows, metric=metric)]
             for metric in ("time so far", "accuracy", "time of an epoch", "training throughput")}  # fmt: skip
    assert found == {"time so far": [2, 6, 14], "accuracy": [52, 54, 58], "time of an epoch": [4],
                     "training throughput": [0.25]}  # fmt: skip


class Constant(nn.Module):
    """Scores that favour class 1, at a cost in seconds."""

    def __init__(self, cost=lambda: None):
        super().__init__()
        self.cost, self.scores = cost, nn.Parameter(torch.tensor([0.0, 1.0]))

    def forward(self, images):
        self.cost()
        return self.scores.expand(len(images), 2) if not self.training else self.scores.expand(len(images), 2).flip(1)


def test_accuracy_is_the_fraction_of_all_images_in_evaluation_mode():
    images, labels = torch.zeros(7, 1, 2, 2, dtype=torch.uint8), torch.tensor([1, 0, 1, 1, 0, 1, 1])
    assert evaluation.evaluate(Constant().train(), images, labels, batch_size=3) == 5 / 7


def test_networks_take_turns_and_their_times_are_of_an_image(clock, a_lab):
    calls, models = [], {"a": nn.Identity(), "b": nn.Identity()}
    for seconds, (name, model) in enumerate(models.items(), start=1):
        model.forward = lambda images, own=(name, seconds), model=model: (
            calls.append(own[0] + "t" * model.training) or clock(7 * own[1])
        )
    times = a_lab.seconds_per_image([*models.values()], Work("digits", "small"))
    assert [(time.median, time.p80) for time in times] == [(1, 1), (2, 2)], "of seven images each"
    turns = {"".join(calls[i : i + 2]) for i in range(6, len(calls), 2)}
    assert turns == {"ab", "ba"} and all(model.training for model in models.values())


def test_the_latency_to_a_goal_is_that_of_all_its_steps(monkeypatch, a_lab):
    """Of 17 steps, ten of which are timed, too; those of all methods are taken in turns."""

    def right(model, images, labels, *, steps=None, **_):
        first = 17 if steps else 4  # of the rate-coded network, of ours
        return (torch.arange(1, (steps or model.timesteps) + 1)[:, None] >= first).expand(-1, len(images))

    together = []
    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: _trained(lab, spec))
    monkeypatch.setattr(Lab, "accuracy_on", lambda *_: 100.0)
    monkeypatch.setattr(Lab, "seconds_per_image", lambda *own: together.extend(own[1]) or timesteps(*own))
    monkeypatch.setattr(inference, "correct_per_step", right)
    inference.measure(a_lab)
    found = {(row.setting["method"], row.setting["goal"]): row.median
             for row in select(a_lab.rows, metric="latency to the goal")}  # fmt: skip
    assert [model.timesteps for model in together] == [4, 10, 10] and found == {
        (method, goal): pytest.approx(4 if method == inference.OURS else 17)
        for method in inference.METHODS for goal in (inference.SAME, inference.OWN)
    }  # fmt: skip


def test_an_epoch_s_time_is_that_of_its_training_and_its_loss_the_mean(clock, monkeypatch):
    losses = iter([1.0, 2.0, 6.0, 7.0])
    monkeypatch.setitem(loop.LOSSES, "mse", lambda scores, labels: 0 * scores.sum() + next(losses))

    def after(model):
        clock(100)
        return {"accuracy": 1.0}

    images, labels = torch.zeros(10, 1, 2, 2, dtype=torch.uint8), torch.zeros(10).long()
    recipe = loop.Recipe(epochs=2, batch_size=5, loss="mse")
    epochs = loop.train(Constant(lambda: clock(1)), images, labels, recipe, after_epoch=after)
    assert epochs == [loop.Epoch(loss, 2.0, {"accuracy": 1.0}) for loss in (1.5, 6.5)]
