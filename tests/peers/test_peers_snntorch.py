"""LIF.from_snntorch: snnTorch's Leaky beside the LIF that is made of it."""

import copy

import peer_rows
import pytest
import torch

from benchmarks.speed.peers import step_by_step
from fastlif import IF, LIF, Surrogate

pytestmark = pytest.mark.peers("snntorch")
REFERENCE = {"timesteps": None, "backend": "reference"}


@pytest.fixture
def snn():
    import snntorch
    import snntorch.surrogate

    return snntorch


def beside(leaky, parameters=False):
    def make(dtype):
        theirs = copy.deepcopy(leaky).to(dtype)
        ours = LIF.from_snntorch(theirs, **REFERENCE).to(dtype)
        names = [name for name, _ in ours.named_parameters()]
        assert bool(names) == parameters
        if not parameters:
            return step_by_step(theirs, torch.zeros_like), ours, (), ()
        given = {"decay": theirs.beta, "threshold": theirs.threshold}
        return step_by_step(theirs, torch.zeros_like), ours, [given[name] for name in names], list(ours.parameters())

    return make


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("beta", [0.9, 0.5, 1.0])
def test_reset_to_zero(snn, beta, delay):
    leaky = snn.Leaky(beta=beta, reset_mechanism="zero", reset_delay=delay)
    assert LIF.from_snntorch(leaky, **REFERENCE).detach_reset is delay
    peer_rows.compare(beside(leaky))


@pytest.mark.parametrize("beta, threshold", [(0.9, 1.0), (0.5, 1.0), (0.9, 0.7), (1.3, 1.0)])
def test_subtract_with_delay(snn, beta, threshold):
    peer_rows.compare(beside(snn.Leaky(beta=beta, threshold=threshold)))


@pytest.mark.parametrize("mechanism", ["zero", "subtract"])
@pytest.mark.parametrize("beta", [0.8, 1.2, -0.1])
def test_learned_beta_and_threshold(snn, beta, mechanism):
    leaky = snn.Leaky(beta=beta, learn_beta=True, learn_threshold=True, reset_mechanism=mechanism)
    if 0 < beta < 1:
        peer_rows.compare(beside(leaky, parameters=True))
        return
    lif = LIF.from_snntorch(leaky, **REFERENCE)  # outside of [0, 1] it is clamped, and has no gradient
    x = torch.randn(5, 3, 7)
    assert torch.equal(lif(x), step_by_step(leaky, torch.zeros_like)(x)) and float(lif.decay) == float(leaky.beta)
    for model in (lif(x), step_by_step(leaky, torch.zeros_like)(x)):
        model.sum().backward()
    assert float(lif.decay.grad) == float(leaky.beta.grad) == 0


def test_a_beta_for_each_neuron(snn):
    beta = torch.linspace(0.1, 0.95, peer_rows.FEATURES)
    leaky = snn.Leaky(beta=beta, threshold=1 + beta / 2, learn_threshold=True)
    peer_rows.compare(beside(leaky, parameters=True), scale=1.5)


@pytest.mark.parametrize("name, argument, ours", [
    ("atan", {}, Surrogate("atan", 2.0)),
    ("atan", {"alpha": 3.0}, Surrogate("atan", 3.0)),
    ("fast_sigmoid", {}, Surrogate("fast_sigmoid", 25.0)),
    ("fast_sigmoid", {"slope": 10}, Surrogate("fast_sigmoid", 10.0)),
    ("sigmoid", {"slope": 4}, Surrogate("sigmoid", 4.0)),
])  # fmt: skip
def test_surrogates(snn, name, argument, ours):
    leaky = snn.Leaky(beta=0.8, spike_grad=getattr(snn.surrogate, name)(**argument))
    assert LIF.from_snntorch(leaky).surrogate == ours
    peer_rows.compare(beside(leaky))


def test_keywords_and_mode(snn):
    lif = LIF.from_snntorch(snn.Leaky(beta=0.75).eval(), timesteps=3, surrogate="atan", stateful=True)
    assert (lif.timesteps, lif.decay, lif.stateful, lif.surrogate.width, lif.training) == (3, 0.75, True, 2.0, False)


def test_a_hidden_state_is_kept_from_call_to_call(snn):
    leaky = snn.Leaky(beta=0.9, init_hidden=True)
    lif, folded = LIF.from_snntorch(leaky), LIF.from_snntorch(leaky, timesteps=10)
    x = torch.full((10, 4, 6), 0.5, requires_grad=True)
    theirs, ours = (torch.stack([neuron(step) for step in x]) for neuron in (leaky, lif))
    assert theirs.any() and torch.equal(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(spikes[-1].sum(), x)[0] for spikes in (ours, theirs)))
    assert not folded.stateful and torch.equal(folded(x.flatten(0, 1)).view(x.shape), theirs)


@pytest.mark.parametrize("error, words, make", [
    (TypeError, "got Synaptic: it filters its input", lambda snn: snn.Synaptic(alpha=0.9, beta=0.8)),
    (TypeError, "got RLeaky: its spikes feed back", lambda snn: snn.RLeaky(beta=0.8, linear_features=3)),
    (TypeError, "got Alpha: it filters its input", lambda snn: snn.Alpha(alpha=0.9, beta=0.8)),
    (TypeError, "leaky must be a snntorch.Leaky, got Linear", lambda snn: torch.nn.Linear(2, 2)),
    (TypeError, "leaky must be a snntorch.Leaky, got float", lambda snn: 0.9),
    (ValueError, "subtracts without delay", lambda snn: snn.Leaky(beta=0.8, reset_delay=False)),
    (ValueError, "reset_mechanism='none'", lambda snn: snn.Leaky(beta=0.8, reset_mechanism="none")),
    (ValueError, "graded_spikes_factor other than 1", lambda snn: snn.Leaky(0.8, graded_spikes_factor=2.0)),
    (ValueError, "graded_spikes_factor that is learned",
     lambda snn: snn.Leaky(beta=0.8, learn_graded_spikes_factor=True)),
    (ValueError, "state_quant=", lambda snn: snn.Leaky(beta=0.8, state_quant=torch.round)),
    (ValueError, "threshold of 0 or less", lambda snn: snn.Leaky(beta=0.8, threshold=0.0)),
    (ValueError, "is triangular, a surrogate that", lambda snn: snn.Leaky(0.8, spike_grad=snn.surrogate.triangular())),
    (ValueError, "_surrogate_bypass|SpikingNeuron", lambda snn: snn.Leaky(beta=0.8, surrogate_disable=True)),
])  # fmt: skip
def test_what_has_no_counterpart(snn, error, words, make):
    neuron = make(snn)
    with pytest.raises(error, match=words):
        LIF.from_snntorch(neuron)


@pytest.mark.parametrize("made, later", [("subtract", "zero"), ("zero", "subtract"), ("none", "zero")])
def test_a_reset_that_was_set_later_and_does_not_count(snn, made, later):
    leaky = snn.Leaky(beta=0.8, reset_mechanism=made)
    leaky.reset_mechanism = later
    with pytest.raises(ValueError, match=f"reset_mechanism='{later}', which was set .* goes on with '{made}'"):
        LIF.from_snntorch(leaky)


def test_inhibition_has_no_counterpart(snn):
    with pytest.warns(UserWarning, match="Inhibition"):
        leaky = snn.Leaky(beta=0.8, inhibition=True)
    with pytest.raises(ValueError, match="inhibition=True"):
        LIF.from_snntorch(leaky)
    with pytest.raises(TypeError, match="IF does not leak"):
        IF.from_snntorch(snn.Leaky(beta=0.8))
