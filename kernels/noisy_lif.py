"""The converted neuron, Eq. (6)-(9), with the membrane's statistics taken as it runs.

A group of neurons, the whole layer or one sample, shares a mean and a largest deviation at each step. The reduction
rides in the pass that updates the membrane: every program leaves the sum, minimum and maximum of what it has just
written, and in the next step all of them read these partial results. A launch ends between the two, unless a single
program owns its whole group: then one launch walks through all steps. Given the statistics, the backward is
:func:`fastlif.kernels.lif_reverse.lif_backward`.
"""

import torch
import triton
import triton.language as tl
from fastlif.kernels.bits import store_bits
from fastlif.kernels.launch import launch
from fastlif.kernels.noise import issue_loads_first, noise_arguments, step_noise
from fastlif.kernels.scan import fire, normalisation
from fastlif.kernels.tile import LANES, SUB_BLOCK, Tile, wide

# Part of the result, since they fix the order of the sums: they follow from the group's size alone.
ELEMENTS_PER_PROGRAM = 4096
MAX_PROGRAMS = 512


@triton.jit
def _inside(start, begin, end, PER_SAMPLE: tl.constexpr, WHOLE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Which elements of the block of memory that begins at ``start`` are between ``begin`` and ``end``: all of them or
    none where groups are whole blocks."""
    if WHOLE:
        return tl.full([ROWS, COLS], True, tl.int1) & (start < end)
    else:  # the differences are those of scalars: a thread's column is compared with each row's
        row = tl.arange(0, ROWS)[:, None] * COLS
        column = tl.arange(0, COLS)[None, :]
        inside = column < tl.minimum(end - start, ROWS * COLS).to(tl.int32) - row
        if PER_SAMPLE:
            inside &= column >= tl.maximum(begin - start, 0).to(tl.int32) - row
        return inside


@triton.jit
def _finish_statistics(total, low, high, decay, group_size):
    """The mean and the largest deviation of decay * v, from v's sum, minimum and maximum."""
    mean = decay * total / group_size
    return mean, tl.where(low == high, 0.0, tl.maximum(decay * high - mean, mean - decay * low))  # a mean may round


@triton.jit(do_not_specialize=["first_step", "last_step"])
def _noisy_lif_steps_kernel(
    first_step,  # -1: only the statistics of the initial membrane
    last_step,
    x_ptr,  # [T, groups * group_size], stride (stride_xt, 1)
    spikes_ptr,  # [T, groups * group_size]
    bits_ptr,  # the same at one bit each, see bits.py; or None
    state_ptr,  # [groups * group_size] float32: the membrane, read and written at every step
    partial_ptr,  # [T, groups, 3, programs] float32: sum, minimum, maximum of v before each step; None with ALONE
    mean_ptr,  # [T, groups] float32, written
    deviation_ptr,  # [T, groups] float32, written
    seed_ptr,  # [1] int64, or None without noise
    numel,
    stride_xt,
    groups,
    group_size,
    noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8,
    decay,
    inv_alpha,
    beta,
    threshold,
    reset,
    HAS_STATE: tl.constexpr,
    NOISE: tl.constexpr,
    OVER_TIME: tl.constexpr,  # "in turn" only where no group lies in two blocks
    PER_SAMPLE: tl.constexpr,
    RESET: tl.constexpr,
    ALONE: tl.constexpr,  # a program owns its whole group
    WHOLE: tl.constexpr,  # groups are whole blocks of memory
    MAX_PROGRAMS: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64) if PER_SAMPLE else wide(0)
    program = tl.program_id(1)
    programs = 1 if ALONE else tl.num_programs(1) // 4 * 4  # a multiple of 4: the compiler reads four sums at once
    begin = group * group_size
    end = begin + group_size
    # With noise, blocks lie as it does, eight sub-blocks that draw together, wherever a group begins in them. Without,
    # they begin with the group, so that the order of its sums, and their rounding, does not depend on its place.
    lane = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLS)[None, :]
    place = tl.multiple_of(tl.max_contiguous(lane * COLS + column, (1, VECTOR)), (1, VECTOR))
    if NOISE == "none":
        first = begin + program * (ROWS * COLS)
    else:
        first = (begin // (ROWS * COLS) + program) * (ROWS * COLS)
    stride = wide(programs) * (ROWS * COLS)
    seed = tl.load(seed_ptr) if NOISE != "none" else 0
    noise_scalars = (noise_0, noise_1, noise_2, noise_3, noise_4, noise_5, noise_6, noise_7, noise_8)
    n = tl.zeros([ROWS, COLS], tl.float32)
    total, low, high = 0.0, 0.0, 0.0
    for t in range(first_step, last_step + 1):
        # The first block is asked for before the statistics are finished: both take the memory's time.
        x_step = x_ptr + wide(tl.maximum(t, 0)) * stride_xt
        inside = _inside(first, begin, end, PER_SAMPLE, WHOLE, ROWS, COLS)
        x = tl.load(x_step + first + place, mask=inside)
        held = inside if HAS_STATE else inside & (t > 0)
        v = tl.load(state_ptr + first + place, mask=held, other=0.0)
        a = 0.0
        b = 0.0
        if t >= 0:
            if not ALONE and (HAS_STATE or t > 0):
                index = tl.arange(0, MAX_PROGRAMS)
                mask = index < programs
                partial = partial_ptr + (wide(t) * groups + group) * 3 * programs + index
                total = tl.sum(tl.load(partial, mask=mask, other=0.0))
                low = tl.min(tl.load(partial + programs, mask=mask, other=float("inf")))
                high = tl.max(tl.load(partial + 2 * programs, mask=mask, other=float("-inf")))
            mean, deviation = _finish_statistics(total, low, high, decay, group_size)
            tl.store(mean_ptr + wide(t) * groups + group, mean, mask=program == 0)
            tl.store(deviation_ptr + wide(t) * groups + group, deviation, mask=program == 0)
            a, b = normalisation(mean, deviation, decay, inv_alpha, beta)

        sums = tl.zeros([COLS], tl.float32)
        lows = tl.full([COLS], float("inf"), tl.float32)
        highs = tl.full([COLS], float("-inf"), tl.float32)
        for start in range(first, end, stride):
            inside = tl.full([ROWS, COLS], True, tl.int1)
            if not WHOLE:
                inside = _inside(start, begin, end, PER_SAMPLE, WHOLE, ROWS, COLS)
            if t >= 0:
                issue_loads_first(NOISE)
                h = x.to(tl.float32) + a * v + b
                counter = start // LANES + column
                low_word, high_word = counter.to(tl.uint32), (counter >> 32).to(tl.uint32)
                if NOISE != "none":
                    n = step_noise(n, seed, low_word, high_word, t, lane, noise_scalars, NOISE, OVER_TIME)
                    h += n
                spiking, v = fire(h, threshold, reset, RESET)
                spikes = tl.where(spiking, 1.0, 0.0).to(spikes_ptr.dtype.element_ty)
                tl.store(spikes_ptr + wide(t) * numel + start + place, spikes, mask=inside)
                tl.store(state_ptr + start + place, v, mask=inside)
                store_bits(bits_ptr, t, numel, low_word, high_word, lane, spiking, inside)
            sums += tl.sum(tl.where(inside, v, 0.0), axis=0)
            lows = tl.minimum(lows, tl.min(tl.where(inside, v, float("inf")), axis=0))
            highs = tl.maximum(highs, tl.max(tl.where(inside, v, float("-inf")), axis=0))
            inside = _inside(start + stride, begin, end, PER_SAMPLE, WHOLE, ROWS, COLS)
            x = tl.load(x_step + start + stride + place, mask=inside)
            held = inside if HAS_STATE else inside & (t > 0)
            v = tl.load(state_ptr + start + stride + place, mask=held, other=0.0)

        total = tl.sum(sums)
        low = tl.min(lows)
        high = tl.max(highs)
        if ALONE:
            tl.debug_barrier()  # its next step reads what all its threads wrote
        else:
            partial = partial_ptr + (wide(t + 1) * groups + group) * 3 * programs + program
            tl.store(partial, total)
            tl.store(partial + programs, low)
            tl.store(partial + 2 * programs, high)


def noisy_lif_forward(x, spikes, initial_state, state, mean, deviation, seed, o, bits=None):
    """Launches the steps over x ``[T, *]``, dense within a step, of ``mean.shape[1]`` groups one after the other.

    Writes ``spikes``, the last membrane ``state`` ``[*]``, and ``mean`` and ``deviation``, ``[T, groups]``, all of them
    but the spikes float32; and ``bits``, if they are given: of a single group with noise.
    """
    T, groups = mean.shape
    numel = x.numel() // T
    group_size = numel // groups
    has_state = initial_state is not None
    if has_state:
        state.copy_(initial_state)
    programs = min(MAX_PROGRAMS, triton.cdiv(group_size, ELEMENTS_PER_PROGRAM))
    partials = None
    if programs > 1:
        programs = triton.cdiv(programs, 4) * 4  # so that their results are read four at a time
        partials = x.new_empty((T + 1, groups, 3, programs), dtype=torch.float32)
    first = -1 if has_state else 0
    spans = [(first, T - 1)] if programs == 1 else [(t, t) for t in range(first, T)]
    tensors = {
        "x_ptr": x,
        "spikes_ptr": spikes,
        "bits_ptr": bits,
        "state_ptr": state,
        "partial_ptr": partials,
        "mean_ptr": mean,
        "deviation_ptr": deviation,
        "seed_ptr": seed,
    }
    sizes = {"numel": numel, "stride_xt": x.stride(0), "groups": groups, "group_size": group_size}
    tile = _tile(o.noise, group_size, x.element_size() == 2)
    block = tile.ROWS * tile.COLS
    chosen = o, _over_time(o, groups, group_size, block), has_state, groups > 1, programs == 1, group_size % block == 0
    chosen += MAX_PROGRAMS, tile
    launch(_noisy_lif_steps_kernel, (groups, programs, 1), tensors, sizes, _constants, *chosen, each=spans)


def _tile(noise, group_size, mixed):
    """Few neighbours in a thread, so that many warps fit on a multiprocessor while each waits for x and v. ``mixed``: x
    has 16 bits beside the membrane's 32, of which a thread with more neighbours would read its sectors twice."""
    if noise == "none":  # then nothing ties rows together, and one needs the fewest registers
        return Tile(1, 512 if mixed else 1024, 4 if group_size % 16 == 0 else 1, 4)
    return Tile(LANES.value, SUB_BLOCK.value, 2 if group_size % 16 == 0 else 1, 4)


def _over_time(o, groups, group_size, block):
    """How noise comes about: see step_noise. A program whose group lies in one block keeps that of the step before."""
    if o.over_time == "independent":
        return "independent"
    return "in turn" if group_size <= block and (groups == 1 or block % group_size == 0) else "alone"


def _constants(o, over_time, has_state, per_sample, alone, whole, max_programs, tile):
    return {
        **noise_arguments(o.noise_scalars),
        "decay": o.decay,
        "inv_alpha": o.inv_alpha,
        "beta": o.beta,
        "threshold": o.threshold,
        "reset": 0.0 if o.reset is None else o.reset,
        "HAS_STATE": has_state,
        "NOISE": o.noise,
        "OVER_TIME": over_time,
        "PER_SAMPLE": per_sample,
        "RESET": "soft" if o.reset is None else "hard",
        "ALONE": alone,
        "WHOLE": whole,
        "MAX_PROGRAMS": max_programs,
        **tile._asdict(),
    }
