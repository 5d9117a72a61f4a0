"""PTX, as Triton writes it, to numpy: every basic block becomes one Python function over all threads at once.

A register is an array of raw unsigned bits (predicates: bool) of one element per thread, or of one element where all
threads agree. An instruction reads its operands in the type that it names and writes raw bits. Whatever is not
understood, opcode, modifier or operand, raises :class:`Unsupported` when the kernel is loaded.
"""

import re
from dataclasses import dataclass, field

import numpy as np

SHARED_BASE = 0x400  # where the shared window begins, so that a null pointer is not in it
WIDTH = {"pred": 1, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16, "b32": 32,
         "u32": 32, "s32": 32, "f32": 32, "b64": 64, "u64": 64, "s64": 64, "f64": 64}  # fmt: skip
NUMPY = {"f16": "f2", "bf16": "u2", "f32": "f4", "f64": "f8"}
NUMPY |= {sign + str(8 * size): dtype + str(size) for size in (1, 2, 4, 8) for sign, dtype in
          (("b", "u"), ("u", "u"), ("s", "i"))}  # fmt: skip


class Unsupported(NotImplementedError):
    pass


# --- What an instruction computes ---------------------------------------------------------------------------------


def fma32(a, b, c):
    """a * b + c rounded once, through float64, where the product is exact.

    The sum is rounded to 53 bits and then to 24. That differs from one rounding only where the first result seems to
    lie halfway between two float32: there the first rounding's error decides. Below 2^-126 the last bit may be off.
    """
    product = a.astype("f8") * b
    total = product + c
    tie = (total.view("u8") & 0x1FFFFFFF) == 0x10000000
    if tie.any():
        back = total - product
        error = (product - (total - back)) + (c - back)
        nudged = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
        total = np.where(tie & (error != 0), nudged, total)
    return total.astype("f4")


def ftz(x):
    return np.where(np.abs(x) < np.float32(2.0**-126), np.copysign(np.float32(0), x), x)


class Approximate:
    """The approximate functions. With ``ulps`` their results are off by up to as many units in the last place, as
    they may be on the hardware: a fixed function of the result's bits."""

    ulps = 0

    @classmethod
    def off(cls, y):
        if not cls.ulps:
            return y
        bits = np.ascontiguousarray(y).view("u4")
        shift = (bits * np.uint32(2654435761) >> 16) % np.uint32(2 * cls.ulps + 1)
        wrong = (bits + shift - np.uint32(cls.ulps)).view("f4")
        return np.where(np.isfinite(y) & (y != 0) & (y != 1), wrong, y)

    @classmethod
    def ex2(cls, x):
        return cls.off(np.exp2(x))

    @classmethod
    def sqrt(cls, x):
        return cls.off(np.sqrt(ftz(x)))

    @classmethod
    def rsqrt(cls, x):
        return cls.off((1 / np.sqrt(ftz(x).astype("f8"))).astype("f4"))

    @classmethod
    def div(cls, x, y):
        return cls.off(x / y)


def extreme(a, b, function, equal):
    """min or max; of two zeros the sign decides."""
    return np.where(a == b, equal(a.view("u4"), b.view("u4")).view("f4"), function(a, b))


def divide(a, b):
    """Integers, towards zero; what a division by zero gives is not defined."""
    b = np.where(b == 0, b.dtype.type(1), b)
    if a.dtype.kind == "u":
        return a // b
    quotient = a // b
    return quotient + ((quotient * b != a) & ((a < 0) != (b < 0))).astype(a.dtype)


def shift(a, by, left):
    """A shift by the width or more leaves nothing but the sign."""
    width = 8 * a.dtype.itemsize
    if by.size == 1 and by[0] < width:
        return a << by.astype(a.dtype) if left else a >> by.astype(a.dtype)
    small = np.minimum(by, width - 1).astype(a.dtype)
    shifted = a << small if left else a >> small
    if not left and a.dtype.kind == "i":
        return shifted
    return np.where(by < width, shifted, a.dtype.type(0))


def bit_field(a, position, length):
    """bfe: ``length`` bits, the last of which is the sign if a is signed."""
    bits = 8 * a.itemsize
    if not ((length > 0) & (position + length <= bits)).all():
        raise Unsupported("bfe that does not lie within the number")
    return shift(shift(a, bits - length - position, True), bits - length, False)


