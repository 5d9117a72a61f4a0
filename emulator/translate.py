"""PTX, as Triton writes it, to numpy: every basic block becomes one Python function over all threads at once.

A register is an array of raw unsigned bits (predicates: bool) of one element per thread, or of one element where all
threads agree. An instruction reads its operands in the type that it names and writes raw bits. Whatever is not
understood, opcode, modifier or operand, raises :class:`Unsupported` when the kernel is loaded.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from emulator.arithmetic import HELPERS, NUMPY, WIDTH, Unsupported, compute, convert

SHARED_BASE = 0x400  # where the shared window begins, so that a null pointer is not in it


@dataclass
class Instruction:
    predicate: str | None  # "%p1" or "!%p1"
    opcode: str
    operands: list[str]
    where: str  # the source line it came from
    text: str


@dataclass
class Block:
    instructions: list[Instruction] = field(default_factory=list)
    end: Instruction | None = None  # a branch, a return or a barrier
    run: object = None


@dataclass
class Kernel:
    name: str
    parameters: list[str]  # their types
    threads: int
    blocks: list[Block]
    registers: list[str]  # the dtype of each


def split(operands):
    """At the commas that no bracket encloses."""
    parts, depth = [""], 0
    for character in operands:
        depth += (character in "{[") - (character in "}]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def check_barrier(instruction, threads):
    """A barrier of one warp is taken for one of the whole CTA, where that has no other."""
    expected = (["0"], ["-1"])["warp" in instruction.opcode]
    if instruction.operands != expected or instruction.predicate or ("warp" in instruction.opcode and threads != 32):
        raise Unsupported(f"{instruction.text} in a CTA of {threads} threads")


def parse(ptx):
    name = re.search(r"\.visible \.entry (\w+)\(", ptx)[1]
    head, body = re.search(r"\.visible \.entry \w+\((.*?)\)\n(.*)", ptx, re.S).groups()
    parameters = re.findall(r"\.param \.(\w+)[^\n]*?_param_\d+", head)
    threads = int(re.search(r"\.reqntid (\d+)", body)[1])
    body = body[body.index("{") + 1 : body.index("\n}")]
    blocks, labels, where = [Block()], {}, ""
    for line in body.splitlines():
        if location := re.match(r"\s*\.loc\s.*//\s*(\S+:\d+):\d+", line):
            where = location[1]
        line = line.split("//")[0].strip()
        if label := re.fullmatch(r"(\$\w+):", line):
            if blocks[-1].instructions:
                blocks.append(Block())
            labels[label[1]] = len(blocks) - 1
        elif line and not line.startswith((".loc", ".reg")):
            for text in filter(None, map(str.strip, line.split(";"))):
                if text.startswith(".pragma"):
                    continue  # a hint for ptxas, as which bytes of a load are used: Triton 3.7 gives it
                match = re.fullmatch(r"(?:@(!?%p\d+)\s+)?([a-z][\w.:]*)\s*(.*)", text)
                if not match:
                    raise Unsupported(text)
                instruction = Instruction(match[1], match[2], split(match[3]), where, text)
                if match[2] in ("bra", "bra.uni", "ret", "exit", "bar.sync", "bar.warp.sync"):
                    if match[2].startswith("bar."):
                        check_barrier(instruction, threads)
                    blocks[-1].end = instruction
                    blocks.append(Block())
                else:
                    blocks[-1].instructions.append(instruction)
    for block in blocks:
        if block.end and block.end.opcode.startswith("bra"):
            block.end.operands = [labels[block.end.operands[0]]]
    return name, parameters, threads, blocks


class Translator:
    """Gives every block its function ``run(R, A, X)``: the registers, the active threads (None: all) and the machine,
    which has the memory. ``I[n]`` is the instruction that a memory access comes from, for reports."""

    def __init__(self, ptx):
        self.name, self.parameters, self.threads, self.blocks = parse(ptx)
        self.slots, self.dtypes, self.names, self.sites = {}, [], dict(HELPERS), []
        for number, block in enumerate(self.blocks):
            lines = [line for instruction in block.instructions for line in self.translate(instruction)]
            if block.end and block.end.predicate:
                lines.append(f"return {self.predicate(block.end.predicate)}")
            source = f"def block{number}(R, A, X):\n" + "".join(f"    {line}\n" for line in lines or ["pass"])
            exec(compile(source, f"<{self.name} block {number}>", "exec"), self.names)  # noqa: S102
            block.run = self.names[f"block{number}"]
        self.names["I"] = self.sites

    # Operands

    def slot(self, register):
        if register not in self.slots:
            prefix = re.fullmatch(r"%(p|rs|r|rd)\d+", register)
            if not prefix:
                raise Unsupported(f"register {register}")
            self.slots[register] = len(self.dtypes)
            self.dtypes.append({"p": "?", "rs": "u2", "r": "u4", "rd": "u8"}[prefix[1]])
        return self.slots[register]

    def constant(self, value):
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def read(self, operand, kind):
        """An expression of numpy type ``NUMPY[kind]``."""
        if re.fullmatch(r"(-?\d+|0x[0-9a-fA-F]+)U?", operand):
            operand = operand.rstrip("U")
            if kind == "pred":
                return self.constant(np.array([bool(int(operand, 0))]))
            if kind[0] not in "sub" or kind == "bf16":
                raise Unsupported(f"{operand} as {kind}")
            value = int(operand, 0) & (2 ** WIDTH[kind] - 1)
            return self.constant(np.array([value], f"u{WIDTH[kind] // 8}").view(NUMPY[kind]))
        if re.fullmatch(r"0f[0-9a-fA-F]{8}", operand):
            return self.constant(np.array([int(operand[2:], 16)], "u4").view(NUMPY[kind]))
        if special := re.fullmatch(r"%(tid|ntid|ctaid|nctaid)\.([xyz])", operand):
            return f"X.{special[1]}_{special[2]}"
        if operand == "global_smem":
            return self.constant(np.array([SHARED_BASE], "u4" if WIDTH[kind] == 32 else "u8"))
        slot = self.slot(operand)
        expression, dtype = f"R[{slot}]", self.dtypes[slot]
        if kind == "pred":
            if dtype != "?":
                raise Unsupported(f"{operand} as a predicate")
            return expression
        width = 8 * int(dtype[1]) if dtype != "?" else 0
        if WIDTH[kind] > width:
            raise Unsupported(f"{operand} as {kind}")
        if WIDTH[kind] < width:
            expression += f".astype('u{WIDTH[kind] // 8}')"
        return expression if NUMPY[kind][0] == "u" else expression + f".view('{NUMPY[kind]}')"

    def predicate(self, text):
        return ("~" if text[0] == "!" else "") + f"R[{self.slot(text.lstrip('!'))}]"

    def write(self, register, expression, kind, mask="A"):
        """Statements that assign a value of type ``kind``, to the active threads only."""
        if register == "_":
            return []
        slot = self.slot(register)
        if kind != "pred":
            width = 8 * int(self.dtypes[slot][1])
            if WIDTH[kind] > width:
                raise Unsupported(f"{kind} into {register}")
            if WIDTH[kind] < width:  # into a wider register: with its sign
                expression = f"({expression}).astype('{'i' if kind[0] == 's' else 'u'}{width // 8}')"
            expression = f"({expression}).view('u{width // 8}')"
        lines = [f"v = {expression}"]
        return [*lines, f"R[{slot}] = v if {mask} is None else where({mask}, v, R[{slot}])"]

    # Instructions

    def translate(self, instruction):
        mask, lines = "A", []
        if instruction.predicate:
            mask = "M"
            predicate = self.predicate(instruction.predicate)
            lines.append(f"M = {predicate} if A is None else A & {predicate}")
        try:
            return [*lines, *self.body(instruction, mask)]
        except (Unsupported, KeyError, IndexError, ValueError) as error:
            raise Unsupported(f"{instruction.text}   ({error!r})") from error

    def body(self, instruction, mask):
        name, *mods = instruction.opcode.split(".")
        target, sources = instruction.operands[0], instruction.operands[1:]

        used = set()

        def read(i, kind):
            used.add(i)
            return self.read(sources[i], kind)

        if name in ("ld", "st", "ldmatrix", "stmatrix"):
            return self.memory(name, mods, instruction, mask)
        if name == "shfl":
            match mods:
                case ["sync", "bfly" | "idx" | "up" | "down" as how, "b32"] if sources[3:] == ["-1"]:
                    arguments = f"'{how}', {read(0, 'u32')}, {read(1, 'u32')}, {int(sources[2], 0)}"
                    arguments += f", {mask}, {self.site(instruction)}"
                    return self.write(target, f"X.shuffle({arguments})", "b32", mask)
            raise Unsupported(instruction.opcode)
        if name == "redux":
            match mods:
                case ["sync", "min" | "max" | "add" as how, "s32" | "u32" | "f32" as kind]:
                    function = "np.add" if how == "add" else f"np.f{how}" if kind == "f32" else f"np.{how}imum"
                    arguments = f"{function}, {read(0, kind)}, {read(1, 'u32')}, {mask}, {self.site(instruction)}"
                    return self.write(target, f"X.reduce({arguments})", kind, mask)
            raise Unsupported(instruction.opcode)
        if name == "mov" and len(sources) == 1:
            return self.move(mods[0], target, sources[0], mask)
        if name == "cvt":
            result = convert(mods, read)
            if result is None or len(used) != len(sources):
                raise Unsupported(instruction.opcode)
            return self.write(target, *result, mask)
        kind, rest = mods[-1], mods[:-1]
        if name == "setp" and kind in ("f16x2", "bf16x2"):  # a predicate for each half
            lines = []
            for part, start in zip(target.split("|"), (0, 16), strict=True):

                def read_half(i, half_kind, start=start):
                    bits = f"({read(i, 'u32')} >> np.uint32({start})).astype('u2')"
                    return bits if half_kind == "b16" else f"{bits}.view('f2')"

                lines += self.write(part, compute(name, rest, kind[:-2], read_half, len(sources)), "pred", mask)
            return lines
        expression = compute(name, rest, kind, read, len(sources))
        if expression is None or len(used) != len(sources):  # no operand may go unnoticed
            raise Unsupported(instruction.opcode)
        kind = {"s16x2": "b32", "u16x2": "b32", "f32x2": "b64"}.get(kind, "f32" if rest[1:] == ["f32"] else kind)
        kind = "pred" if name == "setp" else kind[0] + str(2 * WIDTH[kind]) if "wide" in rest else kind
        return self.write(target, expression, kind, mask)

    def move(self, kind, target, source, mask):
        if target[0] == "{":
            parts = split(target[1:-1])
            size = WIDTH[kind] // len(parts)
            lines = [f"w = {self.read(source, kind)}"]
            for i, part in enumerate(parts):
                piece = f"(w >> w.dtype.type({i * size})).astype('u{size // 8}')"
                lines += self.write(part, piece, f"b{size}", mask)
            return lines
        if source[0] == "{":
            parts = split(source[1:-1])
            size = f"b{WIDTH[kind] // len(parts)}"
            return self.write(target, f"join({', '.join(self.read(part, size) for part in parts)})", kind, mask)
        return self.write(target, self.read(source, kind), kind, mask)

    def site(self, instruction):
        self.sites.append(instruction)
        return f"I[{len(self.sites) - 1}]"

    def memory(self, name, mods, instruction, mask):
        target, source = instruction.operands
        values, address = (target, source) if name.startswith("ld") else (source, target)
        address = re.fullmatch(r"\[\s*([\w%]+)(?:\s*\+\s*(-?\d+))?\s*\]", address)
        base, offset = address[1], int(address[2] or 0)
        values = split(values.strip("{}"))
        if mods[0] == "param":
            number = int(re.search(r"_param_(\d+)$", base)[1])
            return self.write(values[0], f"X.parameter({number}, {offset}, '{NUMPY[mods[-1]]}')", mods[-1], mask)
        site = self.site(instruction)
        if name.endswith("matrix"):
            transposed = "trans" in mods
            expected = ["sync", "aligned", "m8n8", f"x{len(values)}", *["trans"] * transposed, "shared", "b16"]
            if mods != expected:
                raise Unsupported(instruction.opcode)
            kind, place = "b32", f"{self.address(base, offset)}, {transposed}, {mask}, {site}"
            if name == "stmatrix":
                return [f"X.store_matrices({place}, [{', '.join(self.read(value, 'b32') for value in values)}])"]
            lines = [f"L = X.load_matrices({place}, {len(values)})"]
        else:
            space, *rest, kind = mods
            vector = [mod for mod in rest if mod != "shared::cta"]
            space = {"global": "global", "shared": "shared", "shared::cta": "shared"}.get(space)
            count = int(vector[0][1:]) if len(vector) == 1 and vector[0] in ("v2", "v4") else 1
            if space is None or len(values) != count or (vector and count == 1):
                raise Unsupported(instruction.opcode)
            place = f"'{space}', {self.address(base, offset)}"
            if name == "st":
                data = ", ".join(self.read(value, f"b{WIDTH[kind]}") for value in values)
                return [f"X.store({place}, {mask}, {site}, [{data}])"]
            lines = [f"L = X.load({place}, {WIDTH[kind] // 8}, {mask}, {site}, {count})"]
        for i, value in enumerate(values):
            lines += self.write(value, f"L[{i}]", kind, mask)
        return lines

    def address(self, base, offset):
        kind = "u64" if base.startswith("%rd") else "u32"
        expression = f"{self.read(base, kind)}.astype('i8')"
        return f"{expression} + {offset}" if offset else expression


def translate(ptx: str) -> Kernel:
    """The kernel of a PTX text.

    Raises:
        Unsupported: it has something that is not understood.
    """
    translator = Translator(ptx)
    return Kernel(translator.name, translator.parameters, translator.threads, translator.blocks, translator.dtypes)
