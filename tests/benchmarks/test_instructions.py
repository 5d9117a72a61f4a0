"""How instructions, and what they wait for, are counted in compiled kernels."""

import pytest

from benchmarks.speed import static

SASS = """
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/                   LDG.E.128 R8, desc[UR4][R2.64+0x10] ;
        /*0030*/                   LDG.E.64 R14, desc[UR4][R2.64+0x20] ;
.L_x_0:
        /*0040*/                   FADD R12, R4, R5 ;
        /*0050*/                   LDG.E.U16 R16, desc[UR4][R2.64+0x30] ;
        /*0060*/                   LDG.E.128 R20, desc[UR4][R2.64+0x40] ;
        /*0070*/              @!P0 STG.E.128 desc[UR4][R18.64], R12 ;
        /*0080*/               @P1 BRA `(.L_x_0) ;
        /*0090*/                   EXIT ;
.L_x_1:
        /*00a0*/                   BRA `(.L_x_1) ;
"""


def test_instructions_are_counted_as_they_stand_in_the_code():
    instructions, loops = static._parse(SASS)
    assert len(instructions) == 10 and loops == [range(4, 9)]
    assert static._widths(instructions, "LDG") == {128: 3, 64: 1, 16: 1}
    assert static._widths(instructions, "STG") == {128: 1}
    assert static._per_element(instructions, [], {"CHUNK": 2}, 4, 2) == 10 / 8
    assert static._per_element(instructions, loops, {}, 4, 2) == 5 / 8  # eight halves are stored in an iteration
    assert static._per_element(instructions, loops, {"state_ptr": 0}, 4, 4) == 5 / 2  # and as many membranes


def test_bytes_in_flight_are_those_before_one_is_needed():
    instructions, _ = static._parse(SASS)
    assert static._most_bytes_asked_for(instructions, 16) == 32
    assert static._most_bytes_asked_for(instructions, 8) == 40


@pytest.mark.parametrize(("registers", "num_warps", "warps"), [(32, 4, 64), (33, 4, 48), (255, 4, 8), (16, 1, 32)])
def test_warps_that_fit_on_a_multiprocessor(registers, num_warps, warps):
    assert static._resident_warps(registers, num_warps) == warps


@pytest.mark.parametrize(("size", "accesses", "told"), [(0, 0, "0"), (8, 0, "8 B, 0"), (0, 1, "0 B, 1")])
def test_what_spills_is_told(size, accesses, told):
    assert static.local_memory(size, accesses) == told
