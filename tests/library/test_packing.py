"""Spikes kept at one bit: restored exactly, and nothing else touched."""

import gc

import pytest
import torch
from helpers import DEVICE
from torch import nn
from torch.nn import functional as F

import fastlif
from fastlif import LIF, NoisyLIF, functional, packing
from fastlif.backends import kernels

USES = {
    "convolution": lambda s: F.conv2d(s, torch.ones(4, 8, 3, 3, device=DEVICE, requires_grad=True)),
    "pooling": lambda s: F.avg_pool2d(s, 2),
    "linear": lambda s: F.linear(s.flatten(1), torch.ones(5, 512, device=DEVICE, requires_grad=True)),
    "product": lambda s: s * torch.ones_like(s, requires_grad=True),
}


def spikes_of(backend, channels_last=False, dtype=torch.float32):
    x = torch.randn(6, 8, 8, 8, device=DEVICE, dtype=dtype)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    return functional.noisy_spike(x.requires_grad_(), backend=backend)


@pytest.fixture
def packed(monkeypatch):
    """The tensors that were packed, each with its bits."""
    seen, pack = [], packing._pack

    def note(tensor):
        result = pack(tensor)
        if isinstance(result, packing.Packed):
            seen.append((tensor.clone(memory_format=torch.preserve_format), result))
        return result

    monkeypatch.setattr(packing, "_pack", note)
    return seen


COMBINATIONS = [
    *((use, False, torch.float32) for use in USES),
    *((use, True, torch.float32) for use in USES if use != "linear"),  # flattened, those are copied
    ("pooling", False, torch.bfloat16),
    ("pooling", True, torch.bfloat16),
]


@pytest.mark.parametrize("use, channels_last, dtype", COMBINATIONS)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_restored_exactly(use, backend, channels_last, dtype, packed):
    with fastlif.packed_spikes():
        output = USES[use](spikes_of(backend, channels_last, dtype))
    assert len(packed) == 1 and 0.1 < float(packed[0][0].mean()) < 0.9
    spikes, kept = packed[0]
    assert kept.bits.dtype == torch.uint8 and kept.bits.numel() * 8 == spikes.numel()
    restored = packing._unpack(kept)
    assert torch.equal(restored, spikes) and restored.stride() == spikes.stride() and restored.dtype == dtype
    output.sum().backward()


@pytest.mark.parametrize("T", [1, 4])
def test_gradients_of_a_network_are_the_same_bits(T, packed):
    torch.manual_seed(0)
    neuron = NoisyLIF if T == 1 else lambda: LIF(timesteps=T)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), neuron(), nn.Conv2d(8, 8, 3), neuron(), nn.Flatten(), nn.Linear(128, 8)
    ).to(DEVICE)  # fmt: skip
    x, results = torch.rand(4 * T, 3, 8, 8, device=DEVICE), []
    for context in (torch.enable_grad, fastlif.packed_spikes):
        model.zero_grad()
        torch.manual_seed(1)
        with context():
            loss = (model(x) ** 2).sum()
        loss.backward()
        results.append([parameter.grad for parameter in model.parameters()])
    assert len(packed) == 2
    assert all(map(torch.equal, *results))


def test_nothing_but_spikes_is_packed(packed):
    with fastlif.packed_spikes():
        spikes = spikes_of("auto")
        changed = spikes.clone()
        (spikes.mean(1, keepdim=True) * changed.requires_grad_()).sum().backward()  # an average, a copy
        assert not packed
        with torch.no_grad():
            spikes += 0.5  # in place: no spikes any more
        USES["pooling"](spikes)
        USES["pooling"](spikes_of("auto")[:, ::2])  # does not fill its memory
        functional.noisy_spike(torch.randn(3, requires_grad=True)).mul(torch.ones(3, requires_grad=True))  # 3 elements
        spikes = None
        gc.collect()
        F.avg_pool2d(torch.rand(6, 8, 8, 8, device=DEVICE, requires_grad=True), 2)  # in memory that held spikes
    assert not packed
    USES["pooling"](spikes_of("auto"))  # after the context
    assert not packed


def test_a_change_in_place_is_still_an_error():
    with fastlif.packed_spikes():
        x = torch.rand(4, requires_grad=True)
        y = x * 2
        z = y * y
        y += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


@pytest.mark.full
def test_a_compiled_model_ignores_it(fresh_compiler):
    model = nn.Sequential(nn.Linear(8, 16), NoisyLIF(), nn.Linear(16, 8)).to(DEVICE)
    x, grads = torch.rand(8, 8, device=DEVICE), []
    for run in (torch.compile(model, options={"fallback_random": True}), model):
        model.zero_grad()
        torch.manual_seed(0)
        with fastlif.packed_spikes():
            loss = run(x).sum()
        loss.backward()
        grads.append(model[0].weight.grad)
    torch.testing.assert_close(*grads)


def bits_of(spikes):
    """Of spikes ``[T, numel]``, each step by itself: bit j of byte i is element i // 256 * 2048 + j * 256 + i % 256."""
    spikes = nn.functional.pad(spikes.flatten(1), (0, -spikes[0].numel() % 2048))
    groups = spikes.view(len(spikes), -1, 8, 256).to(torch.uint8)
    return sum(groups[:, :, j] << j for j in range(8)).flatten(1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 56), (3, 4096), (2, 3001)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kernels(shape, dtype):
    pytest.importorskip("triton")
    spikes = (torch.rand(shape, device=DEVICE) < 0.5).to(dtype)
    bits = torch.full_like(bits_of(spikes), 7)
    assert bits.shape == (shape[0], kernels().bytes_of(shape[1]))
    kernels().pack_bits(spikes, bits)
    assert torch.equal(bits, bits_of(spikes))
    restored = torch.full_like(spikes, 9)
    kernels().unpack_bits(bits, restored)
    assert torch.equal(restored, spikes)


