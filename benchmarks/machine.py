"""What a measurement was made on, in words that stand beside its numbers; and the clock."""

import functools
import platform
import subprocess
import time
from pathlib import Path

import torch

import fastlif
from fastlif.machine import cpu_name, installed_version

LIBRARIES = ("torch", "triton", "torchvision", "numpy", "scikit-learn", "spikingjelly", "snntorch", "norse")


def describe(device: torch.device) -> str:
    """The device's name; of a CPU also the threads that PyTorch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


@functools.cache
def versions() -> dict[str, str]:
    """The versions of Python, of fastlif and of the libraries that are installed: read once, as every row has them."""
    found = {"python": platform.python_version(), "fastlif": fastlif.__version__}
    found |= {name: version for name in LIBRARIES if (version := installed_version(name))}
    if torch.cuda.is_available():
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return found


def commit() -> str:
    """The commit of this checkout, marked "+" if a Python file differs from it; else "unknown"."""

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(Path(__file__).parent), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ":/*.py")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def now(device: torch.device) -> float:
    """Seconds on a clock, read once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
