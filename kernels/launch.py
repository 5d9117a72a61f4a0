"""How a kernel is launched. Triton's JIT takes 10 to 20 us to find what it has compiled before, so it is asked once for
each kind of launch. Whatever the JIT would compile anew for is part of the kind. A record's numbers are not: where they
alone are new, the kernel is known, and only the arguments that follow from the record are made.

``torch.compile`` is shown the launch instead, so that what it makes of a model launches the kernel itself."""

import hashlib
from pathlib import Path

import torch
import triton
import triton.language as tl
from torch._subclasses.functional_tensor import FunctionalTensor
from triton import knobs
from triton.runtime import driver

import fastlif

# Triton 3.9 announces that 3.10 changes the default. Off, the membrane update rounds as the reference does, so that
# spikes at a tie agree; where a fused multiply-add is wanted the kernels say tl.fma.
OPTIONS = {"enable_fp_fusion": False}
BUFFER = 2**31 - 1  # bytes that one of AMD's buffer instructions reaches
INT32 = 2**31 - 1

_runtime = knobs.runtime
_known = {}  # kind of launch, with the record's choices -> what the JIT found for it; a record keeps its own


def visible() -> bool:
    """Whether ``torch.compile`` can be shown a launch. Before torch 2.15 it takes a kernel's numbers for float64."""
    return torch.__version__ >= (2, 15) and not _runtime.interpret


def digest(*folders):
    """Of all Python in these folders."""
    found = sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
    files = [file for file in found if file.is_file()]  # an editor's lock is a link to nothing
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


# What torch.compile keeps on disk holds launches, once it is shown them. It must not outlive the Python that made them.
if visible():
    from torch._library.triton import triton_ops_to_kernels

    # In a checkout this folder lies beside fastlif's. fastlif.__path__ would name the whole checkout.
    DIGEST = tl.constexpr(digest(Path(fastlif.__file__).parent, Path(__file__).parent))

    @triton.jit
    def _all_of_it():  # never launched: the text of an operator's kernels, DIGEST included, is part of a cache's key
        return DIGEST

    triton_ops_to_kernels |= {f"fastlif::{name}": [_all_of_it] for name in ("noisy_spike", "lif", "noisy_lif")}


def varying(tensors, sizes):
    """What of the tensors (or None) and the sizes (at least 0) Triton compiles for."""
    kinds = [
        None if tensor is None else tensor.dtype if tensor.data_ptr() % 16 == 0 else (tensor.dtype, "unaligned")
        for tensor in tensors
    ]
    if torch.version.hip:
        kinds += [tensor is None or tensor.untyped_storage().nbytes() <= BUFFER for tensor in tensors]
    return *kinds, *[1 if size == 1 else 2 + (size % 16 == 0) + 2 * (size > INT32) for size in sizes]


def launch(kernel, grid, tensors, sizes, constants, *chosen, each=((),)):
    """Launches ``kernel`` on ``grid`` (three numbers) once for each tuple in ``each``: by default once.

    A tuple of ``each`` holds the kernel's first arguments. ``tensors`` and ``sizes``, dicts in the order of the
    signature, follow. ``constants(*chosen)`` gives all other arguments and the options of the launch. It is called once
    for each record and kind of launch. ``chosen[0]`` is the record, if there is one.
    """
    tensor = next(iter(tensors.values()))
    if type(tensor) is FunctionalTensor:  # torch.compile traces
        return _show(kernel, grid, tensors, sizes, constants(*chosen))
    index = tensor.get_device()
    if index >= 0 and index != torch.cuda.current_device():
        with torch.cuda.device(index):
            return launch(kernel, grid, tensors, sizes, constants, *chosen, each=each)
    kind = (kernel.fn, index, *chosen[1:], *varying(tensors.values(), sizes.values()))
    kept = chosen[0].kept if chosen else _known
    known = kept.get(kind)
    if known is None and chosen and (alike := _known.get((chosen[0].choices, *kind))) is not None:
        count = len(each[0]) + len(tensors) + len(sizes)
        known = kept[kind] = *alike[:-1], _others(kernel, count, constants(*chosen))
    for first in each:
        if known is None or known[0] is not driver.active:
            known = _ask(kernel, grid, tensors, sizes, constants(*chosen), first)
            if known is not None:
                kept[kind] = known
                if chosen:
                    _known[(chosen[0].choices, *kind)] = known
            continue
        active, compiled, run, function, packed, others = known
        stream, metadata = active.get_current_stream(index), None
        enter, leave = _runtime.launch_enter_hook, _runtime.launch_exit_hook
        arguments = *first, *tensors.values(), *sizes.values(), *others
        if getattr(enter, "calls", enter) or getattr(leave, "calls", leave):
            metadata = compiled.launch_metadata(grid, stream, *arguments)
        else:  # Triton's own chains of hooks, with nothing in them
            enter = leave = None
        run(*grid, stream, function, packed, metadata, enter, leave, *arguments)


def _show(kernel, grid, tensors, sizes, constants):
    """Shows ``torch.compile`` a launch. An operator that launches once for each step is left whole."""
    torch.library.wrap_triton(kernel)[grid](**tensors, **sizes, **constants, **OPTIONS)


def _ask(kernel, grid, tensors, sizes, constants, first):
    """Launches through the JIT. Returns its driver, the compiled kernel and the arguments after the sizes; or None of
    a kernel that is not compiled, such as one of Triton's interpreter."""
    names = kernel.arg_names
    count = len(first) + len(tensors) + len(sizes)
    if names[len(first) : count] != [*tensors, *sizes]:
        raise TypeError(f"{kernel.__name__} is launched with {[*tensors, *sizes]} after {len(first)}, and has {names}")
    compiled = kernel[grid](**dict(zip(names, first)), **tensors, **sizes, **constants, **OPTIONS)
    if compiled is None:
        return None
    others = _others(kernel, count, constants)
    return driver.active, compiled, compiled.run, compiled.function, compiled.packed_metadata, others


def _others(kernel, count, constants):
    return tuple([constants[name] for name in kernel.arg_names[count:]])
