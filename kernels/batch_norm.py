"""Batch normalisation on the way in: z = (x - mean) scale + bias with scale = weight / deviation, all of the element's
channel.

Not scale x + shift: where the mean is many times the deviation, the digits of x - mean would be lost in both.

Element i of a dense tensor belongs to channel ``i // channel_stride % channels``. To find that out costs two divisions:
it is done once for each run of neighbours that lie in one channel, or in as many channels one after the other. The
parameters of LIF that are tensors are found in the same way: there a channel is whatever has a value of its own.
"""

import math
from typing import NamedTuple

import triton
import triton.language as tl
from fastlif.kernels.tile import SUB_BLOCK, along, corner


@triton.jit
def channel_factors(weight_ptr, bias_ptr, center_ptr, invstd_ptr, channels, channel_stride, numel,
                    CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """The mean, scale and bias of the tile's elements, [ROWS, COLS] each; without normalisation (RUN = 0) nothing."""
    if RUN == 0:
        return 0.0, 0.0, 0.0
    else:
        channel = channels_of_runs(channels, channel_stride, numel, CHANNELS_LAST, RUN, ROWS, COLS)
        scale = tl.load(weight_ptr + channel).to(tl.float32) * tl.load(invstd_ptr + channel)
        return (
            of_elements(tl.load(center_ptr + channel), RUN, ROWS, COLS),
            of_elements(scale, RUN, ROWS, COLS),
            of_elements(tl.load(bias_ptr + channel).to(tl.float32), RUN, ROWS, COLS),
        )


@triton.jit
def channels_of_runs(channels, channel_stride, numel, CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr,
                     ROWS: tl.constexpr, COLS: tl.constexpr):
    """Of each run of the tile its channels [ROWS, COLS // RUN, RUN], or the one that all share [.., .., 1]."""
    offsets = run_offsets(RUN, ROWS, COLS)
    # A division of 64 bits takes several times as long. The sum has a type even where numel is 1, a constant.
    if (tl.program_id(0) + numel).dtype == tl.int32:
        offsets = offsets.to(tl.int32)
    channel = (offsets // channel_stride % channels)[:, :, None]
    if CHANNELS_LAST:
        channel = tl.multiple_of(channel + tl.arange(0, RUN)[None, None, :], (1, 1, RUN))
    return channel


@triton.jit
def run_offsets(RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """The offset that each run of the tile begins at, [ROWS, COLS // RUN]."""
    _, start, lane = corner(ROWS, COLS)
    return start + (along(tl.arange(0, COLS // RUN)[None, :] * RUN) + lane * SUB_BLOCK)


@triton.jit
def of_elements(factor, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """A factor of each run of the tile, or of its elements, as [ROWS, COLS]."""
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
    """The kernel's arguments for ``norm``, (weight, bias, mean, inverse standard deviation) of the channels of x's
    dimension ``dim``, or None: tensors, sizes, and the :class:`Runs` of tiles with ``vector`` neighbours in a thread.
    """
    if norm is None:
        return NO_NORM, {"channels": 1, "channel_stride": 1}, Runs(True, 0)
    channels = len(norm[0])
    stride = x.stride(dim) if channels > 1 else 1
    return dict(zip(NO_NORM, norm)), {"channels": channels, "channel_stride": stride}, runs_of(channels, stride, vector)


def runs_of(channels, stride, vector):
    return Runs(stride == 1, math.gcd(vector, channels if stride == 1 else stride))


NO_NORM = dict.fromkeys(("weight_ptr", "bias_ptr", "center_ptr", "invstd_ptr"))
