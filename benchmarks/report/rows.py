"""What was measured, as tidy rows: one CSV file per device, a row per experiment, setting and metric."""

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from benchmarks.files import write_whole
from benchmarks.options import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FOLDER = Path(__file__).parents[1] / "results"  # what is committed


class ResultsError(UsageError):
    """A file of results cannot be read."""


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing: the median, the 20th and 80th percentile, and how many there were."""

    median: float
    p20: float
    p80: float
    samples: int = 1

    def __mul__(self, factor: float) -> "Spread":
        return Spread(self.median * factor, self.p20 * factor, self.p80 * factor, self.samples)


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    values = torch.tensor(list(values), dtype=torch.float64)
    p20, median, p80 = values.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)).tolist()
    return Spread(median, p20, p80, len(values))


@dataclass(frozen=True)
class Row:
    """One metric of one setting. Two runs of the same thing differ in the measured values and the commit alone."""

    experiment: str  # its name on the command line, such as "alpha"
    form: str  # "quick" or "full"
    preset: str  # how the networks were trained: "paper" or "modern"
    dataset: str  # "fashion-mnist", or "synthetic cifar-10" where only its shape was there
    network: str  # in the notation of the paper's Table 1
    options: str  # of the command line, those that are not the defaults: "--quick --seed 1"
    training: str  # of the network: "3 epochs of 60,000 images in batches of 50"; empty if nothing was trained
    test_images: int  # that an accuracy is taken on
    setting: Mapping[str, str]  # what was varied: {"alpha": "4", "T": "10"}
    metric: str  # "accuracy"
    unit: str  # "%"
    median: float
    p20: float
    p80: float
    samples: int
    over: str  # what the samples are: "trainings", "noise seeds", "epochs", "batches"
    seed: int
    dtype: str
    device: str
    versions: str  # of Python and the libraries
    commit: str

    @property
    def run(self) -> tuple[str, ...]:
        """What a new run replaces: rows alike in this come from one run of an experiment."""
        return self.experiment, self.options, self.dataset, self.network


COLUMNS = tuple(field.name for field in fields(Row))


def select(rows: Iterable[Row], **wanted) -> list[Row]:
    """The rows whose attributes, or else settings, have these values, in order: ``select(rows, metric="time", T=10)``.

    A tuple stands for any of its values.
    """
    texts = {name: set(map(str, value if isinstance(value, tuple) else (value,))) for name, value in wanted.items()}

    def is_about(row: Row) -> bool:
        return all(str(getattr(row, name, row.setting.get(name))) in values for name, values in texts.items())

    return list(filter(is_about, rows))


def value(rows: Iterable[Row], **wanted) -> float | None:
    """The median of the first row that :func:`select` gives; None if there is none."""
    return next((row.median for row in select(rows, **wanted)), None)


def by_work(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each data set and network, under their names."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.dataset}, {row.network}", []).append(row)
    return groups


def path_for(device: str, folder: Path = FOLDER) -> Path:
    """The file of a device's results."""
    words = "".join(letter if letter.isalnum() else " " for letter in device.lower()).split()
    return folder / f"{'-'.join(words)}.csv"


def read(path: Path) -> list[Row]:
    """The rows of a file; none if there is no such file.

    Raises:
        ResultsError: it is not a file of results.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        try:
            if tuple(table.fieldnames or ()) != COLUMNS:
                columns = ", ".join(COLUMNS)
                raise ResultsError(f"{path} is not a file of results: move it away. Its columns should be {columns}")
            rows = [_parse(line) for line in table]
            if path.read_bytes()[-1:] != b"\n":
                raise ValueError("it is cut short")
            return rows
        except (ValueError, TypeError, AttributeError, csv.Error) as error:
            raise ResultsError(f"{path}, line {table.line_num}, cannot be read ({error}): mend or delete it") from None


def update(path: Path, rows: list[Row]) -> None:
    """Put ``rows`` into a file in place of those of the same runs; all else in it stays.

    Raises:
        ResultsError: it is not a file of results, or a setting cannot be written; the file is as it was.
    """
    replaced = {row.run for row in rows}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    with _locked(path.parent):
        kept = [row for row in read(path) if row.run not in replaced]
        for row in sorted(kept + rows, key=lambda row: row.run):  # stable: a run's own order stays
            values = [getattr(row, name) for name in COLUMNS]
            table.writerow([_format(value) for value in values])
        write_whole(path, text.getvalue())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits until no other process holds the folder, where the system can tell: both would write what they read."""
    if fcntl is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # gives the lock back


def _format(value) -> str:
    if isinstance(value, Mapping):
        if any("=" in name or "; " in f"{name}={part}" for name, part in value.items()):
            raise ResultsError(f"a setting cannot have '=' in its name, or '; ' in it or its value: {dict(value)}")
        return "; ".join(f"{name}={part}" for name, part in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _parse(line: dict[str, str]) -> Row:
    if None in line.values():
        raise ValueError("it is cut short")
    setting = dict(pair.split("=", 1) for pair in line.pop("setting").split("; ") if pair)
    numbers = {name: float(line.pop(name)) for name in ("median", "p20", "p80")}
    whole = {name: int(line.pop(name)) for name in ("samples", "seed", "test_images")}
    return Row(setting=setting, **numbers, **whole, **line)
