"""The emulator computes what PTX says, and each checker can fail: every fault below is seeded, and must be reported."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from emulator import driver, machine
from emulator.arithmetic import Unsupported, bit_field, divide, fma32, to_bf16
from emulator.translate import translate


@pytest.fixture
def found():
    """Calls a launch and gives the kinds of what was reported, which then fails no test."""

    def kinds(launch):
        before = len(driver.reports)
        launch()
        kinds = {report.kind for report in driver.reports[before:]}
        del driver.reports[before:]
        return kinds

    return kinds


# --- Seeded faults, in Triton -------------------------------------------------------------------------------------


@triton.jit
def scale_kernel(x_ptr, y_ptr, numel, EXTRA: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < numel + EXTRA if MASKED else None
    tl.store(y_ptr + offsets, tl.load(x_ptr + offsets, mask=mask).to(tl.float32) * 0.7, mask=mask)


@triton.jit
def exchange_kernel(x_ptr, scratch_ptr, y_ptr, BARRIER: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(scratch_ptr + offsets, tl.load(x_ptr + offsets))
    if BARRIER:
        tl.debug_barrier()
    tl.store(y_ptr + offsets, tl.load(scratch_ptr + BLOCK - 1 - offsets))


@triton.jit
def overwrite_kernel(scratch_ptr, BARRIER: tl.constexpr, BLOCK: tl.constexpr):
    """Reads what another thread then writes."""
    offsets = tl.arange(0, BLOCK)
    value = tl.load(scratch_ptr + BLOCK - 1 - offsets)
    if BARRIER:
        tl.debug_barrier()
    tl.store(scratch_ptr + offsets, value + 1)


@triton.jit
def neighbours_kernel(x_ptr, STEP: tl.constexpr, BLOCK: tl.constexpr):
    """Each program writes its block; with a STEP below BLOCK also a part of its neighbour's."""
    program = tl.program_id(0)
    tl.store(x_ptr + program * STEP + tl.arange(0, BLOCK), (tl.arange(0, BLOCK) + program).to(tl.float32))


