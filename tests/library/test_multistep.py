"""A MultiStep model given sequences, and asked for every step. What it does with images is in test_conversion.py."""

import math
import warnings

import pytest
import torch
from helpers import QUIET, REFERENCE
from torch import nn

import fastlif
from fastlif import LIF, MultiStep, NoisyLIF, functional


def network(**keywords):
    torch.manual_seed(0)
    layers = nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 4)
    return fastlif.convert(nn.Sequential(*layers), **(QUIET | keywords))


def events(T, batch=5):
    return 2 * torch.rand(T, batch, 6, generator=torch.Generator().manual_seed(T))


# --- Sequences ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 3, 7])
def test_a_sequence_goes_in_step_by_step(T):
    model, x = network(), events(T)
    multi = MultiStep(model, 4)
    spikes = functional.noisy_lif(model[0](x), **QUIET)
    expected = model[4](functional.noisy_lif(model[2](spikes), **QUIET))
    torch.testing.assert_close(multi(x, sequence=True), expected.mean(0))
    assert spikes.any()
    assert multi.timesteps == 4 and {neuron.timesteps for neuron in fastlif.models.neurons(multi)} == {4}


def test_stateful_neurons_carry_on_from_sequence_to_sequence():
    whole, parts = (MultiStep(network(stateful=stateful), 2, output="steps") for stateful in (False, True))
    x = events(7)
    actual = torch.cat([parts(part, sequence=True) for part in x.split([2, 4, 1])])
    torch.testing.assert_close(actual, whole(x, sequence=True))


def test_calibrated_by_sequences_for_sequences():
    multi = MultiStep(network(), 2)
    assert multi.calibrate([events(5), (events(5)[:, :2] / 2, torch.zeros(2))], sequence=True) is multi
    rows = multi.model[1].calibrated_deviation
    assert rows.shape == (1, 5) and multi.timesteps == 2
    fed, x = [], events(3)
    multi.model[1].register_forward_hook(lambda module, arguments, output: fed.append(output))
    multi(x, sequence=True)
    statistics = multi.model[1].calibrated_mean[0, :3], rows[0, :3]
    expected = functional.noisy_lif(multi.model[0](x), statistics=statistics, **QUIET)
    assert torch.equal(fed[0].unflatten(0, (3, 5)), expected)
    multi.calibrate([events(8)], sequence=True)  # more steps than before
    assert multi.model[1].calibrated_mean.shape == (1, 8)


def test_calibrated_neurons_carry_no_membrane_into_a_call():
    """At step 1 the frozen deviation is 0, which leaves the membrane out."""
    for values in ({}, {"alpha": math.inf}):
        whole, stateful = (MultiStep(network(stateful=kept, **values), 2) for kept in (False, True))
        for multi in (whole, stateful):
            multi.calibrate([events(4)], sequence=True)
        for x in (events(4), events(3)):  # each begins with an empty membrane
            fastlif.reset(stateful)
            assert torch.equal(stateful(x, sequence=True), whole(x, sequence=True))
        if values:  # no membrane to drop
            assert torch.equal(stateful(x, sequence=True), whole(x, sequence=True))
            continue
        with pytest.raises(RuntimeError, match=r"would drop the one .* call fastlif.reset\(model\) before each call"):
            stateful(x, sequence=True)
    neuron = NoisyLIF(2, stateful=True, **QUIET)
    neuron.set_calibration(torch.zeros(1, 2), torch.tensor([[0.1, 9.0]]))  # one's own, of a membrane that is carried
    x = torch.full((2, 3), 0.1)
    assert not torch.equal(neuron(x), neuron(x))
    neuron.reset()
    first, second = neuron(x), neuron(x)
    neuron.reset()
    compiled = torch.compile(neuron, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), first) and torch.equal(compiled(x), second)


def test_too_long_a_sequence_is_refused_before_anything_runs():
    model = network()
    multi = MultiStep(nn.Sequential(LIF(stateful=True, **REFERENCE), *model), 3).calibrate([events(1)[0]])
    with pytest.raises(ValueError, match="the input's T is 4 and exceeds the 3 steps that were calibrated: calibrate"):
        multi(events(4), sequence=True)
    assert not multi.model[0].states


