"""The rows of each run: read from the files, drawn, and the command that measures them again."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import experiments
from benchmarks.report import rows as results
from benchmarks.report.rows import ResultsError, Row
from benchmarks.report.verdicts import Finding


@dataclass(frozen=True, eq=False)
class Group:
    """The rows of one experiment, run with the same options on one device."""

    rows: list[Row]
    file: Path  # of the rows
    picture: Path  # relative to the folder of results

    @property
    def name(self) -> str:
        return self.rows[0].experiment

    @property
    def options(self) -> str:
        return self.rows[0].options

    @property
    def module(self):
        """The experiment's own."""
        return experiments.load(self.name)

    @property
    def words(self) -> str:
        """How it was run."""
        first = self.rows[0]
        others = re.sub(r"--quick|--preset \w+", "", self.options).split()
        return f"{first.form} form, {first.preset} preset" + (f", {' '.join(others)}" if others else "")

    @property
    def command(self) -> str:
        """What makes the rows again."""
        words = ["python -m benchmarks run", self.name, self.options]
        if self.name not in experiments.SPEED:  # which choose their data themselves
            names = dict.fromkeys(row.dataset for row in self.rows if row.dataset != "none")
            words += [f"--dataset {name.removeprefix('synthetic ')}" for name in names]
            words += ["--synthetic"] if any(name.startswith("synthetic") for name in names) else []
        return " ".join(word for word in words if word)

    def findings(self) -> list[Finding]:
        """What the rows say. Raises ResultsError if some that it takes are not there."""
        return self._take_rows(self.module.findings)

    def draw(self, figure) -> None:
        """Draws the rows. Raises ResultsError if some that it takes are not there."""
        self._take_rows(self.module.draw, figure)

    def _take_rows(self, function: Callable, *others):
        try:
            return function(self.rows, *others)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ResultsError(
                f"{self.file} lacks rows of {self.name} ({type(error).__name__}: {error}): measure them again, with "
                f"{self.command}"
            ) from error


def read(folder: Path) -> list[list[Group]]:
    """The groups of each file in the order of the page.

    Raises:
        ResultsError: there are no results in the folder, or a file of them cannot be read.
    """
    devices = [groups for path in sorted(folder.glob("*.csv")) if (groups := _groups(path))]
    if not devices:
        raise ResultsError(f"there are no results in {folder}: run `python -m benchmarks run all --quick` first")
    return devices


def _groups(path: Path) -> list[Group]:
    rows = {}
    for row in results.read(path):
        if row.experiment not in experiments.NAMES:
            raise ResultsError(f"{path} has rows of {row.experiment!r}: not one of {', '.join(experiments.NAMES)}")
        rows.setdefault((row.experiment, row.options), []).append(row)
    order = sorted(rows, key=lambda key: (experiments.NAMES.index(key[0]), len(key[1]), key[1]))  # plain options first
    return [Group(rows[key], path, Path(path.stem) / _picture(*key)) for key in order]


def _picture(name: str, options: str) -> str:
    return "-".join([name, *re.findall(r"[\w.]+", options or "full")]) + ".png"


def distinct(rows: list[Row], name: str) -> str:
    """The different values of an attribute among the rows."""
    return ", ".join(dict.fromkeys(str(getattr(row, name)) for row in rows))


def data_sets(rows: list[Row]) -> str:
    note = " (synthetic data of its shape: throughput only, accuracy is not claimed)"
    names = dict.fromkeys(row.dataset for row in rows)
    return ", ".join(name + note if name.startswith("synthetic") else name for name in names)
