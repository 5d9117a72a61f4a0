"""What rows are judged by: claims, their verdicts, and the rules by which two numbers are compared."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.report.rows import Row, by_work, select


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
    short: str = ""  # the number that decides, for a table
    about: str = ""  # what tells it from other findings under the same heading
    heading: str = ""  # the claim that these share a table's line under, if it is not the finding's own

    @property
    def ours(self) -> bool:
        """Whether it is a goal of our own, and not the paper's claim."""
        return self.claim.startswith("Ours: ")

    @property
    def words(self) -> str:
        """The claim itself."""
        return self.claim.removeprefix("Ours: ").rstrip(".")

    @property
    def verdict(self) -> str:
        """In words."""
        done = "met" if self.ours else "reproduced"
        return {True: done, False: f"NOT {done}", None: "cannot be told"}[self.reproduced]


def of_each_network(judge: Callable[[str, list[Row]], Iterator[Finding]]) -> Callable[[list[Row]], list[Finding]]:
    """An experiment's ``findings(rows)``, made of what ``judge(name, own)`` says of each data set and network."""

    @functools.wraps(judge)
    def findings(rows: list[Row]) -> list[Finding]:
        return [finding for name, own in by_work(rows).items() for finding in judge(name, own)]

    return findings


ENOUGH = 3  # samples that a verdict takes; for an accuracy, trainings from different seeds
OUTSIDE = {3: 2 / 3, 4: 1.5}  # samples -> how far min and max lie beyond p20 and p80, over these' way from the median
NONE_SEEN = 1.5  # images, the least error: twice that is the 95 % bound (3 of n) on what was seen in none of n
STUDENT = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57)  # t for 95 %, two-sided, of 1, 2, ... trainings; of more, the last
LEAD, ERROR = "lead", "standard error of the lead"  # the metrics of a comparison's two rows


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean of ``values`` ``[trainings, images]``, parts of an image each, and its standard error.

    Both the choice of the images and chance in training make it uncertain. All trainings are tested on the same images,
    so the images' part does not shrink with the number of trainings. For a difference of two networks that part is
    what McNemar's test takes: only the images on which they differ add to it. The trainings' part is larger than their
    spread over the root of their number: of so few, the spread itself is a guess (Student's t).
    """
    images = values.shape[1]
    return _mean_and_error(values.mean(1), (values.std(1, correction=0) / math.sqrt(images)).mean().item(), images)


def _mean_and_error(means: Tensor, by_image: float, images: int) -> tuple[float, float]:
    """Of the trainings' ``means``, with the images' part of the error."""
    trainings = len(means)
    by_training = means.std().item() / math.sqrt(trainings) if trainings > 1 else 0.0
    few = STUDENT[min(trainings, len(STUDENT)) - 1] / 1.96
    return means.mean().item(), math.hypot(max(by_image, NONE_SEEN / images), few * by_training)


@dataclass(frozen=True)
class Lead:
    """By how many points of accuracy one network is ahead of another, over several trainings."""

    mean: float
    error: float  # the mean's standard error
    trainings: int

    def beyond(self, points: float = 0.0) -> bool | None:
        """Whether it is above ``points``; None if it is within two standard errors, or from too few trainings."""
        distance = self.mean - points
        return distance > 0 if self.trainings >= ENOUGH and abs(distance) > 2 * self.error else None

    def within(self, points: float) -> bool | None:
        """Whether the mean, with two standard errors on either side, lies between -``points`` and ``points``."""
        return all_of(Lead(sign * self.mean, self.error, self.trainings).at_most(points) for sign in (1, -1))

    def at_most(self, points: float) -> bool | None:
        """Whether it is at most ``points``; None where :meth:`beyond` cannot tell."""
        beyond = self.beyond(points)
        return None if beyond is None else not beyond

    @property
    def points(self) -> str:
        """The mean, in words."""
        return f"{self.mean:+.2f} points" if self.trainings else "not compared"

    def __str__(self) -> str:
        return f"{self.mean:+.2f} +- {self.error:.2f} points" if self.trainings else self.points


def lead(rows: Iterable[Row], name: str) -> Lead:
    """The comparison of this name among the rows of one network; of no trainings, where they do not have it."""
    means, errors = (select(rows, lead=name, metric=metric) for metric in (LEAD, ERROR))
    if not means:
        return Lead(math.nan, math.nan, 0)
    return Lead(means[0].median, errors[0].median, means[0].samples)


def in_words(leads: dict[str, Lead]) -> str:
    """Comparisons by their names, as a finding shows them."""
    return "; ".join(f"{name}: {one}" for name, one in leads.items())


def lead_over(mark: float, row: Row) -> Lead:
    """What an accuracy's row says of its lead over ``mark`` (both in %), where none was recorded.

    Three values follow from the row's spread; of other numbers of trainings there is no lead.
    """
    if row.samples != 3:
        return Lead(math.nan, math.nan, 0)
    accuracies = torch.tensor([ends(row)[0], row.median, ends(row)[1]], dtype=torch.float64) / 100
    by_image = (accuracies * (1 - accuracies) / row.test_images).sqrt().mean().item()
    mean, error = _mean_and_error(accuracies, by_image, row.test_images)
    return Lead(100 * mean - mark, 100 * error, row.samples)


def ends(row: Row) -> tuple[float, float]:
    """Where the row's measurements end: p20 and p80; of three min and max; of four bounds on these."""
    outside = OUTSIDE.get(row.samples, 0)
    return row.p20 - outside * (row.median - row.p20), row.p80 + outside * (row.p80 - row.median)


def at_most(limit: float, *rows: Row) -> bool | None:
    """Whether each row's measurements are at most ``limit``; None if that lies within the spread of one."""
    return all_of(_told(high <= limit, low > limit, row) for row in rows for low, high in [ends(row)])


def at_least(limit: float, *rows: Row) -> bool | None:
    """Whether each row's measurements are at least ``limit``; None if that lies within the spread of one."""
    return all_of(_told(low >= limit, high < limit, row) for row in rows for low, high in [ends(row)])


def faster(ours: Row, theirs: Row, times: float = 1.0) -> bool | None:
    """Whether ours is at least ``times`` times as fast; None if the spreads do not say.

    Both rows are times. Of speeds, give theirs first.
    """
    (low, high), (their_low, their_high) = ends(ours), ends(theirs)
    return _told(times * high <= their_low, times * low > their_high, ours, theirs)


def _told(holds: bool, fails: bool, *rows: Row) -> bool | None:
    """The verdict, where the rows have enough samples and either is so; else None."""
    enough = all(row.samples >= ENOUGH for row in rows)
    return holds if enough and (holds or fails) else None


def all_of(verdicts: Iterable[bool | None]) -> bool | None:
    """The verdict on a claim that several comparisons must bear out; None without any."""
    verdicts = set(verdicts)
    return False if False in verdicts else True if verdicts == {True} else None
