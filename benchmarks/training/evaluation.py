"""Evaluation, the same for every network: accuracy, image by image and step by step, and the time of an image.

The noise behind an accuracy follows from a seed, and torch's generators are left as they were: it neither depends on
what ran before it nor changes what runs after it.
"""

import contextlib
import copy
import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from tqdm import tqdm

import fastlif
from benchmarks.report.rows import Spread
from benchmarks.speed.measure import in_turns
from benchmarks.training.loop import autocast, batches
from fastlif.models import evaluating, neurons


@contextlib.contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Draws from torch's generators follow from ``seed``; afterwards they are as they were before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, **options) -> float:
    """The fraction of ``images`` that are given their ``labels``. The arguments are those of :func:`correct`."""
    return correct(model, images, labels, **options).sum().item() / len(labels)


@torch.no_grad()
def correct(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 100,
    dtype: str = "float32",
    seed: int = 0,
    title: str | None = None,
) -> Tensor:
    """Which ``images`` ``[N, C, H, W]`` uint8 ``model``, in evaluation mode, gives their ``labels``: ``[N]`` bool.

    ``seed`` is the noise's. ``title`` shows a progress bar of this name, where there is a terminal.
    """
    found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    with (
        evaluating(model),
        seeded(images.device, seed),
        autocast(images.device, dtype),
        tqdm(desc=title, total=len(images), unit="image", leave=False, disable=None if title else True) as progress,
    ):
        for x, index in _numbered(images, batch_size):
            found[index] = model(x).argmax(1) == labels[index]
            progress.update(len(index))
    return found


def correct_when_confident(
    model: fastlif.MultiStep,
    images: Tensor,
    labels: Tensor,
    confidence: float,
    *,
    batch_size: int = 100,
    dtype: str = "float32",
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Which images are given their label by ``model.until_confident``, ``[N]`` bool, and the steps of each, ``[N]``.

    The other arguments are those of :func:`correct`.
    """
    found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    steps = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    with seeded(images.device, seed), autocast(images.device, dtype):
        for x, index in _numbered(images, batch_size):
            scores, steps[index] = model.until_confident(x, confidence)
            found[index] = scores.argmax(1) == labels[index]
    return found, steps


@torch.no_grad()
def seconds_per_image(models: list[nn.Module], batch: Tensor, *, dtype: str = "float32") -> list[Spread]:
    """Seconds per image of a pass of ``batch`` ``[N, C, H, W]`` float32 through each of ``models``, in turns.

    They are in evaluation mode. How many passes of each there are, and what is not timed: as in :func:`in_turns`.
    """

    def call(model: nn.Module):
        with autocast(batch.device, dtype):
            model(batch)

    with contextlib.ExitStack() as modes:
        for model in models:
            modes.enter_context(evaluating(model))
        times = in_turns([functools.partial(call, model) for model in models], batch.device)
    return [time * (1 / len(batch)) for time in times]


def over(model: fastlif.MultiStep, steps: int) -> fastlif.MultiStep:
    """A copy of ``model`` that takes so many steps, and carries no membranes yet."""
    model = copy.deepcopy(model)
    model.timesteps = steps
    fastlif.reset(model)
    return model


@torch.no_grad()
def correct_per_step(
    model: fastlif.MultiStep,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int | None = None,
    batch_size: int = 100,
    dtype: str = "float32",
    seed: int = 0,
) -> Tensor:
    """Which images are given their label by the mean score over the first t steps, t = 1, ..., T: ``[T, M]`` bool.

    All come from one pass over time, as t steps are the first t of more. T is ``steps``, by default
    ``model.timesteps``, which is how many are held at once. The last is what :func:`correct` gives. The other arguments
    are as there.

    Raises:
        ValueError: for more steps than are held at once, of neurons that do not carry their membranes.
    """
    chunk = model.timesteps
    steps = chunk if steps is None else steps
    if steps > chunk and not all(neuron.stateful for neuron in neurons(model)):
        raise ValueError("the model's neurons must carry their membranes from call to call: stateful=True")
    found = torch.zeros(steps, len(images), dtype=torch.bool, device=images.device)
    try:
        with evaluating(model), seeded(images.device, seed), autocast(images.device, dtype):
            for x, index in _numbered(images, batch_size):
                fastlif.reset(model)
                carried = 0
                for start in range(0, steps, chunk):
                    model.timesteps = min(chunk, steps - start)
                    # In float64 thousands of float32 scores add up exactly enough for the order not to matter.
                    sums = carried + _scores(model, x).double().cumsum(0)
                    found[start : start + len(sums), index] = sums.argmax(2) == labels[index]
                    carried = sums[-1]
    finally:
        model.timesteps = chunk
    return found


def _numbered(images: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and their numbers."""
    return batches(images, torch.arange(len(images), device=images.device), batch_size)


def _scores(model: fastlif.MultiStep, images: Tensor) -> Tensor:
    """The scores at each step, ``[T, N, classes]``, of which ``model`` returns the mean."""
    outputs = []
    hook = model.model.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        model(images)
    finally:
        hook.remove()
    return outputs[0].unflatten(0, (model.timesteps, len(images)))
