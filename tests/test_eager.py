"""A call where nobody but autograd looks on goes straight to the launch; whoever does look on sees an operator."""

import sys

import pytest
import torch
from helpers import DEVICE
from torch.utils._python_dispatch import TorchDispatchMode

import fastlif
from fastlif import functional

SEED = 7
CALLS = {
    "noisy_spike": lambda x, backend: functional.noisy_spike(x, seed=SEED, backend=backend),
    "lif": lambda x, backend: functional.lif(x, backend=backend),
    "noisy_lif": lambda x, backend: functional.noisy_lif(x, seed=SEED, backend=backend),
    "noisy_lif, given": lambda x, backend: functional.noisy_lif(
        x, seed=SEED, backend=backend, statistics=(torch.full((3,), 0.2), torch.full((3,), 0.5))
    ),
}


class Watching(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function.namespace == "fastlif":
            self.seen.append(function._schema.name.removeprefix("fastlif::"))
        return function(*arguments, **keywords or {})


@pytest.fixture(params=["triton", "compiled"])
def backend(request):
    if request.param == "triton":
        pytest.importorskip("triton")
    return request.param


@pytest.mark.parametrize("name", CALLS)
def test_who_looks_on_sees_operators_and_the_same_bits(name, backend):
    torch.manual_seed(0)
    x, weights = torch.randn(3, 4, 50, device=DEVICE), torch.randn(3, 4, 50, device=DEVICE)
    results = []
    for watching in (None, Watching()):
        leaf = x.clone().requires_grad_()
        if watching is None:
            spikes = CALLS[name](leaf, backend)
            (gradient,) = torch.autograd.grad(spikes, leaf, weights)
        else:
            with watching:
                spikes = CALLS[name](leaf, backend)
                (gradient,) = torch.autograd.grad(spikes, leaf, weights)
        results.append((spikes.detach(), gradient))
    assert all(torch.equal(*pair) for pair in zip(*results))
    operator = name.split(",")[0] if "given" not in name else "lif"
    backward = "noisy_spike_backward" if operator == "noisy_spike" else "lif_backward"
    assert watching.seen == [operator, backward]


def test_nobody_looks_on(backend):
    x = torch.randn(3, 4, 50, device=DEVICE, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for call in CALLS.values():
            call(x, backend).sum().backward()
    assert not [event.name for event in profile.events() if event.name.startswith("fastlif::")]


@pytest.mark.parametrize("name", CALLS)
def test_what_a_tensor_only_promises(name, backend):
    """A view whose memory holds the negative, and a gradient of zeros that has no memory at all."""
    x = torch.randn(3, 4, 50, device=DEVICE)
    assert torch.equal(CALLS[name](torch._neg_view(-x), backend), CALLS[name](x, backend))
    leaf = x.clone().requires_grad_()
    zeros = torch._efficientzerotensor(x.shape, device=DEVICE)
    (gradient,) = torch.autograd.grad(CALLS[name](leaf, backend), leaf, zeros)
    assert not gradient.any()


def test_traced_by_torchscript(backend):
    neuron = fastlif.LIF(2, backend=backend)
    x = torch.randn(4, 30, device=DEVICE)
    traced = torch.jit.trace(neuron, torch.zeros_like(x), check_trace=False)
    assert "fastlif::lif" in str(traced.inlined_graph) and torch.equal(traced(x), neuron(x))


NEURONS = {"NoisyLIF": lambda: fastlif.NoisyLIF(), "LIF": lambda: fastlif.LIF(2)}


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", NEURONS)
def test_calls_of_python_in_a_forward(name, gradient, monkeypatch):
    """Counted exactly, with what launches in place of the kernels: one call."""
    from fastlif.operators import scan, single_step

    class Launchers:
        noisy_spike_forward = lif_forward = staticmethod(lambda *arguments: None)

    for module in (single_step, scan):
        monkeypatch.setattr(module, "launchers", lambda backend, x: Launchers)
    neuron, x, calls = NEURONS[name](), torch.randn(4, 50, device=DEVICE, requires_grad=gradient), []
    neuron(x)
    sys.setprofile(lambda frame, event, _: event == "call" and calls.append(frame.f_code.co_name))
    try:
        neuron(x)
    finally:
        sys.setprofile(None)
    assert len(calls) <= 25, " ".join(calls)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's code generator")
def test_a_compiled_caller_gets_the_neuron_inlined(fresh_compiler):
    """With the same bits, and few steps only; an exported program keeps the operator, with the device left open."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(str(graph.code))
        return graph

    x = torch.randn(4, 30)
    for neuron, inlined in ((fastlif.LIF(2), True), (fastlif.NoisyLIF(), True), (fastlif.NoisyLIF(2), False)):
        torch.manual_seed(3)
        expected = neuron(x)
        torch.manual_seed(3)
        assert torch.equal(torch.compile(neuron, backend=backend, fullgraph=True)(x), expected)
        assert ("fastlif" not in graphs[-1]) == inlined
    torch.compile(fastlif.LIF(17), backend=backend, fullgraph=True)(torch.randn(34, 5))
    assert "fastlif" in graphs[-1]
    nodes = torch.export.export(fastlif.LIF(2), (x,)).graph.nodes
    (operator,) = [node for node in nodes if "fastlif" in str(node.target)]
    assert '"backend": "auto"' in operator.args[-1]