@triton.jit
def halo_kernel(x_ptr, y_ptr, BLOCK: tl.constexpr):
    """Each program reads one element of its neighbour, and writes its own in place if y is x."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + offsets, tl.load(x_ptr + offsets + 1) + 1)


@triton.jit
def one_place_kernel(x_ptr, value, SAME: tl.constexpr):
    tl.store(x_ptr, value if SAME else value + tl.program_id(0))


@triton.jit
def hinted_kernel(x_ptr, y_ptr, first, BLOCK: tl.constexpr):
    offsets = tl.multiple_of(tl.max_contiguous(first + tl.arange(0, BLOCK), 4), 4)
    tl.store(y_ptr + tl.arange(0, BLOCK), tl.load(x_ptr + offsets))


def scale(x, y, extra=0, masked=True):
    scale_kernel[(triton.cdiv(1000, 256),)](x, y, 1000, extra, masked, 256)


def numbers(size):
    return torch.randn(size)


FAULTS = {  # a launch, and what is found in it
    "one element too many": (lambda: scale(numbers(1000), torch.empty(1000), extra=1), {"out of bounds"}),
    "beyond a view": (lambda: scale(numbers(2000)[:1000], torch.empty(2000), extra=1), {"out of bounds"}),
    "a view": (lambda: scale(numbers(2000)[:1000], torch.empty(1000)), set()),
    "no mask": (lambda: scale(numbers(1000), torch.empty(1000), masked=False), {"out of bounds"}),
    "uninitialised": (lambda: scale(torch.empty(1000), torch.empty(1000)), {"uninitialised"}),
    "set to zero": (lambda: scale(torch.empty(1000).zero_(), torch.empty(1000)), set()),
    "read after write": (lambda: exchange_kernel[(1,)](numbers(512), *torch.zeros(2, 512), False, 512), {"race"}),
    "with a barrier": (lambda: exchange_kernel[(1,)](numbers(512), *torch.zeros(2, 512), True, 512), set()),
    "write after read": (lambda: overwrite_kernel[(1,)](torch.zeros(512), False, 512), {"race"}),
    "behind a barrier": (lambda: overwrite_kernel[(1,)](torch.zeros(512), True, 512), set()),
    "CTAs side by side": (lambda: neighbours_kernel[(8,)](torch.zeros(2048), 256, 256), set()),
    "CTAs that overlap": (lambda: neighbours_kernel[(8,)](torch.zeros(2048), 255, 256), {"race between CTAs"}),
    "CTAs read a neighbour's": (lambda: halo_kernel[(8,)](torch.zeros(2049), torch.empty(2048), 256), set()),
    "CTAs read what others write": (
        lambda: halo_kernel[(8,)](*[torch.zeros(2049)] * 2, 256), {"race", "race between CTAs"}
    ),
    "CTAs write one place": (lambda: one_place_kernel[(4,)](torch.zeros(1), 3.0, False), {"race between CTAs"}),
    "the same value": (lambda: one_place_kernel[(4,)](torch.zeros(1), 3.0, True), {"same value"}),
    "aligned": (lambda: hinted_kernel[(1,)](numbers(600), torch.empty(512), 4, 512), set()),
    "misaligned": (lambda: hinted_kernel[(1,)](numbers(600), torch.empty(512), 3, 512), {"misaligned"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(found, fault):
    launch, kinds = FAULTS[fault]
    assert found(launch) == kinds


def test_race_between_ctas_that_do_not_run_together(found, monkeypatch):
    monkeypatch.setattr(machine, "LANES", 128)
    assert found(lambda: neighbours_kernel[(8,)](torch.zeros(2049), 255, 256)) == {"race between CTAs"}


# --- Seeded faults, in PTX ----------------------------------------------------------------------------------------


@triton.jit
def sum_kernel(x_ptr, y_ptr, BLOCK: tl.constexpr):
    total = tl.sum(tl.load(x_ptr + tl.arange(0, BLOCK)))
    tl.store(y_ptr + tl.program_id(0), total)


def run(ptx, *tensors, shared_bytes=1024):
    """The kinds of what is found in a launch of one CTA."""
    pointers = [tensor.data_ptr() for tensor in tensors] + [0, 0]
    named = [("x", tensor) for tensor in tensors]
    launch = machine.Machine(translate(ptx), (1, 1, 1), pointers, named, shared_bytes).run()
    return {report.kind for report in launch.reports}


def test_removed_barriers():
    """A reduction over 4 warps. With any of its barriers removed it races, or reads what nobody wrote."""
    x, y = torch.randn(1024), torch.zeros(1)
    ptx = sum_kernel[(1,)](x, y, 1024).asm["ptx"]
    assert torch.allclose(y, x.sum(), rtol=1e-5)
    assert run(ptx, x, y) <= {"same value"}
    assert "out of bounds" in run(ptx, x, y, shared_bytes=8)
    barriers = list(re.finditer(r"bar\.sync\s+0;", ptx))
    assert barriers
    for barrier in barriers:
        assert run(ptx[: barrier.start()] + ptx[barrier.end() :], x, y) & {"race", "uninitialised"}


HEAD = """
.visible .entry kernel(
	.param .u64 .ptr .global .align 1 kernel_param_0,
	.param .u64 .ptr .global .align 1 kernel_param_1,
	.param .u64 .ptr .global .align 1 kernel_param_2
)
.reqntid 64
{
	ld.param.b64 %rd1, [kernel_param_0];
	mov.u32 %r1, %tid.x;
	mul.wide.u32 %rd2, %r1, 4;
	add.s64 %rd3, %rd1, %rd2;
"""
TAIL = """
	ret;
}
"""
# Each thread goes round a loop as often as its number says; even and odd ones go different ways inside.
DIVERGENCE = """
	mov.b32 %r2, 0;
	mov.b32 %r3, 0;
