"""NIR both ways: what a node says, the same spikes out of a file, and those of the NIR paper and of the peers."""

import math
import pickle

import pytest
import torch
from helpers import REFERENCE
from refusals import unchanged
from torch import nn
from torch.utils.checkpoint import checkpoint

import fastlif
from benchmarks.speed import nir_peers
from fastlif import LIF, MultiStep, Noise, NoisyLIF

nir = pytest.importorskip("nir")
np = pytest.importorskip("numpy")

T, N = 12, 3
ROUND_TRIPS = [(scale, form) for scale in ("weights", "membrane") for form in ("euler", "exponential")]


def neuron(**keywords):
    return LIF(T, **{"decay": 0.9, "threshold": 0.3, **REFERENCE, **keywords})


class Branches(nn.Module):
    """A sum of two branches, as in a residual network, and a functional flatten."""

    def __init__(self):
        super().__init__()
        self.first, self.neuron = nn.Conv2d(2, 4, 3, padding=1), neuron()
        self.left, self.right = nn.Conv2d(4, 4, (3, 1), padding="same"), nn.Conv2d(4, 4, 1, groups=2)
        self.last = neuron(decay=0.7)
        self.dropout = nn.Dropout().eval()

    def forward(self, x):
        x = self.neuron(self.first(x))
        y = self.left(x)
        y += self.right(self.dropout(x))
        return torch.flatten(self.last(y + x), 1)


def networks():
    torch.manual_seed(0)
    return {
        "linear": (nn.Sequential(nn.Linear(6, 20), neuron(), nn.Linear(20, 9, bias=False), neuron(reset=-0.25)), (6,)),
        "images": (nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, dilation=2, padding=2), neuron(), nn.AvgPool2d(2, 1, 1), neuron(threshold=0.1),
            nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(1, divisor_override=1), neuron(), nn.Flatten(), nn.Linear(4, 5),
            neuron(threshold=2.0)), (2, 7, 7)),
        "sequences": (nn.Sequential(
            nn.Conv1d(2, 4, 3, padding="valid"), neuron(), nn.Conv1d(4, 3, 3), neuron()), (2, 9)),
        "integrate": (nn.Sequential(
            nn.Linear(6, 20), neuron(decay=1.0), nn.Identity(), nn.Linear(20, 4), neuron()), (6,)),
        "branches": (Branches(), (2, 5, 4)),
        "tensors": (nn.Sequential(
            nn.Conv2d(2, 3, 3), neuron(decay=torch.tensor([0.9, 0.5, 0.3]).view(3, 1, 1)), nn.Conv2d(3, 4, 1),
            neuron(threshold=nn.Parameter(torch.linspace(0.1, 0.5, 9).view(3, 3))), nn.Flatten(), nn.Linear(36, 5),
            neuron(threshold=0.1, gain=torch.tensor([0.5, 0.25, 0.5, 1, 2]))), (2, 5, 5)),
        "others": (nn.Sequential(
            nn.Linear(6, 20), fastlif.ParametricLIF(T, **REFERENCE), nn.Linear(20, 20),
            fastlif.IF(T, gain=0.5, **REFERENCE), nn.Linear(20, 9),
            neuron(rest=-0.5, reset=-0.5, threshold=0.0, gain=2.0)), (6,)),
    }  # fmt: skip


NAMES = list(networks())


