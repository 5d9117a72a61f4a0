"""A table with a row for each kernel in each configuration: the part that is the same whatever its columns hold."""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable

from tqdm import tqdm

from benchmarks.files import write_whole
from benchmarks.options import UsageError, file_or_folder, make_folder
from benchmarks.report.markdown import folded, table
from benchmarks.speed.cases import DTYPES, Case


def add_table_arguments(parser: argparse.ArgumentParser, targets: Iterable[str]) -> None:
    """The options of :func:`make_table`."""
    parser.add_argument("--target", choices=targets, default="sm_90", help="compile for it (default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp16", help="of input and output (default: %(default)s)")
    parser.add_argument("--kernel", default="", metavar="NAME", help="only kernels with NAME in their name")
    out = "write the table as Markdown; FILE.csv: as CSV too, beside FILE.md"
    parser.add_argument("--out", type=file_or_folder, metavar="FILE", help=out)


def make_table(cases: list[Case], measured: Callable, arguments: argparse.Namespace) -> int:
    """Prints and writes a table with a row for each case.

    ``measured(cases, arguments)`` gives the rows, what their columns mean, what is printed below them, and the number
    of rows that are wrong: then 1 is returned.
    """
    chosen = [case for case in cases if arguments.kernel in case.launcher]
    if not chosen:
        known = ", ".join(sorted({case.launcher for case in cases}))
        raise UsageError(f"no kernel has {arguments.kernel!r} in its name: there are {known}")
    if arguments.out:
        make_folder(arguments.out.parent)
        if arguments.out.is_dir():
            raise UsageError(f"--out {arguments.out} is a folder: give the name of a file in it")
    if "TRITON_INTERPRET" in os.environ:  # with it kernels become Python functions, which cannot be compiled
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        return subprocess.call([sys.executable, *sys.orig_argv[1:]], env=environment)
    try:
        import triton
    except ImportError as error:
        raise UsageError(f"triton cannot be imported ({error}): pip install triton") from None
    rows, about, verdict, wrong = measured(tqdm(chosen, leave=False, disable=None), arguments)
    caption = f"Compiled for {arguments.target}, {arguments.dtype} in and out, by Triton {triton.__version__}. "
    text = f"{folded((caption + about).strip())}\n\n{table(rows[0], (row.values() for row in rows))}\n"
    print(text)
    if arguments.out:
        write_whole(arguments.out.with_suffix(".md") if arguments.out.suffix == ".csv" else arguments.out, text)
        if arguments.out.suffix == ".csv":
            file = io.StringIO()
            csv.writer(file).writerows([rows[0], *(row.values() for row in rows)])
            write_whole(arguments.out, file.getvalue())
    print(verdict)
    return 1 if wrong else 0
