"""Batch normalisation fused with the neuron after it: the same results, and nothing kept in between."""

import copy
import pickle

import pytest
import torch
from helpers import DEVICE, relative_error, seeded
from helpers import FAST_BACKENDS as BACKENDS
from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils.checkpoint import checkpoint

import fastlif
from fastlif import LIF, Noise, NoisyLIF, Surrogate, batch_norm_neuron, fuse

SHAPES = {
    "images": (20, 6, 8, 8),
    "images of 7 x 7": (20, 6, 7, 7),
    "channels_last": (20, 8, 8, 8),
    "channels_last, 5 channels": (10, 5, 4, 4),
    "vectors": (40, 48),
    "sequences": (20, 6, 10),
    "volumes": (10, 3, 4, 4, 4),
    "one channel": (20, 1, 5, 5),
    "many programs": (10, 30, 13, 13),
}
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
NEURONS = {
    "noisy": lambda backend: NoisyLIF(backend=backend),
    "no noise": lambda backend: NoisyLIF(noise=Noise("none"), surrogate="sigmoid", backend=backend),
    "LIF": lambda backend: LIF(timesteps=5, reset=None, backend=backend),
    "LIF, T = 10": lambda backend: LIF(timesteps=10, decay=0.9, backend=backend),
}


def example(name):
    generator = torch.Generator().manual_seed(1)
    x = 2 * torch.randn(SHAPES[name], generator=generator) + 0.7
    x = x.to(DEVICE, memory_format=torch.channels_last) if name.startswith("channels_last") else x.to(DEVICE)
    norm = NORMS[x.ndim](x.shape[1]).to(DEVICE)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5, generator=torch.Generator(DEVICE).manual_seed(2))
        norm.bias.uniform_(0.2, 0.8, generator=torch.Generator(DEVICE).manual_seed(3))
    return x, norm


def one_after_the_other(norm, neuron, x):
    return neuron(norm(x))


def results(function, norm, neuron, x, seed=4):
    """Spikes and, in training, the gradients of x, weight and bias."""
    leaf = x.clone().requires_grad_(norm.training)
    torch.manual_seed(seed)
    with torch.set_grad_enabled(norm.training):
        spikes = function(norm, neuron, leaf)
    if not norm.training:
        return spikes, ()
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(5)).to(spikes)
    return spikes, torch.autograd.grad((spikes * weights).sum(), (leaf, norm.weight, norm.bias))


def both(norm, neuron, x, training=True):
    """Spikes, gradients and running statistics, fused and one after the other, with the same noise."""
    for function in (batch_norm_neuron, one_after_the_other):
        own = copy.deepcopy(norm).train(training)
        yield *results(function, own, neuron, x), list(own.buffers())


