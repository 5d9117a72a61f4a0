"""Training, the same for every network: what is compared differs in its neurons alone.

Images stay uint8 on the device; they are augmented and become float32 there, batch by batch, so that no loader is ever
part of what is timed. A model takes images ``[N, C, H, W]`` and gives scores ``[N, classes]``. A network of T steps
does so inside ``fastlif.MultiStep``, which runs what comes before its first neuron once and averages the scores over
time: trained that way, ``MultiStep(networks.build(..., activation=lambda: LIF(timesteps=10)), timesteps=10)`` is the
baseline.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingWarmRestarts, OneCycleLR
from tqdm import tqdm

from benchmarks import machine
from benchmarks.training import checkpoint
from benchmarks.training.augmentation import crop_and_flip, erase
from benchmarks.training.datasets import to_float

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
RESTART_PERIOD = 100  # epochs, of the paper's cosine annealing with warm restarts
WARM_UP_BATCHES = 3  # before anything is timed


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int = 1
    batch_size: int = 100  # images
    learning_rate: float = 1e-3
    loss: str = "cross-entropy"  # a key of LOSSES
    schedule: str = "constant"  # a key of SCHEDULES
    weight_decay: float = 0.0  # decoupled from the gradient: AdamW, which is Adam where it is 0
    shift: int = 0  # pixels that images are shifted by at most, at random; where it is not 0 they are mirrored too
    erase: bool = False  # whether a rectangle of each image is blanked, at random
    dtype: str = "float32"  # a key of DTYPES: autocast to it in the 16-bit ones
    seed: int = 0  # of the order of the images, of the augmentation and of the neurons' noise


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training gave."""

    loss: float  # mean over the epoch's batches
    seconds: float  # wall-clock time of the training alone, the device's queue drained
    metrics: dict[str, float] = field(default_factory=dict)  # what was measured after it
    commit: str = ""  # of the checkout that trained it; older checkpoints have none


def mean_squared_error(scores: Tensor, labels: Tensor) -> Tensor:
    """The paper's loss: mean squared error of scores ``[N, classes]`` against the one-hot labels ``[N]``."""
    return F.mse_loss(scores, F.one_hot(labels, scores.shape[1]).to(scores.dtype))


