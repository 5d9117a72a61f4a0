"""Where the arithmetic runs. A backend that was asked for by name and cannot run is an error that says why."""

from __future__ import annotations

import functools
import importlib
import os
import shutil

import torch

from fastlif.options import constant_when_compiling
from fastlif.validation import check_choice

BACKENDS = ("auto", "triton", "compiled", "reference")
_AUTO = {"cuda": "triton", "cpu": "compiled"}


def choose_backend(backend: str, x: torch.Tensor) -> str:
    """The backend for input x: "triton", "compiled" or "reference".

    "auto" is "triton" on a GPU, "compiled" on a CPU, and "reference" for float64, which only the reference computes,
    and on any other device.

    Raises:
        ValueError: for an unknown name.
        TypeError: for float64 on a backend other than the reference.
        RuntimeError: if the backend cannot run here; the message says why and what can.
    """
    if backend not in BACKENDS:
        check_choice("backend", backend, BACKENDS)
    dtype, device = x.dtype, "cpu" if x.is_cpu else x.device.type  # a device's type takes 0.2 us
    if backend == "auto":
        if dtype == torch.float64:
            return "reference"
        backend = _AUTO.get(device, "reference")
    if backend == "reference":
        return backend
    if dtype == torch.float64:
        raise TypeError(f'backend="{backend}" computes in float32: for a float64 input use backend="reference"')
    reason = why_not(backend, device)
    if reason:
        raise RuntimeError(f'backend="{backend}" cannot run here: {reason}')
    return backend


def capturing(tensor: torch.Tensor) -> bool:
    """Whether what is done with ``tensor`` goes into a CUDA graph."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


@functools.cache
def kernels():
    """The package of Triton kernels, imported when first needed: fastlif works without triton."""
    return importlib.import_module("fastlif.kernels")


@constant_when_compiling
def why_not(backend: str, device: str) -> str | None:
    """Why "triton" or "compiled" cannot run on a device of that type, and what can; None if it can."""
    return _why_not_triton(device) if backend == "triton" else _why_not_compiled(device)


def _why_not_triton(device: str) -> str | None:
    if reason := _why_no_import("compiled" if device == "cpu" else "reference"):
        return reason
    if device == "cuda" or device == "cpu" and _interpreting():
        kernels()  # imported now: torch.compile asks for their text before it runs one
        return None
    if device == "cpu":
        return (
            "the input is on the CPU, where Triton runs only in its interpreter (set TRITON_INTERPRET=1 before Python "
            'starts, for tests); use backend="compiled" or "auto", or move the input to a GPU'
        )
    return f'Triton does not run on {device} devices; use backend="reference"'


@functools.cache
def _why_no_import(other: str) -> str | None:
    try:
        import triton  # noqa: F401
    except ImportError as error:
        return f'triton cannot be imported ({error}); install it with `pip install triton`, or use backend="{other}"'
    return None


def _interpreting() -> bool:
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


@functools.cache
def _why_not_compiled(device: str) -> str | None:
    if device not in ("cpu", "cuda"):
        return f'it is made for CPU and CUDA devices, not {device}; use backend="reference"'
    if device == "cuda" and (reason := _why_no_import("reference")):
        return reason
    if device == "cpu" and not any(shutil.which(compiler) for compiler in cpp_compilers()):
        return (
            f"torch.compile needs a C++ compiler and found none of {', '.join(cpp_compilers())}; install g++, or set "
            'the environment variable CXX to yours, or use backend="reference", which is slower'
        )
    return None


def cpp_compilers() -> list[str]:
    """The names of C++ compilers that torch.compile looks for, the first one first."""
    from torch._inductor import config

    named = config.cpp.cxx if isinstance(config.cpp.cxx, (tuple, list)) else (config.cpp.cxx,)
    return [compiler for compiler in (os.environ.get("CXX"), *named, "g++", "clang++") if compiler]
