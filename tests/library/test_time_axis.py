"""Where time is: time-first input of any T, neurons that disagree on T, and the check for what no shape tells."""

import copy

import pytest
import torch
from helpers import QUIET, REFERENCE, seeded
from refusals import unchanged
from torch import nn

import fastlif
from fastlif import LI, LIF, MultiStep, NoisyLIF, check_time_axis

NEURONS = {
    "lif": lambda timesteps: LIF(timesteps, **REFERENCE),
    "stateful": lambda timesteps: LIF(timesteps, stateful=True, **REFERENCE),
    "noisy": lambda timesteps: NoisyLIF(timesteps, **REFERENCE),
    "sample": lambda timesteps: NoisyLIF(timesteps, statistics="sample", **REFERENCE),
}


@pytest.mark.parametrize("name", NEURONS)
def test_time_first_input_of_any_length(name):
    neuron = NEURONS[name](None)
    assert "timesteps=None" in repr(neuron)
    for T in (1, 3, 4, 1):
        x = torch.randn(T, 2, 30, requires_grad=True)
        folded = NEURONS[name](T)
        folded.states = copy.deepcopy(neuron.states)
        expected = seeded(folded, x.flatten(0, 1)).unflatten(0, (T, 2))
        actual = seeded(neuron, x)
        assert torch.equal(actual, expected) and neuron.states.keys() == folded.states.keys()
        grads = [torch.autograd.grad(y.sum(), x)[0] for y in (actual, expected)]
        assert torch.equal(*grads)


def test_a_calibrated_neuron_takes_up_to_the_steps_it_was_calibrated_for():
    neuron = MultiStep(NoisyLIF(None, **QUIET), 3).calibrate([torch.rand(5, 30)]).model
    assert neuron.timesteps == 3, "a MultiStep model is folded"
    x = torch.rand(3, 5, 30)
    expected = neuron(x.flatten(0, 1)).unflatten(0, (3, 5))
    neuron.timesteps = None
    assert torch.equal(neuron(x), expected) and torch.equal(neuron(x[:2]), expected[:2])
    assert torch.equal(neuron(x[:1]), expected[:1]), "converted, it is no single noisy step even at T = 1"
    with pytest.raises(ValueError, match="timesteps=4 exceeds the 3 steps that were calibrated"):
        neuron(torch.rand(4, 5, 30))


def test_a_stateful_time_first_neuron_carries_its_membrane_over_single_steps():
    x = torch.rand(4, 5, 30)
    neuron = NoisyLIF(None, statistics="sample", stateful=True, **QUIET)
    whole = fastlif.functional.noisy_lif(x, statistics="sample", **QUIET)
    assert torch.equal(torch.cat([neuron(step[None]) for step in x]), whole)


@pytest.mark.parametrize("timesteps", [2, None])
def test_neurons_of_a_multistep_model_agree_on_its_timesteps(timesteps):
    multi = MultiStep(nn.Sequential(LIF(**REFERENCE), LIF(**REFERENCE)), 4)
    multi.model[1].timesteps = timesteps
    with pytest.raises(ValueError, match=rf"timesteps={timesteps} was called in .*timesteps=4: set the time"):
        multi(torch.randn(4, 3))


# --- check_time_axis ----------------------------------------------------------------------------------------------


def layers(*timesteps, neuron=LIF):
    torch.manual_seed(0)
    parts = [(nn.Linear(5, 5), nn.BatchNorm1d(5), neuron(T, **REFERENCE)) for T in timesteps]
    return nn.Sequential(*(module for part in parts for module in part))


def repeated(model, x):
    return model(x.repeat(4, 1)).unflatten(0, (4, -1)).mean(0)


def batch_first(model, x):
    return model(x.flatten(0, 1)).unflatten(0, x.shape[:2])


time_first = batch_first  # the same code: only the data tell


def batch_first_mended(model, x):
    return time_first(model, x.transpose(0, 1)).mean(0)


