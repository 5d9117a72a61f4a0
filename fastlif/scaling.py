"""A trained ReLU network as a start: each layer's threshold, noise and spikes in the units of its activations."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterable

import torch
from torch import nn

from fastlif import validation
from fastlif.libraries.names import no_neuron
from fastlif.models import copy_of, evaluating, on_its_device
from fastlif.neuron import Neuron

__all__ = ["scale_thresholds"]

SAMPLES = 4096  # of each layer and batch
MOST_SAMPLES = 65_536  # of a layer, all batches together
CANDIDATES = 40  # scales that are tried, from the largest activation down to a hundredth of it


class Scaled(nn.Module):
    """A neuron in other units: its threshold, noise and spikes are ``scale`` times as large."""

    scale: torch.Tensor

    def __init__(self, neuron: Neuron):
        super().__init__()
        self.neuron = neuron
        self.register_buffer("scale", torch.ones(()))

    def _apply(self, fn, recurse=True):
        """Moves with the module, but the scale keeps its dtype."""
        scale = self.scale
        super()._apply(fn, recurse)
        if self.scale.dtype != scale.dtype:
            self.scale = scale.to(self.scale.device)
        return self

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.neuron(input / self.scale) * self.scale


def scale_thresholds(model: nn.Module, trained: nn.Module | None = None, batches: Iterable | None = None) -> nn.Module:
    """A copy of ``model`` whose neurons have the thresholds that suit the activations of the trained network.

    A layer's threshold, noise and spikes are all multiplied by one number, its scale: the one with which its neuron's
    output, averaged over its time steps, differs least from the trained network's activations, in the mean square over
    ``batches``. The weights stay. A neuron that stands for several activations gets one scale for them all.

    ``examples/fine_tune.py`` measures what it gains in a network without batch normalisation. After batch normalisation
    activations are about 1 already, and there is little to scale.

    Args:
        model: what :func:`fastlif.convert` made of ``trained``, before :class:`fastlif.MultiStep`.
        trained: the trained network. It runs over ``batches`` in evaluation mode, and is then as it was.
        batches: inputs ``[N, *]``, or tuples that begin with one, as a data loader gives them, on the CPU too; some
            hundred samples do. Without ``trained`` and ``batches`` every scale is 1, for a state_dict to be loaded.

    Returns:
        The copy. In it each neuron is the part ``neuron`` of a module that has the buffer ``scale`` beside it, float32
        ``[]``, and both travel in the state_dict.

    Raises:
        TypeError: if ``model`` or ``trained`` is not a module, or ``batches`` not an iterable of inputs.
        ValueError: if ``model`` has no fastlif neuron or is scaled already, ``trained`` has no module where ``model``
            has a neuron, or one that is not elementwise, or activations that are not finite, there are no batches, or
            only one of ``trained`` and ``batches`` is given.

    Example:
        ``spiking = scale_thresholds(convert(trained), trained, loader)``
    """
    model = copy_of(model)
    names = {neuron: name for name, neuron in model.named_modules() if isinstance(neuron, Neuron)}
    if not names:
        raise ValueError(no_neuron(model))
    if any(isinstance(module, Scaled) for module in model.modules()):
        raise ValueError("model is scaled already: begin with what fastlif.convert made")
    if (trained is None) != (batches is None):
        raise ValueError("give both trained and batches, or neither for scales of 1")
    scaled = {neuron: Scaled(neuron).train(neuron.training) for neuron in names}
    for neuron, name in names.items():
        if any(tensor.numel() > 1 for tensor in (*neuron.parameters(), *neuron.buffers())):
            raise ValueError(
                f"model must have neurons with one decay, threshold and gain for the layer, and {name or 'it'} has "
                "several: give them after scale_thresholds"
            )
    if trained is not None and batches is not None:  # both, or neither
        for neuron, (inputs, outputs) in _record(trained, names, batches).items():
            scaled[neuron].scale.fill_(_fit(neuron, inputs, outputs))
    holder = nn.Module()
    holder.model = model  # so that a model that is itself a neuron has a parent too
    for parent in list(holder.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, Neuron):
                setattr(parent, name, scaled[child])
    return holder.model


@torch.no_grad()
def _record(trained: nn.Module, names: dict[Neuron, str], batches: Iterable) -> dict[Neuron, tuple]:
    """What went into the activation that each neuron stands for and came out of it: some of it, drawn at random."""
    validation.check_module("trained", trained)
    validation.check_batches("batches", batches)
    modules = dict(trained.named_modules(remove_duplicate=False))
    for name in names.values():
        if name not in modules:
            raise ValueError(
                f"trained must be the network that model was converted from, and has no module {name!r}. If model has "
                "time steps already, as a MultiStep, scale what fastlif.convert made, and make the MultiStep of that"
            )
    seen: dict[Neuron, list] = {neuron: [] for neuron in names}
    generator = torch.Generator().manual_seed(0)  # of its own, so that the same activations are drawn every time

    def before(neuron, module, arguments, keywords):
        x = arguments[0] if arguments else keywords["input"]
        chosen = torch.randint(x.numel(), (SAMPLES,), generator=generator, device="cpu").to(x.device)
        seen[neuron].append((x.shape, chosen, x.reshape(-1)[chosen].float()))  # before it is overwritten in place

    def after(neuron, module, arguments, output):
        shape, chosen, x = seen[neuron].pop()
        if output.shape != shape:
            raise ValueError(
                f"{names[neuron] or 'the model'} in trained must be elementwise, and makes {tuple(output.shape)} of "
                f"{tuple(shape)}"
            )
        seen[neuron].append((x, output.reshape(-1)[chosen].float()))

    count = 0
    with contextlib.ExitStack() as hooks, evaluating(trained):
        for neuron, name in names.items():
            to_keep, to_compare = functools.partial(before, neuron), functools.partial(after, neuron)
            hooks.enter_context(modules[name].register_forward_pre_hook(to_keep, with_kwargs=True))
            hooks.enter_context(modules[name].register_forward_hook(to_compare))
        for batch in batches:
            trained(on_its_device(trained, validation.check_batch(batch)))
            count += 1
    if not count:
        raise ValueError("batches must hold at least one batch, got none")
    joined = {neuron: tuple(map(torch.cat, zip(*pairs))) for neuron, pairs in seen.items() if pairs}
    for neuron, pair in joined.items():
        if not all(bool(values.isfinite().all()) for values in pair):
            raise ValueError(
                f"batches must leave every activation finite, and {names[neuron] or 'the model'} has NaN or infinity: "
                "it is in them, or in the weights"
            )
    return joined


@torch.no_grad()
def _fit(neuron: Neuron, inputs: torch.Tensor, outputs: torch.Tensor) -> float:
    """The scale with which ``neuron`` comes nearest to the activation that makes ``outputs`` ``[n]`` of ``inputs``."""
    largest = float(outputs.max())
    if largest <= 0:  # a layer that is silent on all batches
        return 1.0
    drawn = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0), device="cpu")
    chosen = drawn[:MOST_SAMPLES].to(inputs.device)
    inputs, outputs, T = inputs[chosen], outputs[chosen], neuron.timesteps or 1
    trial = copy.deepcopy(neuron)
    trial.stateful, trial.backend = False, "reference"
    for hooks in (trial._forward_pre_hooks, trial._forward_hooks):  # a user's are for the model's own inputs
        hooks.clear()

    def error(scale: float) -> float:
        generator.manual_seed(0)  # the same noise for every scale and in every run
        spikes = trial((inputs / scale).expand(T, -1))  # [T*N, *] of one sample, so N is 1
        return float((scale * spikes.unflatten(0, (T, 1)).mean(dim=0)[0] - outputs).square().mean())

    device, generator = inputs.device, torch.default_generator
    if device.type != "cpu":
        generator = torch.get_device_module(device).default_generators[device.index]
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        return min((largest * 100 ** (-i / (CANDIDATES - 1)) for i in range(CANDIDATES)), key=error)
