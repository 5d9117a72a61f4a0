"""Which elements a program owns, and how it is launched: the tuning choices of every elementwise kernel.

The noise makes 8 numbers at once, one for each of 8 neighbouring sub-blocks (the format is in fastlif/reference.py).
So a program owns a tile of ROWS sub-blocks by COLS columns, and a column is one Philox counter. Rows lie in one
thread's registers and columns run along memory: every access is wide, and no number crosses threads.
"""

import contextlib

import torch
import triton
import triton.language as tl

SUB_BLOCK = tl.constexpr(256)
LANES = tl.constexpr(8)

# Triton 3.9 announces that 3.10 changes the default. Off, the membrane update rounds as the reference does, so that
# spikes at a tie agree; where a fused multiply-add is wanted the kernels say tl.fma.
OPTIONS = {"enable_fp_fusion": False}


@triton.jit
def tile(ROWS: tl.constexpr, COLS: tl.constexpr, VECTOR: tl.constexpr):
    """The program's element offsets [ROWS, COLS], counters [1, COLS], their high word, and lanes [ROWS, 1].

    A thread gets at most VECTOR neighbours of a row: fewer where it must keep many steps in its registers.
    """
    first, start, lane = corner(ROWS, COLS)
    column = tl.arange(0, COLS)[None, :]
    offsets = start + (along(column) + lane * SUB_BLOCK)
    offsets = tl.multiple_of(tl.max_contiguous(offsets, (1, VECTOR)), (1, VECTOR))
    return offsets, first.to(tl.uint32) + column.to(tl.uint32), (first >> 32).to(tl.uint32), lane


@triton.jit
def corner(ROWS: tl.constexpr, COLS: tl.constexpr):
    """Where the program's tile begins: its first counter, the offset of that counter's lane 0, its lanes [ROWS, 1]."""
    PARTS: tl.constexpr = LANES // ROWS
    program = tl.program_id(0).to(tl.int64)
    first = program // PARTS * COLS
    lane = (program % PARTS).to(tl.int32) * ROWS + tl.arange(0, ROWS)[:, None]
    if COLS < SUB_BLOCK:  # several tiles share a sub-block
        return first, first // SUB_BLOCK * (LANES * SUB_BLOCK) + first % SUB_BLOCK, lane
    else:
        return first, first * LANES, lane


@triton.jit
def along(column):
    """How far in memory a column lies from the tile's first, in the same lane."""
    return column // SUB_BLOCK * (LANES * SUB_BLOCK) + column % SUB_BLOCK


@triton.jit
def wide(index):
    """A loop's index in 64 bits, for addresses; the interpreter counts in Python's integers."""
    return tl.cast(index, tl.int64)


def noise_tile(x, numel):
    """The tile for x, ``numel`` elements a step: all 8 rows, so that no number is drawn in vain, and 128-bit accesses,
    which need a size that 16 divides. Single elements are read with neighbours in neighbouring threads."""
    vector = 16 // x.element_size() if numel % 16 == 0 else 1
    return {"ROWS": 8, "COLS": max(128, 32 * vector), "VECTOR": vector, "num_warps": 4 if vector == 1 else 1}


def grid(numel: int, rows: int, cols: int) -> tuple[int]:
    """Enough programs for ``numel`` elements: whole groups of 8 sub-blocks."""
    groups = triton.cdiv(numel, LANES.value * max(cols, SUB_BLOCK.value)) * max(1, SUB_BLOCK.value // cols)
    return (groups * (LANES.value // rows),)


def on_device(tensor: torch.Tensor):
    """Launches go to the tensor's own device, which need not be the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
