"""A check that a model and its data agree on where time is: a batch in its place gives wrong results, not an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from fastlif import validation
from fastlif.libraries.spikingjelly import Accelerated
from fastlif.models import copy_of, neurons, reset
from fastlif.modules import NoisyLIF
from fastlif.multistep import MultiStep
from fastlif.neuron import Neuron
from fastlif.recording.watch import WATCHED, of_pass, watch
from fastlif.types import Surrogate

__all__ = ["check_time_axis"]

REMEDY = (
    "A neuron with timesteps=T takes [T*N, *], time-major: repeat images with x.repeat(T, 1, ...), fold [T, N, *] with "
    "x.flatten(0, 1) and [N, T, *] with x.transpose(0, 1).flatten(0, 1), and unfold with y.unflatten(0, (T, N))"
)


class _Call(NamedTuple):
    """A call of a neuron, and T if it was in a MultiStep."""

    name: str
    neuron: Any
    given: torch.Tensor
    T: int | None


def check_time_axis(
    model: nn.Module,
    input: torch.Tensor,
    *,
    timesteps: int | None = None,
    batch_dim: int = 0,
    call: Callable[[nn.Module, torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Raises an error if ``model`` takes part of a batch for time steps, or time steps for samples.

    The mistakes it finds: batch-first input where time-major is meant, a batch that is not repeated over T, neurons
    that disagree on T with each other or with the input, a later step that reaches an earlier one, neurons that
    remember nothing, and a neuron that gets no batch but a table, such as that of a position bias, whose rows would be
    time steps. It follows the gradients of each row of the output: a row may depend on one sample only, and on no later
    step. Statistics of a layer have no gradient, so that they do not count. A copy of the model is run, in evaluation
    mode and with the surrogate ``"atan"``; a :class:`fastlif.MultiStep` a second time, with an input of its own at each
    step.

    Args:
        model: a model with fastlif neurons.
        input: a small example of what you give it, with at least two samples; each row of the output is a backward.
        timesteps: if the samples in ``input`` are folded, ``[T*N, *]`` time-major, the T of them. A batch that was
            folded in the wrong order cannot be found then: give it as it was before, and fold it in ``call``.
        batch_dim: otherwise the dimension that counts the samples: 0, or 1 for ``[T, N, *]``.
        call: what you do with the model and the input, folding and averaging included: ``lambda model, x: model(x)``
            by default.

    Raises:
        TypeError: for arguments of the wrong type, or an output that is not a tensor.
        ValueError: for what it finds; for an input with fewer than two samples; if no gradient reaches the input.
    """
    validation.check_module("model", model)
    validation.check_input(input, dimensions="[N, *]", minimum=1)
    validation.check_index("batch_dim", batch_dim, minimum=0)
    if call is not None and not callable(call):
        raise TypeError(f"call must be a function of the model and the input, got {type(call).__name__}")
    if batch_dim > 1 or (batch_dim == 1 and (timesteps is not None or input.ndim < 2)):
        raise ValueError(f"batch_dim must be 0, or 1 for an input [T, N, *] without timesteps, got {batch_dim}")
    if timesteps is not None:
        validation.check_folded_batch(input, timesteps)
    T = input.shape[0] if batch_dim == 1 else timesteps or 1
    samples = input.shape[1] if batch_dim == 1 else input.shape[0] // T
    if samples < 2:
        raise ValueError(f"input must hold at least two samples, got shape {tuple(input.shape)} with {T} time steps")
    with torch.inference_mode(False):  # with gradients, also inside torch.no_grad()
        model = copy_of(model).eval()
        _check_timesteps(model)
        for neuron in neurons(model):
            neuron.detach_state = False
            neuron.surrogate = Surrogate("atan")  # nowhere 0, where others hide what depends on what
        _follow_gradients(model, input, T, samples, batch_dim, call)
        if isinstance(model, MultiStep) and call is None and batch_dim == 0 and T == 1:
            T = model.timesteps
            _follow_gradients(model, input.expand(T, *input.shape), T, samples, 1,
                              lambda multi, x: multi.over(T, "steps", x, sequence=True))  # fmt: skip


