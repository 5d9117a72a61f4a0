"""``python -m benchmarks run NAME... | all``: runs experiments and writes what they measured."""

import argparse
import sys
from pathlib import Path

import torch

from benchmarks import experiments, machine, options
from benchmarks.report import rows as results
from benchmarks.training.lab import Lab
from benchmarks.training.loop import DTYPES
from benchmarks.training.presets import PRESETS, WORKLOADS, Options
from fastlif.types import SURROGATE_WIDTHS

DESCRIPTION = "run experiments: run NAME... or run all; --help lists the options"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    presets = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
    parser.epilog = f"Presets: {presets}."
    option = parser.add_argument
    known = (*experiments.NAMES, *experiments.GROUPS)
    words = "experiments; all: the paper's, and our own beside them; speed: the measurements of speed"
    option("names", nargs="+", metavar="NAME", choices=known, help=words)
    option("--quick", action="store_true", help="for two CPU cores; without it, Table 1's epochs, for a GPU")
    option("--preset", choices=PRESETS, default="paper", help="how networks are trained")
    option("--surrogate", choices=SURROGATE_WIDTHS, help="taken at the drawn membrane, in place of the preset's")
    option("--erase", action="store_true", help="blank a rectangle of each training image, at random")
    option("--dataset", choices=WORKLOADS, action="append", help="may be repeated; by default the paper's three")
    option("--synthetic", action="store_true", help="measure throughput on random images where data are not there")
    option("--dtype", choices=DTYPES, default="float32", help="of the arithmetic: the 16-bit ones by autocast")
    option("--epochs", type=options.whole(1), help="of every training; direct ones of Fig. 3 and 4 get half")
    option("--trainings", type=options.whole(1), help="of each network, from one seed after another; three by default")
    option(
        "--resume", action="store_true", help="go on from the checkpoints in OUT/work, which are overwritten otherwise"
    )
    options.add_shared(parser, results.FOLDER)


def run(arguments: argparse.Namespace) -> int:
    """Runs the experiments."""
    names = dict.fromkeys(one for name in arguments.names for one in experiments.GROUPS.get(name, (name,)))
    if arguments.surrogate and "surrogate" in names:
        raise options.UsageError("--surrogate names one, and the experiment surrogate compares all: leave out either")
    try:
        options.make_folder(arguments.out / "work")
        device = options.device(arguments.device)
        lab = Lab(_options(arguments, device), device)
        with options.memory_permitting():
            rows = sum([_run_one(name, lab) for name in names])
        if not rows:
            raise options.UsageError("there was nothing to measure on; --dataset digits needs no files")
        lab.say(f"In all {lab.seconds:.0f} s. python -m benchmarks report makes the page of all results.")
    except KeyboardInterrupt:
        print("\nstopped: the same command with --resume goes on after the last finished epoch", file=sys.stderr)
        return 130
    return 0


def _options(arguments: argparse.Namespace, device: torch.device) -> Options:
    return Options(
        form="quick" if arguments.quick else "full",
        preset=arguments.preset,
        surrogate=arguments.surrogate,
        erase=arguments.erase,
        datasets=tuple(dict.fromkeys(arguments.dataset or Options.datasets)),
        synthetic=arguments.synthetic,
        dtype=arguments.dtype,
        backend=options.backend(arguments.backend, device),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        width=arguments.width,
        trainings=arguments.trainings,
        seed=arguments.seed,
        data_root=arguments.data_root,
        download=arguments.download,
        out=arguments.out,
        resume=arguments.resume,
    )


def _run_one(name: str, lab: Lab) -> int:
    """Run an experiment, save its rows and print what they say of the paper; returns how many rows there are."""
    experiment, before = experiments.load(name), lab.seconds
    lab.say(f"\n{experiment.TITLE}")
    lab.rows.clear()
    try:
        experiment.measure(lab)
    except BaseException:
        if name in experiments.SPEED and lab.rows:  # whose rows stand by themselves
            _save(lab, complete=False)
        raise
    if not lab.rows:
        lab.say("  left out: there is nothing to measure it on here")
    else:
        path = _save(lab)
        for finding in experiment.findings(lab.rows):
            lab.say(f"  {finding.claim}: {finding.verdict}\n    {finding.evidence}")
        lab.say(f"  {len(lab.rows)} rows in {path}, {lab.seconds - before:.0f} s")
    return len(lab.rows)


def _save(lab: Lab, complete: bool = True) -> Path:
    """The rows of a run that was broken off never take the place of others."""
    path = results.path_for(machine.describe(lab.device), lab.options.out)
    kept = set() if complete else {row.run for row in results.read(path)}
    rows = [row for row in lab.rows if row.run not in kept]
    if len(rows) < len(lab.rows):
        lab.say(f"  {len(lab.rows) - len(rows)} new rows are dropped: {path} keeps those of an earlier run")
    results.update(path, rows)
    return path
