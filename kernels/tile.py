"""Which elements a program owns, and how it is launched: the tuning choices of every elementwise kernel.

The noise makes 8 numbers at once, one for each of 8 neighbouring sub-blocks (the format is in fastlif/noise.py).
So a program owns a tile of ROWS sub-blocks by COLS columns, and a column is one Philox counter. Rows lie in one
thread's registers and columns run along memory: every access is wide, and no number crosses threads.
"""

import functools
from typing import NamedTuple

import triton
import triton.language as tl

SUB_BLOCK = tl.constexpr(256)
LANES = tl.constexpr(8)


class Tile(NamedTuple):
    """The tile of a launch; each name is a kernel's argument."""

    ROWS: int
    COLS: int
    VECTOR: int
    num_warps: int


@triton.jit
def tile(ROWS: tl.constexpr, COLS: tl.constexpr, VECTOR: tl.constexpr, program=None):
    """The program's element offsets [ROWS, COLS], counters [1, COLS], their high word, and lanes [ROWS, 1].

    A thread gets at most VECTOR neighbours of a row: fewer where it must keep many steps in its registers. ``program``
    is the tile's number in memory, if it is not the program's.
    """
    first, start, lane = corner(ROWS, COLS, program)
    column = tl.arange(0, COLS)[None, :]
    offsets = start + (along(column) + lane * SUB_BLOCK)
    offsets = tl.multiple_of(tl.max_contiguous(offsets, (1, VECTOR)), (1, VECTOR))
    return offsets, first.to(tl.uint32) + column.to(tl.uint32), (first >> 32).to(tl.uint32), lane


@triton.jit
def corner(ROWS: tl.constexpr, COLS: tl.constexpr, program=None):
    """Where the program's tile begins: its first counter, the offset of that counter's lane 0, its lanes [ROWS, 1]."""
    PARTS: tl.constexpr = LANES // ROWS
    if program is None:
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


def noise_tile(numel):
    """The tile for ``numel`` elements a step: all 8 rows, so that no number is drawn in vain. A thread reads four
    neighbours at once where 16 divides the size, and else single elements, with neighbours in neighbouring threads."""
    return _EVEN if numel % 16 == 0 else _ODD


_EVEN, _ODD = Tile(8, 256, 4, 2), Tile(8, 256, 1, 4)


def grid(numel: int, tile: Tile) -> tuple[int, int, int]:
    """Enough programs for ``numel`` elements: whole groups of 8 sub-blocks."""
    tiles, elements = span(tile)
    return -(-numel // elements) * tiles, 1, 1


@functools.cache
def span(tile):
    """How many tiles make up a whole number of groups of 8 sub-blocks, and the elements in these."""
    counters = max(tile.COLS, SUB_BLOCK.value)
    return counters // tile.COLS * (LANES.value // tile.ROWS), LANES.value * counters
