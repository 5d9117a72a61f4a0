"""The LIF scan over time, Eq. (1)-(3), forward and backward.

The same scan serves the converted neuron, Eq. (6)-(9), once the membrane's statistics are known: calibrated ones
forward, and any backward. A program keeps its tile's membrane in registers and walks through time. The backward
keeps nothing but x: it computes the membrane again, drawing the same noise, and then walks back.
"""

import functools
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from fastlif.kernels.batch_norm import (
    channel_factors,
    channels_of,
    channels_of_runs,
    normalised,
    of_elements,
    runs_of,
)
from fastlif.kernels.launch import launch
from fastlif.kernels.noise import issue_loads_first, step_noise
from fastlif.kernels.surrogate import in_triton, surrogate_derivative
from fastlif.kernels.tile import LANES, SUB_BLOCK, Tile, grid, noise_tile, span, tile, wide


@triton.jit
def normalisation(mean, deviation, decay, inv_alpha, beta):
    """a_t and b_t of Eq. (9). A constant or non-finite membrane has no normal form: a_t = 0, b_t = beta."""
    usable = (deviation > 0.0) & (deviation < float("inf"))
    scale = tl.where(usable, tl.div_rn(inv_alpha, tl.where(usable, deviation, 1.0)), 0.0)
    return decay * scale, tl.where(usable, beta - mean * scale, beta)


@triton.jit
def spikes_at(membrane, threshold, INCLUSIVE: tl.constexpr):
    """Eq. (2)"""
    if INCLUSIVE:
        return membrane >= threshold
    else:
        return membrane > threshold


@triton.jit
def fire(h, threshold, reset, RESET: tl.constexpr, INCLUSIVE: tl.constexpr = False):
    """Whether the neuron spikes, Eq. (2), and its membrane afterwards, Eq. (3). RESET is "hard" or "soft"; or
    "delayed": then the next step takes the threshold off."""
    spiking = spikes_at(h, threshold, INCLUSIVE)
    if RESET == "soft":
        return spiking, h - tl.where(spiking, threshold, 0.0)
    elif RESET == "hard":
        return spiking, tl.where(spiking, reset, h)
    else:
        return spiking, h


@triton.jit
def coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta):
    """a_t and b_t of the recurrence: decay and 0 for plain LIF, from the membrane's statistics otherwise."""
    if mean_ptr is None:
        return decay, 0.0
    else:
        at = wide(t) * groups + group
        return normalisation(tl.load(mean_ptr + at), tl.load(deviation_ptr + at), decay, inv_alpha, beta)


