"""The converted neuron, Eq. (6)-(9), with the membrane's statistics taken as it runs.

A group of neurons, the whole layer or one sample, shares a mean and a largest deviation at each step. The reduction
rides in the pass that updates the membrane: every program leaves the sum, minimum and maximum of what it has just
written, and in the next step all of them read these partial results. A launch ends between the two, unless a single
program owns its whole group: then one launch walks through all steps. Given the statistics, the backward is
:func:`fastlif.kernels.lif.lif_backward`.
"""

import torch
import triton
import triton.language as tl
from fastlif.kernels.lif import fire, normalisation
from fastlif.kernels.noise import ask_first, draw_noise
from fastlif.kernels.tile import LANES, OPTIONS, SUB_BLOCK, on_device, wide

# Part of the result, since they fix the order of the sums: they follow from the group's size alone.
ELEMENTS_PER_PROGRAM = 4096
MAX_PROGRAMS = 512


@triton.jit
def _place(begin, ROWS: tl.constexpr, COLS: tl.constexpr):
    """The elements [ROWS, COLS] of the block of memory that begins at ``begin``, counted from there, and the counters
    and lanes of their noise. Eight rows are eight sub-blocks, which draw together; a single row is a run of memory."""
    column = tl.arange(0, COLS)[None, :]
    if ROWS == 1:
        offsets = begin + column
        counter = offsets // (LANES * SUB_BLOCK) * SUB_BLOCK + offsets % SUB_BLOCK
        return column, counter, (offsets // SUB_BLOCK % LANES).to(tl.int32)
    else:
        lane = tl.arange(0, ROWS)[:, None]
        place = lane * SUB_BLOCK + column
        return tl.multiple_of(tl.max_contiguous(place, (1, 4)), (1, 4)), begin // LANES + column, lane


@triton.jit
def _finish_statistics(partial_ptr, group, programs, group_size, MAX_PROGRAMS: tl.constexpr):
    """The group's mean and largest deviation, from the partial results of all its programs."""
    index = tl.arange(0, MAX_PROGRAMS)
    mask = index < programs
    at = (group * programs + index) * 3
    mean = tl.sum(tl.load(partial_ptr + at, mask=mask, other=0.0)) / group_size
    low = tl.min(tl.load(partial_ptr + at + 1, mask=mask, other=float("inf")))
    high = tl.max(tl.load(partial_ptr + at + 2, mask=mask, other=float("-inf")))
    return mean, tl.where(low == high, 0.0, tl.maximum(high - mean, mean - low))  # equal values: their mean may round


@triton.jit(do_not_specialize=["first_step", "last_step"])
def _noisy_lif_steps_kernel(
    x_ptr,  # [T, groups * group_size], stride (stride_xt, 1)
    spikes_ptr,  # [T, groups * group_size]
    state_ptr,  # [groups * group_size] float32: the membrane, read and written at every step
    partial_ptr,  # [T + 1, groups, programs, 3] float32: sum, minimum, maximum of decay * v before each step
    mean_ptr,  # [T, groups] float32, written
    deviation_ptr,  # [T, groups] float32, written
    seed_ptr,  # [1] int64, or None without noise
    noise_scalars,
    first_step,  # -1: only the statistics of the initial membrane
    last_step,
    numel,
    stride_xt,
    groups,
    group_size,
    decay,
    inv_alpha,
    beta,
    threshold,
    reset,
    HAS_STATE: tl.constexpr,
    NOISE: tl.constexpr,
    SOFT_RESET: tl.constexpr,
    MAX_PROGRAMS: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64)
    program = tl.program_id(1)
    programs = tl.num_programs(1)
    seed = tl.load(seed_ptr) if NOISE != "none" else 0
    for t in range(first_step, last_step + 1):
        a = 0.0
        b = 0.0
        if t >= 0:
            mean = 0.0
            deviation = 0.0
            if HAS_STATE or t > 0:
                partials = partial_ptr + wide(t) * groups * programs * 3
                mean, deviation = _finish_statistics(partials, group, programs, group_size, MAX_PROGRAMS)
            tl.store(mean_ptr + wide(t) * groups + group, mean, mask=program == 0)
            tl.store(deviation_ptr + wide(t) * groups + group, deviation, mask=program == 0)
            a, b = normalisation(mean, deviation, decay, inv_alpha, beta)

        total = tl.zeros([COLS], tl.float32)
        low = tl.full([COLS], float("inf"), tl.float32)
        high = tl.full([COLS], float("-inf"), tl.float32)
        for block in range(program, tl.cdiv(wide(group_size), ROWS * COLS), programs):
            first = wide(block) * (ROWS * COLS)
            begin = group * group_size + first
            place, counter, lane = _place(begin, ROWS, COLS)
            if ROWS == 1:
                mask = place < tl.minimum(group_size - first, COLS).to(tl.int32)
            else:  # eight sub-blocks draw together only where they are all whole
                mask = tl.full([ROWS, COLS], True, tl.int1)
            v = tl.zeros([ROWS, COLS], tl.float32)
            if HAS_STATE or t > 0:
                v = tl.load(state_ptr + begin + place, mask=mask, other=0.0)
            if t >= 0:
                x = tl.load(x_ptr + wide(t) * stride_xt + begin + place, mask=mask, other=0.0)
                ask_first(NOISE)
                h = x.to(tl.float32) + a * v + b
                if NOISE != "none":
                    low_word, high_word = counter.to(tl.uint32), (counter >> 32).to(tl.uint32)
                    h += draw_noise(seed, low_word, high_word, t, lane, noise_scalars, NOISE)
                spiking, v = fire(h, threshold, reset, SOFT_RESET)
                spikes = tl.where(spiking, 1.0, 0.0).to(spikes_ptr.dtype.element_ty)
                tl.store(spikes_ptr + wide(t) * numel + begin + place, spikes, mask=mask)
                tl.store(state_ptr + begin + place, v, mask=mask)
            decayed = decay * v
            total += tl.sum(tl.where(mask, decayed, 0.0), axis=0)
            low = tl.minimum(low, tl.min(tl.where(mask, decayed, float("inf")), axis=0))
            high = tl.maximum(high, tl.max(tl.where(mask, decayed, float("-inf")), axis=0))

        partial = partial_ptr + ((wide(t + 1) * groups + group) * programs + program) * 3
        tl.store(partial, tl.sum(total))
        tl.store(partial + 1, tl.min(low))
        tl.store(partial + 2, tl.max(high))
        tl.debug_barrier()  # where a program owns its group, its next step reads what all its threads wrote


def noisy_lif_forward(x, spikes, initial_state, state, mean, deviation, seed, o):
    """Launches the steps over x ``[T, *]``, dense within a step, of ``mean.shape[1]`` groups one after the other.

    Writes ``spikes``, the last membrane ``state`` ``[*]``, and ``mean`` and ``deviation``, ``[T, groups]``, all of them
    but the spikes float32.
    """
    T, groups = mean.shape
    numel = x.numel() // T
    group_size = numel // groups
    has_state = initial_state is not None
    if has_state:
        state.copy_(initial_state)
    programs = min(MAX_PROGRAMS, triton.cdiv(group_size, ELEMENTS_PER_PROGRAM))
    # Eight sub-blocks draw together where a group, wherever it lies, begins with the first of eight.
    together = o.noise != "none" and group_size % (LANES.value * SUB_BLOCK.value) == 0
    rows, cols, warps = (LANES.value, SUB_BLOCK.value, 2) if together else (1, 1024, 4)
    # A limit of its own keeps the compiler from spilling for the sake of more warps; AMD's knows no such option.
    registers = {"maxnreg": 168} if together and not torch.version.hip else {}
    partials = x.new_empty((T + 1, groups, programs, 3), dtype=torch.float32)
    first = -1 if has_state else 0
    spans = [(first, T - 1)] if programs == 1 else [(t, t) for t in range(first, T)]
    with on_device(x):
        for first_step, last_step in spans:
            _noisy_lif_steps_kernel[(groups, programs)](
                x_ptr=x,
                spikes_ptr=spikes,
                state_ptr=state,
                partial_ptr=partials,
                mean_ptr=mean,
                deviation_ptr=deviation,
                seed_ptr=seed,
                noise_scalars=o.noise_scalars,
                first_step=first_step,
                last_step=last_step,
                numel=numel,
                stride_xt=x.stride(0),
                groups=groups,
                group_size=group_size,
                decay=o.decay,
                inv_alpha=o.inv_alpha,
                beta=o.beta,
                threshold=o.threshold,
                reset=0.0 if o.reset is None else o.reset,
                HAS_STATE=has_state,
                NOISE=o.noise,
                SOFT_RESET=o.reset is None,
                MAX_PROGRAMS=triton.next_power_of_2(programs),
                ROWS=rows,
                COLS=cols,
                num_warps=warps,
                **registers,
                **OPTIONS,
            )
