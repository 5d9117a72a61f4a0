"""A call where nobody but autograd looks on goes straight to the launch; whoever does look on sees an operator."""

import contextlib
import copy
import functools
import gc
import pickle
import weakref

import pytest
import torch
from helpers import DEVICE
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import fastlif
from benchmarks.speed import host
from fastlif import functional
from fastlif import options as options_module
from fastlif.compiled import launchers
from fastlif.operators import common
from fastlif.options import options_of_text

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


def spikes_and_gradient(call, around=contextlib.nullcontext):
    """Of ``call(x)``, the gradient weighted at random; the forward runs in ``around``."""
    torch.manual_seed(0)
    x, weights = torch.randn(2, 3, 4, 50, device=DEVICE)
    leaf = x.clone().requires_grad_()
    with around():
        spikes = call(leaf)
    return spikes.detach(), *torch.autograd.grad(spikes, leaf, weights)


@pytest.mark.parametrize("name", CALLS)
def test_who_looks_on_sees_operators_and_the_same_bits(name, backend):
    def run():
        return spikes_and_gradient(lambda x: CALLS[name](x, backend))

    with Watching() as watching:
        seen = run()
    assert all(map(torch.equal, seen, run()))
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
    neuron.stateful = True
    with pytest.raises(RuntimeError, match="a stateful neuron cannot be exported or traced"):
        torch.jit.trace(neuron, x)


def calibrated():
    neuron = fastlif.NoisyLIF(2)
    neuron.convert()
    neuron.set_calibration(torch.full((1, 2), 0.2), torch.full((1, 2), 0.5))
    return neuron.to(DEVICE)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("neuron", [fastlif.NoisyLIF(), fastlif.LIF(2), calibrated()],
                         ids=["NoisyLIF", "LIF", "calibrated"])  # fmt: skip
def test_calls_of_python_in_a_forward(neuron, gradient):
    """Counted exactly, with what launches in place of the kernels: one call."""
    x = torch.randn(4, 50, device=DEVICE, requires_grad=gradient)
    with host.without_launches():
        neuron(x)
        calls = host.calls_of_python(functools.partial(neuron, x))
    calls = [name for name in calls if name != "<genexpr>"]  # before 2.13 autograd looks at each argument in one
    assert len(calls) <= (30 if gradient else 25), " ".join(calls)


@pytest.mark.parametrize("name", ["LIF", "layer", "calibrated"])
def test_the_graph_holds_the_neuron_alone(name):
    """A node of autograd for each view of time would cost a small layer more than the neuron does."""
    neuron = {"LIF": fastlif.LIF, "layer": fastlif.NoisyLIF, "calibrated": lambda T: calibrated()}[name](2)
    spikes = neuron.to(DEVICE)(torch.randn(4, 50, device=DEVICE, requires_grad=True))
    following = [node for node, _ in spikes.grad_fn.next_functions if node]
    assert [type(node).__name__ for node in following] == ["AccumulateGrad"]


def test_a_backward_looks_again_at_what_was_not_plain(backend):
    """x is plain, and the initial membrane a negated view."""
    state = torch._neg_view(torch.randn(4, 50, device=DEVICE))
    results = [spikes_and_gradient(lambda x, v=v: functional.lif(x, initial_state=v, backend=backend))
               for v in (state, state.resolve_neg())]  # fmt: skip
    assert all(map(torch.equal, *results))


def test_hooks_on_saved_tensors_may_give_back_anything(backend):
    """Here negated views, which the backward must not read as they lie."""

    def negated():
        return torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: torch._neg_view(kept.neg()))

    results = [spikes_and_gradient(lambda x: functional.lif(x, backend=backend), around=around)
               for around in (contextlib.nullcontext, negated)]  # fmt: skip
    assert all(map(torch.equal, *results))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's code generator")
