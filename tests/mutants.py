"""Tests that can fail: each small fault of faults/ is put into a copy of the project, where its test must catch it.

``make test-mutants``, or ``python tests/mutants.py [-k TEXT] [--jobs 2]``. What no test catches is printed at the end,
and the exit status is 1. An entry is broken if the text that it changes is not found exactly once in its file, or if
its test does not run: what cannot be collected catches nothing. The tests must pass before anything is changed.
"""

import argparse
import concurrent.futures
import importlib.util
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from faults import FAULTS, Fault

ROOT = Path(__file__).parents[1]
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "out")
PYTEST = ("-x", "-q", "-rf", "-n", "0", "-p", "no:cacheprovider")
ENVIRONMENT = {
    # Python knows a compiled file's source by its size and its second: a fault put back within it would go on running.
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "TRITON_INTERPRET": "1",
    "FASTLIF_TEST_PROFILE": "full",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of processes, which a fork could not use
}
# Imported once: every run of pytest is a fork of the process that did it. Only what no fault can change.
IMPORTED = ["pytest", "hypothesis", "numpy", "torch", "torch._dynamo", "torch._inductor.compile_fx", "torchvision"]
PASSED, FAILED = 0, 1  # exit statuses of pytest; others mean that the test was not run
SECONDS = 300  # after which a test hangs


def changed(fault: Fault, root: Path) -> str:
    """The text of the fault's file with the fault in it."""
    text = (root / fault.file).read_text()
    if text.count(fault.old) != 1:
        raise ValueError(
            f"{fault.file}: {fault.what}: the text to change must be there once, and is {text.count(fault.old)} times: "
            f"change tests/faults/ with the code\n{fault.old}"
        )
    return text.replace(fault.old, fault.new)


def forks() -> multiprocessing.context.BaseContext:
    """Starts processes that have imported the libraries already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def pytest_in(folder: Path, arguments: tuple[str, ...], seconds: float | None = SECONDS) -> tuple[int, str]:
    """Exit status and output of pytest in ``folder``."""
    log = folder / "log"
    log.write_text("")
    process = forks().Process(target=_pytest, args=(folder, arguments, log))
    process.start()
    process.join(seconds)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return -1, f"took more than {seconds} s"
    return process.exitcode, log.read_text()


def _pytest(folder: Path, arguments: tuple[str, ...], log: Path) -> None:
    os.setsid()  # so that a timeout ends what it started, too
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    status = pytest.main([*PYTEST, *arguments])
    sys.stdout.flush()
    sys.stderr.flush()  # where a test that is not there is said
    os._exit(status)


def outcome(fault: Fault, copy: Path) -> str:
    """ "caught", "SURVIVES" or "BROKEN: why"."""
    file = copy / fault.file
    text = file.read_text()
    file.write_text(changed(fault, copy))
    try:
        status, output = pytest_in(copy, (f"tests/{fault.test}",))
    finally:
        file.write_text(text)
    if status == FAILED and f"\nFAILED tests/{fault.test.split('[')[0]}" in output:
        return "caught"
    last = (output.strip().splitlines() or ["nothing"])[-1]
    return "SURVIVES" if status == PASSED else f"BROKEN: pytest ends with {status}: {last}"


@mock.patch.dict(os.environ, ENVIRONMENT)  # which the process that all are forks of takes over when it starts
def run(faults: list[Fault], root: Path = ROOT, jobs: int = 2) -> int:
    """Prints what becomes of each fault; 0 if all of them are caught, else 1."""
    start, tests = time.monotonic(), list(dict.fromkeys(fault.test for fault in faults))
    for fault in faults:
        changed(fault, root)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        copies = queue.SimpleQueue()
        for i in range(jobs):
            copies.put(shutil.copytree(root, Path(folder, str(i)), ignore=IGNORED))

        def in_a_copy(function, argument):
            copy = copies.get()
            try:
                return function(argument, copy)
            finally:
                copies.put(copy)

        def unchanged(tests, copy):
            return pytest_in(copy, tuple(f"tests/{test}" for test in tests), seconds=None)

        shares = [tests[i::jobs] for i in range(min(jobs, len(tests)))]
        for status, output in pool.map(lambda share: in_a_copy(unchanged, share), shares):
            if status != PASSED:
                print(f"Without any fault the tests must pass, and pytest ends with {status}:\n{output}")
                return 1
        print(f"{len(tests)} tests pass without faults ({time.monotonic() - start:.0f} s)", flush=True)

        running = {pool.submit(in_a_copy, outcome, fault): fault for fault in faults}
        others = []
        for done, future in enumerate(concurrent.futures.as_completed(running), 1):
            line = f"{future.result()}: {running[future].file}: {running[future].what}"
            print(f"{done:4}/{len(faults)} {time.monotonic() - start:5.0f} s  {line}", flush=True)
            if future.result() != "caught":
                others.append(f"{line} ({running[future].test})")
    print(f"\n{len(faults) - len(others)} of {len(faults)} faults are caught, in {time.monotonic() - start:.0f} s")
    print(*others, sep="\n")
    return 1 if others else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", metavar="TEXT", help="only faults with TEXT in their file, words or test")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time (2)")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if arguments.k in f"{fault.file}: {fault.what} ({fault.test})"]
    for library in ("spikingjelly", "snntorch", "norse"):  # what is not there cannot catch anything
        if importlib.util.find_spec(library) is None:
            faults = [fault for fault in faults if not fault.test.startswith(f"peers/test_peers_{library}")]
    if not faults:
        parser.error(f"there is no fault with {arguments.k!r} in it")
    return run(faults, jobs=arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
