"""Memory layouts: a dense time step of any layout is a flat run of memory, and that is how everything reads it.

The element index that the noise is keyed by is the position in that run. Time may be folded into the batch,
``[T*N, *]`` and a number of ``timesteps``; ``[T, N, *]`` goes with ``timesteps=None``.
"""

from __future__ import annotations

import torch


def unfolded(x: torch.Tensor, timesteps: int | None) -> torch.Tensor:
    """x as ``[T, N, *]``, without a copy."""
    return x if timesteps is None else x.view(timesteps, x.shape[0] // timesteps, *x.shape[1:])


def folded(steps: torch.Tensor, timesteps: int | None) -> torch.Tensor:
    """``steps`` ``[T, N, *]`` as the input was that had these ``timesteps``."""
    return steps if timesteps is None else steps.flatten(0, 1)


def step_shape(x: torch.Tensor, timesteps: int | None) -> torch.Size:
    """``(N, *)``, the shape of a time step of x."""
    return x.shape[1:] if timesteps is None else torch.Size((x.shape[0] // timesteps, *x.shape[1:]))


def empty_output(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """A tensor of x's shape, uninitialised, whose steps lie in memory like ``steps``, the dense steps of x. It has the
    shape of ``steps`` where no folded tensor lies like that."""
    if x.is_contiguous() or channels_last(x):
        return torch.empty_like(x)
    if x.ndim == steps.ndim or steps.shape[0] > 1 and not batch_outermost(steps):
        return empty_steps(steps)
    strides = dense_strides(steps)
    batch = strides[1] if steps.shape[1] > 1 else strides[0]  # of a single sample the stride says nothing
    return torch.empty_strided(x.shape, (batch, *strides[2:]), dtype=x.dtype, device=x.device)


def lying_as(tensor: torch.Tensor, x: torch.Tensor, timesteps: int | None, steps: torch.Tensor) -> torch.Tensor:
    """``tensor``, of x's shape, in memory like ``steps``, the dense steps of x: itself, or a copy."""
    if _alike(x, tensor):
        return tensor
    return steps_as(unfolded(tensor, timesteps), unfolded(x, timesteps) if steps is x else steps)


def dense(x: torch.Tensor) -> torch.Tensor:
    """x ``[N, *]`` itself if it is dense, else a dense copy."""
    return x if x.is_contiguous() or channels_last(x) else dense_steps(x[None])[0]


def lying_like(x: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` ``[N, *]`` in the dense layout of x: itself, or a copy."""
    return tensor if _alike(x, tensor) else steps_as(tensor[None], x[None])[0]


def _alike(x: torch.Tensor, tensor: torch.Tensor) -> bool:
    """Whether two tensors of one shape lie alike, as PyTorch can tell at once."""
    return tensor.is_contiguous() if x.is_contiguous() else channels_last(x) and channels_last(tensor)


def channels_last(x: torch.Tensor) -> bool:
    """Whether x is dense, its second dimension innermost and its first one outermost. To ask PyTorch is ten times as
    fast as to compare strides."""
    return x.ndim in _CHANNELS_LAST and x.is_contiguous(memory_format=_CHANNELS_LAST[x.ndim])


_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def empty_steps(x: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Uninitialised ``[T, N, *]`` like x: each step dense, in the layout of x's steps, one after the other."""
    if x.is_contiguous():
        return torch.empty_like(x, dtype=dtype)
    strides = dense_strides(x)
    return torch.empty_strided(x.shape, strides, dtype=dtype or x.dtype, device=x.device)


def dense_steps(x: torch.Tensor, timesteps: int | None = None, alone: bool = False) -> torch.Tensor:
    """x as ``[T, N, *]``: without a copy if each step is dense, at whatever distance in time (0 included).

    ``alone``: no other tensor must lie like a step, so that x may stay folded if it is dense. A view takes 0.7 us.
    """
    plain = x.is_contiguous() or channels_last(x)
    if plain and alone:
        return x
    if timesteps is not None:
        x = x.view(timesteps, x.shape[0] // timesteps, *x.shape[1:])  # as in unfolded, a call of Python less
    if plain or _lie_alike(x.shape[1:], x.stride()[1:], dense_strides(x)[1:]):
        return x
    return empty_steps(x).copy_(x)


def steps_as(tensor: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``tensor`` ``[T, N, *]`` in the dense layout of x: itself, or a copy."""
    if x.is_contiguous() and tensor.is_contiguous() or _lie_alike(x.shape, tensor.stride(), dense_strides(x)):
        return tensor
    return empty_steps(x, tensor.dtype).copy_(tensor)


def step_as(state: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor | None:
    """``state`` ``[N, *]`` in the membrane's dtype and the dense layout of x's steps: itself, or a copy."""
    return None if state is None else lying_like(x[0], state.to(membrane_dtype(x)))


def membrane_dtype(x: torch.Tensor) -> torch.dtype:
    """float32, or float64 for a float64 input."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def batch_outermost(x: torch.Tensor) -> bool:
    """Whether the samples of ``[T, N, *]`` lie one after the other in memory once its steps are dense."""
    return x.shape[1] <= 1 or dense_strides(x)[1] * x.shape[1] == x[0].numel()


def _lie_alike(shape: tuple[int, ...], strides: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Whether two tensors of that shape lie in memory alike: the stride of a single element does not matter."""
    return all(size == 1 or stride == other for size, stride, other in zip(shape, strides, others))


def dense_strides(x: torch.Tensor) -> tuple[int, ...]:
    """The strides of :func:`empty_steps`."""
    step = torch.empty_strided(x.shape[1:], x.stride()[1:], device="meta")  # under torch.vmap that of one example
    step = torch.empty_like(step)
    return (step.numel(), *step.stride())
