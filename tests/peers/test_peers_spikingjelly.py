"""fastlif.accelerate: what a node keeps, what stays as it is, and SpikingJelly's networks."""

import copy
import importlib.util
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_rows import sj  # noqa: F401  a fixture
from torch import nn

import fastlif

pytestmark = pytest.mark.peers("spikingjelly")


# --- What a node does beside its equation --------------------------------------------------------------------------


def network(sj, **keywords):
    """A small one, with a node of each kind."""
    torch.manual_seed(0)
    keywords = {"detach_reset": True, "surrogate_function": sj.surrogate.ATan()} | keywords
    model = nn.Sequential(
        sj.layer.Linear(6, 8), sj.neuron.LIFNode(tau=2.0, **keywords),
        sj.layer.Linear(8, 8), sj.neuron.IFNode(**keywords),
        sj.layer.Linear(8, 5), sj.neuron.ParametricLIFNode(init_tau=3.0, v_reset=None, v_threshold=0.4, **keywords),
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(4 if name.endswith("weight") else 1)  # so that all layers spike
    return model


def both(sj, mode="m", **keywords):
    theirs = network(sj, **keywords)
    sj.functional.set_step_mode(theirs, mode)
    return theirs, fastlif.accelerate(theirs)


def nodes_of(model):
    return [module for module in model.modules() if hasattr(module, "v_threshold")]


def test_the_copy_and_what_it_leaves(sj):
    theirs, ours = both(sj)
    names = ["FastLIFNode", "FastIFNode", "FastParametricLIFNode"]
    assert [type(node).__name__ for node in nodes_of(ours)] == names
    assert [type(node).__name__ for node in nodes_of(theirs)] == [name.removeprefix("Fast") for name in names]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert not {id(p) for p in ours.parameters()} & {id(p) for p in theirs.parameters()}
    ours.load_state_dict(theirs.state_dict())
    again = fastlif.accelerate(ours)
    assert [type(node).__name__ for node in nodes_of(again)] == names


def test_the_plugin_accelerates_what_their_tests_make(sj, monkeypatch):
    for node in sj.nodes.ACCELERATED:
        monkeypatch.setattr(node, "__init__", node.__init__)  # put back at the end
    import accelerated  # which needs SpikingJelly

    accelerated.pytest_configure(None)
    names = ["FastLIFNode", "FastIFNode", "FastParametricLIFNode"]
    assert [type(node).__name__ for node in nodes_of(network(sj))] == names
    assert accelerated.counted == dict.fromkeys(names, 1)
    assert type(sj.neuron.LIFNode(surrogate_function=sj.surrogate.LeakyKReLU())) is sj.neuron.LIFNode


def test_restored_types_are_spikingjellys(sj):
    theirs, ours = both(sj)
    restored = fastlif.restore(ours)
    assert [type(node) for node in restored.modules()] == [type(node) for node in theirs.modules()]
    assert type(ours[1]) is sj.nodes.FastLIFNode, "restore gives a copy"
    x = torch.randn(4, 3, 6)
    assert torch.equal(restored(x), theirs(x))


def test_a_restored_model_is_exported_as_it_was(sj):
    """SpikingJelly's NIR export maps exact types: it makes of both models the same graph, and none of ours."""
    nir_exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    theirs = nn.Sequential(
        sj.layer.Linear(6, 8), sj.neuron.LIFNode(tau=2.0), sj.layer.Linear(8, 5), sj.neuron.IFNode()
    )  # fmt: skip
    ours = fastlif.accelerate(theirs)
    graphs = [nir_exchange.export_to_nir(model, torch.rand(2, 6)) for model in (theirs, fastlif.restore(ours))]
    first, second = ({name: node.to_dict() for name, node in graph.nodes.items()} for graph in graphs)
    assert graphs[0].edges == graphs[1].edges and first.keys() == second.keys()
    for name in first:
        for key, value in first[name].items():
            np.testing.assert_equal(second[name][key], value)
    with pytest.raises(KeyError, match="FastLIFNode"):
        nir_exchange.export_to_nir(ours, torch.rand(2, 6))


@pytest.mark.parametrize("mode", ["m", "s"])
def test_states_are_carried_reset_and_detached(sj, mode):
    theirs, ours = both(sj, mode)
    x = torch.randn(3, 4, 3, 6) * 3
    for sequence in x:  # without a reset between
        outputs = []
        for model in (theirs, ours):
            outputs.append(model(sequence) if mode == "m" else torch.stack([model(step) for step in sequence]))
            sj.functional.detach_net(model)
        assert torch.equal(*outputs) and outputs[0].any()
        for node, own in zip(nodes_of(theirs), nodes_of(ours)):
            torch.testing.assert_close(own.v, node.v, rtol=0, atol=1e-6)
            assert own.v.grad_fn is None and own.v.dtype == node.v.dtype
    sj.functional.reset_net(ours)
    assert [node.v for node in nodes_of(ours)] == [0.0, 0.0, 0.0]
    ours[1].v = 0.5  # set by hand, as a number or a tensor
    theirs[1].v = 0.5
    sj.functional.reset_net(theirs)
    theirs[1].v = 0.5
    step = x[0] if mode == "m" else x[0, 0]
    assert torch.equal(ours(step), theirs(step))
    larger = torch.cat([step, step], dim=-2)  # another batch size begins again, without an error
    assert torch.equal(ours(larger), theirs(larger))


@pytest.mark.parametrize("mode", ["m", "s"])
def test_the_membranes_of_all_steps(sj, mode):
    theirs, ours = both(sj, mode)
    x = torch.randn(4, 3, 6)
    for model in (theirs, ours):
        for node in nodes_of(model):
            node.store_v_seq = True
        model(x) if mode == "m" else [model(step) for step in x]
    for node, own in zip(nodes_of(theirs), nodes_of(ours)):
        assert own.v_seq.shape == node.v_seq.shape == (4, *node.v.shape)
        torch.testing.assert_close(own.v_seq, node.v_seq, rtol=0, atol=1e-6)


def test_gradients_through_single_steps(sj):
    gradients = []
    x = torch.randn(5, 3, 6)
    for model in both(sj, "s", detach_reset=False):
        torch.stack([model(step) for step in x]).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for theirs, ours in zip(*gradients):
        torch.testing.assert_close(ours, theirs)


def test_numbers_may_be_set_at_any_time(sj):
    theirs, ours = both(sj)
    x = torch.randn(4, 3, 6) * 2
    for model in (theirs, ours):
        model[1].v_threshold, model[1].tau, model[1].decay_input = 0.4, 3.0, False
        model[3].v_reset, model[1].surrogate_function = None, sj.surrogate.Sigmoid(2.0)
    assert torch.equal(ours(x), theirs(x))
    for model in (theirs, ours):
        model[1].v_threshold = 1  # an integer
    assert torch.equal(ours(x), theirs(x))
    ours[1].surrogate_function = sj.surrogate.S2NN()
    with pytest.raises(RuntimeError, match="FastLIFNode was changed since .* the surrogate S2NN"):
        ours(x)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), "file"])
