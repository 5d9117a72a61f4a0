"""Training and evaluation, the same for every network: what is compared differs in its neurons alone.

Images stay uint8 on the device and become float32 batch by batch, so that no loader is ever part of what is timed.
A model takes images ``[N, C, H, W]`` and gives scores ``[N, classes]``. A network of T steps does so inside
``fastlif.MultiStep``, which runs what comes before its first neuron once and averages the scores over time: trained
that way, ``MultiStep(small_network(..., activation=lambda: LIF(timesteps=10)), timesteps=10)`` is the baseline.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.datasets import to_float


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training gave."""

    loss: float  # mean over the epoch's batches
    seconds: float  # wall-clock time, the device's queue drained


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of scores ``[N, classes]`` and labels ``[N]``."""
    return F.cross_entropy(scores, labels)


def mean_squared_error(scores: Tensor, labels: Tensor) -> Tensor:
    """The paper's loss: mean squared error of scores ``[N, classes]`` against the one-hot labels ``[N]``."""
    return F.mse_loss(scores, F.one_hot(labels, scores.shape[1]).to(scores.dtype))


LOSSES = {"cross-entropy": cross_entropy, "mse": mean_squared_error}


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int = 1,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    loss: str = "cross-entropy",
    seed: int = 0,
    title: str | None = None,
) -> list[Epoch]:
    """Train ``model`` in place with Adam.

    Args:
        images: ``[N, C, H, W]`` uint8, on the model's device.
        labels: ``[N]`` int64, there too.
        batch_size: images in a batch. A last, smaller batch is left out: the next epoch's order is another.
        loss: a key of ``LOSSES``.
        seed: of the order of the images and of the neurons' noise (it seeds torch's global generators).
        title: shows a progress bar of this name, where there is a terminal, and prints a line per epoch.

    Returns:
        One :class:`Epoch` per epoch.
    """
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    model.train()
    history = []
    steps = epochs * max(1, len(images) // batch_size)
    with tqdm(desc=title, total=steps, unit="batch", leave=False, disable=None if title else True) as progress:
        for epoch in range(1, epochs + 1):
            start, losses = now(images.device), []
            for x, y in batches(images, labels, batch_size, order):
                batch_loss = LOSSES[loss](model(x), y)
                optimizer.zero_grad(set_to_none=True)
                batch_loss.backward()
                optimizer.step()
                losses.append(batch_loss.detach())  # a number only at the end: reading it waits for the device
                progress.update()
            mean_loss = torch.stack(losses).mean().item()
            history.append(Epoch(mean_loss, now(images.device) - start))
            if title:
                progress.write(f"{title}: epoch {epoch} of {epochs}, loss {mean_loss:.3g}, {history[-1].seconds:.2f} s")
    return history


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 100,
    seed: int = 0,
    title: str | None = None,
) -> float:
    """The fraction of ``images`` ``[N, C, H, W]`` that ``model``, in evaluation mode, gives their ``labels`` ``[N]``.

    The noise follows from ``seed``, and torch's generators are left as they were, so that an evaluation neither
    depends on what ran before it nor changes what runs after it. ``title``: as in :func:`train`, the bar alone.
    """
    training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    with (
        torch.random.fork_rng([images.device] if images.device.type == "cuda" else []),
        tqdm(desc=title, total=len(images), unit="image", leave=False, disable=None if title else True) as progress,
    ):
        torch.manual_seed(seed)
        for x, y in batches(images, labels, batch_size):
            correct += (model(x).argmax(1) == y).sum()
            progress.update(len(y))
    model.train(training)
    return correct.item() / len(labels)


def batches(
    images: Tensor, labels: Tensor, batch_size: int, order: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of float32 images in [0, 1] ``[n, C, H, W]`` and their labels ``[n]``.

    With ``order`` they are shuffled and all of one size: batch normalisation cannot train on a single leftover image.
    """
    count = len(images)
    indices = torch.arange(count) if order is None else torch.randperm(count, generator=order)
    if order is not None and count > batch_size:
        indices = indices[: count - count % batch_size]
    for index in indices.to(images.device).split(batch_size):
        yield to_float(images[index]), labels[index]


def now(device: torch.device) -> float:
    """Seconds on a clock, read once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
