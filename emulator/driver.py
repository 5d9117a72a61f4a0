"""A Triton driver whose device is the emulator: ``install()``, then launch kernels as ever, on CPU tensors.

Triton specialises and compiles as it would for a GPU, up to PTX; the assembler is left out.
"""

import contextlib
import functools
import types
from unittest import mock

import torch
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget

from emulator.arithmetic import Unsupported
from emulator.machine import Machine, Report, Statistics
from emulator.memory import POISON
from emulator.translate import translate

reports: list[Report] = []  # of all launches so far
statistics: list[Statistics] = []  # one for each launch so far
_choose = None


@contextlib.contextmanager
def only(choose):
    """Within it a launch runs only the CTAs whose numbers ``choose(grid)`` gives."""
    global _choose
    _choose, before = choose, _choose
    try:
        yield
    finally:
        _choose = before


def install(arch: int = 90) -> None:
    """From here on Triton compiles for sm_``arch`` and launches on the emulator.

    Raises:
        RuntimeError: Triton's interpreter is on.
    """
    if knobs.runtime.interpret:
        raise RuntimeError("TRITON_INTERPRET is set, and the emulator needs compiled kernels: unset it")
    knobs.runtime.add_stages_inspection_hook = _stop_at_ptx
    triton.compiler.CompiledKernel.__del__ = lambda kernel: None  # it would ask for a driver when there is none left
    triton.runtime.driver.set_active(Driver(arch))


@contextlib.contextmanager
def launching_nothing(arch: int = 90):
    """Within it Triton compiles for sm_``arch``, and its launches do nothing: what is left of them is the host's time.

    Raises:
        RuntimeError: as :func:`install`.
    """
    active, hook = vars(triton.runtime.driver).copy(), knobs.runtime.add_stages_inspection_hook
    try:
        install(arch)
        with mock.patch.object(Launcher, "__call__", lambda *_: None):
            yield
    finally:
        vars(triton.runtime.driver).update(active)
        knobs.runtime.add_stages_inspection_hook = hook


@contextlib.contextmanager
def on_cpu_tensors():
    """Within it fastlif takes CPU tensors for its backend "triton"."""
    from fastlif import backends

    with mock.patch.object(backends, "_interpreting", lambda: True):
        yield


def _stop_at_ptx(backend=None, stages=None, options=None, language=None, capability=None):
    """Triton's hook to change its stages: the PTX takes the place of the machine code. Without stages it is asked for
    its part of the cache's key."""
    if stages is None:
        return "emulated PTX", "emulated PTX"
    stages["cubin"] = lambda ptx, metadata: ptx.encode()


# --- What triton.runtime asks of a driver -------------------------------------------------------------------------


class Launcher:
    def __init__(self, src, metadata):
        self.signature = src.signature.items()
        self.shared_bytes = metadata.shared
        if metadata.global_scratch_size or metadata.profile_scratch_size or metadata.num_ctas != 1:
            raise Unsupported("scratch memory, or clusters")

    def __call__(self, x, y, z, stream, kernel, packed, launch_metadata, enter, leave, *bound):
        arguments = [
            pair for (name, kind), value in zip(self.signature, bound, strict=True) for pair in _flat(name, kind, value)
        ]
        tensors = [(name, value) for name, value in arguments if isinstance(value, torch.Tensor)]
        values = [value.data_ptr() if isinstance(value, torch.Tensor) else value for _, value in arguments]
        values += [0, 0]  # two kinds of scratch memory
        if len(values) != len(kernel.parameters):
            raise Unsupported(f"{len(values)} arguments for {len(kernel.parameters)} parameters")
        for value, kind in zip(values, kernel.parameters):
            if kind[0] in "us" and not -(2 ** (int(kind[1:]) - 1)) <= value < 2 ** int(kind[1:]):
                raise OverflowError(f"{value} as {kind}")
        for size, limit in zip((x, y, z), (2**31 - 1, 65535, 65535)):
            if not 0 < size <= limit:
                raise ValueError(f"no GPU has a grid of {(x, y, z)}")
        machine = Machine(kernel, (x, y, z), values, tensors, self.shared_bytes)
        machine.run(_choose and _choose((x, y, z)))
        reports.extend(machine.reports)
        statistics.append(machine.statistics)


def _flat(name, kind, value):
    """(name, value) of every parameter that the kernel has for an argument: several for a tuple."""
    if isinstance(kind, tuple):
        for i, (inner, item) in enumerate(zip(kind, value)):
            yield from _flat(f"{name}[{i}]", inner, item)
    elif kind != "constexpr":
        yield name, value


def _load_binary(name, ptx, shared, device):
    """(module, function, registers, spills, most threads of a block)."""
    return "loaded", translate(ptx.decode()), 0, 0, 1024


class Driver:
    launcher_cls = Launcher
    utils = types.SimpleNamespace(
        load_binary=_load_binary,
        unload_module=lambda module: None,
        get_device_properties=lambda device: {"max_shared_mem": 232448, "multiprocessor_count": 132},
    )

    def __init__(self, arch):
        self.target = GPUTarget("cuda", arch, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def set_current_device(self, device):
        pass

    def get_current_stream(self, device=None):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")


# --- Poison -------------------------------------------------------------------------------------------------------


def poison() -> None:
    """From here on new tensors on the CPU begin as a pattern that initcheck knows."""
    for owner, name in (
        (torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (torch.Tensor, "new_empty"),
    ):  # fmt: skip
        setattr(owner, name, poisoned(getattr(owner, name)))


def poisoned(make):
    """``torch.empty``, or its like, with poison in its memory."""

    @functools.wraps(make)
    def empty(*arguments, **keywords):
        tensor = make(*arguments, **keywords)
        if type(tensor) is torch.Tensor and tensor.device.type == "cpu" and tensor.dtype in POISON and tensor.numel():
            integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
            torch.tensor((), dtype=integers).set_(tensor.untyped_storage()).fill_(POISON[tensor.dtype])
        return tensor

    return empty
