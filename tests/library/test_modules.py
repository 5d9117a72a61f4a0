"""The modules between the plain layers of a model: folding, state, copies."""

import copy
import inspect
import math
import pickle

import pytest
import torch
from helpers import REFERENCE, seeded
from torch import nn

import fastlif
from fastlif import LIF, Noise, NoisyLIF, functional


def test_noisy_lif_is_single_step_until_converted():
    x, neuron = torch.randn(6, 5000), NoisyLIF(**REFERENCE)
    assert torch.equal(seeded(neuron, x), seeded(functional.noisy_spike, x, **REFERENCE))
    one, three = fastlif.MultiStep(neuron, timesteps=1), NoisyLIF(timesteps=3, **REFERENCE)
    assert torch.equal(seeded(one, x), seeded(functional.noisy_lif, x[None], **REFERENCE)[0])
    steps = seeded(functional.noisy_lif, x.unflatten(0, (3, 2)), **REFERENCE)
    assert torch.equal(seeded(three, x), steps.flatten(0, 1))


def test_stateful_carries_the_membrane():
    x = torch.randn(6, 3, 50)
    whole = functional.lif(x, **REFERENCE)
    neuron = LIF(timesteps=2, stateful=True, **REFERENCE)
    halves = [neuron(part.flatten(0, 1)).unflatten(0, (2, 3)) for part in x.split(2)]
    assert torch.equal(torch.cat(halves), whole)
    fastlif.reset(nn.Sequential(neuron))
    assert torch.equal(neuron(x[:2].flatten(0, 1)).unflatten(0, (2, 3)), whole[:2])


@pytest.mark.parametrize("neuron", [LIF, NoisyLIF])
def test_the_membrane_is_carried_detached(neuron):
    neuron, x = neuron(timesteps=2, stateful=True, **REFERENCE), torch.rand(4, 5, requires_grad=True)
    for _ in range(2):
        neuron(x).sum().backward()
    assert not neuron.states[0].requires_grad


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("neuron", [LIF, NoisyLIF])
def test_a_cuda_graph_reads_the_membrane_where_it_writes_it(neuron, inference, monkeypatch):
    """Without gradients. With them a backward needs the membrane that was."""
    neuron, x = neuron(timesteps=2, stateful=True, **REFERENCE), torch.rand(4, 5)
    with torch.inference_mode(inference):
        neuron(x)
    monkeypatch.setattr("fastlif.neuron.capturing", lambda tensor: True)
    first = neuron.states[0]
    before = first.clone()
    neuron(x)
    assert neuron.states[0] is first and not torch.equal(first, before)
    neuron(x.requires_grad_()).sum().backward()
    assert neuron.states[0] is not first


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda neuron: pickle.loads(pickle.dumps(neuron))],
                         ids=["copy", "pickle"])  # fmt: skip
def test_a_copy_of_a_compiled_neuron_computes_by_itself(copied, fresh_compiler):
    neuron, x = LIF(timesteps=2, **REFERENCE), torch.rand(4, 5) / 8
    neuron.compile(backend="eager")
    other = copied(neuron)
    other.threshold = -1.0
    assert not neuron(x).any() and other(x).all()


def test_half_keeps_the_membrane_in_float32():
    neuron = LIF(timesteps=2, stateful=True, **REFERENCE)
    neuron(torch.randn(4, 5))
    neuron.half()
    assert neuron.states[0].dtype == torch.float32
    assert neuron(torch.randn(4, 5).half()).dtype == torch.float16


SETTINGS = {
    "timesteps": 4, "decay": 0.25, "threshold": 0.5, "reset": None, "alpha": 8.0, "beta": 0.25,
    "noise": Noise("uniform", width=3), "residual": "range", "over_time": "antithetic",
    "statistics": "sample", "surrogate": fastlif.Surrogate("atan", 3.0, at="mean"), "detach_reset": True,
    "gain": 1.5, "rest": 0.125, "inclusive": True, "reset_delay": True, "stateful": True, "detach_state": False,
    "backend": "reference",
}  # fmt: skip


