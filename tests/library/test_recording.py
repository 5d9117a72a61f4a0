"""Recording: spikes, the membranes that belong to them, rates and the table; and that it leaves no trace."""

import copy
import functools

import pytest
import torch
from helpers import DEVICE, REFERENCE, TIE, literal_membranes, sample, seeded
from refusals import unchanged
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import fastlif
from fastlif import LIF, MultiStep, Noise, NoisyLIF, functional
from fastlif.recording.log import READ_OUT

T, N, FEATURES = 4, 3, 40
CALIBRATED = torch.tensor([0.0, 0.2, 0.25, 0.3]), torch.tensor([0.5, 0.6, 0.7, 0.65])

# A neuron, in its keywords, and what it is in those of literal_membranes beside decay, threshold and reset.
CASES = {
    "LIF": (LIF, {}, {}),
    "LIF, soft reset": (LIF, {"reset": None, "decay": 0.8, "threshold": 0.7}, {}),
    "LIF, reset below 0": (LIF, {"reset": -0.3, "stateful": True}, {}),
    "single step": (NoisyLIF, {"timesteps": 1}, {"alpha": None}),
    "single step, uniform": (NoisyLIF, {"timesteps": 1, "noise": Noise("uniform", -1, 1)}, {"alpha": None}),
    "layer": (NoisyLIF, {"reset": -0.3}, {}),
    "sample": (NoisyLIF, {"statistics": "sample", "noise": Noise("uniform")}, {}),
    "soft reset": (NoisyLIF, {"reset": None, "threshold": 0.8, "decay": 0.9}, {}),
    "without noise": (NoisyLIF, {"noise": Noise("none")}, {}),
    "antithetic": (NoisyLIF, {"over_time": "antithetic"}, {}),
    "stateful": (NoisyLIF, {"stateful": True}, {}),
    "calibrated": (NoisyLIF, {}, {"statistics": CALIBRATED}),
    "any T": (NoisyLIF, {"timesteps": None}, {}),
}
COMPILED = ("LIF", "LIF, reset below 0", "single step", "layer", "sample", "antithetic", "calibrated")
RUNS = [*((name, "reference") for name in CASES), *((name, "compiled") for name in COMPILED), ("calibrated", "triton")]


@pytest.mark.parametrize("name, backend", RUNS)
def test_membranes_are_those_of_the_spikes(name, backend):
    kind, keywords, more = CASES[name]
    neuron = kind(**({"timesteps": T} | keywords), backend=backend).to(DEVICE)
    if "statistics" in more:
        neuron.set_calibration(*(value[None] for value in CALIBRATED))
    equation = {"decay": neuron.decay, "threshold": neuron.threshold, "reset": neuron.reset_to}
    if kind is NoisyLIF:
        equation |= {"alpha": neuron.alpha, "noise": neuron.noise, "statistics": neuron.statistics,
                     "over_time": neuron.over_time} | more  # fmt: skip
    for call in range(2):
        x = sample((neuron.timesteps or T, N, FEATURES), seed=call)
        state, recorded = neuron.states.get(0), {}
        for which in ("before", "after"):
            neuron.states = {} if state is None else {0: state}
            torch.manual_seed(call)
            with fastlif.record(neuron, membrane=which) as log:
                output = neuron(x if neuron.timesteps is None else x.flatten(0, 1))
            entry = type(neuron).__name__
            assert log.names == [entry]
            assert torch.equal(log.spikes[entry], output.view(x.shape))
            recorded[which] = log.membrane[entry]
        spikes, h, v = log.spikes[entry], recorded["before"], recorded["after"]
        assert h.dtype == v.dtype == torch.float32 and 0.05 < float(spikes.mean()) < 0.95
        assert torch.equal(h > neuron.threshold, spikes > 0)
        reset = h - neuron.threshold * spikes if neuron.reset_to is None else torch.full_like(h, neuron.reset_to)
        assert torch.equal(v, torch.where(spikes > 0, reset, h))
        if neuron.stateful:
            torch.testing.assert_close(v[-1], neuron.states[0], rtol=0, atol=TIE)
        torch.manual_seed(call)
        seed = int(functional.fresh_seed(x.device))
        expected = literal_membranes(x, **equation, seed=seed, initial_state=state)
        torch.testing.assert_close(h.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [LIF, functools.partial(LIF, reset_delay=True), NoisyLIF])
def test_membranes_of_16_bits_are_those_of_32(make):
    neuron, x = make(None, reset=None, threshold=0.7, **REFERENCE), sample((T, N, FEATURES)).bfloat16()
    recorded = []
    for input in (x, x.float()):
        torch.manual_seed(0)
        with fastlif.record(neuron, membrane="before") as log:
            assert neuron(input).any()
        recorded.append(log.membrane[type(neuron).__name__])
    assert torch.equal(*recorded)


