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
import math
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch

from benchmarks.options import UsageError
from benchmarks.speed.cases import ALL_CASES, DEFAULT_CASES, DTYPES, Case, launch
from benchmarks.speed.table import add_table_arguments, make_table

DESCRIPTION = "registers, spills, access widths and instructions of every kernel, compiled without a GPU"
PER_ELEMENT = (
    "Instructions per element (and per time step): where time is unrolled, all instructions of the kernel over the "
    "elements of a thread and over the steps. Where time is a loop, those of the loop's body over the elements and "
    "steps of one iteration; what stands before and after it is left out. The backward of a long sequence has two "
    "loops: their figures are added. Subroutines for rare operands do not count."
)

TYPES = {dtype: name for name, dtype in DTYPES.items()} | {torch.int64: "i64", torch.uint8: "u8"}  # in Triton's words
TARGETS = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}


# --- Compiling what a launcher launches ---------------------------------------------------------------------------


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
    return "*" + TYPES[value.dtype]


# --- Reading the machine code -------------------------------------------------------------------------------------


def measure(case: Case, dtype: str = "fp16", target: str = "sm_90") -> dict[str, str]:
    """Compiles a case and reads its machine code: a row of the table. Its columns stand at the top of the file."""
    compiled, arguments = compile_case(case, dtype, target)
    read = _read_amd if target.startswith("gfx") else _read_nvidia
    return {"kernel": case.launcher, "configuration": str(case), **read(compiled, arguments, DTYPES[dtype].itemsize)}


def local_memory(size: int, accesses: int) -> str:
    """Bytes of local memory and instructions that access it; "0" where the kernel does not spill."""
    return f"{size} B, {accesses}" if size or accesses else "0"


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
    per_element = _per_element(instructions, loops, arguments, elements, itemsize)
    return {
        "registers": str(registers),
        "local memory": local_memory(stack + local, opcodes["LDL"] + opcodes["STL"]),
        "shared memory": str(compiled.metadata.shared),
        "loads": " ".join(f"{count}x{bits}" for bits, count in _widths(instructions, "LDG").items()),
        "stores": " ".join(f"{count}x{bits}" for bits, count in _widths(instructions, "STG").items()),
        "instructions per element": f"{per_element:.1f}" if per_element else "",
        "warps": str(warps),
        "KB in flight": f"{warps * 32 * _most_bytes_asked_for(instructions, width) / 1024:.0f}",
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
    spilled = entry("vgpr_spill_count") + entry("sgpr_spill_count")
    return {
        "registers": str(entry("vgpr_count")),
        "local memory": local_memory(entry("private_segment_fixed_size"), spilled),
        "shared memory": str(compiled.metadata.shared),
        "instructions": str(len(re.findall(r"^\t(?:[sv]|global|buffer|flat|ds|scratch)_\w+", body, re.MULTILINE))),
    }


# --- The command --------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks static``."""
    add_table_arguments(parser, TARGETS)
    parser.add_argument("--all", action="store_true", help="every configuration; takes ten minutes or more")


def run(arguments: argparse.Namespace) -> int:
    """Prints and writes the table; returns 1 if anything spills."""
    return make_table(ALL_CASES if arguments.all else DEFAULT_CASES, _measured, arguments)


def _measured(cases: Iterable[Case], arguments: argparse.Namespace):
    rows = [measure(case, arguments.dtype, arguments.target) for case in cases]
    spilling = sum(row["local memory"] != "0" for row in rows)
    about = PER_ELEMENT if "loads" in rows[0] else ""
    return rows, about, f"{spilling} of {len(rows)} kernels spill to local memory.", spilling