def spikes(model, x):
    """Of a model with time folded into the batch."""
    return model(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def inputs(shape):
    return torch.rand(T, N, *shape, generator=torch.Generator().manual_seed(1)) * 2


@pytest.mark.parametrize(("scale", "discretisation"), ROUND_TRIPS)
@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(name, scale, discretisation, tmp_path):
    model, shape = networks()[name]
    x, path = inputs(shape), tmp_path / "network.nir"
    with unchanged(model):
        nir.write(path, fastlif.to_nir(model, shape, scale=scale, discretisation=discretisation))
        back = fastlif.from_nir(path, **REFERENCE)
    if name != "branches":  # The package's own reader checks the types, and takes no convolution in groups.
        assert tuple(nir.read(path).nodes["input"].input_type["input"]) == shape
    expected = spikes(model, x)
    assert torch.equal(back(x), expected) and 0.01 < expected.mean() < 0.9
    again = fastlif.from_nir(fastlif.to_nir(back, shape), dt=1e-4, **REFERENCE)  # ours of [T, N, *] is written too
    assert torch.equal(again(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(back))(x), expected)


@pytest.mark.parametrize("threshold", [1.0, nn.Parameter(torch.tensor([1.0, 0.5, 2.0]))], ids=["number", "tensor"])
@pytest.mark.parametrize(("scale", "discretisation"), ROUND_TRIPS)
def test_spikes_at_the_threshold(scale, discretisation, threshold):
    """Of inputs that often reach the threshold exactly."""
    model = neuron(decay=0.5, threshold=threshold, inclusive=True)
    x = torch.randint(3, (T, N, 3), generator=torch.Generator().manual_seed(2)) / 2
    expected = spikes(model, x)
    graph = fastlif.to_nir(model, (3,), scale=scale, discretisation=discretisation)
    assert torch.equal(fastlif.from_nir(graph, dt=1e-4, **REFERENCE)(x), expected)
    assert not torch.equal(spikes(neuron(decay=0.5, threshold=threshold), x), expected)


@pytest.mark.parametrize("threshold", [1.05, 1.3, 0.3])
def test_our_reader_spikes_at_the_threshold_at_every_decay(threshold):
    for decay in torch.linspace(0.01, 0.99, 99).tolist():
        graph = fastlif.to_nir(LIF(1, decay=decay, threshold=threshold, inclusive=True), (1,))
        assert fastlif.from_nir(graph, dt=1e-4, **REFERENCE)(torch.full((1, 1, 1), threshold)).all(), decay


@pytest.mark.parametrize("threshold", [2.0, 1.0, 0.5, 0.0])  # which a reader multiplies without rounding
@pytest.mark.parametrize("scale", ["weights", "membrane"])
def test_a_reader_in_float32_spikes_at_the_threshold(scale, threshold):
    """At every decay; an input a little lower gives no spike."""
    for decay in torch.linspace(0.01, 0.99, 99).tolist():
        model = LIF(1, decay=decay, threshold=threshold, inclusive=True)
        nodes = fastlif.to_nir(model, (1,), scale=scale).nodes.values()
        (node,) = (node for node in nodes if isinstance(node, nir.LIF))
        step = np.float32(1e-4 / node.tau * node.r)  # an Euler step from 0
        for input, spikes in ((threshold, True), (threshold - 1e-5, False)):
            assert (step * np.float32(input) > node.v_threshold.astype(np.float32)).all() == spikes, decay


@pytest.mark.parametrize(
    ("scale", "discretisation", "tau", "r", "threshold", "reset"),
    [
        ("weights", "euler", 1e-3 / 0.2, 1.0, 0.2 * 0.3, 0.2 * -0.1),
        ("membrane", "euler", 1e-3 / 0.2, 5.0, 0.3, -0.1),
        ("weights", "exponential", -1e-3 / math.log(0.8), 1.0, -math.log(0.8) * 0.3, math.log(0.8) * 0.1),
        ("membrane", "exponential", -1e-3 / math.log(0.8), -1 / math.log(0.8), 0.3, -0.1),
    ],
)
def test_what_a_node_says(scale, discretisation, tau, r, threshold, reset):
    graph = fastlif.to_nir(LIF(decay=0.8, threshold=0.3, reset=-0.1), (2,), 1e-3, scale, discretisation)
    node = graph.nodes["lif"]
    for value, expected in zip((node.tau, node.r, node.v_threshold, node.v_reset), (tau, r, threshold, reset)):
        assert np.allclose(value, [expected] * 2, rtol=1e-14)
    assert (node.v_leak == 0).all() and graph.metadata == {"dt": 1e-3, "discretisation": discretisation}
    assert graph.edges == [("input", "lif"), ("lif", "output")]
    node = fastlif.to_nir(LIF(decay=1, threshold=0.3, reset=-0.1), (2,), 1e-3, scale, discretisation).nodes["lif"]
    assert isinstance(node, nir.IF) and np.allclose((node.r[0], node.v_threshold[0], node.v_reset[0]), (1e3, 0.3, -0.1))


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 4, 3), nn.Linear(3, 4), nn.Linear(3, 4, bias=False), nn.Conv1d(3, 4, 1)]
)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation_is_folded(layer, affine):
    torch.manual_seed(0)
    kind = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
    shape = {nn.Linear: (3,), nn.Conv1d: (3, 5), nn.Conv2d: (3, 5, 5)}[type(layer)]
    norm = kind(4, affine=affine)
    nn.init.normal_(norm.weight) if affine else None
    nn.init.normal_(norm.bias) if affine else None
    model = nn.Sequential(layer, norm)
    model(torch.randn(64, *shape) * 3 + 1)
    graph = fastlif.to_nir(model.eval(), shape)
    assert [type(node).__name__ for node in graph.nodes.values()][1:-1] in (["Conv2d"], ["Affine"], ["Conv1d"])
    x = torch.randn(T, N, *shape)
    torch.testing.assert_close(fastlif.from_nir(graph)(x), spikes(model, x))


