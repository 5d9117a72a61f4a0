"""What rows are judged by: claims, their verdicts, and the rules by which two numbers are compared."""

import math
from dataclasses import dataclass


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
    short: str = ""  # the number that decides, for a table

    @property
    def ours(self) -> bool:
        """Whether it is a goal of our own, and not the paper's claim."""
        return self.claim.startswith("Ours: ")

    @property
    def words(self) -> str:
        """The claim itself."""
        return self.claim.removeprefix("Ours: ").rstrip(".")

    @property
    def shown(self) -> str:
        """The evidence and, if the claim is not reproduced, what was tried."""
        return f"{self.evidence}. Tried: {self.tried}" if self.tried and self.reproduced is False else self.evidence

    @property
    def verdict(self) -> str:
        """In words."""
        done = "met" if self.ours else "reproduced"
        return {True: done, False: f"NOT {done}", None: "cannot be told"}[self.reproduced]


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
    """Whether two accuracies in % differ by at most ``within`` points; None if the excess is within the error."""
    difference = abs(first - second)
    if difference <= within:
        return True
    return None if difference <= within + difference_error(first, second, images) else False


def difference_error(first: float, second: float, images: int) -> float:
    """The standard deviation in points of the difference of two accuracies in %, each on so many images."""
    return math.sqrt(sum(accuracy * max(0.0, 100 - accuracy) for accuracy in (first, second)) / images)