FEW = ("images", "channels_last", "vectors", "one channel")  # of which others differ in the kernels alone


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(
    "backend, shape",
    [(backend, shape) for backend in BACKENDS for shape in SHAPES if shape in FEW or backend == "triton"],
)
def test_fused_as_one_after_the_other(backend, shape, neuron):
    x, norm = example(shape)
    (spikes, grads, buffers), (expected, wanted, wanted_buffers) = both(norm, NEURONS[neuron](backend), x)
    assert spikes.dtype == x.dtype and spikes.stride() == x.stride() and 0.02 < float(spikes.detach().mean()) < 0.98
    assert int((spikes != expected).sum()) <= 1  # at the threshold, rounding may decide otherwise
    for grad, other in zip(grads, wanted):
        assert relative_error(grad, other) < (1e-4 if torch.equal(spikes, expected) else 1e-2)
    for buffer, other in zip(buffers, wanted_buffers):
        torch.testing.assert_close(buffer, other)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("shape", ["images", "channels_last"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_in_evaluation(backend, shape, neuron):
    x, norm = example(shape)
    norm.running_mean.uniform_(-1, 1)
    (spikes, _, _), (expected, _, _) = both(norm, NEURONS[neuron](backend), x, training=False)
    assert int((spikes != expected).sum()) <= 1 and 0.02 < float(spikes.detach().mean()) < 0.98


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("neuron", ["noisy", "LIF"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_16_bits(backend, neuron, dtype):
    """Against float32: what is normalised is not rounded on its way to the neuron."""
    x, norm = example("images")
    x = x.to(dtype)
    (spikes, grads, _), _ = both(norm, NEURONS[neuron](backend), x)
    (expected, wanted, _), _ = both(norm, NEURONS[neuron](backend), x.float())
    assert spikes.dtype == dtype and int((spikes != expected).sum()) <= 1
    for grad, other in zip(grads, wanted):
        assert relative_error(grad, other) < (2e-2 if dtype == torch.bfloat16 else 3e-3)


def test_one_copy_of_16_bits_in_32_is_made():
    """For the statistics, which have more digits so; the backward needs none."""
    x, norm = example("images")
    x = x.bfloat16().requires_grad_()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profile:
        batch_norm_neuron(norm, NoisyLIF(backend=BACKENDS[-1]), x).backward(torch.ones_like(x))
    operators = [(event.name, event.input_shapes) for event in profile.events()]
    copies = [name for name, shapes in operators if name == "aten::_to_copy" and list(x.shape) in shapes]
    assert len(copies) == (DEVICE == "cpu")
    assert any("native_batch_norm_backward" in name for name, _ in operators)


@pytest.mark.skipif(DEVICE == "cuda", reason="PyTorch's sums of 16 bits on a CPU")
def test_statistics_of_16_bits_have_the_digits_of_32():
    norm, neuron = nn.BatchNorm2d(1), NoisyLIF(backend="compiled")
    x = torch.randn(4, 1, 100_000, 1, generator=torch.Generator().manual_seed(0)).add(8).bfloat16()
    batch_norm_neuron(norm, neuron, x)
    exact = x.double()
    torch.testing.assert_close(10 * norm.running_mean.double(), exact.mean()[None], rtol=1e-6, atol=0)
    torch.testing.assert_close(10 * norm.running_var.double() - 9, exact.var()[None], rtol=1e-5, atol=0)


def test_weights_of_16_bits_beside_statistics_of_32_are_refused_before_anything_moves():
    norm = nn.BatchNorm2d(4)
    norm.weight.data = norm.weight.data.bfloat16()
    with pytest.raises(RuntimeError, match="expect"):
        batch_norm_neuron(norm, NoisyLIF(), torch.rand(3, 4, 5, 5).bfloat16())
    assert norm.running_mean.eq(0).all()


def against_float64(norm, neuron, batches, gradient_error):
    """Spikes, gradients and what ``norm`` keeps, fused, beside the two modules one after the other in float64."""
    exact_norm, exact_neuron = copy.deepcopy(norm).double(), copy.deepcopy(neuron)
    exact_neuron.backend = "reference"
    for seed, x in enumerate(batches):
        spikes, grads = results(batch_norm_neuron, norm, neuron, x, seed)
        expected, wanted = results(one_after_the_other, exact_norm, exact_neuron, x.double(), seed)
        assert int((spikes != expected).sum()) <= 1 and 0.02 < float(expected.detach().mean()) < 0.98
        for grad, other in zip(grads, wanted):
            assert relative_error(grad, other) < gradient_error
        for buffer, other in zip(norm.buffers(), exact_norm.buffers()):
            torch.testing.assert_close(buffer, other, rtol=1e-5, atol=1e-5, check_dtype=False)


# As far away as the dtype still tells values apart. In float32 scale * x + shift would be off by 0.01.
FAR = {torch.float32: (2000, 0.01), torch.bfloat16: (384, 16), torch.float16: (1000, 4)}


@pytest.mark.parametrize(
    "backend, dtype",
    [(backend, dtype) for backend in BACKENDS for dtype in FAR if backend == "triton" or dtype != torch.float16],
    ids=lambda value: str(value).removeprefix("torch."),
)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_a_mean_of_many_deviations(training, backend, dtype):
    if training and DEVICE == "cuda":
        pytest.skip("PyTorch's float32 mean is itself off by a good part of a deviation")
    mean, deviation = FAR[dtype]
    half = deviation * torch.randn(10, 6, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = torch.cat([mean + half, mean - half]).to(DEVICE, dtype)  # whose mean float32 can hold
    norm = example("images")[1].train(training)
    norm.running_mean.fill_(mean + 0.3 * deviation)
    norm.running_var.fill_(deviation**2)
    for neuron in (NEURONS["no noise"], NEURONS["LIF"]):
        error = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
        against_float64(norm, neuron(backend), [x], error)


def set_by_name(backend):
    neuron = LIF(timesteps=4, backend=backend)
    neuron.surrogate = "sigmoid"
    return neuron


UNUSUAL = {
    "noisy": lambda backend: NoisyLIF(
        noise=Noise("uniform", -0.5, 1.2), threshold=0.6, surrogate=Surrogate("triangular", 0.7), backend=backend
    ),
    "a surrogate set by its name": set_by_name,
    "at the mean": lambda backend: NoisyLIF(surrogate=Surrogate("triangular", at="mean"), backend=backend),
    "LIF": lambda backend: LIF(
        timesteps=4, decay=0.8, threshold=0.6, reset=-0.3, surrogate=Surrogate("sigmoid", 3.0), detach_reset=True,
        backend=backend,
    ),
}  # fmt: skip


@pytest.mark.parametrize("neuron", UNUSUAL)
def test_every_option_counts(neuron):
    x, norm = example("images")
    norm.momentum, norm.eps = 0.35, 0.8
    neuron = UNUSUAL[neuron](BACKENDS[-1])
    against_float64(norm, neuron, [x, 1.5 * x - 1], 1e-5)
    assert int(norm.num_batches_tracked) == 2
    against_float64(norm.eval(), neuron, [x], 0)


def test_a_threshold_that_is_set_to_an_integer_is_fused():
    norm, neuron = nn.BatchNorm1d(3), fastlif.LIF(2, backend="compiled")
    neuron.threshold = 2
    assert fastlif.fusion._fusable(norm, neuron, torch.rand(8, 3))
    neuron.threshold = nn.Parameter(torch.tensor(2.0))
    assert not fastlif.fusion._fusable(norm, neuron, torch.rand(8, 3))


def kept_bytes(function):
    """Of the tensors that autograd keeps for the backward of ``function()``, each memory once."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = function()
    assert output.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("neuron", ["noisy", "LIF, T = 10"])
def test_a_fused_neuron_keeps_nothing_of_its_own(neuron):
    x, norm = example("images")
    x.requires_grad_()
    small = 8 * 4 * x.shape[1] + 8  # statistics and weights of the channels, the seed
    neuron = NEURONS[neuron]("auto")
    alone = kept_bytes(lambda: norm(x))
    assert kept_bytes(lambda: batch_norm_neuron(norm, neuron, x)) <= alone + small
    assert kept_bytes(lambda: neuron(norm(x))) >= 2 * 4 * x.numel()


def network(activation=NoisyLIF):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), activation(), nn.AvgPool2d(2), nn.Sequential(nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8), activation()), nn.Flatten(), nn.Linear(32, 10), nn.BatchNorm1d(10), activation(),
    ).to(DEVICE)  # fmt: skip


def test_fuse_is_a_copy_of_the_same_modules_and_keys():
    model = network()
    fused = fuse(model)
    assert list(fused.state_dict()) == list(model.state_dict()) and type(model) is nn.Sequential
    assert [type(m) for m in fused] != [type(m) for m in model] and type(fused[1]) is nn.BatchNorm2d
    model.load_state_dict(fused.state_dict())
    assert fused[0].weight is not model[0].weight
    assert type(pickle.loads(pickle.dumps(fused))) is type(fused)
    assert len(fuse(nn.Sequential(fused, nn.Sequential(nn.BatchNorm1d(10), LIF())))) == 2


@pytest.mark.parametrize("spiking", ["single step", "MultiStep of LIF", "converted"])
def test_a_fused_network_trains_and_runs_as_before(spiking):
    torch.manual_seed(0)
    model = network(lambda: LIF(timesteps=4)) if spiking == "MultiStep of LIF" else network()
    fused, x = fuse(model), torch.rand(16, 3, 10, 10, device=DEVICE)
    if spiking != "single step":
        model, fused = fastlif.MultiStep(model, 4), fastlif.MultiStep(fused, 4)
    for mode in (True, False):
        outputs = []
        for run in (model.train(mode), fused.train(mode)):
            output = seeded(run, x)
            (output**2).sum().backward()
            outputs.append(output.detach())
        torch.testing.assert_close(*outputs)
    total = torch.cat([p.grad.flatten() for p in model.parameters()])
    other = torch.cat([p.grad.flatten() for p in fused.parameters()])
    assert relative_error(other, total) < 1e-4


@pytest.mark.full
@pytest.mark.parametrize("mode", [True, False])
def test_compiled(mode, fresh_compiler):
    model = fuse(network()).train(mode)
    x = torch.rand(16, 3, 10, 10, device=DEVICE)
    outputs = []
    for run in (torch.compile(model, fullgraph=True, options={"fallback_random": True}), model):
        before = copy.deepcopy(model.state_dict())
        model.zero_grad()
        output = seeded(run, x)
        output.sum().backward()
        outputs.append((output.detach(), model[0].weight.grad.clone(), *map(torch.clone, model.buffers())))
        model.load_state_dict(before)
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)


def hooked(norm, neuron):
    neuron.register_forward_hook(lambda module, args, output: None)


UNFUSED = {
    "a hook": hooked,
    "stateful": lambda norm, neuron: setattr(neuron, "stateful", True),
    "time first": lambda norm, neuron: setattr(neuron, "timesteps", None),
    "no running statistics": lambda norm, neuron: norm.__init__(6, track_running_stats=False),
    "no weights": lambda norm, neuron: norm.__init__(6, affine=False),
    "cumulative averages": lambda norm, neuron: setattr(norm, "momentum", None),
    "reference": lambda norm, neuron: setattr(neuron, "backend", "reference"),
    "converted": lambda norm, neuron: neuron.convert(),
    "in evaluation, with gradients": lambda norm, neuron: norm.eval(),
}


@pytest.mark.parametrize("change", UNFUSED)
def test_what_cannot_be_fused_is_called_one_after_the_other(change, monkeypatch):
    norm, neuron, x = nn.BatchNorm2d(6), NoisyLIF(), torch.randn(4, 6, 5, 5, requires_grad=True)
    UNFUSED[change](norm, neuron)
    called = []
    fused = fastlif.operators.batch_norm.BatchNormNeuron
    monkeypatch.setattr(fused, "apply", lambda *arguments: called.append(arguments))
    spikes, expected = seeded(batch_norm_neuron, norm, neuron, x), seeded(one_after_the_other, norm, neuron, x)
    assert torch.equal(spikes, expected) and not called
    leaves = [leaf for leaf in (x, norm.weight, norm.bias) if leaf is not None]
    for grad, expected_grad in zip(*(torch.autograd.grad(output.sum(), leaves) for output in (spikes, expected))):
        assert torch.equal(grad, expected_grad)


def test_a_normalisation_on_another_device_is_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(fastlif.fusion, "_in_one_pass", None)
    with torch.no_grad(), pytest.raises(RuntimeError, match="meta"):
        batch_norm_neuron(nn.BatchNorm2d(6, device="meta").eval(), NoisyLIF(), torch.randn(4, 6, 5, 5))


def test_batches_that_nobody_counts():
    norm, x = nn.BatchNorm2d(6), torch.randn(4, 6, 5, 5)
    norm.num_batches_tracked = None
    assert torch.equal(seeded(batch_norm_neuron, norm, NoisyLIF(), x), seeded(one_after_the_other, norm, NoisyLIF(), x))


@pytest.mark.parametrize("kind", ["forward_pre", "forward", "full_backward_pre", "full_backward"])
def test_a_hook_of_all_modules_sees_both(kind):
    model, seen = fuse(network()), []
    handle = getattr(torch_module, f"register_module_{kind}_hook")(lambda module, *_: seen.append(module))
    try:
        model(torch.rand(4, 3, 10, 10, device=DEVICE)).sum().backward()
    finally:
        handle.remove()
    assert all(module in seen for module in model.modules())


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_fused_layer_in_a_checkpoint(T, use_reentrant):
    neuron = fastlif.LIF(timesteps=T) if T > 1 else fastlif.NoisyLIF(noise=fastlif.Noise("none"))
    model = fastlif.fuse(nn.Sequential(nn.BatchNorm1d(5), neuron))
    x = torch.randn(4 * T, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gradients = []
    for run in (model, lambda x: checkpoint(model, x, use_reentrant=use_reentrant)):
        (run(x) * x.detach()).sum().backward()
        gradients.append((x.grad, model[0].weight.grad))
        x.grad = model[0].weight.grad = None
    for plain, checkpointed in zip(*gradients):
        assert plain.any() and torch.equal(plain, checkpointed)


@pytest.mark.parametrize("neuron", NEURONS)
def test_the_kernels_read_what_normalises(neuron):
    """No small kernels put weight, bias and statistics together first, forward or backward."""
    x, norm = example("images")
    with torch.profiler.profile() as profile:
        batch_norm_neuron(norm, NEURONS[neuron]("triton"), x.requires_grad_()).sum().backward()
    called = {event.key for event in profile.key_averages()}
    assert "aten::native_batch_norm_backward" in called and not called & {"aten::mul", "aten::stack", "aten::cat"}
