"""A function of PyTorch, compiled once for each kind of call, such as a number of steps, a dtype and a surrogate.

It is compiled on tensors without values whose sizes are variables. What comes out is kept and called directly, with the
sizes and the memory of the moment. Nothing is checked and nothing is compiled again, whatever mode the caller is in.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import sys
import threading
from collections.abc import Callable

import torch

# Elements of x up to which one thread computes a graph. A second one would save about 0.1 ms, by an estimate. Where
# other processes keep its core busy it costs 20 to 100 ms: each loop ends when all threads have had their turn.
SERIAL = 1 << 17

HUGE_PAGE = 1 << 21  # bytes
MAPPED = 1 << 25  # bytes from which on malloc maps fresh pages; smaller blocks are reused
MADV_HUGEPAGE = 14  # Linux's number

# Sizes by which the compiler judges which of two loops is faster. The code that it makes is right for all sizes. A loop
# of fewer than SHARED turns is not shared out to threads: here the sum over the blocks of a mean, and over their rest.
# On a GPU they also decide how wide an index is. More than INT32 elements are compiled with larger sizes than these.
SHARED = 1 << 15
INT32 = 2**31 - 1
EXPECTED = {1: ((1 << 30) + 3,), 2: (5, (1 << 28) + 7), 3: (5, 7, (1 << 25) + 9)}

_graphs: dict[tuple, Callable[[list], object]] = {}  # by kind of call
_compiling = threading.RLock()


def run(function, static, sizes, outputs, x=None, steps=1, **inputs):
    """Writes what ``function(*static, **inputs)`` returns to ``outputs``; the last one may be None, not wanted.

    A graph knows addresses and sizes, no shapes: a tensor may have any, if it lies in memory like what is computed.
    """
    if outputs[-1] is None:
        outputs.pop()
    stride = 0 if x is None else x.stride(0) if x.shape[0] == steps else x.numel() // steps
    elements = steps * math.prod(sizes)
    output = outputs[0]
    serial, large = elements <= SERIAL, elements > INT32 and not output.is_cpu
    tensors = [x, *inputs.values()]
    dtypes = [tensor is not None and tensor.dtype for tensor in tensors]
    kind = function, static, serial, large, steps, len(sizes), len(outputs), output.dtype, output.device, *dtypes
    graph = _graphs.get(kind)
    if graph is None:
        with _compiling:  # another thread may have been first
            try:
                graph = _graphs.get(kind) or _compile(
                    function, static, serial, large, steps, len(sizes), outputs, {"x": x, **inputs}
                )
            except (AssertionError, ImportError) as error:
                known = _in_words(error)
                if known is None:
                    raise
                raise RuntimeError(known) from error
            _graphs[kind] = graph
    graph([*sizes, stride, *[tensor for tensor in tensors if tensor is not None], *outputs])


def _in_words(error) -> str | None:
    """What a user can do about an error of the compiler, if that is known."""
    if isinstance(error, ImportError):
        return (
            f"code that torch.compile keeps on disk cannot be loaded ({error}), as when a process was killed while it "
            "wrote: delete the file, or the folder that the environment variable TORCHINDUCTOR_CACHE_DIR names"
        )
    if "convert all Tensors to FakeTensors first" in str(error):
        return (
            'a surrogate of your own reads a tensor from outside, which backend="compiled" cannot compile: write '
            'numbers into the function, or choose backend="reference"'
        )
    return None


def _compile(function, static, serial, large, steps, dimensions, outputs, inputs):
    """The graph of :func:`run`: a function of the list of sizes, x's stride in time, inputs and outputs.

    It is called without its guards, which is what the compiler has supposed of the sizes. That is safe:

    - most guards hold for all sizes;
    - some say that a size is not 0, not 1, or not another: the code for that is the general one, right for these too;
    - on a GPU one says that an index fits into 32 bits: whether it does is part of the kind of graph;
    - the rest say how long a sum is, and choose between loops that are all right.

    tests/pytorch/test_compiled.py lists the guards of every kind of graph, and fails on others.
    """
    from torch._dynamo.convert_frame import compile_lock
    from torch._dynamo.source import ConstantSource
    from torch._guards import TracingContext, tracing
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.decomposition import select_decomp_table
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

    given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
    shapes = ShapeEnv()
    fake = FakeTensorMode(shape_env=shapes)

    def variable(name, expected):
        symbol = shapes.create_symbol(expected, ConstantSource(name), dynamic_dim=DimDynamic.DYNAMIC)
        return shapes.create_symintnode(symbol, hint=expected)

    def writing(*arguments):
        results = function(*static, **dict.fromkeys(inputs) | dict(zip(given, arguments[dimensions + 1 :])))
        for output, result in zip(arguments[-len(outputs) :], results):
            output.copy_(result)
        return ()

    options = {"size_asserts": False, "cpp.threads": 1}
    if not serial:
        # Every loop is shared out to as many threads as there are when it runs, however many there are now.
        options |= {"cpp.dynamic_threads": True, "cpp.threads": os.cpu_count(), "cpp.min_chunk_size": SHARED}
    if "norm" in given:
        # The compiler would store every step's membrane of normalised input; this makes it recompute them.
        options["realize_reads_threshold"] = 100
    device = outputs[0].device.type
    with (
        compile_lock, torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False),
        tracing(TracingContext(fake)), config.patch(options), fake,
    ):  # fmt: skip
        first, *others = EXPECTED[dimensions]
        expected = [8 * first if large else first, *others]
        sizes = [variable(f"size_{i}", size) for i, size in enumerate(expected)]
        stride = variable("stride", 3 * math.prod(expected))
        examples = {name: _example(name, tensor, steps, sizes, stride) for name, tensor in given.items()}
        results = function(*static, **dict.fromkeys(inputs) | examples)
        written = [result.new_empty(result.shape, dtype=output.dtype) for result, output in zip(results, outputs)]
        arguments = [*sizes, stride, *examples.values(), *written]
        graph = compile_fx_inner(make_fx(writing, select_decomp_table())(*arguments), arguments)
    return getattr(graph, "current_callable", graph)


def _example(name, tensor, steps, sizes, stride):
    """A tensor like this one, but of variable sizes, and without values."""
    if name in ("x", "noise", "grad_spikes"):
        shape = steps, *sizes
    elif name in ("v", "grad_v"):
        shape = sizes
    elif name in ("mean", "deviation"):
        shape = steps, *sizes[:-1]
    elif name == "norm":
        shape = 3, sizes[1], *(1,) * len(sizes[2:])
    elif name in ("gain", "decay", "threshold"):  # one value for all, or one a channel
        shape = (1,) if len(sizes) == 1 else (sizes[1], *(1,) * len(sizes[2:]))
    else:
        shape = tensor.shape
    example = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
    return example.as_strided(shape, (stride, *example.stride()[1:])) if name == "x" else example


def in_huge_pages(output):
    """Asks Linux to put a large new output into pages of 2 MB: to be given it in pages of 4 KB takes several times as
    long as to compute it. Where that cannot be, nothing happens."""
    if output.nbytes < MAPPED:
        return
    first = -(-output.data_ptr() // HUGE_PAGE) * HUGE_PAGE
    size = (output.data_ptr() + output.nbytes) // HUGE_PAGE * HUGE_PAGE - first
    if output.device.type == "cpu" and (madvise := _madvise()):
        madvise(first, size, MADV_HUGEPAGE)


@functools.cache
def _madvise():
    if not sys.platform.startswith("linux"):
        return None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return madvise


def tensor(values, dtype, device):
    """Numbers as a tensor: what is given as a number would be compiled in."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


constant = functools.lru_cache(maxsize=1 << 14)(tensor)