class Labelled(nn.Module):
    """Takes a label for each sample beside its input."""

    def __init__(self):
        super().__init__()
        self.neuron, self.classes = NoisyLIF(**QUIET), nn.Embedding(5, 6)

    def forward(self, x, labels):
        return self.neuron(x) * self.classes(labels)


@pytest.mark.parametrize(("repeat_input", "sequence", "notes"), [(False, False, 2), (True, False, 1), (False, True, 1)])
def test_a_further_argument_is_repeated_by_its_owner(repeat_input, sequence, notes):
    multi = MultiStep(Labelled(), 3, repeat_input=repeat_input)
    x, labels = events(3) if sequence else events(1)[0], torch.arange(5)
    with pytest.raises(RuntimeError, match="size of tensor") as caught:
        multi(x, labels, sequence=sequence)
    assert len(caught.value.__notes__) == notes and "give torch.cat([argument] * " in caught.value.__notes__[-1]
    with pytest.raises(RuntimeError, match="size of tensor") as caught:
        multi(x, torch.arange(4), sequence=sequence)  # no row for each sample
    assert "argument" not in "".join(getattr(caught.value, "__notes__", ()))
    if repeat_input or sequence:
        expected = multi.model.classes(labels) * MultiStep(multi.model.neuron, 3)(x, sequence=sequence)
        torch.testing.assert_close(multi(x, torch.cat([labels] * 3), sequence=sequence), expected)


class TwoInputs(nn.Module):
    """Takes two inputs, each of which reaches a neuron."""

    def __init__(self):
        super().__init__()
        self.one, self.two = (nn.Sequential(nn.Linear(size, 4), LIF(**REFERENCE)) for size in (6, 5))

    def forward(self, x, y):
        return self.one(x) + self.two(y)


def test_a_second_input_is_folded_by_its_owner():
    multi, x, y = MultiStep(TwoInputs(), 3, repeat_input=True), events(3), torch.rand(3, 5, 5)
    for first, second in ((x[0], y[0]), (x, y), (x, y[0])):
        with pytest.raises(ValueError, match="the batch [35] where 15 = timesteps") as caught:
            multi(first, second, sequence=first is x)
        (note,) = caught.value.__notes__
        assert "give torch.cat([argument] * T), or argument.flatten(0, 1) of a sequence" in note
    one, two = MultiStep(multi.model.one, 3)(x, sequence=True), MultiStep(multi.model.two, 3)(y, sequence=True)
    torch.testing.assert_close(multi(x, y.flatten(0, 1), sequence=True), one + two)
    with pytest.raises(ValueError, match="the batch 3 where 15") as caught:
        multi(x, y[:, :1], sequence=True)  # neither a row for each sample nor a sequence
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(ValueError, match="broadcasts against one time step") as caught:
        MultiStep(nn.Sequential(LIF(**REFERENCE), LIF(threshold=torch.ones(4))), 3)(x[0])
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    "name, value",
    [("alpha", 2.0), ("beta", 0.3), ("residual", "range"), ("over_time", "antithetic"), ("statistics", "sample")],
)
def test_what_is_each_neuron_s_own_is_not_set_on_the_model(name, value):
    multi = MultiStep(network(), 3)
    made_anew = rf"MultiStep\(multi\.model, timesteps, {name}=\.\.\.\) with this one's repeat_input and output"
    with pytest.raises(AttributeError, match=f"^{name} is each neuron's own.* a new {made_anew}\\. Calibrate it"):
        setattr(multi, name, value)
    own = type("Own", (MultiStep,), {})(network(), 3)
    setattr(own, name, value)  # it means something else there
    assert getattr(own, name) == value
    multi = MultiStep(multi.model, 3, **{name: value})
    assert {getattr(neuron, name) for neuron in fastlif.models.neurons(multi)} == {value}


class Tempered(nn.Module):
    def __init__(self):
        super().__init__()
        self.neuron = LIF(**REFERENCE)

    def forward(self, x, T=1.0, how=0.0, model=0.0, current=0.0):
        return self.neuron(x) / T + how + model + current


