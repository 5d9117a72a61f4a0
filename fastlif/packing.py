"""Spikes at one bit each, while autograd keeps them for the backward of the layers that they go into."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import NamedTuple

import torch

from fastlif import reference
from fastlif.operators.common import launchers

__all__ = ["packed_spikes"]

_MARK = "_fastlif_spikes"  # attribute of a storage that holds spikes and nothing else: version, dtype and backend
_BITS = "_fastlif_bits"  # of the same storage, while any layer keeps them: which part of it, and its spikes packed


class _Active(threading.local):
    contexts = 0


_active = _Active()


class Packed(NamedTuple):
    """Spikes of a dense tensor: bit j of byte i is the element at position j * len(bits) + i of its memory."""

    bits: torch.Tensor
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
    less memory is held until the backward (16 times in 16 bits), which restores it exactly. What a layer makes of
    spikes, such as their averages, is kept as it is; so are spikes whose number 8 does not divide, and, in what
    ``torch.compile`` made, everything. Spikes that are changed in place are no longer taken for spikes, but a change
    that PyTorch does not see, through ``.data`` or NumPy, goes unnoticed here too.
    """
    _active.contexts += 1
    try:
        with torch.autograd.graph.saved_tensors_hooks(_pack, _unpack):
            yield
    finally:
        _active.contexts -= 1


def mark(spikes: torch.Tensor, backend: str) -> torch.Tensor:
    """``spikes``, fresh from a neuron, marked as such within :func:`packed_spikes`; ``backend`` is what packs them."""
    if _active.contexts and not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is None:
        setattr(spikes.untyped_storage(), _MARK, (spikes._version, spikes.dtype, backend))
    return spikes


def _pack(tensor: torch.Tensor) -> Packed | Kept:
    backend = _backend_of_spikes(tensor)
    if backend is None:
        return Kept(tensor, tensor._version)
    storage, place = tensor.untyped_storage(), (tensor.storage_offset(), tensor.numel())
    packed, held = getattr(storage, _BITS, (None, lambda: None))  # by another layer that reads the same spikes
    bits = held() if packed == place else None
    if bits is None:
        memory = tensor.as_strided((8, tensor.numel() // 8), (tensor.numel() // 8, 1))
        if backend == "reference":
            bits = reference.pack_bits(memory)
        else:
            bits = torch.empty_like(memory[0], dtype=torch.uint8)
            launchers(backend, tensor).pack_bits(memory, bits)
        setattr(storage, _BITS, (place, weakref.ref(bits)))
    return Packed(bits, tensor.shape, tensor.stride(), tensor.dtype, backend)


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
    tensor = torch.empty_strided(shape, strides, dtype=dtype, device=bits.device)
    memory = tensor.as_strided((8, len(bits)), (len(bits), 1))
    if backend == "reference":
        for row, unpacked in zip(memory, reference.unpack_bits(bits)):
            row.copy_(unpacked)
    else:
        launchers(backend, bits).unpack_bits(bits, memory)
    return tensor
