"""Addresses beyond 2^31 and 2^32: the launchers on tensors of which only a few pages exist.

Of a launch's CTAs only those run whose elements lie in a few windows: the first, those around the powers of two, the
last. What they wrote there is compared with the literal equations.
"""

import math
import mmap

import pytest
import torch
from fastlif.kernels import noisy_spike

from emulator import driver
from fastlif import kernels, reference
from fastlif.noise import noise_like, residual_noise
from fastlif.options import options
from fastlif.types import Noise

MAP_NORESERVE = 0x4000  # Linux's number, which mmap does not name before Python 3.13
WINDOW = 8192  # elements; whole tiles of every kernel
SEED = torch.tensor([12345678901234])
ERROR = {torch.float32: 1e-5, torch.float16: 1e-3}


def power(value):
    """A size's name in a test's id."""
    if isinstance(value, int) and value >= 2**29:
        return f"2^{value.bit_length() - 1}+{value - 2 ** (value.bit_length() - 1)}"


def sparse(*shape, dtype=torch.float16):
    """A tensor of zeros that takes memory only where it is touched."""
    size = math.prod(shape) * dtype.itemsize
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


@pytest.fixture(autouse=True)
def sparse_new_tensors(monkeypatch):
    """What a launcher makes for itself is sparse, too."""
    monkeypatch.setattr(torch, "empty_like", lambda x: sparse(*x.shape, dtype=x.dtype))
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda x, shape, dtype=None: sparse(*shape, dtype=dtype or x.dtype))


