"""``python -m benchmarks gpu``: everything that takes a GPU, in less than nine minutes, and a short table last."""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import experiments, machine, options
from benchmarks.report import page as report
from benchmarks.report import rows as results
from benchmarks.training import datasets

DESCRIPTION = "on a GPU: the tests, the neurons, training and whole networks, and Fig. 3, within nine minutes"
ROOT = Path(__file__).parents[2]
TESTS = ("kernels/test_kernels", "library/test_fusion", "library/test_packing", "pytorch/test_operators",
         "library/test_functional")  # fmt: skip
STOPPING = 10  # seconds that a command has to save what it has, once its time is over


@dataclass(frozen=True)
class Step:
    """A command, its words after ``python -m``, and the seconds that it may take."""

    name: str
    words: tuple[str, ...]
    seconds: int


def steps(arguments: argparse.Namespace) -> list[Step]:
    """What is run. The seconds of all of them, and of stopping each, are less than nine minutes."""
    out = ("--out", str(arguments.out), "--device", "cuda")
    data = ("--data-root", str(arguments.data_root)) if arguments.data_root else ()
    tests = [f"tests/{name}.py" for name in TESTS]
    return [
        Step("tests", ("pytest", "-q", "-p", "no:cacheprovider", *tests), 140),
        Step("kernels", ("benchmarks", "run", "kernels", *out), 120),
        Step("training-step", ("benchmarks", "run", "training-step", *out), 45),
        Step("end-to-end", ("benchmarks", "run", "end-to-end", *out), 130),
        Step("training-speed", ("benchmarks", "run", "training-speed", "--quick", "--width", "1", "--batch-size", "500",
                                "--dataset", _dataset(arguments), *data, *out), 50),
    ]  # fmt: skip


def _dataset(arguments: argparse.Namespace) -> str:
    """Fashion-MNIST if it is there, else the digits, which always are."""
    try:
        return datasets.load("fashion-mnist", data_root=arguments.data_root).name
    except (datasets.DatasetError, ImportError, OSError):
        return "digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    path = options.file_or_folder
    parser.add_argument("--out", type=path, default=results.FOLDER, help="folder for the results and the logs")
    parser.add_argument("--data-root", type=path, help=options.DATA_ROOT)


def run(arguments: argparse.Namespace) -> int:
    """Runs all steps, whatever becomes of each; the status is 0 if all went well, and else 1."""
    if not torch.cuda.is_available():
        raise options.UsageError("this needs a machine with a GPU that PyTorch can use, and finds none")
    options.make_folder(arguments.out / "work")
    device, table = machine.describe(torch.device("cuda")), []
    for step in steps(arguments):
        log = arguments.out / "work" / f"{step.name}.log"
        print(f"{step.name}: python -m {' '.join(step.words)}, its output in {log}", flush=True)
        started = time.monotonic()
        outcome = _run_step(step, log)
        table.append((step.name, outcome, f"{time.monotonic() - started:.0f} s", _last_line(log)))
    _print(lambda: report.write(arguments.out))
    print(f"\n{device}, torch {torch.__version__}")
    for line in table:
        print("{:15} {:22} {:>6}  {}".format(*line))
    _print(lambda: _findings(results.path_for(device, arguments.out)))
    return 0 if all(outcome == "passed" for _, outcome, *_ in table) else 1


def _run_step(step: Step, log: Path) -> str:
    """Runs a step, with an interruption when its time is over, at which it saves what it has."""
    with open(log, "w") as file:
        command = [sys.executable, "-m", *step.words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            status = process.wait(step.seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return f"stopped after {step.seconds} s"
    return f"FAILED with status {status}" if status else "passed"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:100] if lines else ""


def _print(lines: Callable) -> None:
    """Whatever is wrong with the rows or the libraries that draw them, the rest is still printed."""
    try:
        for line in lines():
            print(line)
    except (RuntimeError, ImportError, OSError, ValueError, LookupError) as error:
        print(f"gpu: {error}", file=sys.stderr)


def _findings(path: Path):
    """A line for the copy bandwidth and one for each finding of the rows in a file."""
    rows = results.read(path)
    bandwidth = results.value(rows, metric="copy bandwidth")
    if bandwidth:
        yield f"copy bandwidth: {bandwidth:.0f} GB/s"
    for name in experiments.NAMES:
        runs: dict[str, list] = {}
        for row in results.select(rows, experiment=name):
            runs.setdefault(row.options, []).append(row)
        for own in runs.values():
            for finding in experiments.load(name).findings(own):
                yield f"{finding.verdict:13} {finding.claim}: {finding.evidence}"