@triton.jit
def _own_tile(numel, groups, group_size, GROUP: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
              VECTOR: tl.constexpr):
    """The program's tile, which of its elements are the program's, and their group: "all" elements have one, or those
    of the "tile", or else every "element" its own."""
    if GROUP == "tile":  # of a sample, programs own the tiles that it has elements in
        TILES: tl.constexpr = LANES // ROWS if COLS >= SUB_BLOCK else LANES // ROWS * (SUB_BLOCK // COLS)
        tiles = tl.num_programs(0) // groups
        group = (tl.program_id(0) // tiles).to(tl.int64)
        begin = group * group_size
        first = begin // (TILES * ROWS * COLS) * TILES
        offsets, counter, counter_high, lane = tile(ROWS, COLS, VECTOR, first + tl.program_id(0) % tiles)
        mask = (offsets >= begin) & (offsets < begin + group_size)
    else:
        offsets, counter, counter_high, lane = tile(ROWS, COLS, VECTOR)
        mask = offsets < numel
        group = tl.minimum(offsets // group_size, groups - 1) if GROUP == "element" else 0
    return offsets, counter, counter_high, lane, mask, group


@triton.jit
def _load(x_ptr, t, stride_xt, place):
    """x_t of the tile."""
    return tl.load(x_ptr + wide(t) * stride_xt + place[0], mask=place[1], other=0.0)


@triton.jit
def _parameters(gain_ptr, decay_ptr, threshold_ptr, gain, decay, threshold, channels, channel_stride, numel,
                CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):  # fmt: skip
    """Gain, decay and threshold of the tile: the numbers, or what the tensors hold for its elements, [ROWS, COLS].
    Without runs (RUN = 0) a tensor holds one value."""
    if gain_ptr is None and decay_ptr is None and threshold_ptr is None:
        return gain, decay, threshold
    else:
        runs = 0
        if RUN > 0:
            runs = channels_of_runs(channels, channel_stride, numel, CHANNELS_LAST, RUN, ROWS, COLS)
        return (
            _parameter(gain_ptr, gain, runs, RUN, ROWS, COLS),
            _parameter(decay_ptr, decay, runs, RUN, ROWS, COLS),
            _parameter(threshold_ptr, threshold, runs, RUN, ROWS, COLS),
        )


@triton.jit
def _parameter(ptr, number, runs, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    if ptr is None:
        return number
    elif RUN == 0:
        return tl.load(ptr)
    else:
        return of_elements(tl.load(ptr + runs), RUN, ROWS, COLS)


@triton.jit
def _store_share(ptr, share, offsets, mask, RUN: tl.constexpr):
    """The tile's part of a parameter's gradient: every element's, or their sum where all share one value."""
    if ptr is not None:
        if RUN == 0:
            tl.store(ptr + tl.program_id(0), tl.sum(share))
        else:
            tl.store(ptr + offsets, share, mask=mask)


@triton.jit
def _membrane(x, v, t, a, b, gain, threshold, place, before, seed, noise_scalars, GIVEN: tl.constexpr,
              SCALED: tl.constexpr, RESET: tl.constexpr, INCLUSIVE: tl.constexpr, NOISE: tl.constexpr,
              OVER_TIME: tl.constexpr, RUN: tl.constexpr):  # fmt: skip
    """h_t of the tile, the same without its noise, and the noise, given that of the step ``before``."""
    _, _, counter, counter_high, lane, norm = place
    still = normalised(x, norm, RUN)
    if SCALED:
        still *= gain
    still += a * v
    if GIVEN:
        still += b
    if RESET == "delayed":
        still -= tl.where(spikes_at(v, threshold, INCLUSIVE), threshold, 0.0)
    if NOISE == "none":
        return still, still, before
    else:
        n = step_noise(before, seed, counter, counter_high, t, lane, noise_scalars, NOISE, OVER_TIME)
        return still + n, still, n


@triton.jit
def _lif_forward_kernel(
    x_ptr,  # [T, numel], stride (stride_xt, 1)
    spikes_ptr,  # [T, numel]
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
    noise_scalars,
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
    offsets, counter, counter_high, lane, mask, group = _own_tile(numel, groups, group_size, GROUP, ROWS, COLS, VECTOR)
    NORM: tl.constexpr = RUN if weight_ptr is not None else 0
    norm = channel_factors(
        weight_ptr, bias_ptr, center_ptr, invstd_ptr, channels, channel_stride, numel, CHANNELS_LAST, NORM, ROWS, COLS
    )  # fmt: skip
    gain, decay, threshold = _parameters(
        gain_ptr, decay_ptr, threshold_ptr, gain, decay, threshold, channels, channel_stride, numel, CHANNELS_LAST,
        RUN, ROWS, COLS,
    )  # fmt: skip
    WITH_GAIN: tl.constexpr = SCALED or gain_ptr is not None
    place = (offsets, mask, counter, counter_high, lane, norm)
    seed = tl.load(seed_ptr) if NOISE != "none" else 0
    if initial_state_ptr is None:
        v = tl.zeros([ROWS, COLS], tl.float32)
    else:
        v = tl.load(initial_state_ptr + offsets, mask=mask, other=0.0)
    n = tl.zeros([ROWS, COLS], tl.float32)
    for t in range(T):
        a, b = coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta)
        x = _load(x_ptr, t, stride_xt, place)
        issue_loads_first(NOISE)
        h, _, n = _membrane(
            x, v, t, a, b, gain, threshold, place, n, seed, noise_scalars, mean_ptr is not None, WITH_GAIN, RESET,
            INCLUSIVE, NOISE, OVER_TIME, NORM,
        )  # fmt: skip
        spiking, v = fire(h, threshold, reset, RESET, INCLUSIVE)
        spikes = tl.where(spiking, 1.0, 0.0).to(spikes_ptr.dtype.element_ty)
        tl.store(spikes_ptr + wide(t) * numel + offsets, spikes, mask=mask)
    if final_state_ptr is not None:
        tl.store(final_state_ptr + offsets, v, mask=mask)


@triton.jit
def _lif_backward_kernel(
    grad_spikes_ptr,  # [T, numel]
    grad_state_ptr,  # [numel] float32, or None for zeros
    x_ptr,  # [T, numel], stride (stride_xt, 1)
    initial_state_ptr,  # [numel] float32, or None for zeros
    grad_x_ptr,  # [T, numel]
    grad_initial_state_ptr,  # [numel] float32, or None
    grad_gain_ptr,  # of each element [numel], or of each program where RUN is 0, float32; or None; so the next two
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
    noise_scalars,
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
    offsets, counter, counter_high, lane, mask, group = _own_tile(numel, groups, group_size, GROUP, ROWS, COLS, VECTOR)
    NORM: tl.constexpr = RUN if weight_ptr is not None else 0
    norm = channel_factors(
        weight_ptr, bias_ptr, center_ptr, invstd_ptr, channels, channel_stride, numel, CHANNELS_LAST, NORM, ROWS, COLS
    )  # fmt: skip
    gain, decay, threshold = _parameters(
        gain_ptr, decay_ptr, threshold_ptr, gain, decay, threshold, channels, channel_stride, numel, CHANNELS_LAST,
        RUN, ROWS, COLS,
    )  # fmt: skip
    WITH_GAIN: tl.constexpr = SCALED or gain_ptr is not None
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
                x = _load(x_ptr, t, stride_xt, place)
                h, _, n = _membrane(
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
            x = _load(x_ptr, t, stride_xt, place)
            h, still, drawn = _membrane(
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
                grad_gain += counted * _load(x_ptr, t, stride_xt, place).to(tl.float32)
            if grad_decay_ptr is not None:
                grad_decay += counted * before
            if grad_threshold_ptr is not None:
                grad_threshold -= of_threshold
    _store_share(grad_gain_ptr, grad_gain, offsets, mask, RUN)
    _store_share(grad_decay_ptr, grad_decay, offsets, mask, RUN)
    _store_share(grad_threshold_ptr, grad_threshold, offsets, mask, RUN)
    if grad_initial_state_ptr is not None:
        tl.store(grad_initial_state_ptr + offsets, grad_v, mask=mask)


class BackwardTile(NamedTuple):
    """A :class:`fastlif.kernels.tile.Tile`, and how many steps the backward keeps in registers."""

    CHUNK: int
    ROWS: int
    COLS: int
    VECTOR: int
    num_warps: int


def _forward_tile(numel, group, noise):
    """For ``numel`` elements a step and their ``group``. ``python -m benchmarks static`` shows what each choice costs.
    """
    even = numel % 16 == 0
    if noise == "none" and group == "all":  # then nothing ties rows together, and one needs the fewest registers
        return Tile(1, 1024, 8, 2)
    if group == "element":  # every element has a mean and a deviation of its own in registers
        return Tile(8, 128, 1, 4)
    return Tile(8, 128, 2, 2) if even else noise_tile(numel)


def _backward_tile(T, numel, group, o, parameters=None):
    """For T steps of ``numel`` elements and their ``group``.

    A thread keeps ROWS * VECTOR membranes of each step of a chunk in its registers: too many, and it spills. Few rows
    draw most of the noise in vain. Small chunks cost a second walk and the memory for its checkpoints.
    """
    tile = _backward_tile_of(T, numel % 16 == 0, group == "element", o)
    return tile if parameters is None else _with_parameters(tile, T)


@functools.cache
def _with_parameters(tile, T):
    """Their values and their gradients need registers too."""
    return tile._replace(CHUNK=T if tile.CHUNK == T else 4, ROWS=1, VECTOR=min(tile.VECTOR, 2))


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


def _group(numel, groups):
    """How a tile's elements find their group, see :func:`_own_tile`. Of a small sample most of a tile would be idle."""
    return "all" if groups == 1 else "tile" if numel >= 512 * groups else "element"


def _grid(numel, groups, group, tile):
    if group != "tile":
        return grid(numel, tile)
    tiles, elements = span(tile)
    group_size = numel // groups
    return groups * tiles * (-(-group_size // elements) + (group_size % elements > 0)), 1, 1


def lif_forward(x, spikes, initial_state, final_state, mean, deviation, seed, norm, parameters, o):
    """Launches the scan over x ``[T, *]``, dense within a step; writes ``spikes``, and ``final_state`` if it is given.

    ``mean`` and ``deviation`` are ``[T, groups]`` float32, or None for plain LIF. States are ``[*]`` float32 or None.
    ``parameters`` are those of :mod:`fastlif.operators.scan`, or None.
    """
    T, numel, groups = _counts(x, mean)
    group = _group(numel, groups)
    tile = _forward_tile(numel, group, o.noise)
    tensors = {
        "x_ptr": x,
        "spikes_ptr": spikes,
        "initial_state_ptr": initial_state,
        "final_state_ptr": final_state,
    }
    others, sizes, runs = _scan_arguments(x, T, numel, groups, mean, deviation, seed, norm, parameters, tile)
    tensors.update(others)
    launch(_lif_forward_kernel, _grid(numel, groups, group, tile), tensors, sizes, _constants, o, tile, group, runs)


def lif_backward(grad_spikes, grad_state, x, initial_state, grad_x, grad_initial_state, mean, deviation, seed, norm,
                 parameters, wanted, o):  # fmt: skip
    """Launches the reverse scan over x ``[T, *]``; writes ``grad_x``, and ``grad_initial_state`` if it is given.

    Returns the gradients of the parameters' gain, decay and threshold, ``[count]`` float32, None where not ``wanted``.
    """
    T, numel, groups = _counts(x, mean)
    group = _group(numel, groups)
    tile = _backward_tile(T, numel, group, o, parameters)
    programs = _grid(numel, groups, group, tile)
    checkpoint = None
    if T > tile.CHUNK:
        checkpoint = x.new_empty((triton.cdiv(T, tile.CHUNK) - 1, numel), dtype=torch.float32)
    shares = NO_SHARES
    if any(wanted):  # one partial sum a program, or an element where there are many values
        size = numel if parameters.count > 1 else programs[0]
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
    }
    others, sizes, runs = _scan_arguments(x, T, numel, groups, mean, deviation, seed, norm, parameters, tile)
    tensors.update(others)
    launch(_lif_backward_kernel, programs, tensors, sizes, _backward_constants, o, tile, group, runs)
    if any(wanted):
        count, stride = (parameters.count, parameters.stride) if parameters.count > 1 else (1, 1)
        return [None if share is None else share.view(-1, count, stride).sum((0, 2)) for share in shares.values()]


NO_SHARES = dict.fromkeys(("grad_gain_ptr", "grad_decay_ptr", "grad_threshold_ptr"))
NO_PARAMETERS = dict.fromkeys(("gain_ptr", "decay_ptr", "threshold_ptr"))


def _counts(x, mean):
    """How many steps, elements of a step, and groups."""
    T = x.shape[0]  # len(x) takes a quarter of a microsecond
    return T, x.numel() // T, 1 if mean is None else mean.shape[1]


def _scan_arguments(x, T, numel, groups, mean, deviation, seed, norm, parameters, tile):
    """What both directions take: tensors, sizes, runs of channels."""
    norm, channels, runs = channels_of(norm, x, 2, tile.VECTOR)
    values = NO_PARAMETERS
    if parameters is not None:
        *values, count, stride = parameters
        values = dict(zip(NO_PARAMETERS, values))
        if count > 1:
            channels, runs = {"channels": count, "channel_stride": stride}, runs_of(count, stride, tile.VECTOR)
    tensors = {"mean_ptr": mean, "deviation_ptr": deviation, **norm, **values, "seed_ptr": seed}
    return tensors, {
        **channels,
        "T": T,
        "numel": numel,
        "stride_xt": x.stride(0),
        "groups": groups,
        "group_size": numel // groups,
    }, runs


def _constants(o, tile, group, runs):
    return {
        "noise_scalars": o.noise_scalars,
        "gain": None if o.gain == 1 else o.gain,  # one argument fewer: AMD's compiler spills scalar registers
        "decay": o.decay,
        "inv_alpha": o.inv_alpha,
        "beta": o.beta,
        "threshold": o.threshold,
        "reset": 0.0 if o.reset is None else o.reset,
        "NOISE": o.noise,
        "OVER_TIME": "in turn" if o.over_time == "antithetic" else "independent",
        "GROUP": group,
        "SCALED": o.gain != 1,
        "RESET": "delayed" if o.reset_delay else "soft" if o.reset is None else "hard",
        "INCLUSIVE": o.inclusive,
        **runs._asdict(),
        **tile._asdict(),
    }


def _backward_constants(o, tile, group, runs):
    surrogate = in_triton(o.surrogate)
    backward = {"surrogate_width": o.surrogate_width, "DETACH_RESET": o.detach_reset, "SURROGATE": surrogate}
    return _constants(o, tile, group, runs) | backward | {"AT_MEAN": o.surrogate_at == "mean"}
