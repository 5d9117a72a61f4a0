"""What is measured, as rows that say how they came about; what is said meanwhile, and each epoch of a training."""

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.report.rows import Row, Spread
from benchmarks.training.loop import Epoch
from benchmarks.training.presets import FORMS, Form, Options


@dataclass
class Recorder:
    """Options, device, commit and the rows so far."""

    options: Options
    device: torch.device
    rows: list[Row] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    commit: str = field(default_factory=machine.commit)  # at the start: hours later the checkout may be another

    @property
    def form(self) -> Form:
        return FORMS[self.options.form]

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self.started

    @property
    def work_folder(self) -> Path:
        """Where checkpoints and the metrics of each epoch go."""
        return self.options.out / "work"

    def say(self, text: str) -> None:
        """Print a line at once."""
        print(text, flush=True)

    def log_epoch(self, title: str, number: int, epoch: Epoch) -> None:
        """Append the epoch to ``metrics.jsonl``."""
        line = {"training": title, "epoch": number, "loss": epoch.loss, "seconds": epoch.seconds} | epoch.metrics
        with open(self.work_folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def add_row(self, setting: dict[str, object], values: Spread | float, **columns) -> None:
        """Add a :class:`Row` of ``values`` at this setting, with these ``columns``; a run's own are known here."""
        if not isinstance(values, Spread):
            values = Spread(*3 * [float(values)])
        self.rows.append(
            Row(
                form=self.options.form,
                preset=self.options.preset,
                options=self.options.shown(self.device),
                setting={name: str(value) for name, value in setting.items()},
                **dataclasses.asdict(values),
                seed=self.options.seed,
                dtype=self.options.dtype,
                device=machine.describe(self.device),
                versions=" ".join(f"{name} {version}" for name, version in machine.versions().items()),
                **columns,
            )
        )
