"""PyTorch's own machinery over whole models: the paper's network and a converted ResNet-18.

On a GPU on the kernels. On a CPU the compilers, layouts and threads meet the compiled backend, and the rest what needs
no compiling: the kernels in their interpreter for the small network, the reference for ResNet-18.
"""

import concurrent.futures
import copy
import functools
import importlib.util
import io
import pickle

import pytest
import torch
import torch._dynamo.testing
from helpers import DEVICE, Checkpointed
from test_settings import SETTINGS
from torch import nn
from torch.utils.checkpoint import checkpoint

import fastlif
from benchmarks.training import networks
from fastlif import Noise, layout
from fastlif.models import neurons
from fastlif.operators import scan, single_step

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SHAPES = {"paper": (1, 8, 8), "resnet18": (3, 8, 8)}
BACKENDS = {"paper": "triton" if importlib.util.find_spec("triton") else "reference", "resnet18": "reference"}


def images(network, count=3):
    return torch.randn(count, *SHAPES[network], generator=torch.Generator().manual_seed(count)).to(DEVICE)


@functools.cache
def trained(network, backend, neuron, **keywords):
    """``network`` with fresh weights and settled batch normalisation, so that every layer spikes."""
    torch.manual_seed(0)

    def activation():
        return neuron(backend=backend, **keywords)

    if network == "paper":
        model = networks.build("small", SHAPES["paper"], 10, activation=activation, width=0.125)
    else:
        pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
        model = networks.build("resnet18", SHAPES["resnet18"], 10, activation=activation)
    model = model.to(DEVICE)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    for momentum in (1.0, 0.1):
        for norm in norms:
            norm.momentum = momentum
        with torch.no_grad():
            model(images(network, 16))
    fastlif.reset(model)
    return model.eval()


def build(network, state="single", backend=None, neuron=fastlif.NoisyLIF, **keywords):
    """A copy of ``network``: for a single step, converted to two, or calibrated for two."""
    backend = backend or ("auto" if DEVICE == "cuda" else BACKENDS[network])
    model = copy.deepcopy(trained(network, backend, neuron, **keywords))
    if state != "single":
        model = fastlif.MultiStep(model, 2)
    if state == "calibrated":
        model.calibrate([images(network)])
    return model


def seeded(call, *arguments, seed=1):
    torch.manual_seed(seed)
    return call(*arguments)


def gradients(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()))


def all_equal(first, second):
    return all(map(torch.equal, first, second))


CASES = [("paper", state) for state in ("single", "multi", "calibrated")]
CASES += [("resnet18", state) for state in ("single", "multi")]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    """A network and its state."""
    return request.param


@pytest.fixture(params=SHAPES)
def network(request):
    return request.param


# --- torch.func ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["single", "multi"])
def test_per_example_gradients(network, state):
    model = build(network, state, noise=Noise("none"), statistics="sample")
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    x = images(network, 2)

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x[None],)).square().sum()

    together = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    one_by_one = [gradients(model, model(example[None]).square().sum()) for example in x]
    assert any(value.any() for value in one_by_one[0])
    for actual, *expected in zip(together.values(), *one_by_one):
        torch.testing.assert_close(actual, torch.stack(expected), rtol=1e-3, atol=1e-4)