def test_a_reset_of_neurons_whose_inputs_differ_keeps_their_gain():
    model = neuron(gain=torch.tensor([0.5, 2.0]), reset=0.125)
    for scale in ("weights", "membrane"):
        graph = fastlif.to_nir(model, (2,), scale=scale)
        if scale == "weights":
            with pytest.raises(ValueError, match="v_reset - v_leak of 'lif' must be the same for all neurons"):
                fastlif.from_nir(graph)
        else:
            back = fastlif.from_nir(graph, **REFERENCE)
            assert torch.equal(back[0].gain, model.gain)
            assert torch.equal(back(inputs((2,))), spikes(model, inputs((2,))))


@pytest.mark.parametrize("name", ["linear", "images", "sequences", "branches"])
def test_scaled_thresholds_are_folded(name):
    """Into the next weights; where spikes of different heights are added, or returned, a layer is added."""
    model, shape = networks()[name]
    model = fastlif.scale_thresholds(model)
    scaled = [module for module in model.modules() if hasattr(module, "scale")]
    for module, scale in zip(scaled, (0.5, 2.0, 0.25)):  # powers of two, so that nothing is rounded
        module.scale.fill_(scale)
    back = fastlif.from_nir(fastlif.to_nir(model.eval(), shape), **REFERENCE)
    expected = spikes(model, inputs(shape))
    assert torch.equal(back(inputs(shape)), expected) and expected.unique().tolist() == [0, scaled[-1].scale.item()]


@pytest.mark.parametrize(("scale", "discretisation"), ROUND_TRIPS)
@pytest.mark.parametrize(
    ("decay", "gain"),
    [(0.8, 0.5), (1.0, 0.5), (torch.tensor([0.0, 0.5, 0.8, 0.9]), 1.0), (1.0, torch.tensor([0.5, -1.0, 2.0, 3.0]))],
    ids=["LI", "I", "LI for each neuron", "I for each neuron"],
)
def test_a_read_out_keeps_its_scale(decay, gain, scale, discretisation):
    if isinstance(decay, torch.Tensor) and discretisation == "exponential":
        decay = decay.clamp(min=0.1)  # no time constant decays to 0
    model = nn.Sequential(nn.Linear(6, 4), fastlif.LI(T, decay=decay, gain=gain))
    graph = fastlif.to_nir(model, (6,), 1e-3, scale, discretisation)
    back = fastlif.from_nir(graph, stateful=True, surrogate="sigmoid")
    leaks = isinstance(decay, torch.Tensor) or decay < 1
    assert isinstance(graph.nodes["1"], nir.LI if leaks else nir.I) and back[1].stateful
    torch.testing.assert_close(back(inputs((6,))), spikes(model, inputs((6,))))


def test_a_multistep_model_is_its_model():
    torch.manual_seed(0)
    model = fastlif.convert(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), neuron=LIF, **REFERENCE)
    back = fastlif.from_nir(fastlif.to_nir(MultiStep(model, 8), (4,)), **REFERENCE)
    x = torch.rand(N, 4) * 3
    assert torch.equal(back(x.expand(8, N, 4)).mean(0), MultiStep(model, 8)(x))


@pytest.mark.parametrize("name", ["images", "sequences", "branches"])
def test_what_is_imported_runs_in_a_multistep_model(name):
    model, shape = networks()[name]
    back, x = fastlif.from_nir(fastlif.to_nir(model, shape), **REFERENCE), inputs(shape)
    multi = MultiStep(back, T)
    assert torch.equal(multi(x, sequence=True), back(x).mean(0))
    assert torch.equal(multi(x[0]), back(x[:1].expand(x.shape)).mean(0))
    assert torch.equal(fastlif.from_nir(fastlif.to_nir(multi, shape), **REFERENCE)(x), back(x))


