"""The paper's figures and tables with our own ablation, and the measurements of speed: one module each.

An experiment is a module with

    TITLE         what it is, with the figure's or table's number in the paper
    DESCRIPTION   one line for ``python -m benchmarks list``
    PAPER         the paper's own numbers, on its hardware: a tuple of Published, empty if it gives none
    measure(lab)  runs it, and records rows in the lab (benchmarks/lab.py)
    draw(rows, figure)   draws the rows of one run group (one device, form and preset) on a matplotlib figure
    findings(rows)       what the rows say of the paper's claims: a list of Finding

``draw`` and ``findings`` see nothing but rows: what they show can always be made again from the committed files.
"""

import importlib
import math
from dataclasses import dataclass

FIGURES = ("accuracy", "training-speed", "training-time", "alpha", "noise-type", "dynamics", "inference", "ablation")
SPEED = ("host", "kernels", "training-step", "end-to-end")
NAMES = (*FIGURES, *SPEED)
GROUPS = {"all": FIGURES, "speed": SPEED}  # what the command line calls them together


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
    tried: str = ""  # what else was tried, to be read where it is not reproduced

    @property
    def shown(self) -> str:
        """The evidence and, if the claim is not reproduced, what was tried."""
        return f"{self.evidence}. Tried: {self.tried}" if self.tried and self.reproduced is False else self.evidence

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "reproduced", False: "NOT reproduced", None: "cannot be told from these rows"}[self.reproduced]


def higher(first: float, second: float, images: int) -> bool | None:
    """Whether an accuracy in % is higher than another; None if they differ by less than the error of the difference.

    That error is the standard deviation that a difference of two accuracies on so many images has by chance alone. The
    chance in training comes on top of it: several seeds show that.
    """
    return _beyond(first - second, difference_error(first, second, images))


def higher_gain(first: float, second: float, images: int) -> bool | None:
    """:func:`higher` for two gains, each in points of accuracy: whatever they are, their error is at most this."""
    return _beyond(first - second, difference_error(50, 50, images))


def _beyond(difference: float, error: float) -> bool | None:
    return None if abs(difference) <= error else difference > 0


def close(first: float, second: float, images: int, within: float = 1.0) -> bool | None:
    """Whether two accuracies in % differ by at most ``within`` points; None if they do by less than the error more."""
    difference = abs(first - second)
    if difference <= within:
        return True
    return None if difference <= within + difference_error(first, second, images) else False


def difference_error(first: float, second: float, images: int) -> float:
    """The standard deviation in points of the difference of two accuracies in %, each on so many images."""
    return math.sqrt(sum(accuracy * max(0.0, 100 - accuracy) for accuracy in (first, second)) / images)


def load(name: str):
    """The module of an experiment, one of ``NAMES``."""
    return importlib.import_module(f"benchmarks.experiments.{name.replace('-', '_')}")
