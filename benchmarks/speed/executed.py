"""What the kernels execute and move, for a GPU that need not be there: ``python -m benchmarks executed``.

The launches of ``python -m benchmarks static``, compiled to PTX and run in the emulator, with its checkers on. Of each
launch the first blocks run, on zeros: what is counted depends on neither.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable
from unittest import mock

import torch

from benchmarks.speed.cases import DEFAULT_CASES, DTYPES, SIZES, Case, launch
from benchmarks.speed.table import add_table_arguments, make_table

DESCRIPTION = "instructions that every kernel executes and sectors that it moves, emulated without a GPU"
COLUMNS = (
    "Instructions: PTX instructions that warps issue, times 32, per element and time step. Moves count: machine code "
    "has fewer of them. Traffic: the sectors of 32 bytes that warps ask for, over the different ones that a launch "
    "touches: what is above 1.00 must come from caches. Useful: the share of these sectors' bytes that a thread "
    "wanted. Bank conflicts: wavefronts of shared memory over the fewest possible. Accesses: of warps, by the bits of "
    "a thread. H100: a prediction, not a measurement, of the microseconds that the launches take together, on 2^21 "
    "elements a step: the different bytes that they touch over 3.0e12 B/s, or the instructions over 30e12 a second, "
    "whichever is longer."
)
BYTES_PER_SECOND, INSTRUCTIONS_PER_SECOND = 3.0e12, 30e12
ELEMENTS = 1 << 15  # of a step, about: as many blocks run as own them
_SCAN = {"T": 10, "size": "odd"}
CASES = [
    *DEFAULT_CASES,
    Case("noisy_spike_forward", size="odd"),
    Case("noisy_spike_backward", size="odd"),
    Case("lif_forward", noise="none", statistics="none", **_SCAN),
    Case("lif_backward", noise="none", statistics="none", **_SCAN),
    Case("lif_backward", **_SCAN),
    Case("noisy_lif_forward", **_SCAN),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks executed``."""
    add_table_arguments(parser, ("sm_80", "sm_90", "sm_100"))


def run(arguments: argparse.Namespace) -> int:
    """Prints and writes the table; returns 1 if a checker finds anything."""
    return make_table(CASES, _measured, arguments)


def _measured(cases: Iterable[Case], arguments: argparse.Namespace):
    from emulator import driver  # which needs triton

    driver.install(int(arguments.target.removeprefix("sm_")))
    rows = [_row(case, DTYPES[arguments.dtype]) for case in cases]
    findings = [str(report) for report in driver.reports if not report.benign]
    return rows, COLUMNS, "\n".join(findings) or "The emulator's checkers found nothing.", len(findings)


def _row(case: Case, dtype: torch.dtype) -> dict[str, str]:
    """A case's launches, counted together."""
    from emulator import driver

    def first_blocks(grid):
        return range(max(1, math.prod(grid) * ELEMENTS // SIZES[case.size]))

    before = len(driver.statistics)
    # Zeros in new memory too: blocks that do not run would have written what others read.
    with driver.only(first_blocks), mock.patch.object(torch.Tensor, "new_empty", torch.Tensor.new_zeros):
        launch(case, dtype, torch.zeros, "cpu")
    launches = driver.statistics[before:]

    def total(name):
        return sum((getattr(launch, name) for launch in launches), Counter())

    written, sectors, touched, useful, widths = map(total, ("written", "sectors", "touched", "useful", "widths"))
    requests, wavefronts = (sum(getattr(x, f"shared_{name}") for x in launches) for name in ("requests", "wavefronts"))
    elements = written["spikes_ptr"] + written["grad_x_ptr"]
    instructions = 32 * sum(launch.warp_instructions for launch in launches) / elements
    memory = 32 * touched.total() / elements / BYTES_PER_SECOND
    arithmetic = instructions / INSTRUCTIONS_PER_SECOND
    seconds = SIZES[case.size] * case.T * max(memory, arithmetic)
    row = {
        "kernel": case.launcher,
        "configuration": str(case),
        "launches": str(len(launches)),
        "instructions": f"{instructions:.1f}",
        "H100": f"{1e6 * seconds:.1f}, {'memory' if memory > arithmetic else 'arithmetic'}",
    }
    for what, name in (("ld", "load"), ("st", "store")):
        row[f"{name} traffic"] = f"{sectors[what] / touched[what]:.2f}"
        row[f"useful {name}s"] = f"{100 * useful[what] / (32 * sectors[what]):.0f} %"
    row["bank conflicts"] = f"{wavefronts / requests:.2f}" if requests else ""
    shares = ((f"{what}.{8 * size}", 100 * count / widths.total()) for (what, size), count in widths.most_common())
    row["accesses"] = ", ".join(f"{share:.0f} % {width}" for width, share in shares if share >= 1)
    return row