def permute(a, b, selector):
    """prmt: a and b are eight bytes. Four bits of the selector pick one of them for each byte of the result."""
    source = a.astype("u8") | b.astype("u8") << np.uint64(32)
    total = np.zeros(1, "u8")
    for i in range(4):
        nibble = (selector.astype("u8") >> np.uint64(4 * i)) & np.uint64(15)
        byte = (source >> (nibble & np.uint64(7)) * np.uint64(8)) & np.uint64(255)
        sign = np.where(byte > 127, np.uint64(255), np.uint64(0))
        total = total | np.where(nibble > 7, sign, byte) << np.uint64(8 * i)
    return total.astype("u4")


def in_halves(function, dtype, *packed):
    """An operation on the two numbers in each element."""
    width = 8 * packed[0].dtype.itemsize // 2
    unsigned = f"u{width // 8}"
    halves = [[(value >> value.dtype.type(i)).astype(unsigned).view(dtype) for value in packed] for i in (0, width)]
    return join(*(function(*half).view(unsigned) for half in halves))


def to_bf16(x):
    bits = np.ascontiguousarray(x).view("u4")
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(x), np.uint32(0x7FFF), rounded).astype("u2")


def from_bf16(bits):
    return (bits.astype("u4") << 16).view("f4")


def join(*parts):
    """Parts, lowest first, to one number of all their bits."""
    width = 8 * parts[0].dtype.itemsize
    wide = f"u{len(parts) * parts[0].dtype.itemsize}"
    total = parts[0].astype(wide)
    for i, part in enumerate(parts[1:], 1):
        total = total | (part.astype(wide) << np.dtype(wide).type(i * width))
    return total


HELPERS = {
    "np": np, "where": np.where, "fma32": fma32, "approximate": Approximate, "extreme": extreme, "divide": divide,
    "shift": shift, "bit_field": bit_field, "permute": permute, "in_halves": in_halves, "to_bf16": to_bf16,
    "from_bf16": from_bf16, "join": join, "ftz": ftz,
}  # fmt: skip

