"""The single-step noisy neuron, Eq. (5): forward and backward.

Forward reads x and writes s. Backward reads x and the incoming gradient and draws the same noise again.
"""

import triton
import triton.language as tl
from fastlif.kernels.batch_norm import channel_factors, channels_of, normalised
from fastlif.kernels.bits import store_bits
from fastlif.kernels.launch import launch
from fastlif.kernels.noise import draw_noise, issue_loads_first, noise_arguments
from fastlif.kernels.surrogate import in_triton, surrogate_derivative
from fastlif.kernels.tile import grid, noise_tile, tile


@triton.jit
def _place(numel, ROWS: tl.constexpr, COLS: tl.constexpr, VECTOR: tl.constexpr):
    """Offsets and mask of the program's tile, its counters and lanes.

    It takes no pointer. From a function that does, torch.compile would take the offsets for a part of x, and x for
    written to with the spikes.
    """
    offsets, counter, counter_high, lane = tile(ROWS, COLS, VECTOR)
    return offsets, offsets < numel, counter, counter_high, lane


@triton.jit
def _membrane(x_ptr, weight_ptr, bias_ptr, center_ptr, invstd_ptr, seed_ptr, place, channels, channel_stride, numel,
              noise_scalars, NOISE: tl.constexpr, CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr,
              COLS: tl.constexpr):  # fmt: skip
    """h = x + n of the tile at ``place``."""
    offsets, mask, counter, counter_high, lane = place
    x = tl.load(x_ptr + offsets, mask=mask, other=0.0)
    issue_loads_first(NOISE)
    norm = channel_factors(
        weight_ptr, bias_ptr, center_ptr, invstd_ptr, channels, channel_stride, numel, CHANNELS_LAST, RUN, ROWS, COLS
    )  # fmt: skip
    h = normalised(x, norm, RUN)
    if NOISE != "none":
        h += draw_noise(tl.load(seed_ptr), counter, counter_high, 0, lane, noise_scalars, NOISE)
    return h


@triton.jit
def _noisy_spike_forward_kernel(
    x_ptr,  # [numel]
    spikes_ptr,  # [numel]
    bits_ptr,  # the same at one bit each, see bits.py; or None
    weight_ptr,  # [channels], of batch normalisation; or None: x is taken as it is
    bias_ptr,  # [channels]
    center_ptr,  # [channels] float32, the means
    invstd_ptr,  # [channels] float32
    seed_ptr,  # [1] int64, or None without noise
    channels,
    channel_stride,
    numel,
    noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8,
    threshold,
    NOISE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    noise_scalars = (noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8)
    place = _place(numel, ROWS, COLS, VECTOR)
    offsets, mask, counter, counter_high, lane = place
    h = _membrane(
        x_ptr, weight_ptr, bias_ptr, center_ptr, invstd_ptr, seed_ptr, place, channels, channel_stride, numel,
        noise_scalars, NOISE, CHANNELS_LAST, RUN, ROWS, COLS,
    )  # fmt: skip
    spiking = h > threshold
    tl.store(spikes_ptr + offsets, tl.where(spiking, 1.0, 0.0).to(spikes_ptr.dtype.element_ty), mask=mask)
    store_bits(bits_ptr, 0, numel, counter, counter_high, lane, spiking, mask)


@triton.jit
def _noisy_spike_backward_kernel(
    grad_spikes_ptr,  # [numel]
    x_ptr,  # [numel]
    grad_x_ptr,  # [numel]
    weight_ptr,  # [channels], of batch normalisation; or None: x is taken as it is
    bias_ptr,  # [channels]
    center_ptr,  # [channels] float32, the means
    invstd_ptr,  # [channels] float32
    seed_ptr,  # [1] int64, or None without noise
    channels,
    channel_stride,
    numel,
    noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8,
    threshold,
    surrogate_width,
    NOISE: tl.constexpr,
    SURROGATE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    noise_scalars = (noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8)
    place = _place(numel, ROWS, COLS, VECTOR)
    offsets, mask, _, _, _ = place
    h = _membrane(
        x_ptr, weight_ptr, bias_ptr, center_ptr, invstd_ptr, seed_ptr, place, channels, channel_stride, numel,
        noise_scalars, NOISE, CHANNELS_LAST, RUN, ROWS, COLS,
    )  # fmt: skip
    grad = tl.load(grad_spikes_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
    grad *= surrogate_derivative(h - threshold, surrogate_width, SURROGATE)
    tl.store(grad_x_ptr + offsets, grad.to(grad_x_ptr.dtype.element_ty), mask=mask)


def noisy_spike_forward(x, spikes, seed, norm, o, bits=None):
    """Launches the forward over dense tensors of equal layout, any shape; writes ``spikes``, and ``bits`` if given."""
    tensors = {"x_ptr": x, "spikes_ptr": spikes, "bits_ptr": bits}
    _launch(_noisy_spike_forward_kernel, tensors, x, seed, norm, _constants, o)


def noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, o):
    """Launches the backward over dense tensors of equal layout, any shape; writes ``grad_x``."""
    tensors = {"grad_spikes_ptr": grad_spikes, "x_ptr": x, "grad_x_ptr": grad_x}
    _launch(_noisy_spike_backward_kernel, tensors, x, seed, norm, _backward_constants, o)


def _launch(kernel, tensors, x, seed, norm, constants, o):
    numel = x.numel()
    tile = noise_tile(numel)
    if norm is not None and tile.VECTOR > 1 and x.element_size() == 2 and x.is_contiguous():
        tile = tile._replace(VECTOR=8, num_warps=1)  # a run's channel takes long to find: fewer and longer runs
    norm, channels, runs = channels_of(norm, x, 1, tile.VECTOR)
    tensors = {**tensors, **norm, "seed_ptr": seed}
    launch(kernel, grid(numel, tile), tensors, {**channels, "numel": numel}, constants, o, tile, runs)


def _constants(o, tile, runs):
    scalars = {**noise_arguments(o.noise_scalars), "threshold": o.threshold}
    return {**scalars, "NOISE": o.noise, **runs._asdict(), **tile._asdict()}


def _backward_constants(o, tile, runs):
    return {**_constants(o, tile, runs), "surrogate_width": o.surrogate_width, "SURROGATE": in_triton(o.surrogate)}