def test_copies_and_files(sj, way, tmp_path):
    _, ours = both(sj)
    x = torch.randn(4, 3, 6)
    ours(x)
    sj.functional.detach_net(ours)
    if way == "file":
        torch.save(ours, tmp_path / "model.pt")
        copied = torch.load(tmp_path / "model.pt", weights_only=False)
    else:
        copied = way(ours)
    assert [type(node) for node in copied] == [type(node) for node in ours]
    assert torch.equal(copied(x), ours(x)), "with the membranes that it had"


def test_monitors(sj, monkeypatch):
    if importlib.util.find_spec("tensorboard") is None:  # SpikingJelly's monitors import it for another purpose
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=None))
    monitor = importlib.import_module("spikingjelly.activation_based.monitor")
    theirs, ours = both(sj)
    x = torch.randn(4, 3, 6) * 2
    records = []
    for model in (theirs, ours):
        with monitor.OutputMonitor(model, sj.neuron.BaseNode) as spikes, \
                monitor.AttributeMonitor("v", False, model, sj.neuron.LIFNode) as membranes:  # fmt: skip
            model(x)
            records.append((spikes.records, membranes.records))
    (spikes, membranes), (own_spikes, own_membranes) = records
    assert len(spikes) == len(own_spikes) == 3 and len(membranes) == len(own_membranes) == 1
    assert all(map(torch.equal, spikes, own_spikes))


