"""What the kernels compile to, for a GPU that need not be there: ``python -m benchmarks static``.

Every kernel is compiled ahead of time just as its launcher would launch it: the launcher itself is called, on tensors
without memory, and what it would have launched is compiled instead. Then the machine code is read. A row of the table
is one kernel in one configuration. For NVIDIA its columns are:

- registers: of a thread.
- local memory: bytes of a thread, and the instructions that access it. 0 unless the kernel spills.
- shared memory: bytes of a block.
- loads, stores: of global memory, count x bits, widest first; each as often as it stands in the code.
- instructions per element: see ``PER_ELEMENT``.
- warps: that fit on a multiprocessor at once, by their registers and the number of blocks.
- KB in flight: on a multiprocessor: its warps times the most bytes that their threads ask for before an instruction
  needs any of them. Loads narrower than the kernel's data (scalars that a whole program shares) do not count.

For AMD: vector registers, bytes of scratch memory and spilled registers, and the instructions of the whole kernel.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch

from benchmarks.files import write_whole
from benchmarks.options import UsageError, file_or_folder, make_folder
from fastlif.operators.scan import Parameters
from fastlif.options import options
from fastlif.types import NOISE_KINDS, SURROGATE_WIDTHS

DESCRIPTION = "registers, spills, access widths and instructions of every kernel, compiled without a GPU"
PER_ELEMENT = (
    "Instructions per element (and per time step): where time is unrolled, all instructions of the kernel over the "
    "elements of a thread and over the steps. Where time is a loop, those of the loop's body over the elements and "
    "steps of one iteration; what stands before and after it is left out. The backward of a long sequence has two "
    "loops: their figures are added. Subroutines for rare operands do not count."
)

TARGETS = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
SIZES = {"usual": 1 << 21, "odd": (1 << 21) + 1, "huge": 1 << 32, "one": 1}  # elements of a step


@dataclass(frozen=True)
class Case:
    """A launcher of fastlif.kernels in one configuration. What a launcher has no use for is left at its default."""

    launcher: str
    noise: str = "gaussian"
    statistics: str = "layer"  # or "sample", or "none": plain LIF
    T: int = 1
    reset: str = "hard"  # or "soft", or "delayed"
    # "one", "contiguous", "channels_last": decay and threshold are tensors, of one value or as for batch_norm
    learned: str = "none"
    detach_reset: bool = False
    surrogate: str = "atan"
    at: str = "membrane"  # or "mean": where the surrogate is taken
    over_time: str = "independent"  # or "antithetic"
    state: bool = False  # with an initial and a final membrane, and their gradients
    batch_norm: str = "none"  # or "contiguous", "channels_last": the layout of images of 32 x 32 in 64 channels
    # "odd": 16 does not divide it, so accesses are narrow; "huge": 64-bit addresses; "one": one element in one channel,
    # whose sizes of 1 Triton takes for constants
    size: str = "usual"

    def __str__(self):
        noise = "no noise" if self.noise == "none" else self.noise
        if self.launcher.startswith("noisy_spike"):
            words = [noise]
        elif self.statistics == "none":
            words = ["plain LIF", f"T = {self.T}", self.reset]
        else:
            words = [noise, f"per {self.statistics}", f"T = {self.T}", self.reset]
        words += [f"batch norm, {self.batch_norm}"] * (self.batch_norm != "none")
        words += [f"learned decay and threshold, {self.learned}"] * (self.learned != "none")
        words += ["detached"] * self.detach_reset + ["state"] * self.state
        words += [self.over_time] * (self.over_time != "independent")
        words += [self.surrogate + " at the mean" * (self.at == "mean")] * self.launcher.endswith("backward")
        words += {"usual": [], "odd": ["odd size"], "huge": ["over 2^31 elements"], "one": ["one element"]}[self.size]
        return ", ".join(words)


def _vary(case: Case, **choices: Iterable) -> list[Case]:
    """``case`` with every combination of the given values."""
    return [replace(case, **dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())]


_SPIKE_FORWARD, _SPIKE_BACKWARD = Case("noisy_spike_forward"), Case("noisy_spike_backward")
_LIF_FORWARD = Case("lif_forward", noise="none", statistics="none", T=10)
_LIF_BACKWARD = replace(_LIF_FORWARD, launcher="lif_backward")
_GIVEN_FORWARD, _GIVEN_BACKWARD = Case("lif_forward", T=10), Case("lif_backward", T=10)
_STEPS = Case("noisy_lif_forward", T=10)
LONG = 32  # beyond what the backward keeps in registers

DEFAULT_CASES = [
    *_vary(_SPIKE_FORWARD, noise=NOISE_KINDS),
    *_vary(_SPIKE_BACKWARD, surrogate=SURROGATE_WIDTHS),
    *_vary(_SPIKE_BACKWARD, noise=("uniform", "none")),
    *_vary(_SPIKE_FORWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_SPIKE_BACKWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_LIF_FORWARD, T=(1, 10)),
    *_vary(_LIF_FORWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_LIF_BACKWARD, batch_norm=("contiguous", "channels_last")),
    *_vary(_LIF_FORWARD, learned=("one", "contiguous", "channels_last")),
    *_vary(_LIF_BACKWARD, learned=("one", "contiguous", "channels_last")),
    *_vary(_LIF_FORWARD, reset=("delayed",)),
    *_vary(_LIF_BACKWARD, reset=("delayed",), detach_reset=(False, True)),
    *_vary(_LIF_FORWARD, reset=("soft",), state=(False, True)),
    *_vary(_LIF_BACKWARD, T=(1, 4, 10, 16, LONG)),
    *_vary(_LIF_BACKWARD, detach_reset=(True,), reset=("hard", "soft")),
    *_vary(_LIF_BACKWARD, reset=("soft",), state=(True,), T=(10, LONG)),
    *_vary(_GIVEN_FORWARD, noise=NOISE_KINDS),
    *_vary(_GIVEN_FORWARD, state=(True,)),
    *_vary(_GIVEN_FORWARD, statistics=("sample",)),
    *_vary(_GIVEN_BACKWARD, T=(1, 2, 4, 5, 10, 16, LONG)),
    *_vary(_GIVEN_BACKWARD, noise=("uniform", "none"), T=(10, LONG)),
    *_vary(_GIVEN_BACKWARD, statistics=("sample",), T=(1, 4, 10)),
    *_vary(_GIVEN_BACKWARD, at=("mean",), T=(1, 4, 10, LONG)),
    *_vary(_GIVEN_BACKWARD, at=("mean",), reset=("soft",)),
    *_vary(_GIVEN_FORWARD, over_time=("antithetic",), noise=("gaussian", "uniform")),
    *_vary(_GIVEN_BACKWARD, over_time=("antithetic",), T=(2, 4, 10, LONG)),
    *_vary(_STEPS, over_time=("antithetic",), statistics=("layer", "sample")),
    *_vary(_STEPS, state=(False, True)),
    *_vary(_STEPS, statistics=("sample",)),
    *_vary(_STEPS, noise=("uniform", "none")),
]

_SCANS = [("none", "none"), *itertools.product(NOISE_KINDS, ("layer", "sample"))]
_ANY = {"reset": ("hard", "soft"), "state": (False, True)}


def _all_cases() -> Iterator[Case]:
    norms = ("contiguous", "channels_last")
    yield from _vary(_SPIKE_FORWARD, noise=NOISE_KINDS, batch_norm=norms, size=SIZES)
    yield from _vary(_SPIKE_BACKWARD, noise=NOISE_KINDS, batch_norm=norms, size=("usual", "odd"))
    yield from _vary(_LIF_FORWARD, T=(1, 10), batch_norm=norms, size=SIZES)
    yield from _vary(_LIF_BACKWARD, T=(1, 4, 10, 16, LONG), batch_norm=norms, size=("usual", "odd"))
    learned = {"learned": ("one", *norms), "reset": ("hard", "soft", "delayed")}
    yield from _vary(_LIF_FORWARD, **learned, T=(1, 10), size=SIZES)
    yield from _vary(_LIF_BACKWARD, **learned, T=(1, 4, 10, 16, LONG), size=("usual", "odd"))
    yield from _vary(_SPIKE_FORWARD, noise=NOISE_KINDS, size=SIZES)
    yield from _vary(_SPIKE_BACKWARD, noise=NOISE_KINDS, surrogate=SURROGATE_WIDTHS, size=SIZES)
    for noise, statistics in _SCANS:
        scan = {"noise": (noise,), "statistics": (statistics,)}
        yield from _vary(_LIF_FORWARD, **scan, **_ANY, T=(1, 10), size=SIZES)
        yield from _vary(_LIF_BACKWARD, **scan, T=(*range(1, 17), LONG), size=("usual", "odd"))
        yield from _vary(_LIF_BACKWARD, **scan, **_ANY, T=(1, 10, 16, LONG), detach_reset=(False, True))
        yield from _vary(_LIF_BACKWARD, **scan, T=(1, 10, 16, LONG), surrogate=SURROGATE_WIDTHS)
        yield from _vary(_LIF_BACKWARD, **scan, T=(1, 10, 16, LONG), size=("huge",))
        if noise != "none":
            yield from _vary(_LIF_FORWARD, **scan, **_ANY, T=(10,), over_time=("antithetic",))
            yield from _vary(_LIF_BACKWARD, **scan, **_ANY, T=(*range(2, 17), LONG), over_time=("antithetic",))
            yield from _vary(_LIF_BACKWARD, **scan, **_ANY, T=(*range(1, 17), LONG), at=("mean",))
    yield from _vary(_STEPS, noise=NOISE_KINDS, statistics=("layer", "sample"), **_ANY, size=SIZES)


ALL_CASES = list(dict.fromkeys(_all_cases()))


# --- Compiling what a launcher launches ---------------------------------------------------------------------------


def launch(case: Case, dtype: torch.dtype, make=torch.empty, device: str = "meta") -> None:
    """Calls the case's launcher, by default on tensors without memory."""
    from fastlif import kernels

    def empty(*shape, dtype=torch.float32):
        return make(shape, dtype=dtype, device=device)

    launcher = getattr(kernels, case.launcher)
    size = SIZES[case.size]
    groups = 50 if case.statistics == "sample" else 1
    norm, shape = None, (groups, size // groups // 16 * 16 + size % 2)
    channels, pixels = {"one": (1, 1), "odd": (43, 5419)}.get(case.size, (64, 32 * 32))  # an odd size's divisors
    if case.batch_norm != "none":
        norm = [empty(channels)] * 4
    if case.batch_norm != "none" or case.learned != "none":
        shape = size // channels // pixels, channels, pixels
    parameters = None
    if case.learned != "none":
        count, stride = {"one": (1, 1), "contiguous": (channels, pixels), "channels_last": (channels, 1)}[case.learned]
        parameters = Parameters(None, empty(count), empty(count), count, stride)

    def layer(*steps):  # [N, C, *], or [N, *]
        if "channels_last" in (case.batch_norm, case.learned):
            return empty(*steps, shape[0], shape[2], shape[1], dtype=dtype).transpose(-1, -2)
        return empty(*steps, *shape, dtype=dtype)

    scan = not case.launcher.startswith("noisy_spike")
    x, spikes, grad_x = (layer(*(case.T,) * scan) for _ in range(3))
    seed = None if case.noise == "none" else empty(1, dtype=torch.int64)
    chosen = options(
        threshold=1.0, noise=case.noise, noise_scalars=() if case.noise == "none" else (0.5,) * 9, decay=0.5,
        inv_alpha=0.25, beta=0.5, reset=0.0 if case.reset == "hard" else None,
        reset_delay=case.reset == "delayed", detach_reset=case.detach_reset,
        surrogate=case.surrogate, surrogate_width=SURROGATE_WIDTHS[case.surrogate], surrogate_at=case.at,
        over_time=case.over_time,
    )  # fmt: skip
    state, other_state = (empty(*shape) if case.state else None for _ in range(2))
    mean, deviation = (None if case.statistics == "none" else empty(case.T, groups) for _ in range(2))
    if case.launcher == "noisy_spike_forward":
        launcher(x, spikes, seed, norm, chosen)
    elif case.launcher == "noisy_spike_backward":
        launcher(spikes, x, grad_x, seed, norm, chosen)
    elif case.launcher == "noisy_lif_forward":
        launcher(x, spikes, state, empty(*shape), mean, deviation, seed, chosen)
    elif case.launcher == "lif_forward":
        launcher(x, spikes, state, other_state, mean, deviation, seed, norm, parameters, chosen)
    else:
        wanted = (False,) + (parameters is not None,) * 2
        launcher(
            spikes, other_state, x, state, grad_x, state, mean, deviation, seed, norm, parameters, wanted, chosen
        )  # fmt: skip


def _capture(case: Case, dtype: torch.dtype):
    """The kernel that the case's launcher launches, and the arguments by name, launch options included."""
    from triton.runtime.jit import JITFunction

    launches = []

    def record(kernel, *, grid, warmup, **arguments):
        launches.append((kernel, arguments))

    with mock.patch.object(JITFunction, "run", record):
        launch(case, dtype)
    return launches[-1]


def compile_case(case: Case, dtype: str, target: str):
    """(compiled kernel, its arguments by name) of a case for a target, typed and specialised as at a launch."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel, arguments = _capture(case, DTYPES[dtype])
    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        special = not parameter.do_not_specialize
        one = special and isinstance(value, int) and value == 1
        if parameter.is_constexpr or value is None or value == () or one:
            signature[parameter.name] = "constexpr"
            constants[(index,)] = value
        else:
            signature[parameter.name] = _type(value)
            if special and (isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0)):
                attributes[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {name: value for name, value in arguments.items() if name not in signature}
    return triton.compile(source, target=GPUTarget(*TARGETS[target]), options=options), arguments


def _type(value):
    """Triton's name for the type of a launch argument."""
    if isinstance(value, tuple):
        return tuple(_type(item) for item in value)
    if isinstance(value, float):
        return "fp32"
    if isinstance(value, int):
        return "i32" if -(2**31) <= value < 2**31 else "i64"
    return "*" + ("i64" if value.dtype == torch.int64 else next(k for k, v in DTYPES.items() if v == value.dtype))


# --- Reading the machine code -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """A row of the table; what a target does not tell is None. The columns' meanings stand at the top of the file."""

    kernel: str
    configuration: str
    registers: int
    local_bytes: int
    local_accesses: int
    shared_bytes: int
    loads: dict[int, int] | None  # width in bits -> count
    stores: dict[int, int] | None
    instructions: int
    instructions_per_element: float | None
    resident_warps: int | None
    bytes_in_flight: int | None

    @property
    def spills(self) -> bool:
        """Whether the kernel keeps anything in local memory."""
        return self.local_bytes > 0 or self.local_accesses > 0


def measure(case: Case, dtype: str = "fp16", target: str = "sm_90") -> Result:
    """Compiles a case and reads its machine code."""
    compiled, arguments = compile_case(case, dtype, target)
    read = _read_amd if target.startswith("gfx") else _read_nvidia
    return Result(kernel=case.launcher, configuration=str(case), **read(compiled, arguments, DTYPES[dtype].itemsize))


@dataclass(frozen=True)
class Instruction:
    """One line of SASS, without its predicate."""

    opcode: str
    operands: str

    @property
    def bytes(self) -> int:
        """How much memory it accesses."""
        if re.search(r"\.[US]8\b", self.opcode):
            return 1
        if re.search(r"\.[US]16\b", self.opcode):
            return 2
        return int((re.search(r"\.(64|128|256)\b", self.opcode) or [0, 32])[1]) // 8


def _read_nvidia(compiled, arguments, itemsize):
    code, usage = _disassemble(compiled.asm["cubin"])
    instructions, loops = _parse(code)
    registers, stack, local = (int(re.search(rf"\b{key}:(\d+)", usage)[1]) for key in ("REG", "STACK", "LOCAL"))
    opcodes = Counter(instruction.opcode.split(".")[0] for instruction in instructions)
    threads = 32 * arguments["num_warps"]
    elements = math.prod(arguments.get(name, 1) for name in ("ROWS", "COLS", "BLOCK")) // threads
    warps = _resident_warps(registers, arguments["num_warps"])
    width = min(16, itemsize * arguments.get("VECTOR", elements))
    return {
        "registers": registers,
        "local_bytes": stack + local,
        "local_accesses": opcodes["LDL"] + opcodes["STL"],
        "shared_bytes": compiled.metadata.shared,
        "loads": _widths(instructions, "LDG"),
        "stores": _widths(instructions, "STG"),
        "instructions": len(instructions),
        "instructions_per_element": _per_element(instructions, loops, arguments, elements, itemsize),
        "resident_warps": warps,
        "bytes_in_flight": warps * 32 * _most_bytes_asked_for(instructions, width),
    }


def _disassemble(cubin: bytes) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        return _tool("nvdisasm", "-c", path), _tool("cuobjdump", "-res-usage", path)


def _tool(name: str, *arguments) -> str:
    """What one of the CUDA tools that Triton's wheel carries prints."""
    import triton

    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    program = shutil.which(name, path=str(folder)) or shutil.which(name)
    if program is None:
        raise UsageError(f"{name} is neither in {folder}, where Triton's wheel has it, nor on the PATH")
    return subprocess.run([program, *arguments], check=True, text=True, capture_output=True).stdout


_SASS = re.compile(
    r"^\s*(?:(?P<label>\.L_x_\d+):|/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(?P<opcode>[A-Z][\w.]*)(?P<operands>[^;]*);)",
    re.MULTILINE,
)


def _parse(code: str) -> tuple[list[Instruction], list[range]]:
    """The kernel's instructions, and its loops as ranges of them, an inner one before the one around it."""
    instructions, labels = [], {}
    for match in _SASS.finditer(code):
        if match["label"]:
            labels[match["label"]] = len(instructions)
        else:
            instructions.append(Instruction(match["opcode"], match["operands"]))
    # Subroutines and padding follow the last EXIT.
    del instructions[max(i for i, instruction in enumerate(instructions) if instruction.opcode == "EXIT") + 1 :]
    loops = []
    for i, instruction in enumerate(instructions):
        target = re.search(r"\.L_x_\d+", instruction.operands) if instruction.opcode == "BRA" else None
        if target and labels[target[0]] <= i:
            loops.append(range(labels[target[0]], i + 1))
    return instructions, loops


def _widths(instructions, opcode) -> dict[int, int]:
    widths = Counter(8 * i.bytes for i in instructions if i.opcode.split(".")[0] == opcode)
    return dict(sorted(widths.items(), reverse=True))


def _accessed(instructions, opcode, at_least=0) -> int:
    return sum(width // 8 * count for width, count in _widths(instructions, opcode).items() if width >= 8 * at_least)


def _per_element(instructions, loops, arguments, elements, itemsize) -> float | None:
    chunk = arguments.get("CHUNK", 1)
    if not loops:
        return len(instructions) / (elements * chunk)
    if "CHUNK" not in arguments:  # a forward: its innermost loop that stores; the steps' kernel also stores v
        stored = itemsize + 4 if "state_ptr" in arguments else itemsize
        bodies = [instructions[loop.start : loop.stop] for loop in loops]
        body = max(bodies, key=lambda body: (_accessed(body, "STG"), -len(body)))
        return len(body) / (_accessed(body, "STG") / stored)
    # The backward's two loops both walk over a chunk at a time; the first may contain a loop over single steps.
    total = 0
    for loop in loops:
        if any(loop.start > other.start and loop.stop < other.stop for other in loops):
            body = instructions[loop.start : loop.stop]
            steps = _accessed(body, "LDG", min(16, itemsize * arguments["VECTOR"])) / (elements * itemsize)
            if not steps:  # an odd size: the loads of x cannot be told from those of scalars
                return None
            total += len(body) * (chunk / steps - 1)
        else:
            total += len(loop)
    return total / (elements * chunk)


def _resident_warps(registers: int, num_warps: int) -> int:
    """Of a multiprocessor: 4 x 16,384 registers handed out 256 at a time, 64 warps, 32 blocks (since sm_80)."""
    warps = 4 * (16384 // (-(-registers // 8) * 8 * 32))
    return min(32, min(64, warps) // num_warps) * num_warps


def _most_bytes_asked_for(instructions, width) -> int:
    """By a thread, in loads at least ``width`` bytes wide, before an instruction needs one of them."""
    asked, most = [], 0  # of each load: its registers, its bytes
    for instruction in instructions:
        used = {int(register) for register in re.findall(r"\bR(\d+)\b", instruction.operands)}
        for i in reversed(range(len(asked))):
            if asked[i][0] & used:  # loads arrive in order: this one is there, and so are those before it
                del asked[: i + 1]
                break
        if instruction.opcode.startswith("LDG") and instruction.bytes >= width:
            first = int(re.search(r"\bR(\d+)\b", instruction.operands)[1])
            asked.append((set(range(first, first + max(1, instruction.bytes // 4))), instruction.bytes))
            most = max(most, sum(size for _, size in asked))
    return most


def _read_amd(compiled, arguments, itemsize):
    code = compiled.asm["amdgcn"]

    def entry(name):
        found = re.search(rf"^\s*\.{name}:\s*(\d+)", code, re.MULTILINE)
        return int(found[1]) if found else 0

    body = code.split(".section\t.rodata")[0]
    return {
        "registers": entry("vgpr_count"),
        "local_bytes": entry("private_segment_fixed_size"),
        "local_accesses": entry("vgpr_spill_count") + entry("sgpr_spill_count"),
        "shared_bytes": compiled.metadata.shared,
        "loads": None,
        "stores": None,
        "instructions": len(re.findall(r"^\t(?:[sv]|global|buffer|flat|ds|scratch)_\w+", body, re.MULTILINE)),
        "instructions_per_element": None,
        "resident_warps": None,
        "bytes_in_flight": None,
    }


# --- The table ----------------------------------------------------------------------------------------------------


def table(results: list[Result]) -> list[dict[str, str]]:
    """The results as rows of text; columns that the target does not fill are left out."""

    def widths(counts):
        return " ".join(f"{count}x{width}" for width, count in counts.items())

    rows = []
    for r in results:
        row = {
            "kernel": r.kernel,
            "configuration": r.configuration,
            "registers": str(r.registers),
            "local memory": f"{r.local_bytes} B, {r.local_accesses}" if r.spills else "0",
            "shared memory": str(r.shared_bytes),
        }
        if r.loads is None:
            row["instructions"] = str(r.instructions)
        else:
            row |= {
                "loads": widths(r.loads),
                "stores": widths(r.stores),
                "instructions per element": f"{r.instructions_per_element:.1f}" if r.instructions_per_element else "",
                "warps": str(r.resident_warps),
                "KB in flight": f"{r.bytes_in_flight / 1024:.0f}",
            }
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, str]], caption: str) -> str:
    """The rows as a Markdown table under its caption."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return f"{caption}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks static``."""
    add_table_arguments(parser, TARGETS)
    parser.add_argument("--all", action="store_true", help="every configuration; takes ten minutes or more")


def add_table_arguments(parser: argparse.ArgumentParser, targets: Iterable[str]) -> None:
    """The options of :func:`make_table`."""
    parser.add_argument("--target", choices=targets, default="sm_90", help="compile for it (default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp16", help="of input and output (default: %(default)s)")
    parser.add_argument("--kernel", default="", metavar="NAME", help="only kernels with NAME in their name")
    parser.add_argument(
        "--out",
        type=file_or_folder,
        metavar="FILE",
        help="write the table as Markdown; FILE.csv: as CSV too, beside FILE.md",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints and writes the table; returns 1 if anything spills. What the user can mend is a message and status 2."""
    return make_table("static", ALL_CASES if arguments.all else DEFAULT_CASES, _measured, arguments)


def _measured(cases: Iterable[Case], arguments: argparse.Namespace):
    results = [measure(case, arguments.dtype, arguments.target) for case in cases]
    spilling = sum(result.spills for result in results)
    about = "" if results[0].loads is None else PER_ELEMENT
    return table(results), about, f"{spilling} of {len(results)} kernels spill to local memory.", spilling


def make_table(name: str, cases: list[Case], measured, arguments: argparse.Namespace) -> int:
    """The command ``name``. ``measured(cases, arguments)`` gives the table's rows, what its columns mean, what is
    printed below it, and the number of rows that are wrong: then 1 is returned."""
    try:
        return _make_table(cases, measured, arguments)
    except (UsageError, OSError) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2


def _make_table(cases, measured, arguments) -> int:
    known = ", ".join(sorted({case.launcher for case in cases}))
    cases = [case for case in cases if arguments.kernel in case.launcher]
    if not cases:
        raise UsageError(f"no kernel has {arguments.kernel!r} in its name: there are {known}")
    if arguments.out:
        make_folder(arguments.out.parent)
        if arguments.out.is_dir():
            raise UsageError(f"--out {arguments.out} is a folder: give the name of a file in it")
    if "TRITON_INTERPRET" in os.environ:  # with it kernels become Python functions, which cannot be compiled
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        return subprocess.call([sys.executable, *sys.orig_argv[1:]], env=environment)
    try:
        import triton
    except ImportError as error:
        raise UsageError(f"triton cannot be imported ({error}): pip install triton") from None

    rows, about, verdict, wrong = measured(_with_progress(cases), arguments)
    caption = f"Compiled for {arguments.target}, {arguments.dtype} in and out, by Triton {triton.__version__}. {about}"
    text = markdown(rows, caption.strip())
    print(text)
    if arguments.out:
        write_whole(arguments.out.with_suffix(".md") if arguments.out.suffix == ".csv" else arguments.out, text)
        if arguments.out.suffix == ".csv":
            file = io.StringIO()
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
            write_whole(arguments.out, file.getvalue())
    print(verdict)
    return 1 if wrong else 0


def _with_progress(cases: list[Case]) -> Iterator[Case]:
    """The cases, each shown on the terminal while it is measured."""
    for done, case in enumerate(cases):
        if sys.stderr.isatty():
            print(f"\r\033[K{done}/{len(cases)} {case.launcher}: {case}", end="", file=sys.stderr, flush=True)
        yield case
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