def windows(numel):
    edges = [place + d for place in (2**29, 2**30, 2**31, 2**32, 2**33, 2**34, 2**35) for d in (-WINDOW, 0)]
    starts = sorted({place // WINDOW * WINDOW for place in (0, *edges, numel - 1) if place < numel})
    return [slice(start, min(start + WINDOW, numel)) for start in starts]


def only_owners(parts, numel):
    """Only those CTAs of an elementwise kernel's grid that own the windows."""

    def choose(grid):
        each = 2 ** round(math.log2(numel / grid[0]))
        return [cta for part in parts for cta in range(part.start // each, min(grid[0], (part.start + WINDOW) // each))]

    return driver.only(choose)


def fill(x, parts, scale=0.6, shift=0.4):
    for part in parts:
        x[..., part] = (torch.randn(*x.shape[:-1], part.stop - part.start) * scale + shift).to(x.dtype)


def noise_of(part, t, kind, scalars):
    """The noise of a part of one window, float64."""
    if kind == "none":
        return 0.0
    start = part.start // WINDOW * WINDOW
    counter = start // 8
    low = counter & 0xFFFFFFFF
    first = torch.tensor([low - (low >> 31 << 32), counter >> 32], dtype=torch.int32)
    noise = noise_like(torch.zeros(WINDOW), SEED, t, kind, scalars, first)
    return noise[part.start - start : part.stop - start].double()


def assert_spikes_agree(spikes, membranes):
    """At a threshold of 1."""
    near = (membranes - 1).abs() < 1e-5
    wrong = (spikes != (membranes > 1)) & ~near
    assert not wrong.any(), f"{int(wrong.sum())} spikes differ"
    assert 0.02 < spikes.double().mean() < 0.98


def assert_bits_agree(bits, spikes, part):
    """The bits of one step ``[bytes]`` and its spikes ``[numel]``, in one window."""
    start = part.start // WINDOW * WINDOW
    window = torch.zeros(WINDOW, dtype=torch.uint8)
    window[part.start - start : part.stop - start] = spikes[part]
    packed = reference.pack_bits(window.view(-1, 8, 256).transpose(0, 1)).flatten()
    held = bits[part.start // 2048 * 256 : -(-part.stop // 2048) * 256]
    first = (part.start - start) // 2048 * 256
    assert torch.equal(packed[first : first + len(held)], held)


def assert_close(actual, expected):
    assert (actual.double() - expected).norm() <= ERROR[actual.dtype] * expected.norm()


@pytest.mark.parametrize("numel", [2**31 + 4112, 2**31 + 4099, 2**35 + 4112], ids=power)
@pytest.mark.parametrize("kind", ["gaussian", "none"])
@pytest.mark.parametrize("norm", ["", "contiguous", "channels_last"])
def test_noisy_spike(norm, kind, numel, monkeypatch):
    scalars = Noise(kind).scalars() if kind != "none" else ()
    x, spikes, grad, grad_x = (sparse(numel) for _ in range(4))
    parts = windows(numel)
    fill(x, parts, *((5, 5) if norm else ()))  # normalisation makes them small
    fill(grad, parts)
    factors, stride = torch.rand(4, 13) * 0.3 + 0.2, 49 if norm == "contiguous" else 1
    seed = SEED if kind != "none" else None
    chosen = options(threshold=1.0, noise=kind, noise_scalars=scalars)
    bits = sparse(kernels.bytes_of(numel), dtype=torch.uint8)
    if norm:  # what lies beyond the last whole channel is there too, but no view can say so
        laid, channels_of = torch.empty(13 * stride).as_strided((1, 13), (1, stride)), noisy_spike.channels_of
        monkeypatch.setattr(noisy_spike, "channels_of", lambda norm, x, *others: channels_of(norm, laid, *others))
    with only_owners(parts, numel):
        kernels.noisy_spike_forward(x, spikes, seed, factors if norm else None, chosen, bits)
        kernels.noisy_spike_backward(grad, x, grad_x, seed, factors if norm else None, chosen)
    for part in parts:
        h = x[part].double()
        if norm:
            channel = torch.arange(part.start, part.stop) // stride % 13
            weight, bias, mean, invstd = factors[:, channel].double()
            h = (h - mean) * (weight * invstd) + bias
        h = h + noise_of(part, 0, kind, scalars)
        assert_spikes_agree(spikes[part], h)
        assert_bits_agree(bits, spikes, part)
        assert_close(grad_x[part], grad[part].double() * reference.SURROGATES["atan"](h - 1, 2.0))


def converted(kind, mean, deviation):
    """A calibrated neuron: the noise's kind and numbers, a_t and b_t of Eq. (9)."""
    kind, scalars = residual_noise(Noise(kind), 4.0, 0.5, "matched")
    share = 0.25 / deviation.double()[:, 0]
    return kind, scalars, 0.5 * share, 0.5 - mean.double()[:, 0] * share


def check_steps(part, x, v, a, b, kind, scalars, spikes, bits, last):
    """Spikes, their bits and the last membrane in a window, with hard reset; gives h_t, and where no tie decides."""
    membranes = []
    for t in range(len(x)):
        h = x[t, 0, part].double() + a[t] * v + b[t] + noise_of(part, t, kind, scalars)
        membranes.append(h)
        v = torch.where(h > 1, 0.0, h)
    h = torch.stack(membranes)
    assert_spikes_agree(spikes[:, 0, part], h)
    for t in range(len(x) if bits is not None else 0):
        assert_bits_agree(bits[t], spikes[t, 0], part)
    sure = ((h - 1).abs() > 1e-4).all(dim=0)
    torch.testing.assert_close(last[0, part].double()[sure], v[sure], rtol=1e-5, atol=1e-5)
    return h, sure


@pytest.mark.parametrize("numel", [2**30 + 4112, 2**30 + 4099, 2**31 + 4112, 2**31 + 4099], ids=power)
@pytest.mark.parametrize(
    "T, kind, static",
    [(3, "none", True), (5, "none", False), (18, "none", False), (1, "gaussian", False), (3, "gaussian", False),
     (13, "gaussian", False)],
)  # fmt: skip
def test_scan(T, kind, static, numel):
    """Plain LIF without noise, a calibrated neuron with it; T times as many elements. Backwards with checkpoints where
    T > 16, or T > 12 with noise. ``static``: the same x at every step."""
    x = sparse(1 if static else T, 1, numel)
    spikes, grad, grad_x = (sparse(T, 1, numel) for _ in range(3))
    state, grad_state = (sparse(1, numel, dtype=torch.float32) for _ in range(2))
    parts = windows(numel)
    fill(x, parts)
    fill(grad, parts, 1, 0)
    fill(state, parts, 0.3, 0)
    fill(grad_state, parts, 1, 0)
    x = x.expand(T, 1, numel)
    a, b, scalars, seed, mean, deviation = torch.full((T,), 0.5), torch.zeros(T), (), None, None, None
    if kind != "none":
        mean, deviation = (torch.linspace(low, low + 0.2, T)[:, None].contiguous() for low in (0.1, 0.5))
        seed, (kind, scalars, a, b) = SEED, converted(kind, mean, deviation)
    chosen = options(decay=0.5, inv_alpha=0.25, beta=0.5, threshold=1.0, noise=kind, noise_scalars=scalars)
    last, grad_initial = (sparse(1, numel, dtype=torch.float32) for _ in range(2))
    bits = sparse(T, kernels.bytes_of(numel), dtype=torch.uint8) if T in (5, 13) else None  # other tiles
    with only_owners(parts, numel):
        kernels.lif_forward(x, T, spikes, state, last, mean, deviation, seed, None, None, chosen, bits)
        kernels.lif_backward(
            grad, grad_state, x, T, state, grad_x, grad_initial, mean, deviation, seed, None, None, (False,) * 3,
            chosen,
        )  # fmt: skip
    for part in parts:
        h, sure = check_steps(part, x, state[0, part].double(), a, b, kind, scalars, spikes, bits, last)
        grad_v, expected = grad_state[0, part].double(), torch.empty(h.shape, dtype=torch.float64)
        for t in reversed(range(T)):
            derivative = reference.SURROGATES["atan"](h[t] - 1, 2.0)
            expected[t] = grad[t, 0, part].double() * derivative + grad_v * ((h[t] <= 1).double() - h[t] * derivative)
            grad_v = a[t] * expected[t]
        assert_close(grad_x[:, 0, part][:, sure], expected[:, sure])
        assert_close(grad_initial[0, part][sure], grad_v[sure])


@pytest.mark.parametrize("numel", [2**30 + 4096, 2**30 + 4099, 2**31 + 4096, 2**31 + 4099], ids=power)
def test_noisy_lif(numel, monkeypatch):
    """Two of the programs: the one with the first block and the one with the last. The launcher makes fewer, each of
    which would walk through thousands of blocks."""
    from fastlif.kernels import noisy_lif

    T, kind, programs = 3, "uniform", 16384
    monkeypatch.setattr(noisy_lif, "MAX_PROGRAMS", programs)
    x, spikes, state = sparse(T, 1, numel), sparse(T, 1, numel), sparse(1, numel, dtype=torch.float32)
    block = 2048
    blocks = -(-numel // block)
    own = [0, (blocks - 1) % programs]
    parts = []
    for program in own:
        walked = range(program, blocks, programs)
        starts = [walked[round(share * (len(walked) - 1))] * block for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
        parts += [slice(start, min(start + block, numel)) for start in starts]
    fill(x, parts)
    fill(state, parts, 0.3, 0)
    initial = [state[0, part].double() for part in parts]
    kind, scalars = residual_noise(Noise(kind), 4.0, 0.5, "matched")
    mean, deviation = torch.empty(T, 1), torch.empty(T, 1)
    chosen = options(decay=0.5, inv_alpha=0.25, beta=0.5, threshold=1.0, noise=kind, noise_scalars=scalars)
    bits = sparse(T, kernels.bytes_of(numel), dtype=torch.uint8)
    with driver.only(lambda grid: own):
        kernels.noisy_lif_forward(x, spikes, state, state, mean, deviation, SEED, chosen, bits)
    _, _, a, b = converted(kind, mean, deviation)  # of the statistics that the launch wrote
    for part, v in zip(parts, initial):
        check_steps(part, x, v, a, b, kind, scalars, spikes, bits, state)


@pytest.mark.parametrize("numel", [2**32 + 16, 2**35 + 5], ids=power)
def test_packing(numel):
    spikes, back = sparse(1, numel), sparse(1, numel)
    bits = sparse(1, kernels.bytes_of(numel), dtype=torch.uint8)
    parts = windows(numel)
    for part in parts:
        spikes[0, part] = (torch.rand(part.stop - part.start) < 0.3).half()
    with only_owners(parts, numel):
        kernels.pack_bits(spikes, bits)
        kernels.unpack_bits(bits, back)
    for part in parts:
        assert torch.equal(spikes[0, part], back[0, part])
        assert_bits_agree(bits[0], spikes[0], part)
