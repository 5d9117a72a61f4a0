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


def test_half_of_the_spikes_packed_with_the_rest_of_a_view(packed):
    with fastlif.packed_spikes():
        spikes = spikes_of("auto")
        USES["product"](spikes[:3])  # the first samples fill their memory
    ((part, kept),) = packed
    assert torch.equal(packing._unpack(kept), part) and torch.equal(part, spikes[:3])


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


@pytest.mark.parametrize("size", [1, 7, 1024, 3001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kernels(size, dtype):
    pytest.importorskip("triton")
    spikes = (torch.rand(8, size, device=DEVICE) < 0.5).to(dtype)
    bits = torch.empty(size, dtype=torch.uint8, device=DEVICE)
    kernels().pack_bits(spikes, bits)
    expected = sum(spikes[j].to(torch.uint8) << j for j in range(8))
    assert torch.equal(bits, expected)
    restored = torch.full_like(spikes, 9)
    kernels().unpack_bits(bits, restored)
    assert torch.equal(restored, spikes)


def test_two_layers_that_read_the_same_spikes_pack_them_once(packed):
    with fastlif.packed_spikes():
        spikes = spikes_of("reference")
        outputs = USES["convolution"](spikes), USES["linear"](spikes), USES["linear"](spikes[:2])
        (first, a), (second, b), (part, c) = packed
        assert a.bits is b.bits and c.bits is not a.bits and c.bits.numel() * 8 == part.numel()
        del outputs
    for spikes, kept in packed:
        assert torch.equal(packing._unpack(kept), spikes)
