"""Spikes to one bit each and back: bit j of byte i is the element at j * size + i, of 8 * size elements."""

import triton
import triton.language as tl
from fastlif.kernels.launch import launch

BLOCK = 1024


@triton.jit
def _place(size, BLOCK: tl.constexpr):
    """The program's bytes [1, BLOCK] and which of them there are, the bits [8, 1] and the elements [8, BLOCK]."""
    byte = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)[None, :]
    bit = tl.arange(0, 8)[:, None]
    return byte, byte < size, bit, bit.to(tl.int64) * size + byte


@triton.jit
def _pack_bits_kernel(spikes_ptr, bits_ptr, size, BLOCK: tl.constexpr):
    byte, mask, bit, element = _place(size, BLOCK)
    spikes = tl.load(spikes_ptr + element, mask=mask, other=0.0)
    bits = tl.sum((spikes != 0.0).to(tl.int32) << bit, axis=0, keep_dims=True)
    tl.store(bits_ptr + byte, bits.to(tl.uint8), mask=mask)


@triton.jit
def _unpack_bits_kernel(bits_ptr, spikes_ptr, size, BLOCK: tl.constexpr):
    byte, mask, bit, element = _place(size, BLOCK)
    bits = tl.load(bits_ptr + byte, mask=mask, other=0).to(tl.int32)
    spikes = tl.where(((bits >> bit) & 1) != 0, 1.0, 0.0)
    tl.store(spikes_ptr + element, spikes.to(spikes_ptr.dtype.element_ty), mask=mask)


def pack_bits(spikes, bits):
    """Launches over spikes ``[8, size]``; writes ``bits`` ``[size]`` uint8."""
    launch(_pack_bits_kernel, _grid(bits), {"spikes_ptr": spikes, "bits_ptr": bits}, {"size": len(bits)}, _constants)


def unpack_bits(bits, spikes):
    """Launches over ``bits`` ``[size]`` uint8; writes ``spikes`` ``[8, size]``."""
    launch(_unpack_bits_kernel, _grid(bits), {"bits_ptr": bits, "spikes_ptr": spikes}, {"size": len(bits)}, _constants)


def _grid(bits):
    return triton.cdiv(len(bits), BLOCK), 1, 1


def _constants():
    return {"BLOCK": BLOCK, "num_warps": 4}
