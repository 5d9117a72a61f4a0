"""Batch normalisation on the way in: z = (x - mean) scale + bias, with the three of the element's channel.

Not scale x + shift: where the mean is many times the deviation, the digits of x - mean would be lost in both.

Element i of a dense tensor belongs to channel ``i // channel_stride % channels``. To find that out costs two divisions:
it is done once for each run of neighbours that lie in one channel, or in as many channels one after the other.
"""

import math
from typing import NamedTuple

import triton
import triton.language as tl
from fastlif.kernels.tile import SUB_BLOCK, along, corner


@triton.jit
def channel_factors(norm_ptr, channels, channel_stride, numel, CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr,
                    ROWS: tl.constexpr, COLS: tl.constexpr):
    """The mean, scale and bias of the tile's elements, [ROWS, COLS] each; without normalisation (RUN = 0) nothing."""
    if RUN == 0:
        return 0.0, 0.0, 0.0
    else:
        _, start, lane = corner(ROWS, COLS)
        offsets = start + (along(tl.arange(0, COLS // RUN)[None, :] * RUN) + lane * SUB_BLOCK)
        # A division of 64 bits takes several times as long. The sum has a type even where numel is 1, a constant.
        if (tl.program_id(0) + numel).dtype == tl.int32:
            offsets = offsets.to(tl.int32)
        first = (offsets // channel_stride % channels)[:, :, None]
        return (
            _factor(norm_ptr, first, CHANNELS_LAST, RUN, ROWS, COLS),
            _factor(norm_ptr, first + channels, CHANNELS_LAST, RUN, ROWS, COLS),
            _factor(norm_ptr, first + 2 * channels, CHANNELS_LAST, RUN, ROWS, COLS),
        )


@triton.jit
def _factor(norm_ptr, first, CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """What stands at ``first`` and behind it, for each run of the tile: its channels, or the one that all share."""
    if CHANNELS_LAST:
        first = tl.multiple_of(first + tl.arange(0, RUN)[None, None, :], (1, 1, RUN))
    factor = tl.load(norm_ptr + first)
    return tl.reshape(tl.broadcast_to(factor, [ROWS, COLS // RUN, RUN]), [ROWS, COLS])


@triton.jit
def normalised(x, norm, RUN: tl.constexpr):
    """x in float32, normalised with what :func:`channel_factors` gave, if there is normalisation."""
    if RUN == 0:
        return x.to(tl.float32)
    else:
        mean, scale, bias = norm
        return tl.fma(x.to(tl.float32) - mean, scale, bias)


class Runs(NamedTuple):
    """How a tile's channels are found; each name is a kernel's argument."""

    CHANNELS_LAST: bool
    RUN: int


def channels_of(norm, x, dim, vector):
    """For ``norm``, mean, scale and bias in one ``[3, channels]`` float32 or None, and x, its channels in ``dim``: how
    many there are and how far apart, and the :class:`Runs` of tiles with ``vector`` neighbours in a thread."""
    if norm is None:
        return 1, 1, NO_RUNS
    channels = norm.shape[1]
    stride = channel_stride(x, dim) if channels > 1 else 1
    return channels, stride, Runs(stride == 1, math.gcd(vector, channels if stride == 1 else stride))


NO_RUNS = Runs(True, 0)


def channel_stride(x, dim):
    return x.stride(dim)