$L1:
	setp.ge.u32 %p1, %r2, %r1;
	@%p1 bra $L4;
	and.b32 %r4, %r1, 1;
	setp.eq.b32 %p2, %r4, 0;
	@%p2 bra $L2;
	add.s32 %r3, %r3, 3;
	bra.uni $L3;
$L2:
	add.s32 %r3, %r3, 5;
$L3:
	add.s32 %r2, %r2, 1;
	bra.uni $L1;
$L4:
	st.global.b32 [ %rd3 + 0 ], { %r3 };
"""
# Triton 3.7 puts one before loads of which some bytes are not used.
HINT_FOR_PTXAS = """
	.pragma "used_bytes_mask 0xf0f";
	.pragma "used_bytes_mask 0xf0f"; st.global.b32 [ %rd3 + 0 ], { %r1 };
"""


@pytest.mark.parametrize(
    "body, expected", [(DIVERGENCE, lambda i: i * (3 if i % 2 else 5)), (HINT_FOR_PTXAS, lambda i: i)],
    ids=["divergence", "a hint for ptxas"],
)  # fmt: skip
def test_what_the_threads_store(body, expected):
    x = torch.zeros(64, dtype=torch.int32)
    assert run(HEAD + body + TAIL, x) == set()
    assert x.tolist() == [expected(i) for i in range(64)]


# Threads from a number on wait at another barrier than the others.
BARRIERS = """
	setp.ge.u32 %p1, %r1, LIMIT;
	@%p1 bra $L1;
	bar.sync 0;
	bra.uni $L2;
$L1:
	bar.sync 0;
$L2:
"""
SHUFFLE = """
	setp.ge.u32 %p1, %r1, 16;
	@%p1 bra $L1;
	shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;
$L1:
"""
# Each thread reads two words of which it has written one, or both.
SHARED = """
	mov.b32 %r2, global_smem;
	shl.b32 %r3, %r1, 3;
	add.s32 %r3, %r2, %r3;
	add.s32 %r4, %r3, 4;
	st.shared.b32 [ %r3 + 0 ], { %r1 };
	SECOND
	ld.shared.v2.b32 { %r5, %r6 }, [ %r3 + 0 ];