@pytest.mark.parametrize("shape, mode", [((6,), "s"), ((), "s"), ((7,), "m"), ((7, 2), "m"), ((3, 2, 4, 4), "m")])
def test_shapes_and_layouts(sj, shape, mode):
    node = sj.neuron.LIFNode(step_mode=mode)
    ours = fastlif.accelerate(node)
    x = torch.randn(shape) * 4
    if len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    for _ in range(3):
        spikes = ours(x)
        assert torch.equal(spikes, node(x)) and spikes.shape == x.shape
        assert ours.v.shape == node.v.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(sj, dtype):
    theirs, ours = both(sj)
    x = torch.randn(4, 64, 6, dtype=dtype) * 3
    expected, actual = theirs.to(dtype)(x), ours.to(dtype)(x)
    assert actual.dtype == dtype and [node.v.dtype for node in nodes_of(ours)] == [dtype] * 3
    # 16 bits hold the membrane where SpikingJelly computes, and its state between calls; ours computes in float32.
    assert (actual != expected).double().mean() <= (0.02 if dtype.itemsize == 2 else 0)


@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_integers_are_taken_as_theirs_takes_them(sj, dtype, mode):
    """Between calls the membrane is rounded down, as it takes the type of the input."""
    nodes = sj.neuron.IFNode(v_threshold=2.5), sj.neuron.LIFNode(tau=2.0), sj.neuron.ParametricLIFNode(v_reset=0.5)
    for node in nodes:
        node.step_mode = mode
        ours = fastlif.accelerate(node)
        for x in torch.randint(4, (3, 5, 40)).to(dtype):
            spikes = ours(x)
            assert torch.equal(spikes, node(x)) and spikes.dtype == torch.float32 and spikes.any()
            torch.testing.assert_close(ours.v, node.v, rtol=0, atol=1e-6)


def test_explicit_states(sj):
    from spikingjelly.activation_based.base import to_functional_forward

    theirs, ours = both(sj)
    x = torch.randn(4, 3, 6) * 2
    states = (torch.zeros(3, 8), torch.zeros(3, 8), torch.zeros(3, 5))
    (expected,), after = to_functional_forward(theirs)((x,), states)
    (actual,), own = to_functional_forward(ours)((x,), states)
    assert torch.equal(actual, expected) and nodes_of(ours)[0].v == 0.0
    for state, other in zip(own, after):
        torch.testing.assert_close(state, other, rtol=0, atol=1e-6)


def test_reset_net_reaches_our_neurons(sj):
    lif = fastlif.LIF(2, stateful=True, backend="reference")
    model = nn.Sequential(sj.layer.Linear(6, 8), lif)
    x = torch.rand(4, 6)
    first = model(x)
    assert lif.states
    sj.functional.reset_net(model)
    assert not lif.states and torch.equal(model(x), first)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_our_reset_and_detach_reach_their_neurons(sj, mode):
    model = nn.Sequential(sj.layer.Linear(6, 8), sj.neuron.LIFNode(), sj.neuron.QIFNode())
    sj.functional.set_step_mode(model, mode)
    with pytest.warns(UserWarning, match="QIFNode"):
        model, x = fastlif.accelerate(model), 2 * torch.rand(4, 3, 6)
    x = x[0] if mode == "s" else x
    model(x)
    assert all(node.v.requires_grad for node in model[1:])
    fastlif.detach(model)
    assert not any(node.v.requires_grad for node in model[1:]) and model[1].v.any() and model[2].v.any()
    fastlif.reset(model)
    assert [node.v for node in model[1:]] == [0.0, -0.1]


# --- What stays, and errors ----------------------------------------------------------------------------------------


def mixed(sj):
    class Own(sj.neuron.LIFNode):
        pass

    return nn.Sequential(
        sj.neuron.LIFNode(), sj.neuron.QIFNode(), sj.neuron.QIFNode(), Own(),
        sj.neuron.LIFNode(surrogate_function=sj.surrogate.PiecewiseExp()),
        sj.neuron.IFNode(surrogate_function=sj.surrogate.SuperSpike(2.0)),
        sj.neuron.IFNode(surrogate_function=sj.surrogate.ATan(spiking=False)),
        sj.neuron.LIFNode(surrogate_function=sj.surrogate.heaviside),
    )  # fmt: skip


