"""Spikes to one bit each and back. Byte i of a step holds the elements that share counter i of the noise, see
``tile.py``; bit j is the one in lane j. A neuron's kernel has all eight in one thread, and can store bits beside its
spikes."""

import triton
import triton.language as tl
from fastlif.kernels.launch import launch
from fastlif.kernels.tile import LANES, SUB_BLOCK, grid, noise_tile, tile, wide


def bytes_of(numel):
    """How many bytes hold ``numel`` elements of a step: those of whole groups of 8 sub-blocks."""
    group = LANES.value * SUB_BLOCK.value
    return -(-numel // group) * SUB_BLOCK.value


@triton.jit
def _bytes(t, numel, counter, counter_high):
    """Where the bytes of these counters are, [1, COLS]."""
    step = tl.cdiv(wide(numel), LANES * SUB_BLOCK) * SUB_BLOCK
    return wide(t) * step + (counter_high.to(tl.int64) << 32) + counter.to(tl.int64)


@triton.jit
def store_bits(bits_ptr, t, numel, counter, counter_high, lane, spiking, mask):
    """Stores the tile's spikes, of all lanes, as bits too, if there is a place for them."""
    if bits_ptr is not None:
        tl.static_assert(lane.shape[0] == LANES)
        bits = tl.sum((spiking & mask).to(tl.int32) << lane, axis=0, keep_dims=True)
        tl.store(bits_ptr + _bytes(t, numel, counter, counter_high), bits.to(tl.uint8))


@triton.jit
def _tile_of_step(numel, ROWS: tl.constexpr, COLS: tl.constexpr, VECTOR: tl.constexpr):
    """Of the program's tile the step, and of its elements the offsets within it, counters, lanes and mask."""
    tiles = tl.cdiv(wide(numel), ROWS * COLS)
    program = tl.program_id(0).to(tl.int64)
    offsets, counter, counter_high, lane = tile(ROWS, COLS, VECTOR, program % tiles)
    return program // tiles, offsets, counter, counter_high, lane, offsets < numel


@triton.jit
def _pack_bits_kernel(spikes_ptr, bits_ptr, numel, ROWS: tl.constexpr, COLS: tl.constexpr, VECTOR: tl.constexpr):
    t, offsets, counter, counter_high, lane, mask = _tile_of_step(numel, ROWS, COLS, VECTOR)
    spikes = tl.load(spikes_ptr + t * numel + offsets, mask=mask, other=0.0)
    store_bits(bits_ptr, t, numel, counter, counter_high, lane, spikes != 0.0, mask)


@triton.jit
def _unpack_bits_kernel(bits_ptr, spikes_ptr, numel, ROWS: tl.constexpr, COLS: tl.constexpr, VECTOR: tl.constexpr):
    t, offsets, counter, counter_high, lane, mask = _tile_of_step(numel, ROWS, COLS, VECTOR)
    bits = tl.load(bits_ptr + _bytes(t, numel, counter, counter_high)).to(tl.int32)
    spikes = tl.where(((bits >> lane) & 1) != 0, 1.0, 0.0)
    tl.store(spikes_ptr + t * numel + offsets, spikes.to(spikes_ptr.dtype.element_ty), mask=mask)


def pack_bits(spikes, bits):
    """Launches over spikes ``[T, numel]``; writes ``bits`` ``[T, bytes_of(numel)]`` uint8."""
    _launch(_pack_bits_kernel, {"spikes_ptr": spikes, "bits_ptr": bits}, spikes)


def unpack_bits(bits, spikes):
    """Launches over ``bits`` ``[T, bytes_of(numel)]`` uint8; writes ``spikes`` ``[T, numel]``."""
    _launch(_unpack_bits_kernel, {"bits_ptr": bits, "spikes_ptr": spikes}, spikes)


def _launch(kernel, tensors, spikes):
    T, numel = spikes.shape
    tile = noise_tile(numel)  # of numel % 16 alone, which is part of a launch's kind
    launch(kernel, (T * grid(numel, tile)[0], 1, 1), tensors, {"numel": numel}, tile._asdict)