@pytest.mark.parametrize("neuron", [LIF, NoisyLIF])
def test_repr_tells_the_whole_neuron(neuron):
    assert repr(neuron()) == f"{neuron.__name__}(timesteps=1, decay=0.5, threshold=1.0, reset=0.0)"
    arguments = inspect.signature(neuron).parameters
    assert set(arguments) - {"tau"} <= set(SETTINGS)
    settings = {name: value for name, value in SETTINGS.items() if name in arguments}
    text = repr(neuron(**settings))
    for name, value in settings.items():
        assert f"{name}={value!r}" in text
    assert repr(eval(text, vars(fastlif))) == text


def test_reset_is_what_others_call_it():
    neuron = LIF(timesteps=2, reset=0.25, stateful=True, **REFERENCE)
    x = torch.rand(40, 50) * 2
    first = neuron(x)
    assert neuron.states[0].any()
    neuron.reset()
    assert not neuron.states and torch.equal(neuron(x), first)
    neuron.reset_to = None
    neuron.reset()
    soft = functional.lif(x.unflatten(0, (2, 20)), reset=None, **REFERENCE)
    assert torch.equal(neuron(x), soft.flatten(0, 1)) and not torch.equal(soft.flatten(0, 1), first)


def test_tau_is_another_word_for_the_decay():
    neuron = LIF(tau=4.0)
    assert neuron.tau == 4 and fastlif.IF().tau == math.inf
    neuron.tau = 10.0
    assert neuron.decay == 0.9 and neuron.tau == pytest.approx(10)


@pytest.mark.parametrize("kind", [LIF, NoisyLIF, fastlif.IF, fastlif.LI, fastlif.ParametricLIF])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda neuron: pickle.loads(pickle.dumps(neuron))], ids=["copy", "pickle"]
)
def test_every_kind_of_neuron_is_copied_with_its_membrane(kind, copied):
    """Without the graph that it may have."""
    backend = {} if kind is fastlif.LI else REFERENCE
    neuron = kind(timesteps=2, stateful=True, detach_state=False, **backend)
    if kind is NoisyLIF:
        neuron.convert()
    neuron(torch.rand(6, 5, requires_grad=True))
    other = copied(neuron)
    assert type(other) is kind and repr(other) == repr(neuron)
    assert torch.equal(other.states[0], neuron.states[0]) and other.states[0] is not neuron.states[0]
    assert neuron.states[0].requires_grad and not other.states[0].requires_grad


def test_hooks_of_a_model_that_0_1_0_saved_are_found():
    for name, now in (("_begin_pass", fastlif.passes.begin_pass), ("_end_pass", fastlif.passes.end_pass)):
        assert pickle.loads(f"cfastlif.modules\n{name}\n.".encode()) is now


@pytest.mark.parametrize("missing", ["over_time", "residual", "needs_pass", "states", "running"])
def test_a_pickle_of_an_older_version(missing):
    """It lacks an attribute that came later, and computes what it computed."""
    old, whole = (NoisyLIF(3, residual="range", threshold=0.8, backend="reference") for _ in range(2))
    del vars(old)[missing]
    loaded, x = pickle.loads(pickle.dumps(old)), torch.rand(6, 5)
    assert getattr(loaded, missing) == getattr(whole, missing) and torch.equal(seeded(loaded, x), seeded(whole, x))


def test_a_pickle_s_parameter_is_not_hidden_by_a_default():
    neuron = LIF()
    del neuron.threshold
    neuron.threshold = torch.nn.Parameter(torch.tensor(0.7))
    loaded = pickle.loads(pickle.dumps(neuron))
    assert isinstance(loaded.threshold, torch.nn.Parameter) and not hasattr(loaded, "residual")


def test_statistics_that_lie_apart_are_gathered():
    """The fast backends read them from their address on."""
    apart, spikes, x = torch.rand(2, 1, 8).add_(0.1)[:, :, ::2], [], torch.randn(8, 30)
    for mean, deviation in (apart, apart.contiguous()):
        neuron = NoisyLIF(4)
        neuron.convert()
        neuron.load_state_dict({"calibrated_mean": mean, "calibrated_deviation": deviation}, assign=True)
        spikes.append(seeded(neuron, x))
    assert torch.equal(*spikes)
    neuron.set_calibration(*torch.rand(2, 4, 3).transpose(1, 2))  # of several calls each has a row
    assert neuron.calibrated_mean.is_contiguous() and neuron.calibrated_deviation.is_contiguous()