PACKED = {"add": "np.add", "sub": "np.subtract", "mul": "np.multiply", "fma": "fma32"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
COMPARE |= {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}


FLOAT32 = ("add", "sub", "mul", "fma", "div", "sqrt", "rsqrt", "ex2", "abs", "neg", "min", "max")


def compute(name, mods, kind, read, number):
    """The expression of an instruction ``name.mods.kind``; ``read(i, kind)`` is the i-th of its sources, of which it
    has ``number``. None if unknown."""
    if kind == "f32" and name in FLOAT32:
        return _compute_float32(name, mods, lambda i: read(i, "f32"), number)
    integer = kind[0] in "sub" and kind[1:].isdigit()
    unsigned = "u" + kind[1:] if integer else kind
    match name, *mods:
        case ["add" | "sub"] if kind in ("s16x2", "u16x2"):
            return f"in_halves({PACKED[name]}, 'u2', {read(0, 'u32')}, {read(1, 'u32')})"
        case ["add" | "sub" | "mul" | "fma", "rn"] if kind == "f32x2":
            operands = ", ".join(read(i, "u64") for i in range(3 if name == "fma" else 2))
            return f"in_halves({PACKED[name]}, 'f4', {operands})"
        case ["add" | "sub" | "fma", "rn", "f32"] if kind in ("f16", "bf16"):  # all are narrow, but the last term
            narrow = "from_bf16({})" if kind == "bf16" else "{}.astype('f4')"
            wide = [narrow.format(read(i, "b16" if kind == "bf16" else kind)) for i in range(number - 1)]
            wide.append(read(number - 1, "f32"))
            return f"fma32({', '.join(wide)})" if name == "fma" else f"{PACKED[name]}({', '.join(wide)})"
        case ["add" | "sub"] if integer:
            return f"{read(0, unsigned)} {'+' if name == 'add' else '-'} {read(1, unsigned)}"
        case ["mul" | "mad", "lo" | "hi" | "wide" as part] if integer:
            width = WIDTH[kind]
            if part == "lo":
                result = f"{read(0, unsigned)} * {read(1, unsigned)}"
                return result if name == "mul" else f"{result} + {read(2, unsigned)}"
            if width > 32:
                return None
            product = f"{read(0, kind)}.astype('{NUMPY[f'{kind[0]}{2 * width}']}') * {read(1, kind)}"
            if part == "hi":
                return f"(({product}) >> {width}).astype('{NUMPY[kind]}')" if name == "mul" else None
            wide = f"u{2 * width}"  # the type of the result and of what is added to it
            return product if name == "mul" else f"({product}).view('{NUMPY[wide]}') + {read(2, wide)}"
        case ["div"] if integer:
            return f"divide({read(0, kind)}, {read(1, kind)})"
        case ["rem"] if integer:
            return f"{read(0, kind)} - divide({read(0, kind)}, {read(1, kind)}) * {read(1, kind)}"
        case ["min" | "max"]:
            return f"np.{name}imum({read(0, kind)}, {read(1, kind)})"
        case ["neg"]:
            return f"-{read(0, kind)}"
        case ["abs"]:
            return f"np.abs({read(0, kind)})"
        case ["not"]:
            return f"~{read(0, kind)}"
        case ["and" | "or" | "xor"]:
            return f"{read(0, kind)} {dict(zip(['and', 'or', 'xor'], '&|^'))[name]} {read(1, kind)}"
        case ["shl" | "shr"] if integer:
            return f"shift({read(0, kind)}, {read(1, 'u32')}, {name == 'shl'})"
        case ["bfe"] if integer:
            return f"bit_field({read(0, kind)}, {read(1, 'u32')}, {read(2, 'u32')})"
        case ["prmt"] if kind == "b32":
            return f"permute({read(0, kind)}, {read(1, kind)}, {read(2, kind)})"
        case ["selp"]:
            return f"where({read(2, 'pred')}, {read(0, kind)}, {read(1, kind)})"
        case ["setp", test]:
            a, b = (f"from_bf16({read(i, 'b16')})" if kind == "bf16" else read(i, kind) for i in (0, 1))
            if kind[0] != "f" and kind != "bf16":
                return f"{a} {COMPARE[test]} {b}" if test in COMPARE else None
            unordered = f"(np.isnan({a}) | np.isnan({b}))"
            match test:
                case "num":
                    return f"~{unordered}"
                case "nan":
                    return unordered
                case "ne":
                    return f"({a} != {b}) & ~{unordered}"
                case "eq" | "lt" | "le" | "gt" | "ge":
                    return f"{a} {COMPARE[test]} {b}"
                case "equ" | "neu" | "ltu" | "leu" | "gtu" | "geu":
                    return f"({a} {COMPARE[test[:-1]]} {b}) | {unordered}"
    return None


def _compute_float32(name, mods, read, number):
    match name, *mods:
        case ["add" | "sub" | "mul"] | ["add" | "sub" | "mul", "rn"]:
            return f"{read(0)} {dict(add='+', sub='-', mul='*')[name]} {read(1)}"
        case ["fma", "rn"]:
            return f"fma32({read(0)}, {read(1)}, {read(2)})"
        case ["div", "rn"]:
            return f"{read(0)} / {read(1)}"
        case ["div", "full"]:
            return f"approximate.div({read(0)}, {read(1)})"
        case ["sqrt" | "rsqrt", "approx", "ftz"]:
            return f"approximate.{name}({read(0)})"
        case ["ex2", "approx"]:
            return f"approximate.ex2({read(0)})"
        case ["ex2", "approx", "ftz"]:
            return f"ftz(approximate.ex2(ftz({read(0)})))"
        case ["sqrt", "rn"]:
            return f"np.sqrt({read(0)})"
        case ["abs"]:
            return f"np.abs({read(0)})"
        case ["neg"]:
            return f"-{read(0)}"
        case ["min" | "max"] | ["min" | "max", "NaN"]:
            function = f"np.{name}imum" if mods else f"np.f{name}"
            equal = "np.bitwise_or" if name == "min" else "np.bitwise_and"
            result = read(0)
            for i in range(1, number):  # two, or three on new GPUs
                result = f"extreme({result}, {read(i)}, {function}, {equal})"
            return result
    return None


def convert(mods, read):
    """(expression, its type) of ``cvt.mods``, or None."""
    match mods:
        case ["rn", "f16x2" | "bf16x2" as pair, "f32"]:
            half = [f"to_bf16({read(i, 'f32')})" if pair == "bf16x2" else f"{read(i, 'f32')}.astype('f2').view('u2')"
                    for i in (1, 0)]  # fmt: skip
            return f"join({', '.join(half)})", "b32"
        case ["rn", "f16", "f32"]:
            return f"{read(0, 'f32')}.astype('f2')", "f16"
        case ["rn", "bf16", "f32"]:
            return f"to_bf16({read(0, 'f32')})", "b16"
        case ["f32", "f16"]:
            return f"{read(0, 'f16')}.astype('f4')", "f32"
        case ["f32", "bf16"]:
            return f"from_bf16({read(0, 'b16')})", "f32"
        case ["rn", "f32", source] if source[0] in "su":
            return f"{read(0, source)}.astype('f4')", "f32"
        case [target, source] if target[0] in "su" and source[0] in "su":
            return f"{read(0, source)}.astype('{NUMPY[target]}')", target
    return None


# --- Reading the text ---------------------------------------------------------------------------------------------


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