def test_a_compiled_caller_gets_the_neuron_inlined(fresh_compiler):
    """With the same bits, few steps and small work only; an exported program keeps the operator, for any device."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(str(graph.code))
        return graph

    few = torch.randn(4, 30)
    for neuron, x, inlined in (
        (fastlif.LIF(2), few, True), (fastlif.NoisyLIF(), few, True), (fastlif.NoisyLIF(2), few, False),
        (fastlif.LIF(17), torch.randn(34, 5), False), (fastlif.LIF(2, backend="compiled"), torch.rand(2, 2**14), False),
    ):  # fmt: skip
        torch.manual_seed(3)
        expected = neuron(x)
        torch.manual_seed(3)
        assert torch.equal(torch.compile(neuron, backend=backend, fullgraph=True)(x), expected)
        assert ("fastlif" not in graphs[-1]) == inlined
    for strict in (False, True):  # with the compiler's own tracing, too
        nodes = torch.export.export(fastlif.LIF(2), (few,), strict=strict).graph.nodes
        (operator,) = [node for node in nodes if "fastlif" in str(node.target)]
        assert '"backend": "auto"' in operator.args[-1]


CHANGES = {"threshold": 0.7, "surrogate": "sigmoid", "noise": fastlif.Noise("uniform"), "reset_to": None}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_attribute_counts(change):
    x, gradients = torch.randn(3, 60, device=DEVICE).requires_grad_(), []
    changed, made = fastlif.NoisyLIF(3), fastlif.NoisyLIF(3, **{change.removesuffix("_to"): CHANGES[change]})
    changed(x)
    setattr(changed, change, CHANGES[change])
    for neuron in (changed, made):
        torch.manual_seed(2)
        gradients.append(torch.autograd.grad(neuron(x).sum(), x)[0])
    assert torch.equal(*gradients)


def record(threshold=1.0, gain=1.0):
    return functional.lif_options(0.5, None, threshold, None, gain, 0.0, False, False, "atan", False, "auto")


def test_equal_records_are_one():
    """And records that differ in numbers are one kind of launch, but that a gain of 1 is not multiplied by."""
    first, second, other = record(1.0), record(1), record(2.0)
    assert first is second and other is not first
    assert first.choices == other.choices != record(gain=2.0).choices == record(gain=3.0).choices
    assert copy.deepcopy(first) is first and pickle.loads(pickle.dumps(first)) is first
    assert options_of_text(type(first).text.func(first)) is first


def test_a_record_that_is_held_stays_the_only_one_and_others_are_forgotten():
    before = len(options_module._alive)
    first = record(3.0)
    texts = [record(4.0 + i / 1024).text for i in range(2 * options_module.KEPT)]
    assert record(3.0) is first and options_of_text(first.text) is first and pickle.loads(pickle.dumps(first)) is first
    gc.collect()
    assert len(options_module._alive) <= before + options_module.KEPT + 1
    assert options_of_text(texts[0]).threshold == 4.0


def test_what_the_compiled_path_keeps_for_a_record_ends_with_it():
    record = options_module.Options(threshold=0.625)
    scalars = launchers._scalars(record, torch.device("cpu"))
    assert launchers._scalars(record, torch.device("cpu")) is scalars and scalars[0] == 0.625
    kept = weakref.ref(scalars)
    del scalars, record
    gc.collect()
    assert kept() is None


def test_equal_keys_are_not_equal_arguments():
    x = torch.randn(2, 3, device=DEVICE)
    functional.lif(x, threshold=1.0, detach_reset=False)
    for name, value, message in (
        ("threshold", True, "must be a number, got bool"), ("threshold", [1.0], "must be a number, got list"),
        ("detach_reset", 0, "must be True or False, got int"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"{name} {message}"):
            functional.lif(x, **{name: value})


def test_a_subclass_sees_operators(backend):
    class Named(torch.Tensor):
        seen = []

        @classmethod
        def __torch_function__(cls, function, types, arguments=(), keywords=None):
            cls.seen.append(getattr(function, "__name__", ""))
            return super().__torch_function__(function, types, arguments, keywords)

    x = torch.randn(3, 4, 50, device=DEVICE)
    spikes = functional.lif(x.as_subclass(Named), backend=backend)
    assert type(spikes) is Named and "lif" in Named.seen
    assert torch.equal(spikes.as_subclass(torch.Tensor), functional.lif(x, backend=backend))


def test_a_mode_of_functions_sees_operators(backend):
    """But for that of a default device, which would only make calls slow."""

    class Seeing(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            seen.append(getattr(function, "__name__", ""))
            return function(*arguments, **keywords or {})

    seen, x = [], torch.randn(3, 4, 50, device=DEVICE)
    with Seeing():
        spikes = functional.lif(x, backend=backend)
    assert "lif" in seen and torch.equal(spikes, functional.lif(x, backend=backend))
    with torch.device("cpu"):
        assert not common.watched([x])[0]
        with Seeing():
            assert common.watched([x])[0]


def test_statistics_are_constants(backend):
    x = torch.randn(3, 4, 50, device=DEVICE).requires_grad_()
    chosen = functional.noisy_lif_options(
        0.5, None, 1.0, 0.0, 4.0, 0.5, fastlif.Noise("none"), "matched", "independent", "atan", False, backend
    )  # fmt: skip
    spikes, state, mean, deviation = functional.run_noisy_lif(x, None, None, "layer", None, True, chosen)
    assert spikes.requires_grad and state.requires_grad and not mean.requires_grad and not deviation.requires_grad


@pytest.mark.parametrize("name", ["noisy_spike", "lif"])
@pytest.mark.parametrize("backend", ["reference", "compiled", "triton"], indirect=True)
def test_forward_mode_is_an_error(name, backend):
    x = torch.randn(3, 4, 50, device=DEVICE)
    with forward_ad.dual_level():
        CALLS[name](x, backend)  # no tangent, no error
        with pytest.raises(NotImplementedError, match="no forward-mode derivative: take the surrogate's"):
            CALLS[name](forward_ad.make_dual(x, torch.ones_like(x)), backend)
    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        torch.func.jvp(lambda x: CALLS[name](x, backend), (x,), (torch.ones_like(x),))


@pytest.mark.filterwarnings("ignore")  # PyTorch's own: it falls back to a loop
@pytest.mark.parametrize("name", ["noisy_spike", "lif", "fused NoisyLIF", "fused LIF"])
def test_batched_gradients(name, backend):
    x, norm = torch.randn(8, 5, device=DEVICE, requires_grad=True), torch.nn.BatchNorm1d(5).to(DEVICE)
    if name in CALLS:
        spikes, leaves = CALLS[name](x, backend), [x]
    else:
        neuron = fastlif.LIF(2, backend=backend) if name == "fused LIF" else fastlif.NoisyLIF(backend=backend)
        spikes, leaves = fastlif.batch_norm_neuron(norm, neuron, x), [x, norm.weight, norm.bias]
    weights = torch.randn(3, 8, 5, device=DEVICE)
    together = torch.autograd.grad(spikes, leaves, weights, is_grads_batched=True, retain_graph=True)
    for i, weight in enumerate(weights):
        for gradients, gradient in zip(together, torch.autograd.grad(spikes, leaves, weight, retain_graph=True)):
            torch.testing.assert_close(gradients[i], gradient)


@pytest.mark.parametrize("neuron", [fastlif.NoisyLIF(), fastlif.LIF(1)], ids=["NoisyLIF", "LIF"])
@pytest.mark.parametrize("wants", ["x and weight", "weight"])
def test_a_second_derivative_of_a_fused_layer_is_an_error(neuron, wants):
    norm = torch.nn.BatchNorm1d(5).to(DEVICE)
    x = torch.randn(8, 5, device=DEVICE, requires_grad=wants != "weight")
    spikes = fastlif.batch_norm_neuron(norm, neuron, x)
    (gradient,) = torch.autograd.grad(spikes.sum(), norm.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.square().sum().backward()