LEFT = (
    "2 x QIFNode, which has no counterpart in fastlif (1, ...); Own, which has no counterpart in fastlif (3); LIFNode, "
    "which has the surrogate PiecewiseExp, which fastlif does not have (4); IFNode, which has the surrogate SuperSpike "
    "with alpha=2.0, which fastlif does not have (5); IFNode, which does not spike (surrogate_function.spiking is "
    "False) (6); LIFNode, which has the surrogate heaviside, which fastlif does not have (7)"
)


def test_a_single_step_node_that_is_given_all_steps(sj):
    model, x = fastlif.accelerate(network(sj)), torch.rand(4, 3, 6)
    with pytest.raises(ValueError, match="1 remembers nothing from step to step: it gets all .*step_mode='m'"):
        fastlif.check_time_axis(model, x, batch_dim=1)
    fastlif.check_time_axis(model, x, batch_dim=1, call=lambda model, x: sj.functional.multi_step_forward(x, model))
    sj.functional.set_step_mode(model, "m")
    fastlif.check_time_axis(model, x, batch_dim=1)


def test_what_stays_is_said_once(sj):
    model = mixed(sj)
    with pytest.warns(UserWarning) as caught:
        ours = fastlif.accelerate(model)
    assert [str(warning.message) for warning in caught] == [f"fastlif.accelerate left as they are: {LEFT}"]
    assert caught[0].filename == __file__
    assert [type(new) is type(old) for new, old in zip(ours, model)] == [False] + [True] * 7


def test_strict_changes_nothing(sj):
    model = mixed(sj)
    types_before = [type(node) for node in model]
    with pytest.raises(ValueError) as raised:
        fastlif.accelerate(model, strict=True)
    assert LEFT in str(raised.value) and "With strict=False" in str(raised.value)
    assert [type(node) for node in model] == types_before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastlif.accelerate(network(sj), strict=True)


def test_whoever_has_their_neurons_is_told_what_to_do_with_them(sj):
    """Accelerated or not."""
    for model in (network(sj), fastlif.accelerate(network(sj))):
        with pytest.raises(ValueError, match="are SpikingJelly's, for which there is fastlif.acc"):
            fastlif.convert(model)
        with pytest.raises(ValueError, match=r"export_to_nir\(fastlif.restore\(model\), ...\)"):
            fastlif.to_nir(model, (4,))


def test_models_that_cannot_be_accelerated(sj):
    with pytest.raises(ValueError, match=r"Sequential has no IFNode, LIFNode or ParametricLIFNode .* to accelerate$"):
        fastlif.accelerate(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    with pytest.raises(ValueError, match=r"to accelerate; what it has: QIFNode, which has no counterpart"):
        fastlif.accelerate(nn.Sequential(sj.neuron.QIFNode()))
    node = sj.neuron.LIFNode()
    node(torch.randn(2, 3, requires_grad=True))
    with pytest.raises(TypeError, match="copy.deepcopy can copy, and LIFNode is not"):
        fastlif.accelerate(node)
    sj.functional.detach_net(node)
    fastlif.accelerate(node)


# --- Networks ------------------------------------------------------------------------------------------------------


def trained(model, x, mode):
    """The output of a training step over x ``[T, N, *]`` and the gradients of all parameters."""
    torch.manual_seed(1)  # of dropout
    output = model(x) if mode == "m" else torch.stack([model(step) for step in x])
    output.square().mean().backward()
    return output, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("name, node, keywords", [
    ("spiking_resnet.spiking_resnet18", "IFNode", {}),
    ("sew_resnet.sew_resnet18", "LIFNode", {"cnf": "ADD"}),
    ("spiking_vgg.spiking_vgg11_bn", "ParametricLIFNode", {"v_threshold": 0.1}),  # its last layer is silent at 1
])  # fmt: skip
def test_spikingjellys_networks(sj, name, node, keywords, mode):
    file, make = name.split(".")
    file = importlib.import_module(f"spikingjelly.activation_based.model.{file}")
    torch.manual_seed(0)
    theirs = getattr(file, make)(
        spiking_neuron=getattr(sj.neuron, node), surrogate_function=sj.surrogate.ATan(), detach_reset=True,
        num_classes=10, **keywords,
    )  # fmt: skip
    sj.functional.set_step_mode(theirs, mode)
    ours = fastlif.accelerate(theirs, strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(4, 2, 3, 32, 32)
    expected, wanted = trained(theirs, x, mode)
    actual, gradients = trained(ours, x, mode)
    assert torch.equal(actual, expected) and expected.any()
    assert float((gradients - wanted).abs().max() / wanted.abs().max()) < 1e-5


# --- Looking inside ------------------------------------------------------------------------------------------------


def test_the_example_runs():
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, root / "examples/accelerate.py", "spiking_resnet18", "16"], env=environment,
                         capture_output=True, text=True, timeout=500)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "0 of 160 outputs differ" in run.stdout and "times as fast" in run.stdout