def test_what_is_imported_stops_when_it_is_sure():
    model, shape = networks()["images"]
    multi = MultiStep(fastlif.from_nir(fastlif.to_nir(model, shape), **REFERENCE), T).eval()
    scores, _ = multi.until_confident(inputs(shape)[0], 0.9999)  # which nobody reaches
    torch.testing.assert_close(scores, multi(inputs(shape)[0]))


def test_what_is_imported_is_computed_again_in_a_multistep_model():
    model, shape = networks()["images"]
    multi = MultiStep(fastlif.from_nir(fastlif.to_nir(model, shape), **REFERENCE), T)
    x, gradients = inputs(shape), []
    for layers in (multi.model, nn.Sequential(*multi.model)):
        if layers is not multi.model:
            multi.model.forward = lambda x, run=layers: checkpoint(run, x, use_reentrant=False)
        multi(x, sequence=True).sum().backward()
        gradients.append([parameter.grad for parameter in multi.parameters()])
        multi.zero_grad()
    assert all(map(torch.equal, *gradients)) and all(gradient.any() for gradient in gradients[0][:1])


def test_a_fused_model_is_written_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), neuron(), nn.Linear(20, 4), neuron())
    model(torch.rand(8 * T, 6))
    graphs = [fastlif.to_nir(one, (6,)) for one in (model.eval(), fastlif.fuse(model))]
    first, second = (fastlif.from_nir(graph, **REFERENCE)(inputs((6,))) for graph in graphs)
    assert torch.equal(first, second) and first.any()


def test_a_noisy_neuron_without_noise_whose_statistics_do_not_vary():
    quiet = NoisyLIF(3, decay=0.5, alpha=4.0, beta=0.0, noise=Noise("none"), threshold=0.3, **REFERENCE)
    quiet.set_calibration(torch.zeros(1, 3), torch.full((1, 3), 0.25))
    x = torch.rand(3, N, 5)
    back = fastlif.from_nir(fastlif.to_nir(quiet, (5,)), **REFERENCE)
    assert back[0].decay == 0.5 and torch.equal(back(x), spikes(quiet, x))


def test_the_sum_of_a_window():
    graph = nir.NIRGraph.from_list(
        nir.Input(np.array([1, 4, 4])), nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    )
    assert torch.equal(fastlif.from_nir(graph)(torch.ones(1, 1, 1, 4, 4)), torch.full((1, 1, 1, 2, 2), 4.0))


def test_what_is_imported_is_a_chain_if_it_can_be_and_trains():
    model, shape = networks()["images"]
    back = fastlif.from_nir(fastlif.to_nir(model, shape), surrogate="sigmoid", stateful=True, **REFERENCE)
    assert isinstance(back, nn.Sequential) and list(dict(back.named_children())) == list("0123456789")
    assert back[1].surrogate.name == "sigmoid" and back[1].stateful
    assert back[1].decay == 0.9 and back[1].timesteps is None
    back(inputs(shape)).sum().backward()
    assert back[0].layer.weight.grad.abs().sum() > 0