"""
PTX_FAULTS = {
    "barriers within a warp": (BARRIERS.replace("LIMIT", "16"), {"divergent"}),
    "barriers of two warps": (BARRIERS.replace("LIMIT", "32"), {"divergent"}),
    "one barrier": (BARRIERS.replace("LIMIT", "64"), set()),
    "half a warp shuffles": (SHUFFLE, {"divergent"}),
    "a word that nobody wrote": (SHARED.replace("SECOND", ""), {"uninitialised"}),
    "both words": (SHARED.replace("SECOND", "st.shared.b32 [ %r4 + 0 ], { %r1 };"), set()),
}


@pytest.mark.parametrize("fault", PTX_FAULTS)
def test_faults_in_ptx(fault):
    body, kinds = PTX_FAULTS[fault]
    assert run(HEAD + body + TAIL, torch.zeros(64)) == kinds


@pytest.mark.parametrize("instruction", [
    "frobnicate.b32 %r2, %r1", "add.sat.s32 %r2, %r1, 1", "add.rz.f32 %r2, %r1, %r1", "mul.rn.ftz.f32 %r2, %r1, %r1",
    "add.f16 %rs1, %rs1, %rs1", "add.f16x2 %r2, %r1, %r1", "cvt.rz.f16.f32 %rs1, %r1", "mul.lo.u32 %r2, %rd1, %rs1",
    "mov.u32 %r2, %clock", "shl.b32 %q2, %r1, 1", "ld.local.b32 %r2, [%rd3]", "@%p1 call f", "ret.uni",
    "ld.volatile.global.b32 { %r2 }, [ %rd3 + 0 ]", "atom.global.add.u32 %r2, [%rd3], 1", "bar.warp.sync -1",
    "bar.red.popc.u32 %r1, 0, %p1", "shfl.sync.bfly.b32 %r2, %r1, 1, 31, 255",
    "shfl.sync.bfly.b32 %r2|%p1, %r1, 1, 31, -1", "setp.lt.and.s32 %p1, %r1, 1, %p2", "setp.lt.s32 %p1|%p2, %r1, 1",
    # operands too many or too few
    "add.s32 %r2, %r1, %r1, %r1", "min.s32 %r2, %r1, %r1, %r1", "shl.b32 %r2, %r1, 1, 1", "mov.b32 %r2, %r1, %r1",
    "cvt.u32.u64 %r2, %rd1, %rd1", "fma.rn.f32 %r2, %r1, %r1, %r1, %r1", "setp.lt.s32 %p1, %r1, 1, %p2",
    "selp.b32 %r2, %r1, %r1",
])  # fmt: skip
def test_unknown_instructions_raise(instruction):
    with pytest.raises(Unsupported):
        translate(HEAD + f"\t{instruction};" + TAIL)


# --- Arithmetic ---------------------------------------------------------------------------------------------------


def exactly(a, b, c):
    """a * b + c, rounded once: by trying the neighbours of a good guess."""
    value = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    guess = np.float32(float(value))
    near = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    distances = [abs(Fraction(float(n)) - value) for n in near]
    best = [n for n, d in zip(near, distances) if d == min(distances)]
    return best[0] if len(best) == 1 else next(n for n in best if n.view("u4") % 2 == 0)


def test_fma_is_rounded_once():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(1 << 23, 1 << 24, 20000).astype("f4") for _ in range(2))
    c = rng.choice([-1, 1], 20000) * np.float32(2.0) ** rng.integers(-30, 22, 20000)  # makes ties, and almost ties
    c = (c * rng.integers(1, 1 << 12, 20000)).astype("f4")
    mine = fma32(a, b, c)
    wrong = [i for i in range(0, 20000, 7) if mine[i] != exactly(a[i], b[i], c[i])]
    assert not wrong
    tie = fma32(*(np.array([v], "f4") for v in (1 + 2**-12, 1 + 2**-12, -(2.0**-60))))
    assert tie[0] == np.float32(1 + 2**-11)  # just below the tie 1 + 2^-11 + 2^-24


def test_integers():
    a = np.array([7, -7, 7, -7, -(2**31), 5], "i4")
    b = np.array([2, 2, -2, -2, 3, 0], "i4")
    assert divide(a, b).tolist()[:5] == [3, -3, -3, 3, -715827882]
    position, length = np.array([25], "u4"), np.array([32], "u4")
    assert bit_field(np.array([(5 << 57) + (3 << 25) + 7], "u8"), position, length).tolist() == [3]
    assert bit_field(np.array([-3 << 25], "i8"), position, length).tolist() == [-3]


def test_bfloat16():
    x = torch.randn(10000) * 10.0 ** torch.randint(-38, 38, (10000,))
    x[:4] = torch.tensor([math.inf, -math.inf, 0, -0.0])
    assert (to_bf16(x.numpy()).view("i2") == x.bfloat16().view(torch.int16).numpy()).all()


def test_statistics():
    x, y = torch.randn(4096), torch.empty(4096)
    scale_kernel[(16,)](x, y, 4096, 0, True, 256)
    counted = driver.statistics[-1]
    assert counted.written == {"x_ptr": 0, "y_ptr": 4096} and counted.useful["ld"] == 4096 * 4
    assert counted.sectors["ld"] == counted.touched["ld"] == 4096 * 4 // 32
    scale_kernel[(16,)](x[1:], y[1:], 4095, 0, True, 256)  # one sector more for each warp's request
    assert driver.statistics[-1].sectors["ld"] > 4096 * 4 // 32
    assert driver.statistics[-1].touched["ld"] == 4096 * 4 // 32