LOSSES = {
    "cross-entropy": F.cross_entropy,
    "smoothed-cross-entropy": functools.partial(F.cross_entropy, label_smoothing=0.05),
    "mse": mean_squared_error,
}
# Each is stepped once a batch.
SCHEDULES = {
    "constant": lambda optimizer, recipe, steps: ConstantLR(optimizer, factor=1.0),
    "warm-restarts": lambda optimizer, recipe, steps: CosineAnnealingWarmRestarts(optimizer, RESTART_PERIOD * steps),
    "one-cycle": lambda optimizer, recipe, steps: OneCycleLR(
        optimizer, recipe.learning_rate, epochs=recipe.epochs, steps_per_epoch=steps, cycle_momentum=False
    ),
}


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    after_epoch: Callable[[nn.Module], dict[str, float]] | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    path: Path | None = None,
    spec: str = "",
    resume: bool = False,
    title: str | None = None,
    commit: str = "",
) -> list[Epoch]:
    """Train ``model`` in place.

    Args:
        images: ``[N, C, H, W]`` uint8, on the model's device.
        labels: ``[N]`` int64, there too.
        after_epoch: measures the model after each epoch, outside of its time; what it draws changes nothing.
        on_epoch: told of each epoch, by its number from 1, once it is over.
        path: of the checkpoint that is written after each epoch. It holds the model, the optimizer, the schedule, the
            history and the state of every generator that training draws from.
        spec: describes the model, its data and the recipe in the checkpoint (default: the recipe alone). One of another
            spec, device or version of torch is refused.
        resume: go on from that checkpoint, if there is one. On a CPU the weights come out as if the training had never
            been interrupted, bit for bit.
        title: shows a progress bar of this name, where there is a terminal, and prints a line per epoch.
        commit: of this checkout, which each epoch is given.

    Returns:
        One :class:`Epoch` per epoch, those before an interruption included.

    Raises:
        CheckpointError: the checkpoint to resume from cannot be used.
    """
    device = images.device
    spec = f"{spec or recipe} on {machine.describe(device)}, torch {torch.__version__}"
    saved = checkpoint.load(path, spec) if path and resume else None
    order = torch.Generator().manual_seed(recipe.seed)
    optimizer = AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, len(images) // recipe.batch_size)
    schedule = SCHEDULES[recipe.schedule](optimizer, recipe, steps)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.dtype == "float16")
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    if saved is None:
        history = []
        torch.manual_seed(recipe.seed)
    else:
        history = _resume(path, saved, parts, order, device)
    model.train()

    progress = tqdm(
        desc=title,
        initial=len(history) * steps,
        total=recipe.epochs * steps,
        unit="batch",
        leave=False,
        disable=None if title else True,
    )
    with progress:
        for number in range(len(history) + 1, recipe.epochs + 1):
            start, losses = machine.now(device), []
            for x, y in batches(images, labels, recipe.batch_size, order, recipe.shift, recipe.erase):
                optimizer.zero_grad(set_to_none=True)
                with autocast(device, recipe.dtype):
                    loss = LOSSES[recipe.loss](model(x).float(), y)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                losses.append(loss.detach())  # a number only at the end: reading it waits for the device
                progress.update()
            mean_loss = torch.stack(losses).mean().item()
            seconds = machine.now(device) - start
            epoch = Epoch(mean_loss, seconds, after_epoch(model) if after_epoch else {}, commit)
            history.append(epoch)
            _keep(path, spec, parts, order, device, history)
            if on_epoch:
                on_epoch(number, epoch)
            if title:
                metrics = "".join(f", {name} {value:.4g}" for name, value in epoch.metrics.items())
                line = f"{title}: epoch {number} of {recipe.epochs}, loss {mean_loss:.3g}, {seconds:.2f} s{metrics}"
                progress.write(line)
    return history


def _keep(path, spec, parts, order, device, history) -> None:
    if path is None:
        return
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"order": order.get_state(), "history": [dataclasses.asdict(epoch) for epoch in history]}
    state["generators"] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["generators"]["device"] = torch.cuda.get_rng_state(device)
    checkpoint.save(path, spec, state)


def _resume(path, state, parts, order, device) -> list[Epoch]:
    """Put the parts, the order and the generators in a checkpoint's state, all of them or none."""
    before = copy.deepcopy(parts["model"].state_dict())
    try:
        history = [Epoch(**epoch) for epoch in state["history"]]
        for name, part in parts.items():
            part.load_state_dict(state[name])
        order.set_state(state["order"])
        own = state["generators"]
        torch.set_rng_state(own["cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(own["device"], device)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        parts["model"].load_state_dict(before)
        reason = str(error).strip().split("\n")[0]
        raise checkpoint.CheckpointError(f"{path} does not fit the model ({reason}): delete it to start anew") from None
    return history


def warm_up(model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """Train a copy on a few batches, so that neither compilation nor the first allocations are timed."""
    few = WARM_UP_BATCHES * recipe.batch_size
    train(copy.deepcopy(model), images[:few], labels[:few], dataclasses.replace(recipe, epochs=1))


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """Computes in ``dtype``, a key of ``DTYPES``, where that is safe; in float32 it does nothing."""
    return torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "float32")


def batches(
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    order: torch.Generator | None = None,
    shift: int = 0,
    erased: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of float32 images in [0, 1] ``[n, C, H, W]`` and their labels ``[n]``.

    With ``order`` they are shuffled and all of one size: batch normalisation cannot train on a single leftover image.
    ``shift`` and ``erased``: as in :class:`Recipe`.
    """
    count = len(images)
    indices = torch.arange(count) if order is None else torch.randperm(count, generator=order)
    if order is not None and count > batch_size:
        indices = indices[: count - count % batch_size]
    for index in indices.to(images.device).split(batch_size):
        x = images[index]
        x = crop_and_flip(x, padding=shift) if shift else x
        yield to_float(erase(x) if erased else x), labels[index]