def _follow_gradients(model, input, T, samples, batch_dim, call):
    """Raises the errors of :func:`check_time_axis` for one call: which samples and steps each row depends on."""
    reset(model)
    x = input.detach().clone().requires_grad_()
    seen: list[_Call] = []
    copy = x.clone()  # which the model may change in place
    with watch(model, WATCHED, lambda *call: seen.append(_Call(*call[:3], of_pass()))):
        output = model(copy) if call is None else call(model, copy)
    if not isinstance(output, torch.Tensor) or not output.ndim:
        raise TypeError(f"call must give a tensor with a first dimension, got {type(output).__name__}")
    if batch_dim == 1 and output.shape[:2] == (T, samples):
        output = output.flatten(0, 1)
    rows, reached = output.shape[0], False
    stepped = T > 1 and rows == T * samples

    def depends_on(row):  # [T, N]: the steps and the samples of the input
        if not row.requires_grad:
            return torch.zeros(T, samples, dtype=torch.bool)
        (grad,) = torch.autograd.grad(row.sum(), x, retain_graph=True, materialize_grads=True, allow_unused=True)
        grad = grad if batch_dim == 1 else grad.unflatten(0, (T, samples))
        return (grad != 0).reshape(T, samples, -1).any(2)

    for row in range(rows):
        depends = depends_on(output[row])
        reached |= bool(depends.any())
        found = depends.any(0).nonzero().flatten().tolist()
        if len(found) > 1:
            raise ValueError(
                f"row {row} of the output depends on the samples {found} of the input: the model takes samples for "
                f"time steps. {REMEDY}"
            )
        step = row // samples
        found = depends.any(1).nonzero().flatten().tolist()
        if stepped and found and found[-1] > step:
            raise ValueError(
                f"row {row} of the output, of time step {step}, depends on the time steps {found} of the input: a "
                f"later step reaches an earlier one. {REMEDY}"
            )
    if not reached:
        raise ValueError("no gradient reaches the input, so that nothing can be told of the time axis")
    for name, neuron, given, steps in seen:
        if not isinstance(neuron, Neuron) or not given.requires_grad:  # which tells nothing
            continue
        if call is not None and len(given) in (samples, T * samples, (steps or 1) * samples):
            continue  # a row for each sample, such as of a time that ``call`` gives beside the input
        places = given.numel() // max(given.shape[-1], 1)  # many in a table [1, h, w, C], one in a token [1, 1, C]
        is_table = len(given) == 1 < places and neuron.timesteps == 1 and not neuron.stateful
        if not is_table and bool((given == given[:1]).all()):
            continue  # the rows of a learned token, or of zeros, are alike
        (path,) = torch.autograd.grad(given.sum(), x, retain_graph=True, allow_unused=True)
        if path is None:
            name = name.removeprefix("model.") if isinstance(model, MultiStep) else name
            raise ValueError(
                f"{name} is called with what does not depend on the input, such as a table of positions, whose rows it "
                "would take for time steps. Leave its activation as it is, with None for its name in the patterns that "
                f"fastlif.convert takes: {{{name!r}: None, '*': ...}}. If it has a row for each sample, all is well"
            )
    if T > 1:
        _check_memory(seen, T, samples, stepped, depends_on)


def _check_memory(seen, T, samples, stepped, depends_on):
    """Raises an error for a neuron that gets the steps of the input one after the other, but forgets in between."""
    calls: dict[Any, list[_Call]] = {}
    for call in seen:
        calls.setdefault(call.neuron, []).append(call)
    for neuron, (first, *others) in calls.items():
        last = others[-1] if others else first
        if others and (isinstance(neuron, Accelerated) or neuron.stateful):
            continue  # it carries its membrane from call to call
        begins, ends = (depends_on(row).any(1).nonzero().flatten().tolist() for row in (first.given[0], last.given[-1]))
        if not stepped and (begins != [0] or first.T):
            continue  # it gets a mean over time, or all steps as channels; or frames that a MultiStep takes for images
        if not any(ends):
            continue  # it gets no later step
        if (first.T or neuron.timesteps) == 1 and _remembers(neuron):
            raise ValueError(
                f"{first.name} remembers nothing from step to step: it gets all steps in one call and takes them for "
                "samples, or is called once a step without stateful=True. One that is called once a step has "
                "stateful=True, one that is called with all steps has timesteps=T, or None for [T, N, *] "
                "(step_mode='m' in SpikingJelly), and one that shall remember nothing has decay=0"
            )
        wrong = first.T is None and neuron.timesteps not in (None, 1, T)
        if wrong and _is_whole(first.given, T, samples, depends_on):
            raise ValueError(
                f"{first.name} has timesteps={neuron.timesteps}, gets the {T} time steps of the input in one call, and "
                f"takes some of them for samples: set timesteps={T}, or None for [T, N, *]"
            )


def _is_whole(given, T, samples, depends_on) -> bool:
    """Whether all steps of the input stand one after the other in ``given``, folded or not."""
    rows = given[::samples] if given.shape[0] == T * samples else given
    if len(rows) != T:
        return False
    last = [depends_on(row).any(1).nonzero().flatten().tolist()[-1:] for row in rows]
    return last == [[step] for step in range(T)]


def _remembers(neuron) -> bool:
    """Whether it carries a membrane from step to step, if it is given several steps."""
    if isinstance(neuron, Accelerated):
        return True
    return bool(torch.as_tensor(neuron.decay).any()) and (not isinstance(neuron, NoisyLIF) or neuron.converted)


def _check_timesteps(model: nn.Module) -> None:
    """All neurons must agree on T, as a batch has one time axis; a MultiStep is sure that its own do."""
    inside = {neuron for multi in model.modules() if isinstance(multi, MultiStep) for neuron in neurons(multi)}
    found: dict[int, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, Neuron) and module.timesteps is not None and module not in inside:
            found.setdefault(module.timesteps, f"{name or 'the model'} has timesteps={module.timesteps}")
    if len(found) > 1:
        raise ValueError(f"the neurons of a model must agree on timesteps: {', '.join(found.values())}")
