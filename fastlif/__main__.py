"""``python -m fastlif``: what runs here, to paste into a bug report. The exit status is 0 whatever does not run."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import fastlif
from fastlif import backends, functional, machine

OPTIONAL = ("nir", "matplotlib", "torchvision", "numpy")  # what parts of fastlif use
PEERS = ("spikingjelly", "snntorch", "norse")
# Environment variables that change what runs, or how fast: these, and all that begin so.
VARIABLES = ("CC", "CXX", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "LD_PRELOAD", "MKL_NUM_THREADS",
             "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "THP_MEM_ALLOC_ENABLE", "TORCHDYNAMO_DISABLE",
             "TORCH_COMPILE_DISABLE")  # fmt: skip
BEGINNINGS = ("GOMP_", "KMP_", "OMP_", "TORCHINDUCTOR_", "TRITON_")


def main() -> None:
    argparse.ArgumentParser("python -m fastlif", description="What runs here, to paste into a bug report.").parse_args()
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it would warn that there is no GPU
    variables = {name: value for name, value in sorted(os.environ.items())
                 if name in VARIABLES or name.startswith(BEGINNINGS)}  # fmt: skip
    _show("fastlif", fastlif.__version__)
    _show("python", f"{platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}")
    _show("torch", torch.__version__)
    _show("triton", machine.installed_version("triton") or "not installed")
    _show("optional", _versions(OPTIONAL))
    _show("peers", _versions(PEERS))
    for device in _devices():
        _show(f"device {device}", partial(_name_of, device))
    _show("GPU software", _gpu_software)
    for kind in dict.fromkeys(device.type for device in _devices()):
        for backend in backends.BACKENDS[1:]:
            _show(f"{backend} on {kind}", partial(_try, backend, kind))
    _show("C++ compiler", _compiler)
    _show("threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors")
    _show("Inductor cache", _inductor_cache)
    _show("Triton cache", _triton_cache)
    for name, value in variables.items():
        _show(name, value)


def _show(label: str, value: str | Callable[[], str]) -> None:
    """A line of the report. What fails is reported by the first line of its error."""
    try:
        text = value if isinstance(value, str) else value()
    except Exception as error:
        text = f"no: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    print(f"{label + ':':22} {_impersonal(text)}", flush=True)


def _impersonal(text: str) -> str:
    """The text without the names of the home folder and, in the compiler's cache, of the user."""
    try:
        text = text.replace(f"torchinductor_{getpass.getuser()}", "torchinductor_$USER")
        return text.replace(f"{Path.home()}/", "~/")
    except (KeyError, OSError, RuntimeError):  # a user without a name, or without a home
        return text


def _versions(packages: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {machine.installed_version(name) or '(not installed)'}" for name in packages)


def _devices() -> list[torch.device]:
    devices = [torch.device("cpu")]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        devices += [torch.device(accelerator.type, index) for index in range(torch.accelerator.device_count())]
    return devices


def _name_of(device: torch.device) -> str:
    if device.type == "cpu":
        return machine.cpu_name()
    if device.type != "cuda":
        return "(its name is not known)"
    gpu = torch.cuda.get_device_properties(device)
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}"


def _gpu_software() -> str:
    """What PyTorch was built for, and the driver."""
    kinds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    built = [f"{kind} {version}" for kind, version in kinds.items() if version] or ["CPUs alone"]
    driver = ""
    if shutil.which("nvidia-smi"):
        driver = _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return f"PyTorch is built for {built[0]}; {f'driver {driver}' if driver else 'no NVIDIA driver found'}"


def _try(backend: str, device: str) -> str:
    """Runs a few neurons forward and backward."""
    reason = backends.why_not(backend, device) if backend != "reference" else None
    if reason:
        return f"no: {reason}"
    start = time.perf_counter()
    x = torch.rand(4, 2, 8, device=device).requires_grad_()
    functional.noisy_lif(x, backend=backend).sum().backward()
    assert x.grad is not None
    if not (x.grad.isfinite().all() and x.grad.any()):
        return "no: it runs, and its gradient is wrong"
    return f"yes, forward and backward took {time.perf_counter() - start:.1f} s, compiling included"


def _compiler() -> str:
    """The C++ compiler that torch.compile takes on a CPU."""
    found = [name for name in backends.cpp_compilers() if shutil.which(name)]
    return f"{found[0]}: {_first_line(found[0], '--version')}" if found else "none found"


def _first_line(*command: str) -> str:
    printed = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    return (printed.strip().splitlines() or [""])[0]


def _inductor_cache() -> str:
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    return os.environ.get("TORCHINDUCTOR_CACHE_DIR") or default_cache_dir()


def _triton_cache() -> str:
    from triton import knobs

    return knobs.cache.dir


if __name__ == "__main__":
    main()
