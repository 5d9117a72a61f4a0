"""What rows are judged by: claims, their verdicts, and the rules by which two numbers are compared."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


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


ENOUGH = 3  # trainings, from different seeds, that a verdict on an accuracy takes


def paired(first: Tensor, second: Tensor) -> tuple[float, float]:
    """By how many points of accuracy ``first`` is ahead of ``second``, and the standard error of that.

    Both say which of the same images a network gets right, ``[N]`` bool. As in McNemar's test, only the images on which
    the two differ count: the error is far below that of two accuracies on different images.
    """
    only_first, only_second = (first & ~second).sum().item(), (second & ~first).sum().item()
    lead, images = only_first - only_second, len(first)
    variance = only_first + only_second - lead**2 / images
    return 100 * lead / images, 100 * math.sqrt(variance) / images


def mean_and_error(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The mean over several trainings and its standard error: the trainings' chance, and that of the test images.

    ``errors`` are those of ``values`` by the choice of the images alone. All trainings are tested on the same images,
    so that part does not shrink with their number.
    """
    trainings = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.mean(values), math.hypot(trainings, statistics.mean(errors))


def beyond(difference: float, error: float, trainings: int) -> bool | None:
    """Whether a difference is above 0; None if it is within two standard errors, or from too few trainings."""
    return None if trainings < ENOUGH or abs(difference) <= 2 * error else difference > 0


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