def test_a_model_s_keywords_may_have_any_name():
    multi, x = MultiStep(Tempered(), 3), events(1)[0]
    expected = multi(x) / 2 + 3
    torch.testing.assert_close(multi(x, T=2.0, how=1.0, model=1.0, current=1.0), expected)


def test_neurons_without_noise_are_shifted_by_beta():
    with pytest.warns(UserWarning, match=r"such as 1: give MultiStep\(..., beta=0\)") as caught:
        shifted = MultiStep(network(), 1)
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"such as NoisyLIF:"):
        assert MultiStep(NoisyLIF(**QUIET))(torch.tensor([[0.6]])) == 1  # which it trained with as 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MultiStep(NoisyLIF(**QUIET), 1, beta=0)(torch.tensor([[0.6]])) == 0
        for model in (network(beta=0), shifted.model, NoisyLIF(**REFERENCE), NoisyLIF(4, **QUIET), LIF()):
            MultiStep(model)


def test_an_error_about_frames_of_each_step_speaks_of_sequences():
    multi = MultiStep(nn.Sequential(nn.Conv2d(2, 3, 3), LIF(**REFERENCE)), 4)
    behind, repeating = (MultiStep(nn.Sequential(LIF(**REFERENCE), multi.model[0]), 4, repeat_input=repeat_input)
                         for repeat_input in (False, True))  # fmt: skip
    x = torch.rand(4, 3, 2, 8, 8)
    for run, spoken_of in ((lambda: multi(x), True), (lambda: multi(x[:, :, None], sequence=True), False),
                           (lambda: behind(x), False), (lambda: repeating(x), False),
                           (lambda: multi(x[0, :, :1]), False)):  # fmt: skip
        with pytest.raises(RuntimeError) as caught:
            run()
        assert any("give sequence=True" in note for note in getattr(caught.value, "__notes__", ())) == spoken_of


class Frames(nn.Module):
    """Takes 8-bit frames as they come."""

    def __init__(self):
        super().__init__()
        self.layers = network(statistics="sample")

    def forward(self, x):
        return self.layers(x.float() / 100)


@pytest.mark.parametrize(
    "model", [Frames, lambda: nn.Sequential(nn.Embedding(200, 1), nn.Flatten(), network(statistics="sample"))]
)
def test_the_input_has_the_dtype_that_its_model_takes(model):
    multi = MultiStep(model(), 4).eval()
    x = torch.randint(200, (5, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    x = x.int() if isinstance(multi.model, nn.Sequential) else x
    single = multi(x)
    torch.testing.assert_close(multi(x.expand(4, 5, 6), sequence=True), single)
    scores, steps = multi.until_confident(x, 0.999999)
    assert steps.eq(4).all()
    torch.testing.assert_close(scores, single)
    assert len(fastlif.recommend_timesteps(multi, [(x, torch.arange(5) % 4)]).accuracies) == 4
    assert multi.calibrate([x]).model is not None


@pytest.mark.full
def test_compiled_and_exported(fresh_compiler):
    multi = MultiStep(network(), 2).eval()
    compiled = torch.compile(multi, backend="aot_eager", fullgraph=True)
    for T in (3, 5, 4):
        torch.testing.assert_close(compiled(events(T), sequence=True), multi(events(T), sequence=True))
    program = torch.export.export(multi, (events(3),), {"sequence": True})
    assert torch.equal(program.module()(events(3), sequence=True), multi(events(3), sequence=True))


# --- Every step ---------------------------------------------------------------------------------------------------


def test_every_step_comes_out():
    x = events(1)[0]
    mean, steps = MultiStep(network(), 3), MultiStep(network(), 3, output="steps")
    assert steps(x).shape == (3, 5, 4) and "output='steps'" in repr(steps)
    torch.testing.assert_close(steps(x).mean(0), mean(x))
    mean.output = "steps"
    assert torch.equal(mean(x), steps(x)) and not torch.equal(steps(x)[0], steps(x)[1])
    mean.output = "mean"
    assert mean(x).shape == (5, 4)
    assert torch.equal(steps(events(6), sequence=True)[:4], steps(events(6)[:4], sequence=True))