@pytest.mark.parametrize("mode", ["m", "s"])
def test_accelerated_nodes_are_recorded_and_counted_as_our_neurons(sj, mode):
    """Spikes, rates, the table and the energy are those of the same network with our modules."""
    theirs = network(sj)[:4]
    theirs[1] = sj.neuron.IFNode()
    sj.functional.set_step_mode(theirs, mode)
    timesteps = None if mode == "m" else 1
    ours = nn.Sequential(*(
        fastlif.IF(timesteps, inclusive=True, stateful=True, backend="reference") if i % 2 else layer
        for i, layer in enumerate(theirs)
    ))  # fmt: skip
    nodes, x, logs = fastlif.accelerate(theirs), 3 * torch.rand(4, 3, 6), []
    assert fastlif.energy(nodes, x if mode == "m" else x[0]).picojoules > 0  # leaves no membrane
    for model in (ours, nodes):
        with fastlif.record(model) as log:
            for step in [x] if mode == "m" else x:
                model(step)
        logs.append(log)
    assert logs[0].rates() == logs[1].rates() and all(logs[0].rates().values())
    assert logs[0].table().rows == logs[1].table().rows and logs[1].thresholds == {"1": 1.0, "3": 1.0}
    for name, spikes in logs[0].spikes.items():
        assert torch.equal(logs[1].spikes[name], spikes) and spikes.shape[:2] == (4, 3)
    kept = nodes[1].v.clone()
    energies = [fastlif.energy(model, x if mode == "m" else x[0]) for model in (ours, nodes)]
    for mine, other in zip(*(energy.rows for energy in energies)):
        assert mine._replace(kind=other.kind) == other
    assert energies[0].timesteps == energies[1].timesteps and torch.equal(nodes[1].v, kept)


def test_energy_leaves_every_memory_as_it_was(sj):
    model = fastlif.accelerate(nn.Sequential(sj.layer.Linear(6, 4), sj.neuron.IFNode(step_mode="m", store_v_seq=True)))
    for x in (None, torch.rand(4, 3, 6)):
        if x is not None:
            model(x)
        before = dict(model[1].named_memories())
        fastlif.energy(model, torch.zeros(4, 3, 6))
        assert all(value is before[name] for name, value in model[1].named_memories())


@pytest.mark.parametrize("mode, shape", [("m", (5,)), ("s", (7,)), ("s", ())])
def test_steps_without_dimensions_are_recorded(sj, mode, shape):
    node = fastlif.accelerate(sj.neuron.IFNode(step_mode=mode))
    with fastlif.record(node) as log:
        output = node(torch.full(shape, 0.6))
    (spikes,) = log.spikes.values()
    assert spikes.ndim == 2 and spikes.sum() == output.sum()


def test_a_node_that_is_called_by_keyword_is_recorded(sj):
    model = nn.Sequential(fastlif.accelerate(sj.neuron.IFNode(step_mode="m")))
    model.forward = lambda x: model[0](x_seq=x)
    with fastlif.record(model) as log:
        output = model(torch.rand(5, 2, 3))
    assert torch.equal(log.spikes["0"], output)


def test_what_cannot_be_looked_into_says_what_can(sj):
    theirs, ours = both(sj)
    for look in (fastlif.record, lambda model: fastlif.energy(model, torch.zeros(1))):
        with pytest.raises(ValueError, match=r"be watched after model = fastlif.accelerate\(model\)"):
            look(theirs)
    theirs[3] = sj.neuron.QIFNode()
    with pytest.warns(UserWarning, match="QIFNode"):
        partly = fastlif.accelerate(theirs)
    for look in (fastlif.record, lambda model: fastlif.energy(model, torch.zeros(1))):
        with pytest.raises(ValueError, match="but those that fastlif computes, and 3 is a QIFNode of SpikingJelly"):
            look(partly)
    with pytest.raises(ValueError, match="membrane must be None for SpikingJelly's nodes.* store_v_seq = True"):
        fastlif.record(ours, membrane="after")
