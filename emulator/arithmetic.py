"""What an instruction of PTX computes, as an expression of numpy, and the functions that such expressions call."""

import numpy as np

WIDTH = {"pred": 1, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16, "b32": 32,
         "u32": 32, "s32": 32, "f32": 32, "b64": 64, "u64": 64, "s64": 64, "f64": 64}  # fmt: skip
NUMPY = {"f16": "f2", "bf16": "u2", "f32": "f4", "f64": "f8"}
NUMPY |= {sign + str(8 * size): dtype + str(size) for size in (1, 2, 4, 8) for sign, dtype in
          (("b", "u"), ("u", "u"), ("s", "i"))}  # fmt: skip


class Unsupported(NotImplementedError):
    """Something in the PTX that is not understood."""


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


def sqrt(x):
    return np.sqrt(ftz(x))


def rsqrt(x):
    return (1 / np.sqrt(ftz(x).astype("f8"))).astype("f4")


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
    "np": np, "where": np.where, "fma32": fma32, "sqrt": sqrt, "rsqrt": rsqrt, "extreme": extreme, "divide": divide,
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
        case ["div", "rn" | "full"]:
            return f"{read(0)} / {read(1)}"
        case ["sqrt" | "rsqrt", "approx", "ftz"]:
            return f"{name}({read(0)})"
        case ["ex2", "approx"]:
            return f"np.exp2({read(0)})"
        case ["ex2", "approx", "ftz"]:
            return f"ftz(np.exp2(ftz({read(0)})))"
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