STATISTICS = torch.tensor([[0.0, 0.1, 0.2], [0.5, 0.6, 0.7]], device=DEVICE).unbind()
NEURONS = {
    "single step": lambda x, backend: functional.noisy_spike(x, seed=1, threshold=0.4, backend=backend),
    "plain": functional.lif,
    "learned": lambda x, backend: functional.lif(x, decay=torch.full_like(x[0, 0], 0.5).detach(), backend=backend),
    "layer": lambda x, **keywords: functional.noisy_lif(x, seed=1, **keywords),
    "calibrated": lambda x, **keywords: functional.noisy_lif(x, seed=1, statistics=STATISTICS, **keywords),
    "fused": lambda x, backend: fastlif.batch_norm_neuron(
        nn.BatchNorm1d(x.shape[-1]).to(DEVICE), LIF(3, backend=backend), x.flatten(0, 1)
    ).view(x.shape),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(3, 8, 2051), (3, 8, 2048)], ids=str)
@pytest.mark.parametrize("name", NEURONS)
def test_bits_beside_the_spikes(name, shape, dtype, monkeypatch):
    """A kernel stores them as it makes the spikes, which are the same; nothing packs them later."""
    pytest.importorskip("triton")
    x = torch.randn(shape, device=DEVICE, dtype=dtype, requires_grad=True)
    expected = NEURONS[name](x, backend="triton")
    monkeypatch.setattr(kernels(), "pack_bits", None)
    with fastlif.packed_spikes():
        spikes = NEURONS[name](x, backend="triton")
        kept = packing._pack(spikes.detach())
    assert torch.equal(spikes, expected) and 0.02 < float(spikes.detach().mean()) < 0.98
    steps = spikes.detach() if name != "single step" else spikes.detach().view(1, -1)
    assert torch.equal(kept.bits, bits_of(steps))
    assert torch.equal(packing._unpack(kept), spikes)


def test_layers_that_read_some_steps_take_their_bits():
    pytest.importorskip("triton")
    with fastlif.packed_spikes():
        spikes = functional.lif(torch.randn(3, 8, 2048, device=DEVICE), backend="triton")
        parts = [packing._pack(part) for part in (spikes[1], spikes[1:], spikes, spikes[0, :3], spikes)]
    whole = parts[2].bits.untyped_storage().data_ptr()
    assert [part.bits.untyped_storage().data_ptr() == whole for part in parts] == [True, True, True, False, True]
    expected = spikes[1], spikes[1:], spikes, spikes[0, :3], spikes
    assert all(map(torch.equal, map(packing._unpack, parts), expected))


def test_who_keeps_spikes_as_they_are_gets_no_bits(fresh_compiler):
    """A compiled function, torch.func's transforms; and inference tensors, which no layer keeps."""
    pytest.importorskip("triton")
    x = torch.randn(2, 8, 2048, device=DEVICE)
    neuron = NoisyLIF(backend="triton")
    with fastlif.packed_spikes():
        for run in (torch.compile(neuron, backend="aot_eager"), torch.vmap(neuron, randomness="different")):
            assert not hasattr(run(x).untyped_storage(), packing._BITS)
        with torch.inference_mode():
            USES["pooling"](spikes_of("auto"))
        assert hasattr(neuron(x).untyped_storage(), packing._BITS)


@pytest.mark.parametrize(
    "shape, keywords",
    [((3, 8, 127), {}), ((3, 8, 2048), {"statistics": "sample"}), ((3, 8, 2048), {"noise": fastlif.Noise("none")})],
)
def test_otherwise_they_are_packed_later(shape, keywords):
    """A small step would leave many bits idle; samples share bytes; without noise eight rows round otherwise."""
    pytest.importorskip("triton")
    spikes = []
    for context in (torch.enable_grad, fastlif.packed_spikes):
        torch.manual_seed(0)
        x = torch.randn(shape, device=DEVICE)
        with context():
            spikes.append(functional.noisy_lif(x, seed=1, backend="triton", **keywords))
            assert not hasattr(spikes[-1].untyped_storage(), packing._BITS)
    kept = packing._pack(spikes[1])
    assert len(kept.bits) == 1 and torch.equal(packing._unpack(kept), spikes[0])


def test_two_layers_that_read_the_same_spikes_pack_them_once(packed):
    with fastlif.packed_spikes():
        spikes = spikes_of("reference")
        outputs = USES["convolution"](spikes), USES["linear"](spikes), USES["linear"](spikes[:2])
        (first, a), (second, b), (part, c) = packed
        assert a.bits.data_ptr() == b.bits.data_ptr() != c.bits.data_ptr() and c.bits.numel() * 8 == part.numel()
        first, second = packing._pack(spikes[:2]), packing._pack(spikes)
        assert second.bits.data_ptr() == a.bits.data_ptr() != first.bits.data_ptr(), "the whole is not forgotten"
        del outputs
    for spikes, kept in packed:
        assert torch.equal(packing._unpack(kept), spikes)
