"""What the command lines share: the types of their options, and choices that depend on the machine."""

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from fastlif.backends import choose_backend

DEVICES = ("auto", "cpu", "cuda")
DATA_ROOT = "folder of the data sets, as torchvision lays them out (FASTLIF_DATA_ROOT, or else ~/.cache/fastlif)"


class UsageError(RuntimeError):
    """Options that cannot be used on this machine."""


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


def too_little_memory(error: RuntimeError) -> bool:
    """Whether the memory was too small, which PyTorch says in this way on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
