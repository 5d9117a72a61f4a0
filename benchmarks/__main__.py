"""The benchmarks' command line: ``python -m benchmarks list``, ``python -m benchmarks static``."""

import argparse
import csv
import os
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

from tqdm import tqdm

from benchmarks import static

COMMANDS = {"static": static}


def main(argv: list[str] | None = None) -> int:
    """Runs a command; what the user can mend ends in a sentence on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="fastlif's benchmarks")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the benchmarks")
    option = commands.add_parser("static", help=static.DESCRIPTION).add_argument
    option("--target", choices=static.TARGETS, default="sm_90", help="what to compile for; no GPU is needed")
    option("--dtype", choices=static.DTYPES, default="fp16", help="of inputs and spikes")
    option("--all", action="store_true", help="every configuration, not only the usual ones: half an hour")
    option("--out", type=Path, help="also write the table there: CSV if the name ends in .csv, else Markdown")
    args = parser.parse_args(argv)
    if args.command == "list":
        for name, module in COMMANDS.items():
            print(f"{name:<10}{module.DESCRIPTION}")
        return 0
    if os.environ.get("TRITON_INTERPRET", "0") not in ("", "0"):  # then the kernels are not there to be compiled
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        return subprocess.call([sys.executable, "-m", "benchmarks", *(argv or sys.argv[1:])], env=environment)
    try:
        cases = static.ALL_CASES if args.all else static.DEFAULT_CASES
        results = [static.measure(case, args.dtype, args.target) for case in tqdm(cases, leave=False, disable=None)]
    except (ImportError, RuntimeError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    title = f"{args.target}, {args.dtype}"
    print(table(results, title))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write(results, title, args.out)
        print(f"\nMade {args.out}.")
    return 0


def table(results: list[static.Result], title: str) -> str:
    """The results in Markdown, with a last line that counts the spills."""
    header = ["kernel", "configuration", *(f.name.replace("_", " ") for f in fields(static.Result)[2:])]
    lines = [f"Kernels for {title}; `benchmarks/static.py` says what each column means.", "", _row(header)]
    lines.append(_row(["---"] * len(header)))
    lines += [_row(map(_cell, asdict(result).values())) for result in results]
    spilling = sum(result.spills for result in results)
    return "\n".join([*lines, "", f"{spilling} of {len(results)} configurations spill to local memory."])


def write(results: list[static.Result], title: str, path: Path) -> None:
    """The results as CSV or Markdown, by the name's ending."""
    if path.suffix != ".csv":
        path.write_text(table(results, title) + "\n")
        return
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in fields(static.Result))
        rows.writerows(map(_cell, asdict(result).values()) for result in results)


def _row(cells) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):  # widths and counts
        return ", ".join(f"{count} x {width}" for width, count in sorted(value.items(), reverse=True))
    return f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
