"""A MultiStep model run step by step, in which samples stop as soon as they are sure of their class."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fastlif import validation
from fastlif.models import neurons
from fastlif.modules import NoisyLIF
from fastlif.passes import Pass


@torch.no_grad()
def run(multi, images, confidence, max_timesteps) -> tuple[torch.Tensor, torch.Tensor]:
    """:meth:`fastlif.MultiStep.until_confident`."""
    validation.check_input(images, dimensions="[N, *]", minimum=1, any_dtype=True)
    confidence = validation.check_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    T = validation.check_timesteps(multi.timesteps if max_timesteps is None else max_timesteps, "max_timesteps")
    multi.check_calibrated("max_timesteps", T)
    _check_neurons(multi)
    first_layers, model = (nn.Sequential(), multi.model) if multi.repeat_input else _split(multi.model)
    batch, device = images.shape[0], images.device
    x = multi.run(Pass(T, multi.timesteps, batch, static=True), first_layers, images.clone())
    noisy = [neuron for neuron in neurons(model) if isinstance(neuron, NoisyLIF)]
    at_once = 2 if any(neuron.options().over_time == "antithetic" for neuron in noisy) else 1
    left = torch.arange(batch, device=device)  # the samples that go on
    steps = torch.full((batch,), T, dtype=torch.int64, device=device)
    states: dict = {}
    total: Any = 0
    for done in range(0, T, at_once):
        now = min(at_once, T - done)
        current = Pass(now, multi.timesteps, len(left), not multi.repeat_input, first=done, states=states)
        input = x.expand(now, *x.shape).flatten(0, 1) if multi.repeat_input else x
        output = multi.run(current, model, input.clone())  # which a layer may change in place
        total = total + _sum_of_scores(output, now, len(left), states)
        mean = total / (done + now)
        if done == 0:  # nobody has left yet
            scores = torch.empty_like(mean)
        scores[left] = mean
        sure = mean.softmax(dim=1).amax(dim=1) > confidence
        steps[left[sure]] = done + now
        if bool(sure.all()):
            break
        if bool(sure.any()):
            rest = ~sure
            left, x, total = left[rest], x[rest], total[rest]
            states = {neuron: {call: state[rest] for call, state in calls.items()} for neuron, calls in states.items()}
    return scores.to(output.dtype), steps


def _check_neurons(multi) -> None:
    if multi.training:
        raise RuntimeError("until_confident is for evaluation: call multi.eval() first")
    for neuron in neurons(multi.model):
        if neuron.stateful:
            raise ValueError(
                "until_confident begins each batch with empty membranes, so that it cannot run stateful neurons: use "
                "stateful=False"
            )
        if isinstance(neuron, NoisyLIF) and not neuron.calibrated_mean.numel() and neuron.statistics == "layer":
            raise ValueError(
                'until_confident cannot use statistics="layer", where a result depends on who is still in the batch: '
                'calibrate the model, or make it with MultiStep(..., statistics="sample")'
            )


def _split(model: nn.Module) -> tuple[nn.Sequential, nn.Module]:
    """The layers before the first with a neuron, which see the same input at every step, and the rest."""
    layers = _layers(model)
    count = next(i for i, layer in enumerate(layers) if neurons(layer))
    return nn.Sequential(*layers[:count]), nn.Sequential(*layers[count:])


def _layers(model: nn.Module) -> list[nn.Module]:
    """What ``model`` runs one after the other; one that is more than an ``nn.Sequential``, or has hooks, is one."""
    if type(model) is not nn.Sequential or model._forward_hooks or model._forward_pre_hooks:
        return [model]
    return [layer for module in model for layer in _layers(module)]


def _sum_of_scores(output, timesteps: int, batch: int, states: dict) -> torch.Tensor:
    """The sum over the steps of the output ``[T*N, classes]``, in float32 at least."""
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        found = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise TypeError(f"until_confident needs a model that returns scores [N, classes], got {found}")
    sizes = {state.shape[0] for calls in states.values() for state in calls.values()}
    found = f"{output.shape[0]} rows of scores for {timesteps * batch}" if output.shape[0] != timesteps * batch else ""
    if sizes - {batch}:
        found = f"{min(sizes - {batch})} rows of a neuron for {batch} samples"
    if found:
        raise ValueError(f"until_confident needs a model in which every layer has one row for each sample, got {found}")
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    return output.unflatten(0, (timesteps, batch)).sum(dim=0)