class Net(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.neuron, self.shape = LIF(decay=0.9, **REFERENCE), shape

    def forward(self, x):
        return self.shape(self.neuron(x), len(x), self.neuron)


class Positions(nn.Module):
    """Adds what a small network makes of a table."""

    def __init__(self, learned=False, shape=(16, 5), timesteps=1):
        super().__init__()
        self.table, self.shape = nn.Parameter(torch.rand(1, 5) if learned else torch.rand(shape)), shape
        self.network = nn.Sequential(nn.Linear(5, 1), NoisyLIF(timesteps, **REFERENCE))

    def forward(self, x):
        return x + self.network(self.table.expand(self.shape)).mean()


class WithTime(nn.Module):
    """Adds what a small network makes of a number for each sample, as diffusion models do."""

    def __init__(self):
        super().__init__()
        self.time, self.last = nn.Sequential(nn.Linear(1, 5), NoisyLIF(**REFERENCE)), NoisyLIF(**REFERENCE)

    def forward(self, x, time):
        return self.last(x + self.time(time))


class TokensBeside(nn.Module):
    """Adds what a stateful neuron makes of two learned tokens to each step."""

    def __init__(self):
        super().__init__()
        self.tokens, self.neuron = nn.Parameter(torch.rand(1, 2, 5)), LIF(stateful=True, **REFERENCE)

    def forward(self, x):
        return x + self.neuron(self.tokens).mean(dim=1)


class Feedback(nn.Module):
    """A step of a network that takes its own spikes back, of which there are none at first."""

    def __init__(self):
        super().__init__()
        self.layer, self.neuron = nn.Linear(5, 5, bias=False), NoisyLIF(**REFERENCE)

    def forward(self, x):
        return x + self.neuron(self.layer(torch.zeros_like(x)))


class FedBack(nn.Module):
    """A loop in which only the neuron of the feedback has no memory, and at first nothing to take."""

    def __init__(self):
        super().__init__()
        self.neuron, self.feedback = LIF(stateful=True, **REFERENCE), LIF(**REFERENCE)

    def forward(self, x):
        outputs = [torch.zeros_like(x[0])]
        for step in x:
            outputs.append(self.neuron(step + self.feedback(outputs[-1])))
        return torch.stack(outputs[1:])


def views(spikes, batch, neuron):
    """Two views of each sample, one behind the other in the batch."""
    return sum(neuron(torch.cat([spikes, 2 * spikes])).chunk(2))


def mixed(spikes, batch, neuron):
    """Shaped by the input's batch, and again as it was."""
    spikes = spikes.view(batch, -1, 5)
    return (spikes + spikes.mean(1, keepdim=True)).reshape(-1, 5)


def step_by_step(model, x):
    return torch.stack([model(step) for step in x])


def mean_of_steps(model, x):
    return step_by_step(model, x).mean(0)


def in_pairs(model, x):
    """One step of the model for two of the data: their mean."""
    return model(x.unflatten(0, (2, 2)).mean(1).flatten(0, 1))


def every_second(model, x):
    return model(x[::2].flatten(0, 1))


def every_second_in_patches(model, x):
    """``[2, patches, N, features]`` of ``[4, N, 2 * features]``, folded."""
    return model(x[::2].unflatten(2, (2, 2)).transpose(1, 2).flatten(0, 2))


def in_pieces(model, x):
    return torch.cat([model(piece.flatten(0, 1)) for piece in x.split(2)])


def as_images(model, x):
    """Two steps of the model for one of the data, which knows of no other."""
    return model(x.flatten(0, 1).repeat(2, 1)).unflatten(0, (2, *x.shape[:2])).mean(0)


def rolling(model, x):
    return torch.stack([model(step.roll(t, 0)).roll(-t, 0) for t, step in enumerate(x)])


def stateful():
    return nn.Sequential(nn.Linear(5, 5), LIF(stateful=True, **REFERENCE))


STATIC, STEPS = torch.randn(4, 5), torch.randn(4, 4, 5)
FAR_AND_NEAR = torch.tensor([9.0, 1.2])[:, None, None].expand(2, 2, 5)  # samples far from the threshold, and near it
TIMES = torch.arange(len(STATIC))[:, None].float()
RIGHT = {
    "repeated": lambda: check_time_axis(layers(4, 4), STATIC, call=repeated),
    "folded": lambda: check_time_axis(layers(4, 4), STEPS.flatten(0, 1), timesteps=4),
    "time first": lambda: check_time_axis(layers(4, 4), STEPS, batch_dim=1, call=time_first),
    "time first for all": lambda: check_time_axis(LIF(None, **REFERENCE), STEPS, batch_dim=1),
    "batch first, transposed": lambda: check_time_axis(layers(4, 4), STEPS, call=batch_first_mended),
    "MultiStep": lambda: check_time_axis(MultiStep(layers(1, 1, neuron=NoisyLIF), 4), STATIC),
    "two of MultiStep": lambda: check_time_axis(
        nn.Sequential(MultiStep(layers(1, neuron=NoisyLIF), 2), MultiStep(layers(1, neuron=NoisyLIF), 4)), STATIC
    ),
    "single step": lambda: check_time_axis(layers(1, 1, neuron=NoisyLIF), STATIC),
    "one step a call": lambda: check_time_axis(stateful(), STEPS, batch_dim=1, call=step_by_step),
    "spikes at every step": lambda: check_time_axis(
        LIF(None, detach_reset=True, **REFERENCE), STEPS.abs() + 2, batch_dim=1
    ),
    "a single noisy step a call": lambda: check_time_axis(
        layers(1, neuron=NoisyLIF), STEPS, batch_dim=1, call=step_by_step
    ),
    "a learned token": lambda: check_time_axis(nn.Sequential(Positions(learned=True)), STATIC),
    "a learned token at the only step": lambda: check_time_axis(
        Positions(learned=True, shape=(1, 4, 5), timesteps=None), STATIC
    ),
    "a learned token by itself": lambda: check_time_axis(Positions(learned=True, shape=(1, 1, 5)), STATIC),
    "a feedback that begins with zeros": lambda: check_time_axis(
        MultiStep(nn.Sequential(NoisyLIF(**REFERENCE), Feedback()), 4), STATIC
    ),
    "a surrogate that is 0 at every membrane": lambda: check_time_axis(
        LIF(4, surrogate="rectangular", threshold=9.0, **REFERENCE), STEPS.flatten(0, 1), timesteps=4
    ),
    "fewer steps than in the data": lambda: check_time_axis(layers(2), STEPS, batch_dim=1, call=in_pairs),
    "every second step, of two features": lambda: check_time_axis(
        LIF(2, **REFERENCE), STEPS[:, :2, :2], batch_dim=1, call=every_second
    ),
    "every second step, in two patches": lambda: check_time_axis(
        LIF(2, **REFERENCE), STEPS[:, :3, :4], batch_dim=1, call=every_second_in_patches
    ),
    "steps in pieces": lambda: check_time_axis(LIF(2, stateful=True, **REFERENCE), STEPS, batch_dim=1, call=in_pieces),
    "each step an image, repeated": lambda: check_time_axis(layers(2), STEPS, batch_dim=1, call=as_images),
    "each step an image of a MultiStep": lambda: check_time_axis(
        MultiStep(layers(1), 2), STEPS, batch_dim=1, call=batch_first
    ),
    "each step an image of a MultiStep of one step": lambda: check_time_axis(
        MultiStep(layers(1, neuron=NoisyLIF), 1), STEPS, batch_dim=1, call=mean_of_steps
    ),
    "a sequence to a MultiStep of one step": lambda: check_time_axis(
        MultiStep(layers(1), 1, output="steps"), STEPS, batch_dim=1, call=lambda model, x: model(x, sequence=True)
    ),
    "one noisy step a call, and the mean": lambda: check_time_axis(
        layers(1, neuron=NoisyLIF), STEPS, batch_dim=1, call=mean_of_steps
    ),
    "one step a call, and the mean": lambda: check_time_axis(stateful(), STEPS, batch_dim=1, call=mean_of_steps),
    "a single step after the mean": lambda: check_time_axis(
        layers(1), STEPS, batch_dim=1, call=lambda model, x: model(x.mean(0))
    ),
    "decay=0 in one step a call": lambda: check_time_axis(
        LIF(decay=0.0, **REFERENCE), STEPS, batch_dim=1, call=step_by_step
    ),
    "a stateful neuron that is called on learned tokens": lambda: check_time_axis(TokensBeside(), STEPS, batch_dim=1),
    "a time that goes in beside the input": lambda: check_time_axis(
        WithTime(), STATIC, call=lambda model, x: model(x, TIMES)
    ),
    "such a time in a MultiStep": lambda: check_time_axis(
        MultiStep(WithTime(), 4, repeat_input=True), STATIC, call=lambda multi, x: multi(x, TIMES.repeat(4, 1))
    ),
    "an input that is changed in place": lambda: check_time_axis(
        nn.Sequential(nn.Hardtanh(inplace=True), *layers(1, neuron=NoisyLIF)), STATIC
    ),
    "decay=0, which remembers nothing": lambda: check_time_axis(LIF(None, decay=0.0, **REFERENCE), STEPS, batch_dim=1),
}
WRONG = {
    "a batch that is not repeated": (
        r"row \d of the output depends on the samples \[0, 1.*samples for time steps.*x.repeat\(T, 1",
        lambda: check_time_axis(layers(4, 4), STATIC)),
    "batch first": (
        r"depends on the samples \[.*samples for time steps.*transpose\(0, 1\)",
        lambda: check_time_axis(layers(4, 4), STEPS, call=batch_first)),
    "batch first, with a surrogate that is 0 at the first sample's membranes": (
        r"depends on the samples \[0, 1",
        lambda: check_time_axis(LIF(2, surrogate="rectangular", **REFERENCE), FAR_AND_NEAR, call=batch_first)),
    "neurons that disagree": (
        "must agree on timesteps: 2 has timesteps=4, 5 has timesteps=2",
        lambda: check_time_axis(layers(4, 2), STEPS.flatten(0, 1), timesteps=4)),
    "a later step first": (
        r"of time step 0, depends on the time steps \[.*reaches an earlier one",
        lambda: check_time_axis(layers(4), STEPS, batch_dim=1, call=lambda model, x: time_first(model, x.flip(0)))),
    "a batch for time": (
        r"depends on the samples \[", lambda: check_time_axis(LIF(None, **REFERENCE), STEPS.transpose(0, 1))),
    "samples that change their places from step to step": (
        "depends on the samples", lambda: check_time_axis(stateful(), STEPS, batch_dim=1, call=rolling)),
    "neurons without a memory": (
        "2 remembers nothing from step to step.*stateful=True",
        lambda: check_time_axis(layers(1), STEPS, batch_dim=1, call=step_by_step)),
    "a mean of neurons without a memory": (
        "2 remembers nothing from step to step.*stateful=True",
        lambda: check_time_axis(layers(1), STEPS, batch_dim=1, call=mean_of_steps)),
    "a mean of a folded batch without a time axis": (
        "2 remembers nothing from step to step.*timesteps=T, or None",
        lambda: check_time_axis(layers(1), STEPS, batch_dim=1, call=lambda model, x: time_first(model, x).mean(0))),
    "a stateful neuron that gets all steps in one call": (
        "1 remembers nothing from step to step: it gets all steps in one call",
        lambda: check_time_axis(stateful(), STEPS.flatten(0, 1), timesteps=4)),
    "a fed-back neuron without a memory": (
        "feedback remembers nothing from step to step", lambda: check_time_axis(FedBack(), STEPS, batch_dim=1)),
    "another T than the data's": (
        "2 has timesteps=2, gets the 4 time steps .* set timesteps=4, or None",
        lambda: check_time_axis(layers(2), STEPS.flatten(0, 1), timesteps=4)),
    "another T than the data's, and the mean": (
        "2 has timesteps=2, gets the 4 time steps .* set timesteps=4, or None",
        lambda: check_time_axis(layers(2), STEPS, batch_dim=1, call=lambda model, x: time_first(model, x).mean(0))),
    "another T behind a time-first neuron": (
        "1 has timesteps=2, gets the 4 time steps .* set timesteps=4, or None",
        lambda: check_time_axis(
            nn.Sequential(LIF(None, **REFERENCE), LI(2)), STEPS[:, :3], batch_dim=1)),
    "all steps at once without a time axis": (
        "1 remembers nothing from step to step.*timesteps=T, or None",
        lambda: check_time_axis(nn.Sequential(nn.Linear(5, 5), LIF(**REFERENCE)), STEPS, batch_dim=1)),
    "views in the batch of a MultiStep": (
        "depends on the time steps", lambda: check_time_axis(MultiStep(Net(views), 4), STATIC)),
    "a MultiStep model that shapes by the input's batch": (
        "depends on the samples", lambda: check_time_axis(MultiStep(Net(mixed), 4), STATIC)),
    "a table, and no batch": (
        r"^0.network.1 is called with what does not.*convert takes: {'0.network.1': None",
        lambda: check_time_axis(nn.Sequential(Positions()), STATIC)),
    "a table of one row": (
        r"^0.network.1 is called with what does not",
        lambda: check_time_axis(nn.Sequential(Positions(shape=(1, 4, 4, 5))), STATIC)),
    "a table in a MultiStep": (
        r"^1.network.1 is called with what does not",
        lambda: check_time_axis(MultiStep(nn.Sequential(NoisyLIF(**REFERENCE), Positions()), 4), STATIC)),
    "no gradient": (
        "no gradient reaches the input",
        lambda: check_time_axis(layers(4), STATIC, call=lambda model, x: model(x.detach()))),
    "one sample": ("at least two samples", lambda: check_time_axis(layers(4), STATIC, timesteps=4)),
    "batch_dim": ("batch_dim must be 0, or 1 for", lambda: check_time_axis(layers(4), STATIC, batch_dim=2)),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_the_check_passes(name):
    RIGHT[name]()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_check_takes_gradients_where_none_are_wanted(mode):
    model = layers(4)
    with mode():
        check_time_axis(model, STEPS.flatten(0, 1).clone(), timesteps=4)


@pytest.mark.parametrize("name", WRONG)
def test_the_check_finds(name):
    message, check = WRONG[name]
    with pytest.raises(ValueError, match=message):
        check()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"batch_dim": True}, "batch_dim must be an integer, got bool"),
    ({"call": 3}, "call must be a function of the model and the input, got int"),
])  # fmt: skip
def test_the_check_refuses_arguments_of_other_types(arguments, message):
    with pytest.raises(TypeError, match=message):
        check_time_axis(layers(4), STEPS, **arguments)


def test_the_check_leaves_the_model_alone():
    model = layers(4).train()
    with unchanged(model):
        check_time_axis(model, STEPS.flatten(0, 1), timesteps=4)
    assert all(parameter.grad is None for parameter in model.parameters())