def test_names_that_no_module_may_have():
    factors = {"train": 1, "class": 2, "a.b": 3, "a_b": 1}
    nodes = {name: nir.Linear(factor * np.eye(2)) for name, factor in factors.items()}
    nodes |= {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
    edges = [("input", "train"), ("input", "class"), ("train", "a.b"), ("class", "a.b"), ("a.b", "a_b")]
    edges.append(("a_b", "output"))
    back = fastlif.from_nir(nir.NIRGraph(nodes, edges))
    assert list(dict(back.named_children())) == ["train_", "class_", "a_b", "a_b_"]
    assert torch.equal(back(torch.ones(1, 1, 2)), torch.full((1, 1, 2), 9.0))


# --- The NIR paper's neuron: from its repository neuromorphs/NIR, paper/01_lif (BSD 3-Clause, 2023, NIR Team) ---------

INPUT = (60, 220, 270, 310, 320, 350, 370, 400, 410, 430, 440, 450, 460, 470, 480, 490, 500, 510, 520, 530, 670, 680,
         690, 700, 710, 720, 730, 740, 750, 760, 770, 780, 840, 850)  # fmt: skip


@pytest.mark.parametrize(
    ("discretisation", "expected"),
    [("euler", [460, 510, 710, 760]), ("exponential", [450, 500, 710, 760]), (None, [460, 510, 710, 760])],
)
def test_the_paper_s_neuron(discretisation, expected):
    def one(value):
        return np.array([value], np.float32)

    lif = nir.LIF(tau=one(0.0025), r=one(1), v_leak=one(0), v_threshold=one(0.1), v_reset=one(0))
    graph = nir.NIRGraph.from_list(nir.Affine(np.ones((1, 1), np.float32), one(0)), lif)
    x = torch.zeros(1000, 1, 1)
    x[list(INPUT)] = 1
    model = fastlif.from_nir(graph, dt=1e-4, discretisation=discretisation, **REFERENCE)
    assert model(x).flatten().nonzero().flatten().tolist() == expected


def test_a_neuron_that_leaks_elsewhere_and_is_reset_there():
    """Against a forward Euler loop in double precision, from v_leak."""
    tau, r, leak, threshold, reset, dt = 2e-3, 3.0, 0.4, 0.9, 0.1, 1e-4
    node = nir.LIF(*(np.array([value]) for value in (tau, r, leak, threshold, reset)))
    x, v, expected = torch.rand(200, 1, 1, generator=torch.Generator().manual_seed(0)), leak, []
    for current in x.flatten().tolist():
        v += dt / tau * (leak - v + r * current)
        expected.append(float(v > threshold))
        v = reset if v > threshold else v
    assert sum(expected) > 5
    assert fastlif.from_nir(nir.NIRGraph.from_list(node), **REFERENCE)(x).flatten().tolist() == expected


def test_a_soft_reset_one_step_late_that_the_graph_cannot_say():
    """Against snnTorch's loop, whose exporter writes a reset to 0."""
    node = nir.LIF(*(np.array([value, value]) for value in (2e-3, 20.0, 0.0, 0.9, 0.0)))
    x, v, s, expected = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)), 0, 0, []
    for current in x.double():
        v = 0.95 * v + current - 0.9 * s
        s = (v > 0.9).double()
        expected.append(s)
    graph, x = nir.NIRGraph.from_list(node), x[:, None]
    model = fastlif.from_nir(graph, reset=None, reset_delay=True, **REFERENCE)
    assert torch.equal(model(x)[:, 0].double(), torch.stack(expected))
    assert not torch.equal(fastlif.from_nir(graph, **REFERENCE)(x), model(x))


# --- Peers ---------------------------------------------------------------------------------------------------------

PEERS = [pytest.param(name, marks=pytest.mark.peers(name.lower())) for name in nir_peers.READERS]
# What a peer cannot read: snnTorch an IF of r = 1/dt, Norse pooling, branches and r, all but ours another reset.
UNREAD = {("snnTorch", "decay 1, which is nir.IF"), ("Norse", "average pooling"), ("Norse", "a sum of two branches"),
          *((name, "reset to -0.2") for name in nir_peers.READERS)}  # fmt: skip


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("scale", ["weights", "membrane"])
def test_a_peer_gives_the_same_spikes(peer, scale):
    torch.manual_seed(0)
    if (peer, scale) == ("Norse", "membrane"):
        pytest.skip("Norse takes r for 1")
    reader = nir_peers.READERS[peer]
    for name, (model, shape) in nir_peers.networks().items():
        if (peer, name) not in UNREAD:
            assert nir_peers.exported(model, shape, reader, scale=scale).startswith("0 of "), name


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.peers(name.split(":")[0].lower())) for name in nir_peers.WRITERS]
)
def test_a_peer_s_network_gives_the_same_spikes(name):
    torch.manual_seed(0)
    if "subtract" in name:
        assert not nir_peers.imported(name).startswith("0 of ")  # it is written as a hard reset
        assert nir_peers.imported(name, reset=None, reset_delay=True).startswith("0 of ")
    elif "default dt" in name:
        with pytest.raises(ValueError, match="dt must not exceed the time constants"):
            nir_peers.imported(name)
    else:
        assert nir_peers.imported(name).startswith("0 of ")
