"""What only a machine with a GPU can check: ``make gpu-check``, or ``python tests/by_hand/gpu_check.py STEP ...``.

suite       the whole test-suite, its kernels compiled
memcheck    compute-sanitizer over the kernels' tests: accesses out of bounds
racecheck   the same: races in shared memory
initcheck   the same: reads of memory that nobody wrote
poison      the kernels' tests with NaN in all uninitialised memory
soak        random shapes for ten minutes; memory must stay flat

Steps that fail do not stop the others. The status is 0 if all passed, 1 if one failed, 2 without a GPU.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
SUITE = (sys.executable, "-m", "pytest")
KERNELS = (*SUITE, "-q", "tests/kernels/test_kernels.py", "tests/library/test_packing.py")
CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin"
SANITIZER = shutil.which("compute-sanitizer", path=os.pathsep.join((os.environ.get("PATH", ""), str(CUDA))))


def sanitized(tool, tests):
    # Errors of the CUDA API reach Python as exceptions; PyTorch also probes with calls that are meant to fail. Triton's
    # assembler is left alone. Every tensor gets an allocation of its own: no access lands unseen in a neighbour.
    options = "--error-exitcode 9 --report-api-errors no --target-processes application-only".split()
    return (SANITIZER, "--tool", tool, *options, *KERNELS, *tests), {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}


def main():
    description, _, steps = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=steps, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help="all of them by default")
    parser.add_argument("--minutes", type=float, default=10, help="of the soak (default 10)")
    parser.add_argument("-k", metavar="EXPRESSION", help="only these tests, as for pytest")
    args = parser.parse_args()
    tests = ("-k", args.k) if args.k else ()
    commands = {  # of each step the command, and the variables that it needs
        "suite": ((*SUITE, *tests), {}),
        **{tool: sanitized(tool, tests) for tool in ("memcheck", "racecheck", "initcheck")},
        "poison": ((*KERNELS, *tests), {"FASTLIF_POISON": "1"}),
        "soak": ((sys.executable, "tests/by_hand/soak.py", "--minutes", str(args.minutes)), {}),
    }
    if unknown := set(args.steps) - set(commands):
        parser.error(f"unknown steps {', '.join(sorted(unknown))}; known are {', '.join(commands)}")
    if not torch.cuda.is_available():
        print("gpu-check needs a machine with a GPU that PyTorch can use, and finds none.", file=sys.stderr)
        return 2

    failed = []
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    for step in args.steps or commands:
        line, variables = commands[step]
        if line[0] is None:
            print(f"{step}: FAILED: no compute-sanitizer; it is a part of the CUDA toolkit", flush=True)
            failed.append(step)
            continue
        print(f"\n{step}:", *(f"{name}={value}" for name, value in variables.items()), *line, flush=True)
        started = time.monotonic()
        environment = {"FASTLIF_TEST_PROFILE": "full"} | os.environ | variables
        status = subprocess.run(line, cwd=ROOT, env=environment).returncode
        result = f"FAILED with status {status}" if status else "passed"
        print(f"{step}: {result}, {time.monotonic() - started:.0f} s", flush=True)
        if status:
            failed.append(step)
    print(f"\ngpu-check: {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
