"""Where the kernels read and write, seen through Triton's interpreter: within their tensors, and beyond 2^31."""

import pytest
import torch
from helpers import DEVICE, sample, statistics_of

pytest.importorskip("triton")
if DEVICE == "cuda":
    pytest.skip("the interpreter is for machines without a GPU", allow_module_level=True)

import triton
import triton.language as tl
from fastlif.kernels.bits import _bytes, _tile_of_step
from fastlif.kernels.noise import draw_noise
from fastlif.kernels.tile import tile
from test_kernels import check
from test_noise import lattice_in_python
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

from fastlif import NoisyLIF, batch_norm_neuron, kernels, packed_spikes, packing
from fastlif.functional import lif, noisy_lif, noisy_spike


@triton.jit
def _tile_kernel(out_ptr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Writes offsets, counters and their high words, [3, ROWS, COLS] int64."""
    offsets, counter, counter_high, _ = tile(ROWS, COLS, 1)
    at = tl.arange(0, ROWS)[:, None] * COLS + tl.arange(0, COLS)[None, :]
    tl.store(out_ptr + at, offsets)
    tl.store(out_ptr + ROWS * COLS + at, counter.to(tl.int64) + tl.zeros([ROWS, COLS], tl.int64))
    tl.store(out_ptr + 2 * ROWS * COLS + at, counter_high.to(tl.int64) + tl.zeros([ROWS, COLS], tl.int64))


@triton.jit
def _bytes_kernel(out_ptr, numel, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Writes the tile's step, its first element in it and its bytes, [1, 2 + COLS] int64."""
    t, offsets, counter, counter_high, _, _ = _tile_of_step(numel, ROWS, COLS, 1)
    at = tl.arange(0, COLS)[None, :]
    tl.store(out_ptr + 2 + at, _bytes(t, numel, counter, counter_high))
    tl.store(out_ptr, t)
    tl.store(out_ptr + 1, tl.min(offsets))


def far(monkeypatch, program):
    """Every launch is that of one program, as if it were this one of many."""
    monkeypatch.setattr(InterpreterBuilder, "set_grid_idx", lambda self, *_: setattr(self, "grid_idx", (program, 0, 0)))


@pytest.mark.parametrize("rows, cols", [(8, 256), (8, 128), (4, 512), (1, 1024)])
def test_a_tile_beyond_32_bits(rows, cols, monkeypatch):
    program = 2**30 - 3
    far(monkeypatch, program)
    out = torch.empty(3, rows, cols, dtype=torch.int64)
    _tile_kernel[(1,)](out, rows, cols)
    offsets, counter, high = out.numpy()
    first = program // (8 // rows) * cols
    assert first + cols > 2**32 or rows == 1
    wanted = range(first, first + cols)
    lanes = range(program % (8 // rows) * rows, program % (8 // rows) * rows + rows)
    assert offsets.tolist() == [[c // 256 * 2048 + lane * 256 + c % 256 for c in wanted] for lane in lanes]
    assert (counter + (high << 32)).tolist() == [list(wanted)] * rows


@triton.jit
def _noise_kernel(out_ptr, seed, low, high):
    """Writes the lattice of 256 counters from (low, high) on, in lanes 3 to 6, [4, 256] float32."""
    column, row = tl.arange(0, 256)[None, :], tl.arange(0, 4)[:, None]
    counter, high = low.to(tl.uint32) + column.to(tl.uint32), high.to(tl.uint32)
    noise = draw_noise(seed, counter, high, 2, row + 3, (0.0, 1.0), "uniform")
    tl.store(out_ptr + row * 256 + column, noise)


def test_noise_beyond_32_bits():
    out = torch.empty(4, 256)
    _noise_kernel[(1,)](out, 7, 5 * 256, 3)
    expected = [[lattice_in_python(7, 5 * 2048 + lane * 256 + i, 2, 3) for i in range(256)] for lane in range(3, 7)]
    assert out.tolist() == expected


@pytest.mark.parametrize("program, numel", [(2**28 + 1, 2**33), (2**25 - 1, 2**36), (7, 2**13 + 1)])
def test_bits_beyond_32_bits(program, numel, monkeypatch):
    far(monkeypatch, program)
    out = torch.empty(258, dtype=torch.int64)
    _bytes_kernel[(1,)](out, numel, 8, 256)
    tiles = -(-numel // 2048)
    t, tile = divmod(program, tiles)
    assert out.tolist() == [t, tile * 2048, *range(program * 256, program * 256 + 256)]


@pytest.fixture
def guarded(monkeypatch):
    """Every load and store of a launch must lie within a tensor that it was given."""
    ends, call = [], GridExecutor.__call__

    def launch(self, *args, **kwargs):
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        memory = [tensor.untyped_storage() for tensor in tensors]
        ends[:] = [(storage.data_ptr(), storage.data_ptr() + storage.nbytes()) for storage in memory]
        return call(self, *args, **kwargs)

    def checked(name):
        access = getattr(InterpreterBuilder, name)

        def check(self, ptrs, *others):
            mask = others[name.endswith("store")]
            addresses = ptrs.data[mask.data.astype(bool)]
            inside = sum((addresses >= first) & (addresses < end) for first, end in set(ends))
            assert (inside > 0).all(), f"{name} beside its tensors"
            return access(self, ptrs, *others)

        monkeypatch.setattr(InterpreterBuilder, name, check)

    monkeypatch.setattr(GridExecutor, "__call__", launch)
    checked("create_masked_load")
    checked("create_masked_store")


@pytest.mark.parametrize("size", [1, 2049])
def test_no_access_beside_a_tensor(size, guarded):
    check(noisy_spike, sample((1, size)))
    check(lif, sample((3, 2, size)) + 0.3, sample((2, size), seed=2))
    for statistics in ("layer", "sample", "calibrated"):
        check(noisy_lif, sample((3, 2, size)), sample((2, size), seed=2), statistics=statistics_of(statistics, 3))


def test_no_access_beside_bits_and_channels(guarded):
    spikes = (torch.rand(3, 5001) < 0.3).float()
    bits, back = torch.empty(3, 768, dtype=torch.uint8), torch.empty_like(spikes)
    kernels.pack_bits(spikes, bits)
    kernels.unpack_bits(bits, back)
    assert torch.equal(spikes, back)
    with packed_spikes():
        for neuron in (noisy_spike, lif, noisy_lif):
            spikes = neuron(sample((2, 1, 16_412)), backend="triton")
            assert hasattr(spikes.untyped_storage(), packing._BITS)
    x, norm = sample((3, 7, 5, 5)).requires_grad_(), torch.nn.BatchNorm2d(7)
    batch_norm_neuron(norm, NoisyLIF(backend="triton"), x).sum().backward()


def test_the_guard_sees_an_access_beside(guarded):
    short = torch.rand(10)
    with pytest.raises(Exception, match="beside its tensors"):
        kernels.unpack_bits(torch.empty(1, 256, dtype=torch.uint8), short.expand(1027, 10)[:, :1])
