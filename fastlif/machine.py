"""What fastlif runs on, in words for a person."""

import functools
import importlib.metadata
import platform
from pathlib import Path
from typing import Any


@functools.cache
def cpu_name() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else f"{platform.machine()} CPU"


def installed_version(package: str) -> str | None:
    """The version of an installed package, without importing it; None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def imported(name: str, need: str, extra: str) -> Any:
    """The module of this name, or an error that begins with ``need`` and names the extra of ours that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{need}, which cannot be imported ({error}): pip install 'fastlif[{extra}]'") from None
