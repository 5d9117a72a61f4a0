"""Spikes at one bit each, while autograd keeps them for the backward of the layers that they go into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch

from fastlif import reference
from fastlif.compiled import launchers as compiled
from fastlif.operators.common import launchers
from fastlif.passes import thread

__all__ = ["packed_spikes"]

_MARK = "_fastlif_spikes"  # attribute of a storage that holds spikes and nothing else: version, dtype and backend
_BITS = "_fastlif_bits"  # of the same storage: the first and the number of elements that are packed, and their bits


class Packed(NamedTuple):
    """Spikes of a dense tensor."""

    bits: torch.Tensor  # [T, bytes] of its memory in T equal parts, as pack_bits of its backend lays them
    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    backend: str


class Kept(NamedTuple):
    """Anything else, as it is."""

    tensor: torch.Tensor
    version: int


@contextlib.contextmanager
def packed_spikes() -> Iterator[None]:
    """While it lasts, the spikes that autograd keeps for the backward are kept at one bit each.

    Around the forward: ``with fastlif.packed_spikes(): loss = criterion(model(images), labels)``. A convolution, a
    pooling or a linear layer keeps its input; where that is what a fastlif neuron gave, as it was or reshaped, 32 times
    less memory is held until the backward (16 times in 16 bits), which restores it exactly. Triton's kernels store the
    bits in the pass that makes the spikes. A pass of its own packs them on a CPU; for statistics of each sample, or of
    the layer without noise; and in a small time step, where groups of 2,048 bits take over an eighth more.

    What a layer makes of spikes, such as their averages, is kept as it is; so are spikes whose number 8 does not
    divide, and, in what ``torch.compile`` made, everything. Spikes that are changed in place are no longer taken for
    spikes, but a change that PyTorch does not see, through ``.data`` or NumPy, goes unnoticed here too.
    """
    thread.packing += 1
    try:
        with torch.autograd.graph.saved_tensors_hooks(_pack, _unpack):
            yield
    finally:
        thread.packing -= 1


def mark(spikes: torch.Tensor, backend: str) -> torch.Tensor:
    """``spikes``, fresh from a neuron, marked as such within :func:`packed_spikes`; ``backend`` is what packs them."""
    if not thread.packing or torch.compiler.is_compiling() or spikes.is_inference():
        return spikes
    if torch._C._functorch.maybe_current_level() is None:
        setattr(spikes.untyped_storage(), _MARK, (spikes._version, spikes.dtype, backend))
    return spikes


def bits_beside(spikes: torch.Tensor, steps: int, module) -> dict[str, torch.Tensor]:
    """The keyword ``bits`` for a launcher of ``module`` that makes ``spikes`` over ``steps``, in :func:`packed_spikes`.

    It is a buffer, in which the kernel stores the spikes at one bit each. There is none if no kernel of Triton runs, or
    if a pass of its own packs them better.
    """
    if module is compiled or spikes.numel() % 8:
        return {}
    numel = spikes.numel() // steps
    if 8 * module.bytes_of(numel) > 1.125 * numel:
        return {}
    bits = _empty_bits(spikes, steps, module)
    setattr(spikes.untyped_storage(), _BITS, (0, spikes.numel(), bits))
    return {"bits": bits}


def _empty_bits(spikes, steps, module):
    size = module.bytes_of(spikes.numel() // steps)
    return torch.empty((steps, size), dtype=torch.uint8, device=spikes.device)


def _pack(tensor: torch.Tensor) -> Packed | Kept:
    backend = _backend_of_spikes(tensor)
    if backend is None:
        return Kept(tensor, tensor._version)
    bits = _bits_of(tensor)
    if bits is None:
        memory = tensor.as_strided((1, tensor.numel()), (tensor.numel(), 1))
        if backend == "reference":
            bits = reference.pack_bits(memory.view(8, -1))[None]
        else:
            module = launchers(backend, tensor)
            bits = _empty_bits(tensor, 1, module)
            module.pack_bits(memory, bits)
        storage = tensor.untyped_storage()
        if tensor.numel() > getattr(storage, _BITS, (0, 0, None))[1]:
            setattr(storage, _BITS, (tensor.storage_offset(), tensor.numel(), bits))
    return Packed(_on_this_stream(bits), tensor.shape, tensor.stride(), tensor.dtype, backend)


def _bits_of(tensor):
    """The bits of these spikes, if the neuron stored them or another layer packed them: all of what is packed, or some
    of its steps."""
    first, numel, bits = getattr(tensor.untyped_storage(), _BITS, (0, 0, None))
    if bits is None:
        return None
    step, place = numel // len(bits), tensor.storage_offset() - first
    if place < 0 or place + tensor.numel() > numel or place % step or tensor.numel() % step:
        return None
    return bits[place // step : (place + tensor.numel()) // step]


def _on_this_stream(bits):
    """Tells the allocator that the current stream uses bits that another one may have made."""
    if bits.is_cuda:
        bits.record_stream(torch.cuda.current_stream(bits.device))
    return bits


def _backend_of_spikes(tensor: torch.Tensor) -> str | None:
    """What is to pack ``tensor``; None if it does not consist of spikes, or not of a dense multiple of 8."""
    if type(tensor) is not torch.Tensor or tensor.layout != torch.strided or torch.compiler.is_compiling():
        return None
    version, dtype, backend = getattr(tensor.untyped_storage(), _MARK, (None, None, None))
    if (version, dtype) != (tensor._version, tensor.dtype) or tensor.numel() % 8 or not tensor.numel():
        return None
    return backend if torch.ops.aten.is_non_overlapping_and_dense(tensor) else None


def _unpack(kept: Packed | Kept) -> torch.Tensor:
    if isinstance(kept, Kept):
        if kept.tensor._version != kept.version:
            raise RuntimeError(
                f"a tensor of shape {tuple(kept.tensor.shape)} that the backward needs has been changed in place since "
                "the forward: use the operation that returns a new tensor instead"
            )
        return kept.tensor
    bits, shape, strides, dtype, backend = kept
    _on_this_stream(bits)
    tensor = torch.empty_strided(shape, strides, dtype=dtype, device=bits.device)
    numel = tensor.numel() // len(bits)
    memory = tensor.as_strided((len(bits), numel), (numel, 1))
    if backend == "reference":
        for row, unpacked in zip(memory.view(8, -1), reference.unpack_bits(bits[0])):
            row.copy_(unpacked)
    else:
        launchers(backend, bits).unpack_bits(bits, memory)
    return tensor