# --- Mixed precision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("state", ["single", "multi"])
def test_autocast_and_gradscaler(network, state, dtype):
    model = build(network, state).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(DEVICE, init_scale=2.0**10)
    spikes = []
    for neuron in neurons(model):
        neuron.register_forward_hook(lambda module, args, output: spikes.append((args[0].dtype, output.dtype)))
    x, before = images(network, 4), copy.deepcopy(list(model.parameters()))
    with torch.autocast(DEVICE, dtype):
        loss = nn.functional.cross_entropy(model(x), torch.arange(4, device=DEVICE))
    scaler.scale(loss).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(given == taken for taken, given in spikes) and (dtype, dtype) in spikes
    scaler.step(optimizer)
    scaler.update()
    assert not all_equal(before, model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_a_model_of_16_bits(network, dtype):
    model = build(network, "calibrated").to(dtype)
    model(images(network).to(dtype)).float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(neuron.calibrated_mean.dtype == torch.float32 for neuron in neurons(model))


# --- Activation checkpointing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_draws_the_same_noise_again(case, reentrant):
    """But where the generator's state is not preserved, as functional.py says."""
    model, x = build(*case), images(case[0]).requires_grad_()
    expected = gradients(model, seeded(model, x).square().sum())
    for preserved in (True, False):
        model.zero_grad()
        y = seeded(functools.partial(checkpoint, use_reentrant=reentrant, preserve_rng_state=preserved), model, x)
        y.square().sum().backward()
        assert all_equal([parameter.grad for parameter in model.parameters()], expected) == preserved


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("timesteps", [1, 3])
def test_checkpointing_parts_of_a_multistep_model(reentrant, timesteps):
    """The parts are called again in the backward, without the MultiStep around them."""
    single = build("paper")
    whole = fastlif.MultiStep(single, timesteps)
    parts = [Checkpointed(*single[:3], use_reentrant=reentrant), Checkpointed(*single[3:7], use_reentrant=reentrant)]
    parts = fastlif.MultiStep(nn.Sequential(*parts, *single[7:]), timesteps)
    results = []
    for model in (whole, parts):
        x = images("paper").requires_grad_()
        y = seeded(model, x)
        model(images("paper", 3))  # another pass before the backward
        torch.manual_seed(9)
        y.square().sum().backward()
        results.append([x.grad, *(parameter.grad for parameter in model.parameters())])
    assert all_equal(*results)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_carried_membrane_is_not_computed_twice(reentrant):
    model = nn.Sequential(nn.Linear(5, 6), fastlif.LIF(timesteps=2, stateful=True)).to(DEVICE)
    y = checkpoint(model, torch.randn(4, 5, device=DEVICE, requires_grad=True), use_reentrant=reentrant)
    state = model[1].states[0].clone()
    with pytest.raises(RuntimeError, match="leave it out of the checkpoint"):
        y.sum().backward()
    assert torch.equal(model[1].states[0], state)


# --- Copies -------------------------------------------------------------------------------------------------------


def copies(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    yield copy.deepcopy(model)
    yield pickle.loads(pickle.dumps(model))
    yield torch.load(file, weights_only=False)


MOMENTS = ["fresh", "after a backward", "after inference", "16 bits"]


@pytest.mark.parametrize(
    "network, state, moment",
    [("paper", state, moment) for state in ("single", "multi", "calibrated") for moment in MOMENTS]
    + [("resnet18", "calibrated", "after a backward")],
)
def test_copies_and_state_dicts(network, state, moment):
    model, x = build(network, state), images(network)
    if moment == "after a backward":
        model(x).sum().backward()
    elif moment == "after inference":
        with torch.inference_mode():
            model(x)
    elif moment == "16 bits":
        model, x = model.bfloat16(), x.bfloat16()
    expected = seeded(model, x)
    for other in copies(model):
        assert torch.equal(seeded(other, x), expected)
    fresh = build(network, "single" if state == "single" else "multi").to(x.dtype)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(seeded(fresh, x), expected)


@pytest.mark.full
@pytest.mark.parametrize("neuron", [fastlif.LIF, fastlif.NoisyLIF])
def test_copies_in_the_middle_of_a_sequence(neuron):
    model, x = build("paper", neuron=neuron, timesteps=2, stateful=True), images("paper", 4)
    with torch.inference_mode():  # whose tensors autograd refuses to save
        model(x)
    middle = copy.deepcopy(model)
    assert not any("state" in key for key in model.state_dict())
    expected = seeded(model, x)
    expected.sum().backward()
    for other in copies(middle):
        assert torch.equal(seeded(other, x), expected)
    fastlif.reset(middle)
    assert not torch.equal(seeded(middle, x), expected)


def test_what_was_calibrated_in_inference_mode_can_be_trained():
    model = build("paper", "multi")
    with torch.inference_mode():
        model.calibrate([images("paper")])
        model.load_state_dict(copy.deepcopy(model.state_dict()))
    model.train()(images("paper")).sum().backward()


# --- Several at once ----------------------------------------------------------------------------------------------


def replica(model):
    """What nn.DataParallel makes of a model for one of its devices."""
    made = {module: module._replicate_for_data_parallel() for module in model.modules()}
    for module, other in made.items():
        for name, child in module._modules.items():
            other._modules[name] = made.get(child)
        for name, parameter in module._parameters.items():
            if parameter is None:
                other._parameters[name] = None
            else:
                setattr(other, name, parameter.view_as(parameter))  # a copy with a graph
        for name, buffer in module._buffers.items():
            setattr(other, name, buffer)
    return made[model]


def in_threads(calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [running.result() for running in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize("neuron", [
    lambda: fastlif.LIF(4, decay=nn.Parameter(torch.tensor(0.8)), threshold=nn.Parameter(torch.tensor(0.6))),
    lambda: fastlif.LIF(4, gain=torch.tensor([0.5, 2.0, 1.0])),
    lambda: fastlif.ParametricLIF(4, init_tau=5.0),
    lambda: fastlif.LI(4, decay=nn.Parameter(torch.tensor(0.8))),
])  # fmt: skip
def test_replicas_of_neurons_that_learn(neuron):
    model = nn.Sequential(nn.Linear(3, 3), neuron())
    x = torch.rand(8, 3)
    outputs = [one(x) for one in (model, replica(model))]
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
    of_model, of_replica = (gradients(model, output.sum()) for output in outputs)
    assert len(of_model) == len(list(model.parameters()))
    torch.testing.assert_close(of_model, of_replica)


@pytest.mark.parametrize("shared", [True, False], ids=["one model", "replicas"])
def test_threads(case, shared):
    """As a server runs one model in several threads, and nn.DataParallel one replica in each."""
    model = build(*case, noise=Noise("none"), backend="auto")
    inputs = [images(case[0], count) for count in (2, 3, 5, 7)]
    expected = [model(x) for x in inputs]
    models = [model if shared else replica(model) for _ in inputs]
    calls = [lambda m=m, x=x: [m(x) for _ in range(3)] for m, x in zip(models, inputs)]
    for actual, wanted in zip(in_threads(calls), expected):
        for y in actual:
            torch.testing.assert_close(y, wanted)
    replicas = [replica(model) for _ in range(2)]
    losses = in_threads([lambda m=m: m(inputs[0]).sum() for m in replicas])
    sum(losses).backward()
    single = gradients(model, model(inputs[0]).sum())
    for parameter, gradient in zip(model.parameters(), single):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def ddp_worker(rank, network, state, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = build(network, state, noise=Noise("none"), statistics="sample", backend="reference").cpu()
    parallel = nn.parallel.DistributedDataParallel(model)
    parallel(images(network, 4).cpu()[2 * rank : 2 * rank + 2]).square().mean().backward()
    if rank == 0:
        torch.save([parameter.grad for parameter in model.parameters()], folder / "gradients")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("state", ["single", "multi"])
def test_distributed_data_parallel(network, state, tmp_path):
    """Two processes, half of the batch each, get the gradients of the whole batch."""
    model = build(network, state, noise=Noise("none"), statistics="sample", backend="reference").cpu()
    expected = gradients(model, model(images(network, 4).cpu()).square().mean())
    torch.multiprocessing.spawn(ddp_worker, (network, state, tmp_path), nprocs=2)
    for actual, wanted in zip(torch.load(tmp_path / "gradients"), expected):
        torch.testing.assert_close(actual, wanted, rtol=1e-3, atol=1e-5)


# --- Memory layout ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_no_layout_is_ever_copied(case, memory_format, monkeypatch):
    model = build(*case, backend="auto").to(memory_format=memory_format)
    copied, seen = [], []

    def spy(original, *tensors):
        x = tensors[-1] if original is layout.lying_like else tensors[0]
        y = original(*tensors)
        (seen if y.data_ptr() == x.data_ptr() else copied).append((tuple(x.shape), x.stride()))
        return y

    for module, name in (
        (single_step, "dense"), (single_step, "lying_like"), (scan, "dense_steps"), (scan, "lying_as")
    ):  # fmt: skip
        monkeypatch.setattr(module, name, functools.partial(spy, getattr(layout, name)))
    for neuron in neurons(model):
        neuron.register_forward_hook(
            lambda module, args, output: (
                copied.append("the output's layout")
                if output.ndim == 4 and not output.is_contiguous(memory_format=memory_format)
                else None
            )
        )
    x = images(case[0]).to(memory_format=memory_format)
    model(x).square().sum().backward()
    assert not copied and len(seen) >= 3 * len(neurons(model))


def test_the_stride_of_a_single_element_does_not_matter():
    x = torch.empty_strided((3, 1, 4), (4, 99, 1))
    assert layout.dense_steps(x) is x and layout.steps_as(x, torch.empty(3, 1, 4)) is x
    apart = torch.empty(20).as_strided((3, 1, 4), (8, 99, 1))  # in time, so that it is not contiguous
    other = torch.empty_strided((3, 1, 4), (4, 7, 1))
    assert layout.dense_steps(apart) is apart and layout.steps_as(other, apart) is other


FOLDED = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "channels last, turned": lambda x: x.transpose(1, 3).contiguous().transpose(1, 3),
    "batch inside": lambda x: x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
    "sliced": lambda x: x.repeat_interleave(2, dim=2)[:, :, ::2],
    "sliced batch": lambda x: x.repeat_interleave(2, dim=0)[::2],
    "repeated": lambda x: x[:1].expand_as(x),
    "channels last, repeated": lambda x: x.to(memory_format=torch.channels_last)[:1].expand_as(x),
    "channels last, sliced batch": lambda x: x.repeat_interleave(2, dim=0).to(memory_format=torch.channels_last)[::2],
}


@pytest.mark.parametrize("kind", ["lif", "layer", "sample", "calibrated"])
@pytest.mark.parametrize("N", [1, 4])
@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("layout", FOLDED)
def test_a_folded_batch_of_any_layout_is_its_steps(layout, T, N, kind):
    """Spikes, gradients and noise, however the gradient lies; and the spikes can be changed in place."""
    neurons = []
    for timesteps in (T, None):
        neuron = fastlif.LIF(timesteps) if kind == "lif" else fastlif.NoisyLIF(timesteps, backend="auto")
        if kind != "lif":
            neuron.convert(statistics="layer" if kind == "calibrated" else kind)
        if kind == "calibrated":
            neuron.set_calibration(torch.linspace(0, 0.4, T)[None], torch.linspace(0.4, 0.6, T)[None])
        neurons.append(neuron.to(DEVICE))
    torch.manual_seed(1)
    x = FOLDED[layout](torch.randn(T * N, 3, 5, 6, device=DEVICE))
    weights = torch.randn(x.shape, device=DEVICE)
    results = []
    for neuron, gradient in zip(neurons, (weights, torch.empty_like(x).copy_(weights))):
        leaf = x.detach().requires_grad_()
        spikes = seeded(neuron, leaf if neuron.timesteps else leaf.unflatten(0, (T, N)))
        spikes = spikes if neuron.timesteps else spikes.flatten(0, 1)
        (grad,) = torch.autograd.grad(spikes, leaf, gradient)
        results.append((spikes.detach(), grad))
    assert all_equal(*results) and 0 < results[0][0].mean() < 1
    if x.is_contiguous(memory_format=torch.channels_last):
        assert results[0][0].is_contiguous(memory_format=torch.channels_last)
    changed = seeded(neurons[0], x.detach().requires_grad_()).mul_(2)
    assert torch.equal(changed.detach(), 2 * results[0][0]) and changed.requires_grad


# --- What people do around a layer --------------------------------------------------------------------------------


def test_in_place_operations_after_a_neuron():
    x = torch.randn(1, 4, 30, device=DEVICE).requires_grad_()
    results = []
    for change in (lambda y: y.mul_(3).add_(1), lambda y: y * 3 + 1):
        lif, noisy = (seeded(functools.partial(function, return_state=True), x)
                      for function in (fastlif.functional.lif, fastlif.functional.noisy_lif))  # fmt: skip
        outputs = [change(y) for y in (*lif, *noisy, seeded(fastlif.NoisyLIF(), x), fastlif.LIF()(x))]
        (gradient,) = torch.autograd.grad(sum(y.square().sum() for y in outputs), x)
        results.append([gradient, *(y.detach() for y in outputs)])
    assert all_equal(*results)


AROUND = {
    "anomaly detection": torch.autograd.detect_anomaly,
    "saved tensors on the CPU": torch.autograd.graph.save_on_cpu,
} | {name: SETTINGS[name] for name in ("deterministic", "default device", "float64")}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("mode", AROUND)
@pytest.mark.parametrize("state", ["single", "multi", "calibrated"])
def test_modes_change_nothing(state, mode):
    model, x = build("paper", state), images("paper")
    expected = seeded(model, x)
    with AROUND[mode]():
        actual = seeded(model, x)
        actual.square().sum().backward()
    assert torch.equal(actual, expected)
    wanted = gradients(model, expected.square().sum())
    assert all_equal([parameter.grad for parameter in model.parameters()], wanted)


@pytest.mark.parametrize("state", ["single", "multi"])
def test_shapes_without_data(state):
    model = build("paper", state, backend="auto").to("meta")
    y = model(torch.empty(5, *SHAPES["paper"], device="meta"))
    y.sum().backward()
    assert y.shape == (5, 10) and y.device.type == "meta"


def test_hooks_and_graphs_that_are_kept(case):
    model, x, seen = build(*case), images(case[0]), []
    for neuron in neurons(model):
        neuron.register_full_backward_hook(lambda module, inputs, outputs: seen.append(inputs[0].isfinite().all()))
    first, second = model(x), model(x[:2])
    loss = first.square().sum()
    loss.backward(retain_graph=True)
    once = [parameter.grad.clone() for parameter in model.parameters()]
    second.sum().backward()  # in any order
    model.zero_grad()
    loss.backward()
    assert all_equal(once, [parameter.grad for parameter in model.parameters()])
    assert seen and all(seen)


# --- Compilers ----------------------------------------------------------------------------------------------------


def assert_compiled_is_eager(compiled, model, x, backward=True):
    expected, actual = seeded(model, x), seeded(compiled, x)
    torch.testing.assert_close(actual, expected)
    for mine, theirs in zip(gradients(model, actual.sum()), gradients(model, expected.sum())) if backward else ():
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_compile_whole_for_every_batch_size(case, fresh_compiler):
    model = build(*case, backend="auto")
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for batch in (16, 17, 18, 20):  # below 16 the CPU's convolutions are compiled for by size
        assert_compiled_is_eager(compiled, model, images(case[0], batch), backward=batch < 18)
    assert counter.frame_count <= 2


@pytest.mark.parametrize("name", ["linear", "single", "multi"])
def test_compile_by_inductor(name, fresh_compiler):
    """The whole stack: generated code around the neurons, seeds drawn as eager draws them."""
    if name == "linear":
        torch.manual_seed(0)
        layers = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)
        model = fastlif.MultiStep(fastlif.convert(nn.Sequential(nn.Flatten(), *layers)), 3).to(DEVICE)
    else:
        model = build("paper", name, backend="auto")
    compiled, x = torch.compile(model, fullgraph=True, options={"fallback_random": True}), images("paper")
    assert_compiled_is_eager(compiled, model, x)
    assert not torch.equal(compiled(x), compiled(x))


def test_export_and_reload(case):
    model = build(*case, backend="auto")
    program = torch.export.export(model, (images(case[0]),), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    reloaded = torch.export.load(file).module()
    for batch in (2, 3, 7):
        x = images(case[0], batch)
        torch.testing.assert_close(seeded(reloaded, x), seeded(model, x))
    assert not torch.equal(reloaded(x), reloaded(x))


def test_a_noise_that_shrinks_in_a_compiled_model_is_refused_in_words(fresh_compiler):
    """What changes from call to call is a symbol for the compiler, which knows no format of it."""
    neuron, x = fastlif.NoisyLIF(4, backend="reference"), torch.rand(4, 3)
    compiled = torch.compile(neuron, backend="eager")
    with pytest.raises(ValueError, match="alpha=4.0 gives the membrane the range 1/alpha = 0.25, more than"):
        for k in range(5):
            neuron.noise = Noise(low=0.08 * k, high=1 - 0.08 * k)
            compiled(x)
    assert k == 4


def test_a_carried_membrane_is_compiled_for_and_not_exported(fresh_compiler):
    model = nn.Sequential(nn.Linear(5, 40), fastlif.LIF(timesteps=2, stateful=True)).to(DEVICE)
    eager, counter = copy.deepcopy(model), torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for _ in range(4):
        x = torch.randn(4, 5, device=DEVICE)
        torch.testing.assert_close(compiled(x), eager(x))
    torch.testing.assert_close(model[1].states[0], eager[1].states[0])
    assert counter.frame_count <= 2  # without a membrane, and with one
    with pytest.raises(RuntimeError, match="cannot be exported.*initial_state"):
        torch.export.export(model, (x,))


# --- On a GPU -----------------------------------------------------------------------------------------------------


def on_another_stream(call):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        result = call()
    torch.cuda.current_stream().wait_stream(side)
    return result


@CUDA
@torch.no_grad()
def test_a_replayed_graph_draws_fresh_noise(case):
    model, x = build(*case), images(case[0])
    on_another_stream(lambda: [model(x) for _ in range(3)])
    graph, outputs = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph):
        y = model(x)
    for seed in (1, None, 1):
        if seed is not None:
            torch.manual_seed(seed)
        graph.replay()
        outputs.append(y.clone())
    assert torch.equal(outputs[0], outputs[2]) and not torch.equal(outputs[0], outputs[1])


@CUDA
def test_a_training_step_in_a_graph(case):
    model, x = build(*case), images(case[0])
    graphed = torch.cuda.make_graphed_callables(copy.deepcopy(model), (x,))
    first, second = graphed(x).clone(), graphed(x).clone()
    assert not torch.equal(first, second)
    graphed(x).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in graphed.parameters())


@CUDA
def test_streams(case):
    model, x = build(*case), images(case[0])
    expected = seeded(model, x)

    def forward_and_backward():
        actual = seeded(model, x)
        actual.sum().backward()
        return actual

    assert torch.equal(on_another_stream(forward_and_backward), expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_current_one(case):
    model, x = build(*case, noise=Noise("none")), images(case[0])
    expected = model(x)
    other = copy.deepcopy(model).to("cuda:1")
    actual = other(x.to("cuda:1"))
    actual.sum().backward()
    assert actual.device.index == 1
    torch.testing.assert_close(actual.to(x.device), expected)
