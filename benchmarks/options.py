"""What the command lines share: the types of their options, and choices that depend on the machine."""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from fastlif.backends import BACKENDS, choose_backend

DEVICES = ("auto", "cpu", "cuda")
DATA_ROOT = "folder of the data sets, as torchvision lays them out (FASTLIF_DATA_ROOT, or else ~/.cache/fastlif)"


class UsageError(RuntimeError):
    """What the user can mend, such as options that cannot be used on this machine: a command ends with its message."""


LARGEST = 2**31 - 1  # whole number that an option takes
LARGEST_FACTOR = 1000


def whole(minimum: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number of at least ``minimum`` and at most ``LARGEST``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}, got {text!r}")
        if int(text) > LARGEST:
            raise argparse.ArgumentTypeError(f"must be at most {LARGEST}, got {text!r}")
        return int(text)

    return parse


def positive(text: str) -> float:
    """The type of an option that takes a number greater than 0, and at most ``LARGEST_FACTOR``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LARGEST_FACTOR:
        raise argparse.ArgumentTypeError(f"must be a number greater than 0, and at most {LARGEST_FACTOR}, got {text!r}")
    return value


def file_or_folder(text: str) -> Path:
    """The type of an option that takes a path."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty: give a path")
    return Path(text)


def add_shared(parser: argparse.ArgumentParser, folder: Path) -> None:
    """The options of whatever trains; ``folder``: where the results go, if nothing else is said."""
    option = parser.add_argument
    option("--data-root", type=file_or_folder, help=DATA_ROOT)
    option("--download", action="store_true", help="download data sets that are not found")
    option("--device", choices=DEVICES, default="auto")
    option("--backend", choices=BACKENDS, default="auto", help="where the neurons are computed")
    option("--batch-size", type=whole(2), help="images in a batch")
    option("--limit", type=whole(2), help="use only the first LIMIT images to train and to test")
    option("--width", type=positive, help="factor on the network's channels and hidden units")
    option("--seed", type=whole(0), default=0)
    option("--out", type=file_or_folder, default=folder, help="folder for the results")


def device(name: str) -> torch.device:
    """The device of that name, one of ``DEVICES``.

    Raises:
        UsageError: there is no such device here.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda cannot be used: PyTorch finds no GPU here; use --device cpu")
    return torch.device("cpu" if name == "cpu" or not available else "cuda")


def backend(name: str, device: torch.device) -> str:
    """The backend that the neurons will use, by its name; "auto" settles for a slower one and says so.

    Raises:
        UsageError: the backend was asked for by name and cannot run here.
    """
    try:
        return choose_backend(name, torch.empty(0, device=device))
    except RuntimeError as error:
        if name != "auto":
            raise UsageError(str(error)) from None
        print(f"{error}\ngoing on with the slower backend reference", file=sys.stderr)
        return "reference"


def no_dtype(dtype: str) -> None:
    """For what measures several types by itself.

    Raises:
        UsageError: a type was asked for.
    """
    if dtype != "float32":
        raise UsageError(f"--dtype {dtype} cannot be had here: this measures several types: leave it out")


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to.

    Raises:
        UsageError: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be made a folder ({error.strerror}): give another") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--out {folder} cannot be written to: give another")


@contextlib.contextmanager
def memory_permitting() -> Iterator[None]:
    """Makes PyTorch's errors on too small a memory a UsageError."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):  # on a CPU
            raise
        reason = str(error).split(". ")[0]
        raise UsageError(f"the memory is too small ({reason}): give a smaller --batch-size or --width") from error
