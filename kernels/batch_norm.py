"""Batch normalisation on the way in: z = scale x + shift, with the scale and the shift of the element's channel.

Element i of a dense tensor belongs to channel ``i // channel_stride % channels``. To find that out costs two divisions:
it is done once for each run of neighbours that lie in one channel, or in as many channels one after the other.
"""

import math

import triton
import triton.language as tl
from fastlif.kernels.tile import SUB_BLOCK, along, corner


@triton.jit
def channel_factors(scale_ptr, shift_ptr, channels, channel_stride, numel, CHANNELS_LAST: tl.constexpr,
                    RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """The scale and the shift of the tile's elements [ROWS, COLS], or (None, None) without normalisation."""
    if scale_ptr is None:
        return None, None
    else:
        _, start, lane = corner(ROWS, COLS)
        offsets = start + (along(tl.arange(0, COLS // RUN)[None, :] * RUN) + lane * SUB_BLOCK)
        if tl.to_tensor(numel).dtype == tl.int32:  # a division of 64 bits takes several times as long
            offsets = offsets.to(tl.int32)
        first = (offsets // channel_stride % channels)[:, :, None]
        if CHANNELS_LAST:
            channel = tl.multiple_of(first, (1, 1, RUN)) + tl.arange(0, RUN)[None, None, :]
        else:
            channel = first
        scale, shift = tl.load(scale_ptr + channel), tl.load(shift_ptr + channel)
        return _all_columns(scale, RUN, ROWS, COLS), _all_columns(shift, RUN, ROWS, COLS)


@triton.jit
def _all_columns(factor, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    return tl.reshape(tl.broadcast_to(factor, [ROWS, COLS // RUN, RUN]), [ROWS, COLS])


@triton.jit
def normalised(x, scale, shift):
    """x in float32, normalised where there is a scale."""
    if scale is None:
        return x.to(tl.float32)
    else:
        return tl.fma(x.to(tl.float32), scale, shift)


def channel_arguments(batch_norm, vector):
    """``batch_norm`` is (scale, shift, channel_stride), the first two ``[channels]`` float32, or None."""
    scale, shift, stride = batch_norm or (None, None, 1)
    channels = 1 if scale is None else len(scale)
    return {
        "scale_ptr": scale,
        "shift_ptr": shift,
        "channels": channels,
        "channel_stride": stride,
        "CHANNELS_LAST": stride == 1,
        "RUN": math.gcd(vector, channels if stride == 1 else stride),
    }
