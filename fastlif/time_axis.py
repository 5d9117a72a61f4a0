"""A check that a model and its data agree on where time is: a batch in its place gives wrong results, not an error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fastlif import validation
from fastlif.modules import NoisyLIF
from fastlif.multistep import MultiStep
from fastlif.neuron import Neuron, copy_of, neurons, reset
from fastlif.recording.watch import watch
from fastlif.types import Surrogate

__all__ = ["check_time_axis"]

REMEDY = (
    "A neuron with timesteps=T takes [T*N, *], time-major: repeat images with x.repeat(T, 1, ...), fold [T, N, *] with "
    "x.flatten(0, 1) and [N, T, *] with x.transpose(0, 1).flatten(0, 1), and unfold with y.unflatten(0, (T, N))"
)


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
    that disagree on T, a later step that reaches an earlier one, neurons that remember nothing, and a neuron that gets
    no batch but a table, such as that of a position bias, whose rows would be time steps. It follows the
    gradients of each row of the output: a row may depend on one sample only, and on no later step. Statistics of a
    layer have no gradient, so that they do not count. A copy of the model is run, in evaluation mode
    and with the surrogate ``"atan"``; a :class:`fastlif.MultiStep` a second time, with an input of its own at each
    step.

    Args:
        model: a model with fastlif neurons.
        input: a small example of what you give it, with at least two samples; each row of the output is a backward.
        timesteps: if the samples in ``input`` are folded, ``[T*N, *]`` time-major, the T of them.
        batch_dim: otherwise the dimension that counts the samples: 0, or 1 for ``[T, N, *]``.
        call: what you do with the model and the input, folding and averaging included: ``lambda model, x: model(x)``
            by default.

    Raises:
        TypeError: for arguments of the wrong type, or an output that is not a tensor.
        ValueError: for what it finds; for an input with fewer than two samples; if no gradient reaches the input.
    """
    validation.check_module("model", model)
    validation.check_input(input, dimensions="[N, *]", minimum=1)
    if batch_dim not in (0, 1) or (batch_dim == 1 and (timesteps is not None or input.ndim < 2)):
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
            _follow_gradients(model, input.expand(T, *input.shape), T, samples, 1, _every_step)


def _follow_gradients(model, input, T, samples, batch_dim, call):
    """Raises the errors of :func:`check_time_axis` for one call: which samples and steps each row depends on."""
    reset(model)
    x = input.detach().clone().requires_grad_()
    seen: list[tuple[str, torch.Tensor]] = []
    handles = watch(model, Neuron, lambda name, neuron, given, output: seen.append((name, given)))
    output = model(x) if call is None else call(model, x)
    for handle in handles:
        handle.remove()
    if not isinstance(output, torch.Tensor) or not output.ndim:
        raise TypeError(f"call must give a tensor with a first dimension, got {type(output).__name__}")
    if not output.requires_grad:
        raise ValueError("no gradient reaches the input, so that nothing can be told of the time axis")
    if batch_dim == 1 and output.shape[:2] == (T, samples):
        output = output.flatten(0, 1)
    rows, reached = output.shape[0], False
    stepped = T > 1 and rows == T * samples
    for row in range(rows):
        (grad,) = torch.autograd.grad(output[row].sum(), x, retain_graph=True, allow_unused=True)
        if grad is None:
            continue
        grad = grad if batch_dim == 1 else grad.unflatten(0, (T, samples))
        depends = (grad != 0).reshape(T, samples, -1).any(2)  # [T, N]
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
    for name, given in seen:
        if not given.requires_grad or bool((given == given[:1]).all()):
            continue  # what has no gradient tells nothing; and the rows of a learned token, or of zeros, are alike
        (path,) = torch.autograd.grad(given.sum(), x, retain_graph=True, allow_unused=True)
        if path is None:
            name = name.removeprefix("model.") if isinstance(model, MultiStep) else name
            raise ValueError(
                f"{name} is called with what does not depend on the input, such as a table of positions, whose rows it "
                "would take for time steps. Leave its activation as it is, with None for its name in the patterns that "
                f"fastlif.convert takes: {{{name!r}: None, '*': ...}}"
            )
    forgetful = [name for name, module in model.named_modules() if isinstance(module, Neuron) and _forgets(module)]
    if stepped and forgetful:
        raise ValueError(
            f"{forgetful[0] or 'the model'} remembers nothing from step to step, as a neuron with timesteps=1 without "
            "stateful=True: one that is called once a step has stateful=True, one that is called with all steps has "
            "timesteps=T, or None for [T, N, *], and one that shall remember nothing has decay=0"
        )


def _every_step(multi, x):
    return multi.over(len(x), "steps", x, sequence=True)


def _forgets(neuron: Neuron) -> bool:
    """Whether it would carry a membrane from step to step, and has but one step."""
    if neuron.timesteps != 1 or neuron.stateful or (isinstance(neuron, NoisyLIF) and not neuron.converted):
        return False
    return bool(torch.as_tensor(neuron.decay).any())


def _check_timesteps(model: nn.Module) -> None:
    """All neurons must agree on T, as a batch has one time axis; a MultiStep is sure that its own do."""
    inside = {neuron for multi in model.modules() if isinstance(multi, MultiStep) for neuron in neurons(multi)}
    found: dict[int, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, Neuron) and module.timesteps is not None and module not in inside:
            found.setdefault(module.timesteps, f"{name or 'the model'} has timesteps={module.timesteps}")
    if len(found) > 1:
        raise ValueError(f"the neurons of a model must agree on timesteps: {', '.join(found.values())}")