def test_membranes_of_a_batch_that_is_not_outermost():
    neuron = NoisyLIF(2, statistics="sample", **REFERENCE)
    x = torch.randn(5, 12).T + 0.5  # [2*6, 5], the features outermost
    with fastlif.record(neuron, membrane="before") as log:
        neuron(x)
    assert torch.equal(log.membrane["NoisyLIF"] > 1, log.spikes["NoisyLIF"] > 0)


def shared_model():
    """One neuron for two layers."""
    neuron = LIF(1, **REFERENCE)
    return nn.Sequential(nn.Linear(6, 5), neuron, nn.Linear(5, 5), neuron, nn.Linear(5, 2))


def test_calls_of_a_shared_neuron_and_static_input():
    torch.manual_seed(1)
    model = fastlif.convert(nn.Sequential(nn.Linear(6, 5), relu := nn.ReLU(), nn.Linear(5, 5), relu), **REFERENCE)
    multi = MultiStep(model, T).calibrate([torch.rand(4, 6) * 4])
    x = torch.rand(4, 6) * 4
    with fastlif.record(multi, membrane="before") as log:
        scores = multi(x)
    assert log.names == ["model.1", "model.1#1"]
    for name in log.names:
        assert log.spikes[name].shape == log.membrane[name].shape == (T, 4, 5)
        assert torch.equal(log.membrane[name] > 1, log.spikes[name] > 0)
    assert torch.equal(scores, log.spikes["model.1#1"].mean(0))


def test_forwards_follow_one_another_in_time():
    torch.manual_seed(0)
    neuron = LIF(1, stateful=True, decay=0.9, **REFERENCE)
    model = nn.Sequential(nn.Identity(), neuron)
    x = torch.rand(6, N, 5)
    with fastlif.record(model, membrane="before") as log:
        for step in x:
            model(step)
    assert torch.equal(log.spikes["1"], functional.lif(x, decay=0.9, **REFERENCE))
    assert log.membrane["1"].shape == x.shape
    with fastlif.record(model) as log:
        fastlif.reset(model)
        model(x[0]), fastlif.reset(model), model(x[0, :2])
    assert log.table().rows[0].silent + log.table().rows[0].saturated <= 5  # which need no common batch
    with pytest.raises(ValueError, match=r"steps of several shapes, .*\(3, 5\)"):
        log.spikes["1"]
    with fastlif.record(model) as log:
        fastlif.reset(model)
        model(x[0]), fastlif.reset(model), model(x[0, :, :1])
    for read in (log.table, lambda: log.rates("unit")):
        with pytest.raises(ValueError, match="steps of several shapes, .*cannot share their units: record each"):
            read()


