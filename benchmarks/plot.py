"""``python -m benchmarks plot``: the figures of everything that was measured, drawn from the rows."""

import argparse
import sys

from benchmarks import options
from benchmarks.report import page as report
from benchmarks.report import rows as results

DESCRIPTION = "draw the figures of all results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=options.file_or_folder, default=results.FOLDER, help="the folder of results")


def run(arguments: argparse.Namespace) -> int:
    """Draws them and prints their paths."""
    try:
        for path in report.figures(arguments.out):
            print(path)
    except (RuntimeError, ImportError, OSError) as error:
        print(f"plot: error: {error}", file=sys.stderr)
        return 2
    return 0
