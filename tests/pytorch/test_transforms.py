"""PyTorch's transforms over the neurons: torch.func, torch.vmap, gradients of gradients."""

import pytest
import torch
import torch._dynamo.testing
from helpers import DEVICE
from torch import nn

import fastlif
from fastlif import functional

BACKENDS = ["reference", "compiled", "triton"]
SEED = 3
NEURONS = {
    "noisy_spike": lambda x, seed, backend: functional.noisy_spike(x[0], seed=seed, backend=backend),
    "lif": lambda x, seed, backend: functional.lif(x, reset=None, backend=backend),
    "noisy_lif": lambda x, seed, backend: functional.noisy_lif(x, seed=seed, backend=backend),
    "noisy_lif, sample": lambda x, seed, backend: functional.noisy_lif(
        x, seed=seed, statistics="sample", backend=backend
    ),
}


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "triton":
        pytest.importorskip("triton")
    return request.param


def examples(count=3):
    torch.manual_seed(0)
    return torch.randn(count, 4, 2, 30, device=DEVICE)


@pytest.mark.parametrize("name", NEURONS)
def test_vmap_is_a_loop_over_examples(name, backend):
    xs = examples()
    seeds = torch.tensor([[5], [6], [7]], device=DEVICE)

    def one(x, seed):
        return NEURONS[name](x, seed, backend)

    expected = torch.stack([one(x, seed) for x, seed in zip(xs, seeds)])
    assert torch.equal(torch.vmap(one)(xs, seeds), expected)
    inner = torch.vmap(one, in_dims=(2, 0), out_dims=1)(xs.movedim(0, 2), seeds)
    assert torch.equal(inner, expected.movedim(0, 1))
    if backend != "reference":  # PyTorch's own operations refuse some sums of no examples
        assert torch.vmap(one)(xs[:0], seeds[:0]).shape == (0, *expected.shape[1:])


@pytest.mark.parametrize("seed", [SEED, torch.tensor([[5], [6]], device=DEVICE)], ids=["one seed", "seeds"])
@pytest.mark.parametrize("name", NEURONS)
def test_vmap_over_examples_that_lie_within_each_other(name, seed, backend):
    torch.manual_seed(0)
    xs = torch.randn(3, 5, 4, 6, 2, device=DEVICE).transpose(2, 3)  # [T, N, W, H, examples], each dense but for them
    seed_dim = 0 if isinstance(seed, torch.Tensor) else None

    def one(x, seed):
        return NEURONS[name](x, seed, backend)

    seeds = [seed] * 2 if seed_dim is None else seed
    expected = torch.stack([one(x, seed) for x, seed in zip(xs.unbind(4), seeds)])
    assert torch.equal(torch.vmap(one, in_dims=(4, seed_dim))(xs, seed), expected)


def test_an_ensemble_of_models_runs_at_once():
    """PyTorch's recipe: models of one kind, their weights stacked."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Conv2d(2, 4, 3), fastlif.NoisyLIF()).to(DEVICE, torch.float64) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    x = torch.randn(5, 2, 6, 6, dtype=torch.float64, device=DEVICE)

    def one(parameters, buffers, x):
        return torch.func.functional_call(models[0], (parameters, buffers), (x,))

    torch.manual_seed(1)
    together = torch.vmap(one, in_dims=(0, 0, None), randomness="same")(parameters, buffers, x)
    for model, spikes in zip(models, together, strict=True):
        torch.manual_seed(1)
        assert torch.equal(spikes, model(x))


@pytest.mark.parametrize("name", NEURONS)
def test_per_example_gradients(name, backend):
    xs = examples()
    weight = torch.rand(30, device=DEVICE)

    def loss(weight, x):
        return (NEURONS[name](x * weight, SEED, backend) * x[0]).sum()

    expected = []
    for x in xs:
        leaf = weight.clone().requires_grad_()
        expected.append(torch.autograd.grad(loss(leaf, x), leaf)[0])
    assert any(gradient.any() for gradient in expected)
    torch.testing.assert_close(torch.func.grad(loss)(weight, xs[0]), expected[0])
    together = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, xs)
    torch.testing.assert_close(together, torch.stack(expected))


def test_noise_differs_between_examples_only_if_that_is_asked_for(backend):
    neuron = fastlif.NoisyLIF(backend=backend)
    x = torch.full((2, 1, 2000), 0.5, device=DEVICE)
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(neuron)(x)
    first, second = torch.vmap(neuron, randomness="different")(x)
    assert not torch.equal(first, second)
    first, second = torch.vmap(neuron, randomness="same")(x)
    assert torch.equal(first, second)


@pytest.mark.parametrize("transform", ["vmap", "gradients", "outer gradient"])
@pytest.mark.parametrize("kind", [fastlif.LIF, fastlif.LI])
def test_a_membrane_stays_within_vmap(kind, transform):
    x, neuron = examples(), kind(4, stateful=True, detach_state=False)

    def twice(x):  # as a network does that begins each sequence with a reset
        fastlif.reset(neuron)
        return (neuron(x.flatten(0, 1)) * neuron(x.flatten(0, 1))).sum()

    run = {
        "vmap": torch.vmap(twice),
        "gradients": torch.vmap(torch.func.grad(twice)),
        "outer gradient": torch.func.grad(lambda xs: torch.vmap(twice)(xs).sum()),
    }[transform]
    together = run(x)
    with pytest.raises(RuntimeError, match="cannot carry its membrane out of torch.vmap: call fastlif.reset"):
        neuron(x[0].flatten(0, 1))
    assert torch.equal(run(x), together)
    fastlif.reset(neuron)
    neuron(x[0].flatten(0, 1))
    each = (run(x[i : i + 1]) for i in range(3))
    torch.testing.assert_close(torch.cat(list(each)), together)


@pytest.mark.parametrize("constant", [True, False], ids=["constant gradient", "gradient with a graph"])
@pytest.mark.parametrize("name", NEURONS)
def test_a_second_derivative_is_an_error(name, backend, constant):
    x = examples(1)[0].requires_grad_()
    spikes = NEURONS[name](x, SEED, backend)
    loss = spikes.sum() if constant else (spikes * x[0]).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_batches_of_any_size_share_a_compilation(backend, steps, dynamic, fresh_compiler):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), fastlif.NoisyLIF(backend=backend), nn.Linear(20, 3)).to(DEVICE)
    model = fastlif.MultiStep(model, steps) if steps > 1 else model
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend=counter)
    for batch in (4, 5, 9, 17, 32):
        x = torch.randn(batch, 6, device=DEVICE)
        outputs = []
        for run in (compiled, model):
            torch.manual_seed(batch)
            outputs.append(run(x))
        torch.testing.assert_close(*outputs)
    assert counter.frame_count <= 2


@pytest.mark.parametrize("dynamic", [None, True])
def test_images_of_any_size_share_a_compilation(dynamic, fresh_compiler):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), fastlif.NoisyLIF(backend="reference"), nn.Conv2d(4, 4, 1))
    model = fastlif.MultiStep(model, 2).to(DEVICE, memory_format=torch.channels_last)
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend=counter)
    for size in (6, 8, 11):
        x = torch.randn(4, 2, size, size, device=DEVICE).to(memory_format=torch.channels_last)
        torch.manual_seed(size)
        expected = model(x)
        torch.manual_seed(size)
        torch.testing.assert_close(compiled(x), expected)
    assert counter.frame_count <= 2
