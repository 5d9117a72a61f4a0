"""SpikingJelly's neurons beside ours: the rows of docs/coming_from.md."""

import copy

import peer_rows
import pytest
import torch
from peer_rows import sj  # noqa: F401  a fixture

import fastlif

pytestmark = pytest.mark.peers("spikingjelly")


def beside(node, parameters=False):
    """What peer_rows compares: a node, and the same one accelerated, each as it is in ``dtype``."""

    def make(dtype):
        theirs = copy.deepcopy(node).to(dtype)
        theirs.step_mode = "m"
        ours = fastlif.accelerate(theirs)
        assert type(ours) is not type(theirs) and isinstance(ours, type(theirs))
        return theirs, ours, *((list(model.parameters()) for model in (theirs, ours)) if parameters else ((), ()))

    return make


# --- The rows of the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("v_reset", [0.0, None, 0.25, -0.3])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("tau", [2.0, 3.0, 10.0])
def test_lif_node(sj, tau, decay_input, v_reset, detach_reset):
    node = sj.neuron.LIFNode(tau=tau, decay_input=decay_input, v_reset=v_reset, detach_reset=detach_reset)
    peer_rows.compare(beside(node), scale=tau if decay_input else 1.0)


@pytest.mark.parametrize("v_reset", [0.0, None, 0.25, -0.3])
@pytest.mark.parametrize("detach_reset", [False, True])
def test_if_node(sj, detach_reset, v_reset):
    peer_rows.compare(beside(sj.neuron.IFNode(v_threshold=1.3, v_reset=v_reset, detach_reset=detach_reset)))


@pytest.mark.parametrize("v_reset", [0.0, None, 0.25])
@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif_node(sj, decay_input, v_reset):
    node = sj.neuron.ParametricLIFNode(init_tau=2.7, decay_input=decay_input, v_reset=v_reset)
    peer_rows.compare(beside(node, parameters=True), scale=2.7 if decay_input else 1.0)


@pytest.mark.parametrize("name, alpha", [
    ("ATan", 2.0), ("ATan", 0.7), ("Sigmoid", 4.0), ("Sigmoid", 1.5), ("PiecewiseQuadratic", 1.0),
    ("PiecewiseQuadratic", 0.4), ("Rect", 1.0), ("Rect", 0.6), ("Erf", 2.0), ("Erf", 0.9), ("SuperSpike", 1.0),
    ("ATan", 3),
])  # fmt: skip
def test_surrogates(sj, name, alpha):
    function = getattr(sj.surrogate, name)(alpha=alpha)
    peer_rows.compare(beside(sj.neuron.LIFNode(tau=2.0, surrogate_function=function)), scale=2.0)


def test_ties_spike(sj):
    """A membrane at the threshold: numbers that both compute without rounding."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-4, 9, (8, 4, 500), generator=generator) / 2.0
    for node in (sj.neuron.LIFNode(tau=2.0, step_mode="m"), sj.neuron.IFNode(v_reset=None, step_mode="m")):
        ours = fastlif.accelerate(node)
        assert torch.equal(ours(x), node(x))


def test_the_page_for_those_who_come_over(sj):
    """The lines of ours in docs/coming_from.md beside theirs."""
    from fastlif import IF, LIF, ParametricLIF

    shared = {"timesteps": None, "inclusive": True, "surrogate": "sigmoid", "backend": "reference"}
    x = torch.randn(6, 4, 300) * 2
    for theirs, ours in (
        (sj.neuron.LIFNode(tau=2.0, decay_input=False), LIF(tau=2.0, **shared)),
        (sj.neuron.LIFNode(tau=2.0), LIF(tau=2.0, gain=1 / 2.0, **shared)),
        (sj.neuron.LIFNode(tau=2.0, v_reset=0.2), LIF(tau=2.0, gain=1 / 2.0, reset=0.2, rest=0.2, **shared)),
        (sj.neuron.IFNode(), IF(**shared)),
        (sj.neuron.ParametricLIFNode(init_tau=2.0), ParametricLIF(init_tau=2.0, **shared)),
    ):
        theirs.step_mode = "m"
        assert torch.equal(ours(x), theirs(x))
