"""The gradient of the LIF scan, and of the converted neuron, whose statistics are known by then: a reverse scan.

It keeps nothing but x: a program computes its tile's membranes again, drawing the same noise, and then walks back.
"""

import functools
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from fastlif.kernels.batch_norm import channel_factors, run_offsets
from fastlif.kernels.launch import launch
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
    spikes_at,
)
from fastlif.kernels.surrogate import in_triton, surrogate_derivative
from fastlif.kernels.tile import wide

NO_SHARES = dict.fromkeys(("grad_gain_ptr", "grad_decay_ptr", "grad_threshold_ptr"))


@triton.jit
def _store_share(ptr, share, numel, CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr,
                 COLS: tl.constexpr):  # fmt: skip
    """The tile's part of a parameter's gradient: its sum, or with channels the sum of each run in one of them."""
    if ptr is not None:
        if RUN == 0:
            tl.store(ptr + tl.program_id(0), tl.sum(share))
        else:
            ALIKE: tl.constexpr = 1 if CHANNELS_LAST else RUN
            offsets = run_offsets(ALIKE, ROWS, COLS)
            share = tl.sum(tl.reshape(share, [ROWS, COLS // ALIKE, ALIKE]), 2)
            tl.store(ptr + offsets // ALIKE, share, mask=offsets < numel)


@triton.jit
def _lif_backward_kernel(
    grad_spikes_ptr,  # [T, numel]
    grad_state_ptr,  # [numel] float32, or None for zeros
    x_ptr,  # [T, numel], stride (stride_xt, 1)
    initial_state_ptr,  # [numel] float32, or None for zeros
    grad_x_ptr,  # [T, numel]
    grad_initial_state_ptr,  # [numel] float32, or None
    grad_gain_ptr,  # of each run in a channel, or of each program where RUN is 0, float32; or None; so the next two
    grad_decay_ptr,
    grad_threshold_ptr,
    checkpoint_ptr,  # [chunks - 1, numel] float32 scratch, or None where CHUNK is T
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
    surrogate_width,
    NOISE: tl.constexpr,
    OVER_TIME: tl.constexpr,
    GROUP: tl.constexpr,
    SCALED: tl.constexpr,  # the number is a gain other than 1
    RESET: tl.constexpr,
    INCLUSIVE: tl.constexpr,
    DETACH_RESET: tl.constexpr,
    SURROGATE: tl.constexpr,
    AT_MEAN: tl.constexpr,  # the surrogate is taken at the membrane's mean over the noise
    CHUNK: tl.constexpr,
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
    noise_scalars = (noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8)
    place = (offsets, mask, counter, counter_high, lane, norm)
    seed = tl.load(seed_ptr) if NOISE != "none" else 0
    if initial_state_ptr is None:
        first_v = tl.zeros([ROWS, COLS], tl.float32)
    else:
        first_v = tl.load(initial_state_ptr + offsets, mask=mask, other=0.0)

    SHARED: tl.constexpr = CHUNK % 2 == 0 or checkpoint_ptr is None  # no chunk begins at an odd step
    last = T - 1 if checkpoint_ptr is not None else CHUNK - 1
    # The membranes of CHUNK steps fit into registers. For a longer sequence a first walk puts aside the membrane
    # that each later chunk begins with.
    v = first_v
    chunks = 1
    if checkpoint_ptr is not None:
        chunks = tl.cdiv(T, CHUNK)
        n = tl.zeros([ROWS, COLS], tl.float32)
        for chunk in range(chunks - 1):
            for i in range(CHUNK):
                t = chunk * CHUNK + i
                a, b = coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta)
                x = load_step(x_ptr, t, stride_xt, place)
                h, _, n = membrane_of(
                    x, v, t, a, b, gain, threshold, place, n, seed, noise_scalars, mean_ptr is not None, WITH_GAIN,
                    RESET, INCLUSIVE, NOISE, OVER_TIME, NORM,
                )  # fmt: skip
                _, v = fire(h, threshold, reset, RESET, INCLUSIVE)
            tl.store(checkpoint_ptr + wide(chunk) * numel + offsets, v, mask=mask)
        tl.debug_barrier()

    grad_gain = tl.zeros([ROWS, COLS], tl.float32)
    grad_decay = tl.zeros([ROWS, COLS], tl.float32)
    grad_threshold = tl.zeros([ROWS, COLS], tl.float32)
    if grad_state_ptr is None:
        grad_v = tl.zeros([ROWS, COLS], tl.float32)
    else:
        grad_v = tl.load(grad_state_ptr + offsets, mask=mask, other=0.0)
    for later in range(chunks):
        first = tl.cast((chunks - 1 - later) * CHUNK, tl.int32)
        if checkpoint_ptr is not None:
            before = checkpoint_ptr + wide(chunks - 2 - later) * numel + offsets
            later_v = tl.load(before, mask=offsets < tl.where(first > 0, numel, 0), other=0.0)
            v = tl.where(first > 0, later_v, first_v)

        begin = v
        membranes = ()
        means = ()  # the membranes without their noise, where the surrogate needs them
        drawn = 0.0
        for i in tl.static_range(CHUNK):
            # Past the end, in the last chunk, the last step is computed again and not used.
            t = tl.minimum(first + i, last)
            a, b = coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta)
            x = load_step(x_ptr, t, stride_xt, place)
            h, still, drawn = membrane_of(
                x, v, t, a, b, gain, threshold, place, drawn, seed, noise_scalars, mean_ptr is not None, WITH_GAIN,
                RESET, INCLUSIVE, NOISE,
                "independent" if OVER_TIME == "independent" else "mirrored" if SHARED and i % 2 == 1 else "alone", NORM,
            )  # fmt: skip
            _, v = fire(h, threshold, reset, RESET, INCLUSIVE)
            membranes = membranes + (h,)
            if AT_MEAN:
                means = means + (still,)

        for i in tl.static_range(CHUNK):
            inside = first + (CHUNK - 1 - i) < T
            step_mask = mask if checkpoint_ptr is None else offsets < tl.where(inside, numel, 0)
            t = tl.minimum(first + (CHUNK - 1 - i), last)
            at = wide(t) * numel + offsets
            h = membranes[CHUNK - 1 - i]
            if AT_MEAN:
                u = means[CHUNK - 1 - i] + (noise_scalars[0] - threshold)
            else:
                u = h - threshold
            derivative = surrogate_derivative(u, surrogate_width, SURROGATE)
            spiking = spikes_at(h, threshold, INCLUSIVE)
            # kept: the derivative of the membrane after the step by h. moved: its part through the spike, which "hard"
            # adds and the others subtract. of_threshold: the step's share of -d loss / d threshold.
            if RESET == "hard":
                kept = tl.where(spiking, 0.0, 1.0)
                if not DETACH_RESET:
                    kept += (reset - h) * derivative
            else:
                kept = 1.0 if DETACH_RESET or RESET == "delayed" else 1.0 - threshold * derivative
            grad_spikes = tl.load(grad_spikes_ptr + at, mask=step_mask, other=0.0).to(tl.float32)
            grad_h = grad_spikes * derivative + grad_v * kept
            grad_x = grad_h * gain if WITH_GAIN else grad_h
            tl.store(grad_x_ptr + at, grad_x.to(grad_x_ptr.dtype.element_ty), mask=step_mask)
            a, b = coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta)
            grad_before = a * grad_h
            if RESET == "delayed" or grad_decay_ptr is not None:  # the membrane after the step before
                if i < CHUNK - 1:
                    _, before = fire(membranes[CHUNK - 2 - i], threshold, reset, RESET, INCLUSIVE)
                else:
                    before = begin
            if RESET == "delayed":
                # how much of the threshold the spike before takes off, with its derivative
                taken = tl.where(spikes_at(before, threshold, INCLUSIVE), 1.0, 0.0)
                if not DETACH_RESET:
                    moved = threshold * surrogate_derivative(before - threshold, surrogate_width, SURROGATE)
                    grad_before -= moved * grad_h
                    taken -= moved
                of_threshold = grad_spikes * derivative + taken * grad_h
            elif RESET == "soft":
                moved = 0.0 if DETACH_RESET else threshold * derivative
                of_threshold = grad_spikes * derivative + (tl.where(spiking, 1.0, 0.0) - moved) * grad_v
            else:
                moved = 0.0 if DETACH_RESET else (reset - h) * derivative
                of_threshold = grad_spikes * derivative + moved * grad_v
            if checkpoint_ptr is None:
                counted = grad_h
                grad_v = grad_before
            else:  # steps past the end do not count
                counted = tl.where(inside, grad_h, 0.0)
                of_threshold = tl.where(inside, of_threshold, 0.0)
                grad_v = tl.where(inside, grad_before, grad_v)
            if grad_gain_ptr is not None:
                grad_gain += counted * load_step(x_ptr, t, stride_xt, place).to(tl.float32)
            if grad_decay_ptr is not None:
                grad_decay += counted * before
            if grad_threshold_ptr is not None:
                grad_threshold -= of_threshold
    _store_share(grad_gain_ptr, grad_gain, numel, CHANNELS_LAST, RUN, ROWS, COLS)
    _store_share(grad_decay_ptr, grad_decay, numel, CHANNELS_LAST, RUN, ROWS, COLS)
    _store_share(grad_threshold_ptr, grad_threshold, numel, CHANNELS_LAST, RUN, ROWS, COLS)
    if grad_initial_state_ptr is not None:
        tl.store(grad_initial_state_ptr + offsets, grad_v, mask=mask)


class BackwardTile(NamedTuple):
    """A :class:`fastlif.kernels.tile.Tile`, and how many steps the backward keeps in registers."""

    CHUNK: int
    ROWS: int
    COLS: int
    VECTOR: int
    num_warps: int


def _backward_tile(T, numel, group, o, parameters=None):
    """For T steps of ``numel`` elements and their ``group``.

    A thread keeps ROWS * VECTOR membranes of each step of a chunk in its registers: too many, and it spills. Few rows
    draw most of the noise in vain. Small chunks cost a second walk and the memory for its checkpoints.
    """
    tile = _backward_tile_of(T, numel % 16 == 0, group == "element", o)
    return tile if parameters is None else _with_parameters(tile, T, parameters.gain is not None)


@functools.cache
def _with_parameters(tile, T, gain):
    """Their values and their gradients need registers too: fewer rows, and smaller chunks of a long sequence."""
    return tile._replace(CHUNK=T if T <= (8 if gain else 12) else 6, ROWS=4 if T == 1 else 2 if T <= 4 else 1)


@functools.lru_cache(maxsize=4096)
def _backward_tile_of(T, even, by_element, o):
    vector = 4 if even else 1
    if by_element:
        return BackwardTile(min(T, 4), 1, 128, vector, 4 // vector)
    if o.noise == "none":
        rows, chunk = 8 if T == 1 else 4 if T <= 3 else 2 if T <= 6 else 1, T if T <= 16 else 8
        return BackwardTile(chunk, rows, 128, vector, 4 // vector)
    if T == 1:
        return BackwardTile(1, 8, 128, vector, 4 // vector)
    two = o.surrogate_at == "mean" and o.reset is not None  # numbers that are kept of each membrane
    vector = min(vector, 1 if two and 8 < T <= 16 else 2)
    if T > 16 and (two or o.over_time == "antithetic"):  # an even number of steps, of which two share a draw
        return BackwardTile(4, 4, 128, vector, 4 // vector)
    if T <= 4 or T > 16:
        return BackwardTile(min(T, 3) if T > 16 else T, 8, 128, vector, 4 // vector)
    return BackwardTile(T, 4, 128, vector, 4 // vector)


def lif_backward(grad_spikes, grad_state, x, T, initial_state, grad_x, grad_initial_state, mean, deviation, seed, norm,
                 parameters, wanted, o):  # fmt: skip
    """Launches the reverse scan over T steps of x, as in the forward; writes ``grad_x``, and ``grad_initial_state`` if
    it is given.

    Returns the gradients of the parameters' gain, decay and threshold, ``[channels]`` float32; None if not ``wanted``.
    """
    numel, groups = counts_of(x, T, mean)
    group = group_of(numel, groups)
    tile = _backward_tile(T, numel, group, o, parameters)
    programs = programs_of(numel, groups, group, tile)
    checkpoint = None
    if T > tile.CHUNK:
        checkpoint = x.new_empty((triton.cdiv(T, tile.CHUNK) - 1, numel), dtype=torch.float32)
    others, sizes, runs = scan_arguments(x, T, numel, groups, mean, deviation, seed, norm, parameters, tile)
    shares, alike = NO_SHARES, 1 if runs.CHANNELS_LAST else runs.RUN
    if any(wanted):  # one partial sum a program, or where there are many values one a run
        size = numel // alike if parameters.channels > 1 else programs[0]
        shares = {name: x.new_empty(size, dtype=torch.float32) if want else None
                  for name, want in zip(NO_SHARES, wanted)}  # fmt: skip
    tensors = {
        "grad_spikes_ptr": grad_spikes,
        "grad_state_ptr": grad_state,
        "x_ptr": x,
        "initial_state_ptr": initial_state,
        "grad_x_ptr": grad_x,
        "grad_initial_state_ptr": grad_initial_state,
        **shares,
        "checkpoint_ptr": checkpoint,
        **others,
    }
    launch(_lif_backward_kernel, programs, tensors, sizes, _backward_constants, o, tile, group, runs)
    if any(wanted):
        channels, stride = (parameters.channels, parameters.stride // alike) if parameters.channels > 1 else (1, 1)
        return [None if share is None else share.view(-1, channels, stride).sum((0, 2)) for share in shares.values()]


def _backward_constants(o, tile, group, runs):
    surrogate = in_triton(o.surrogate)
    backward = {"surrogate_width": o.surrogate_width, "DETACH_RESET": o.detach_reset, "SURROGATE": surrogate}
    return scan_constants(o, tile, group, runs) | backward | {"AT_MEAN": o.surrogate_at == "mean"}
