"""The LIF scan over time, Eq. (1)-(3), forward.

The same scan serves the converted neuron, Eq. (6)-(9), once the membrane's statistics are known. A program keeps its
tile's membrane in registers and walks through time.
"""

import triton
import triton.language as tl
from fastlif.kernels.batch_norm import channel_factors
from fastlif.kernels.bits import store_bits
from fastlif.kernels.launch import launch
from fastlif.kernels.noise import issue_loads_first
from fastlif.kernels.scan import (
    coefficients,
    counts_of,
    fire,
    group_of,
    load_step,
    membrane_of,
    own_tile,
    parameters_of,
    programs_of,
    scan_arguments,
    scan_constants,
)
from fastlif.kernels.tile import Tile, noise_tile, wide


@triton.jit
def _lif_forward_kernel(
    x_ptr,  # [T, numel], stride (stride_xt, 1)
    spikes_ptr,  # [T, numel]
    bits_ptr,  # the same at one bit each, see bits.py; or None
    initial_state_ptr,  # [numel] float32, or None for zeros
    final_state_ptr,  # [numel] float32, or None
    mean_ptr,  # [T, groups] float32, or None for plain LIF
    deviation_ptr,  # [T, groups] float32, or None for plain LIF
    weight_ptr,  # [channels], of batch normalisation; or None: x is taken as it is
    bias_ptr,  # [channels]
    center_ptr,  # [channels] float32, the means
    invstd_ptr,  # [channels] float32
    gain_ptr,  # [channels] float32, or None: the number; so the next two
    decay_ptr,
    threshold_ptr,
    seed_ptr,  # [1] int64, or None without noise
    channels,
    channel_stride,
    T,
    numel,
    stride_xt,
    groups,
    group_size,
    noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8,
    gain,
    decay,
    inv_alpha,
    beta,
    threshold,
    reset,
    NOISE: tl.constexpr,
    OVER_TIME: tl.constexpr,
    GROUP: tl.constexpr,
    SCALED: tl.constexpr,  # the number is a gain other than 1
    RESET: tl.constexpr,
    INCLUSIVE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    offsets, counter, counter_high, lane, mask, group = own_tile(numel, groups, group_size, GROUP, ROWS, COLS, VECTOR)
    NORM: tl.constexpr = RUN if weight_ptr is not None else 0
    norm = channel_factors(
        weight_ptr, bias_ptr, center_ptr, invstd_ptr, channels, channel_stride, numel, CHANNELS_LAST, NORM, ROWS, COLS
    )  # fmt: skip
    gain, decay, threshold = parameters_of(
        gain_ptr, decay_ptr, threshold_ptr, gain, decay, threshold, channels, channel_stride, numel, CHANNELS_LAST,
        RUN, ROWS, COLS,
    )  # fmt: skip
    WITH_GAIN: tl.constexpr = SCALED or gain_ptr is not None
    tl.static_assert(bits_ptr is None or GROUP == "all", "programs of two groups would share a byte")
    noise_scalars = (noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8)
    place = (offsets, mask, counter, counter_high, lane, norm)
    seed = tl.load(seed_ptr) if NOISE != "none" else 0
    if initial_state_ptr is None:
        v = tl.zeros([ROWS, COLS], tl.float32)
    else:
        v = tl.load(initial_state_ptr + offsets, mask=mask, other=0.0)
    n = tl.zeros([ROWS, COLS], tl.float32)
    for t in range(T):
        a, b = coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta)
        x = load_step(x_ptr, t, stride_xt, place)
        issue_loads_first(NOISE)
        h, _, n = membrane_of(
            x, v, t, a, b, gain, threshold, place, n, seed, noise_scalars, mean_ptr is not None, WITH_GAIN, RESET,
            INCLUSIVE, NOISE, OVER_TIME, NORM,
        )  # fmt: skip
        spiking, v = fire(h, threshold, reset, RESET, INCLUSIVE)
        spikes = tl.where(spiking, 1.0, 0.0).to(spikes_ptr.dtype.element_ty)
        tl.store(spikes_ptr + wide(t) * numel + offsets, spikes, mask=mask)
        store_bits(bits_ptr, t, numel, counter, counter_high, lane, spiking, mask)
    if final_state_ptr is not None:
        tl.store(final_state_ptr + offsets, v, mask=mask)


def _forward_tile(numel, group, noise, bits, mixed):
    """For ``numel`` elements a step, their ``group``, whether their spikes become bits too, and whether membranes of 32
    bits are read or written beside 16 bits. ``python -m benchmarks static`` shows what each choice costs."""
    even = numel % 16 == 0
    if noise == "none" and group == "all" and not bits:  # nothing ties rows together: one needs the fewest registers
        return Tile(1, 1024, 4 if mixed else 8, 2)  # of 8, two accesses to a membrane would share their sectors
    if group == "element":  # every element has a mean and a deviation of its own in registers
        return Tile(8, 128, 1, 4)
    return Tile(8, 128, 2, 2) if even else noise_tile(numel)


def lif_forward(x, T, spikes, initial_state, final_state, mean, deviation, seed, norm, parameters, o,
                bits=None):  # fmt: skip
    """Launches the scan over T steps of x, ``[T, *]`` and dense within a step or ``[T*N, *]`` and dense; writes
    ``spikes``, and ``final_state`` and ``bits`` if they are given; bits need a single group.

    ``mean`` and ``deviation`` are ``[T, groups]`` float32, or None for plain LIF. States are ``[*]`` float32 or None.
    ``parameters`` are those of :mod:`fastlif.operators.scan`, or None.
    """
    numel, groups = counts_of(x, T, mean)
    group = group_of(numel, groups)
    mixed = x.element_size() == 2 and (initial_state is not None or final_state is not None)
    tile = _forward_tile(numel, group, o.noise, bits is not None, mixed)
    others, sizes, runs = scan_arguments(x, T, numel, groups, mean, deviation, seed, norm, parameters, tile)
    tensors = {
        "x_ptr": x,
        "spikes_ptr": spikes,
        "bits_ptr": bits,
        "initial_state_ptr": initial_state,
        "final_state_ptr": final_state,
        **others,
    }
    programs = programs_of(numel, groups, group, tile)
    launch(_lif_forward_kernel, programs, tensors, sizes, scan_constants, o, tile, group, runs)
