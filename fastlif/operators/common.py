"""What every operator shares: who looks on, where the arithmetic runs, and how an operator is made."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor, FunctionalTensorMode
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext

from fastlif.backends import kernels
from fastlif.compiled import launchers as compiled
from fastlif.options import Options, options_of_text
from fastlif.passes import thread
from fastlif.reference import no_forward_mode, no_second_derivative
from fastlif.types import OWN

_dispatch_modes = torch._C._len_torch_dispatch_stack
_function_modes = torch._C._len_torch_function_stack
_transforms = torch._C._are_functorch_transforms_active
_tracing = torch._C._get_tracing_state
_old_vmap = torch._C._functorch.is_legacy_batchedtensor
_hooks = torch._C._autograd._top_saved_tensors_default_hooks
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_NO_TENSORS = frozenset((type(None), bool, int, str, Options))


# Elements up to which a compiled caller gains by a neuron of its own graph: beyond, it keeps more for the backward, or
# computes it in fewer loops than our own.
INLINED, INLINED_SCAN = 1 << 20, 1 << 14


def watched(arguments) -> tuple[bool, bool]:
    """Whether anyone but autograd must see what is done with an operator's arguments: a compiler, a transform, a mode,
    a subclass. If nobody must, whether any of them requires a gradient."""
    if torch.compiler.is_dynamo_compiling() or _dispatch_modes() or _transforms() or _tracing() is not None:
        return True, False
    if _function_modes() and _modes_look_on():
        return True, False
    looked_at, wanted, arguments = False, False, list(arguments)
    for argument in arguments:
        kind = type(argument)
        if kind in _NO_TENSORS:
            continue
        if kind in _PLAIN:
            wanted |= argument.requires_grad
            looked_at |= argument.is_neg() or argument._is_zerotensor() or _old_vmap(argument)
        elif kind in (tuple, list):  # batch normalisation's tensors, which are looked at next
            arguments.extend(argument)
        else:
            return True, False
    return looked_at, wanted


def _modes_look_on() -> bool:
    """Whether there is a mode of torch.overrides other than that of a default device, which looks at no operator."""
    modes = map(torch._C._get_function_stack_at, range(_function_modes()))
    return any(type(mode) is not DeviceContext for mode in modes)


def launchers(backend: str, x: torch.Tensor, surrogate: str = "atan"):
    """The kernels, or the compiled reference: both hold functions of the same names and arguments."""
    if backend == "triton" or (backend == "auto" and x.is_cuda):
        if surrogate in OWN:
            OWN[surrogate].triton_function()  # or the reason why there is none, before anything is launched
        return kernels()
    return compiled


def inlined(x: torch.Tensor, steps: int, options) -> bool:
    """Whether a caller that is being compiled for a CPU gets a neuron's few steps as part of its own graph, where the
    compiler fuses them with their neighbours. An exported program keeps the operator, for it may move to a GPU."""
    if torch.compiler._is_exporting_flag or x.device.type != "cpu":
        return False
    if options.backend not in ("auto", "compiled"):
        return False
    if not torch.fx.experimental.symbolic_shapes.has_static_value(steps) or steps > compiled.MAX_UNROLL:
        return False
    return x.numel() <= (INLINED if steps == 1 else INLINED_SCAN)


def operator(schema: str, function, fake, setup_context=None, backward=no_second_derivative, inline=None):
    """Makes the operator ``fastlif::`` of this schema, and returns what calls it.

    A call goes one of four ways:

    - eager, without a gradient: ``function`` itself, which takes a tenth of the operator's time;
    - eager, with one: an autograd function of our own around it;
    - within several of torch.func's transforms: an autograd function around the operator, whose own gradient is not
      found there;
    - wherever anyone else looks on, such as a compiler: the operator.

    Each way autograd knows ``backward``, which has no derivative if it is not given. ``inline`` gives the result in
    plain PyTorch where a caller's graph had better hold that, and else None.

    The last argument is an Options; the operator itself is given its text. An unwanted output is None. The operator
    must return tensors, so there it is an empty one.
    """
    name = schema[: schema.index("(")]

    def of_text(function):
        def run(*arguments):
            around, thread.packing = thread.packing, 0  # a kernel stores no bits for a compiler or a transform
            try:
                outputs = function(*arguments[:-1], options_of_text(arguments[-1]))
            finally:
                thread.packing = around
            if not isinstance(outputs, tuple):
                return outputs
            return tuple([arguments[0].new_empty(0) if output is None else output for output in outputs])

        return run

    def setup_of_text(ctx, inputs, output):
        setup_context(ctx, (*inputs[:-1], options_of_text(inputs[-1])), output)

    run = of_text(function)
    torch.library.define(f"fastlif::{name}", schema.removeprefix(name))
    torch.library.impl(f"fastlif::{name}", ("CPU", "CUDA"), run)
    torch.library.register_fake(f"fastlif::{name}", of_text(fake))
    torch.library.register_autograd(f"fastlif::{name}", backward, setup_context=setup_context and setup_of_text)
    torch.library.register_torch_dispatch(f"fastlif::{name}", FunctionalTensorMode, _launches_of(run))
    registered = getattr(torch.ops.fastlif, name)
    torch.library.register_vmap(f"fastlif::{name}", _each_example(registered))

    def forward(ctx, *arguments):
        ctx.plain = _hooks(False) is None  # what it keeps: hooks on saved tensors may give back anything
        output = function(*arguments)
        if setup_context:
            setup_context(ctx, arguments, output)
        return output

    def function_of(name, **methods):
        methods = {name: staticmethod(method) for name, method in methods.items()}
        return type(name, (torch.autograd.Function,), {**methods, "generate_vmap_rule": True})

    unwatched = function_of(name, forward=forward, backward=backward)
    transformed = function_of(
        name, forward=lambda *arguments: registered(*arguments[:-1], arguments[-1].text), backward=backward,
        setup_context=setup_context or (lambda ctx, inputs, output: None),
    )  # fmt: skip

    def call(*arguments, new=None):
        """``new``: in a backward, how many arguments come first that are no plain tensors of its forward."""
        if forward_ad._current_level >= 0:
            no_forward_mode(arguments)
        looked_at, wanted = watched(arguments if new is None or torch.is_grad_enabled() else arguments[:new])
        if looked_at:
            if inline and torch.compiler.is_dynamo_compiling() and (result := inline(*arguments)) is not None:
                return result
            if _transforms() and not torch.compiler.is_compiling():
                return transformed.apply(*arguments)
            return registered(*arguments[:-1], arguments[-1].text)
        if wanted and torch.is_grad_enabled():
            return unwatched.apply(*arguments)
        return function(*arguments)

    return call


def _launches_of(run):
    """What ``torch.compile`` makes of an operator: the launches themselves, where it can make them."""

    def rule(mode, operator, types, arguments, keywords):
        given = dict(zip((argument.name for argument in operator._schema.arguments), arguments))
        plain = all(kind is torch.Tensor or issubclass(kind, (FakeTensor, FunctionalTensor)) for kind in types)
        if keywords or not plain or not _launches_visible(**given):
            return mode.__torch_dispatch__(operator, types, arguments, keywords)
        with mode:
            return run(*arguments)

    return rule


def _launches_visible(x, options, timesteps=1, statistics=None, **_) -> bool:
    """Whether ``torch.compile`` can make an operator's launches itself. It cannot where

    - the program is exported: it may move to a CPU;
    - the number of steps is not known when it compiles;
    - the neuron takes its own statistics: large groups take a launch for each step, and each would be compiled;
    - the surrogate is a user's own;
    - the tensors are not on the current GPU, where PyTorch's own run of a graph launches.
    """
    options = options_of_text(options)
    steps = x.shape[0] if timesteps is None else timesteps
    if not torch._functorch.config.decompose_custom_triton_ops or not isinstance(steps, int) or statistics is not None:
        return False
    if x.is_cuda and not (torch.cuda.is_available() and x.device.index == torch.cuda.current_device()):
        return False
    module = launchers(options.backend, x)
    return module is not compiled and options.surrogate not in OWN and module.visible()


def _each_example(registered):
    """torch.vmap: every example by itself, one launch each. Noise and statistics are its own, keyed by positions
    within it."""

    def rule(info, in_dims, *arguments):
        size = info.batch_size

        def one(argument, dim, example):
            if not isinstance(dim, int):
                return argument
            return argument.select(dim, example) if size else argument.sum(dim, dtype=argument.dtype)

        # Of no examples, the shapes are those of one of zeros.
        results = [
            registered(*(one(argument, dim, example) for argument, dim in zip(arguments, in_dims)))
            for example in range(max(1, size))
        ]
        if isinstance(results[0], torch.Tensor):
            return torch.stack(results)[:size], 0
        return tuple(torch.stack(outputs)[:size] for outputs in zip(*results)), (0,) * len(results[0])

    return rule