def test_rates_and_the_table_by_hand():
    first, second = LIF(2, decay=0.0, **REFERENCE), LIF(2, **REFERENCE)
    model = nn.Sequential(nn.Linear(2, 3, bias=False), first, nn.Linear(3, 4), second, nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]))
        model[2].weight.zero_(), model[2].bias.copy_(torch.tensor([2.0, 0.0, 0.0, 2.0]))
    x = torch.tensor([[[1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]])  # two steps, two samples
    with fastlif.record(model) as log:
        model(x.flatten(0, 1)), model(x.flatten(0, 1))
    assert log.rates() == {"1": 7 / 12, "3": 0.5}
    assert torch.equal(log.rates(per="unit")["1"], torch.tensor([3 / 4, 1 / 4, 3 / 4]))
    assert torch.equal(log.rates(per="unit")["3"], torch.tensor([1.0, 0.0, 0.0, 1.0]))
    first, second, last = log.table().rows
    assert first == ("1", 7 / 12, 3, 0, 0, 2 * 4 * 3 / 2, 4 * 3 * 4, 2 * 3 * 4)  # an analogue input meets all weights
    assert second == ("3", 0.5, 4, 2, 2, 7 * 4 / 2, 4 * 4 * 4, 2 * 4 * 4)
    assert last == (READ_OUT, None, None, None, None, 8 * 2 / 2, None, None)
    lines = str(log.table()).splitlines()
    assert repr(log.table()).splitlines() == lines  # at Python's prompt
    assert lines[3].split() == ["3", "0.5000", "4", "2", "2", "14", "0.1", "0.0"] and "(read-out)" in lines[4]
    with fastlif.record(model, spikes=False) as log:
        model(x.flatten(0, 1))
    assert log.table().rows == [("1", 7 / 12, 3, None, None, None, 48, 24), ("3", 0.5, 4, None, None, None, 64, 32)]


def test_rates_of_many_spikes_count_every_one():
    """Beyond 2**24 float32 does not tell n from n + 1."""
    neuron = LIF(1, threshold=0.5, **REFERENCE)
    with fastlif.record(neuron) as log:
        for samples in (1 << 24, 1, 1, 1):
            neuron(torch.ones(samples, 1))
    assert log.rates() == {"LIF": 1.0} and log.rates(per="unit")["LIF"].tolist() == [1.0]


class Operators(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.called.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_rates_alone_are_one_reduction():
    model, x = shared_model(), torch.rand(3, 6) * 4
    with torch.no_grad(), Operators() as plain:
        model(x)
    with torch.no_grad(), fastlif.record(model, spikes=False) as log, Operators() as recorded:
        model(x)
    for name in plain.called:
        recorded.called.remove(name)
    views = ("detach", "view", "alias", "unflatten")
    assert [name for name in recorded.called if name not in views] == ["sum", "add"] * 2
    assert not any(entry.spikes or entry.membranes or entry.layers for entry in log._entries.values())


def test_nothing_is_left_behind():
    model, x, other = shared_model(), torch.zeros(3, 6), torch.zeros(3, 5)
    with unchanged(model):
        with fastlif.record(model, membrane="after"):
            model(x)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), fastlif.record(model, membrane="after"):
            model(other)
    with fastlif.record(model):  # and it is not thought to be recorded still
        model(x)


def test_nothing_is_drawn_gradients_pass_and_the_log_has_none():
    model = fastlif.convert(nn.Sequential(nn.Linear(6, 5), nn.ReLU()), **REFERENCE)
    x = torch.rand(50, 6, requires_grad=True)

    def run():
        spikes = model(x)
        return spikes, *torch.autograd.grad(spikes.sum(), x), torch.rand(1)

    expected = seeded(run)
    with fastlif.record(model, membrane="before") as log:
        assert all(map(torch.equal, seeded(run), expected))
    assert not any(tape["1"].requires_grad for tape in (log.spikes, log.membrane))


def test_a_change_in_place_after_the_neuron():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.neuron = LIF(**REFERENCE)

        def forward(self, x):
            return self.neuron(x).mul_(7)

    model, x = Residual(), torch.rand(3, 6) * 2
    with torch.no_grad(), fastlif.record(model) as log:
        output = model(x)
    assert torch.equal(log.spikes["neuron"][0] * 7, output)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_what_a_checkpoint_computes_again_is_not_recorded_again(use_reentrant):
    model, x = shared_model(), (torch.rand(3, 6) * 4).requires_grad_()
    part = nn.Sequential(*model[:2])
    with fastlif.record(model, membrane="after") as log:
        model[2:](checkpoint(part, x, use_reentrant=use_reentrant)).sum().backward()
    assert log.names == ["1", "1#1"] and all(len(spikes) == 1 for spikes in log.spikes.values())


def test_a_copy_made_meanwhile_is_not_recorded():
    model = shared_model()
    with fastlif.record(model) as log:
        copy.deepcopy(model)(torch.rand(3, 6))
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        log.rates()


@pytest.mark.parametrize("neuron", [NoisyLIF, LIF])
def test_fused_pairs(neuron):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), neuron())
    fused, x = fastlif.fuse(model), torch.randn(64, 6)
    expected = seeded(fused, x)
    with fastlif.record(fused, membrane="before") as log:
        seeded(fused, x)
    assert torch.equal(log.spikes["2"][0], expected)
    assert torch.equal(log.membrane["2"][0] > 1, expected > 0)


def test_a_part_and_another_model_in_one_with():
    first, second, x = shared_model(), shared_model(), torch.rand(3, 6)
    with fastlif.record(first) as log, fastlif.record(second) as other:
        first(x), second(x), second(x)
        for model, name in ((first, "1"), (first[1], "the model"), (nn.Sequential(first), "0.1")):
            with pytest.raises(RuntimeError, match=f"^{name} is being recorded already"), fastlif.record(model):
                pass
    assert len(log.spikes["1"]) == 1 and len(other.spikes["1"]) == 2


def test_compiled_code_is_refused_or_said_to_be_missing():
    model, x = shared_model(), torch.rand(3, 6)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    with fastlif.record(model) as log:
        compiled(x)
    with pytest.raises(RuntimeError, match="not what torch.compile made of it"):
        log.table()
    model = model[:3]
    with pytest.raises(RuntimeError, match="cannot be recorded"), fastlif.record(model):
        torch.export.export(model, (x,))
    with pytest.raises(RuntimeError, match="cannot be recorded"), fastlif.record(model):
        torch.vmap(model)(x[:, None])


def test_a_pass_has_steps_of_its_own():
    """Of a sequence, of steps that are asked for, and of samples that stop early, whatever the model's T."""
    multi = fastlif.MultiStep(nn.Sequential(nn.Linear(3, 4), fastlif.LIF(backend="reference")), timesteps=10).eval()
    with fastlif.record(multi, membrane="before") as log:
        multi(torch.randn(5, 4, 3), sequence=True)
    assert log.spikes["model.1"].shape == log.membrane["model.1"].shape == (5, 4, 4)
    with fastlif.record(multi, spikes=False) as log:
        multi.until_confident(torch.randn(16, 3), 0.9)
    assert log.rates()
    with pytest.raises(RuntimeError, match="until_confident drops samples on the way"):
        with fastlif.record(multi, membrane="after"):
            multi.until_confident(torch.randn(16, 3), 0.9)
