"""Random neurons on random inputs for minutes, forward and backward, against the equations; memory stays flat.

``python tests/by_hand/soak.py --minutes 10`` on a GPU. On a CPU the kernels run in Triton's interpreter. It
takes the properties of tests/library, so it needs pytest and hypothesis.
"""

import argparse
import gc
import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("shared", "library")]
from helpers import DEVICE
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from strategies import cases
from test_properties import check, expected_of, run

LARGEST = 1_000_000 if DEVICE == "cuda" else 2_000  # elements of a step
FLAT = 0 if DEVICE == "cuda" else 64 << 20  # bytes that memory may grow by: a process keeps some of what it gives back
trials = 0


@settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(cases(samples=64, limit=LARGEST), st.lists(st.integers(1, 300), min_size=4, max_size=4))
def neurons(case, sizes):
    """Each of them, which is compiled once, with several inputs."""
    global trials
    for number, size in enumerate(sizes):
        shape = case.shape if number == 0 else (*case.shape[:-1], min(size, case.shape[-1]))
        this = replace(case, shape=shape, seed=case.seed + number)
        check(run(this, "triton"), expected_of(this), this)
        trials += 1


def memory():
    """Bytes: allocated on the GPU, or of the whole process on a CPU."""
    gc.collect()
    if DEVICE == "cuda":
        return torch.cuda.memory_allocated()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="default 1")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(2)
    warnings.filterwarnings("ignore", module="triton")  # of numpy, where the interpreter divides by zero
    samples, started = [], time.monotonic()
    while len(samples) < 3 or time.monotonic() < started + 60 * args.minutes:
        seed(args.seed + len(samples))(neurons)()
        samples.append(memory())
        print(f"{time.monotonic() - started:5.0f} s  {trials:7,} trials  {samples[-1] / 2**20:,.1f} MB", flush=True)
    third = len(samples) // 3
    growth = max(samples[-third:]) - max(samples[:third])
    print(f"{trials:,} trials on {DEVICE}, memory grew by {growth / 2**20:.1f} MB of {FLAT / 2**20:.0f} allowed")
    if growth > FLAT:
        sys.exit("memory is not flat")


if __name__ == "__main__":
    main()
