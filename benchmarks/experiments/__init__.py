"""The paper's figures and tables, one module each, and our own ablation.

An experiment is a module with

    TITLE         what it is, with the figure's or table's number in the paper
    DESCRIPTION   one line for ``python -m benchmarks list``
    PAPER         the paper's own numbers, on its hardware: a tuple of Published, empty if it gives none
    measure(lab)  runs it, and records rows in the lab (benchmarks/lab.py)
    draw(rows, figure)   draws the rows of one run group (one device, form and preset) on a matplotlib figure
    findings(rows)       what the rows say of the paper's claims: a list of Finding

``draw`` and ``findings`` see nothing but rows: what they show can always be made again from the committed files.
"""

from dataclasses import dataclass

NAMES = ("accuracy", "training-speed", "training-time", "alpha", "noise-type", "dynamics", "inference", "ablation")


@dataclass(frozen=True)
class Published:
    """A number of the paper, on its authors' hardware."""

    what: str  # "Fashion-MNIST, T = 10"
    value: str  # "94.07 %"


@dataclass(frozen=True)
class Finding:
    """A claim, and whether the rows bear it out."""

    claim: str  # the paper's, in a sentence
    reproduced: bool | None  # None: these rows cannot tell
    evidence: str  # the numbers that say so

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "reproduced", False: "NOT reproduced", None: "cannot be told from these rows"}[self.reproduced]


def load(name: str):
    """The module of an experiment, one of ``NAMES``."""
    import importlib

    return importlib.import_module(f"benchmarks.experiments.{name.replace('-', '_')}")
