"""How many time steps a converted model needs: its accuracy at every T, from one pass over labelled data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from fastlif import validation
from fastlif.models import evaluating, on_its_device
from fastlif.multistep import MultiStep

__all__ = ["recommend_timesteps"]


@dataclass(frozen=True)
class Recommendation:
    """What :func:`recommend_timesteps` found; printed, it is a table.

    Attributes:
        timesteps: the smallest T whose accuracy is within the loss of the best one.
        accuracies: in percent, for T = 1, 2, ...
        loss: in percentage points.
    """

    timesteps: int
    accuracies: tuple[float, ...]
    loss: float

    def __str__(self) -> str:
        best = max(range(len(self.accuracies)), key=self.accuracies.__getitem__) + 1
        rows = []
        for T, accuracy in enumerate(self.accuracies, start=1):
            notes = [note for note, noted in (("recommended", self.timesteps), ("best", best)) if noted == T]
            rows.append(f"T = {T:<4} {accuracy:6.2f} %  {', '.join(notes)}".rstrip())
        rows.append(f"T = {self.timesteps} is the smallest T within {self.loss:g} percentage points of the best")
        return "\n".join(rows)


@torch.no_grad()
def recommend_timesteps(
    multi: MultiStep, loader: Iterable, loss: float = 0.5, max_timesteps: int | None = None
) -> Recommendation:
    """Measures the accuracy of ``multi`` at every T and names the smallest T that is good enough.

    One pass serves all T: no step depends on a later one, so the mean over the first T of many steps is what a run of
    T steps gives. Run it on data that the model was not trained with, and on enough of it: the accuracy p of n samples
    has a standard error of ``sqrt(p (1 - p) / n)``, 0.5 percentage points at 95 % of 2,000 samples. The model is
    run in evaluation mode; its modes and the membranes that stateful neurons carry are left as they are.

    Args:
        multi: a :class:`fastlif.MultiStep` that returns class scores ``[N, classes]``.
        loader: batches ``(inputs [N, *], labels [N])`` with integer labels, as a data loader gives them, on the
            CPU too. The inputs are no sequences.
        loss: how many percentage points of the best accuracy may be given up; 0.5 by default.
        max_timesteps: the largest T to measure; by default ``multi.timesteps``, which it may exceed.

    Returns:
        A record with ``timesteps``, the smallest T within ``loss`` of the best accuracy, and ``accuracies`` in percent,
        a tuple for T = 1, 2, ... ``print`` shows both as a table.

    Raises:
        TypeError: if ``multi`` is not a MultiStep, ``loader`` not an iterable of labelled batches, or the output not
            scores ``[N, classes]``.
        ValueError: if ``loss`` is negative, ``max_timesteps`` is less than 1 or more than was calibrated, there are no
            samples, a label is no class of the model, or a score is NaN or infinite.
    """
    validation.check_type("multi", multi, MultiStep)
    validation.check_batches("loader", loader)
    loss = validation.check_number("loss", loss, finite=True)
    if loss < 0:
        raise ValueError(f"loss must be at least 0 percentage points, got {loss}")
    T = validation.check_timesteps(multi.timesteps if max_timesteps is None else max_timesteps, "max_timesteps")
    multi.check_calibrated("max_timesteps", T)
    correct: torch.Tensor | int = 0
    numbers: torch.Tensor | bool = True
    count = 0
    with evaluating(multi) as carried:
        for batch in loader:
            inputs, labels = _labelled(batch)
            for neuron in carried:
                neuron.reset()
            try:
                steps = multi.over(T, "steps", on_its_device(multi, inputs))  # [T, N, classes]
            except RuntimeError as error:
                if hint := _hint(inputs, labels):
                    error.add_note(hint.removeprefix("; "))
                raise
            if not isinstance(steps, torch.Tensor) or steps.ndim != 3:
                found = f"shape {tuple(steps.shape[1:])}" if isinstance(steps, torch.Tensor) else type(steps).__name__
                raise TypeError(
                    f"recommend_timesteps needs a model that returns scores [N, classes], got {found}"
                    + _hint(inputs, labels)
                )
            _check_classes(labels, steps.shape[2])
            sums = steps.cumsum(dim=0, dtype=torch.promote_types(steps.dtype, torch.float32))
            numbers = numbers & (sums < math.inf).all()  # -inf may be the score of a class that is ruled out
            chosen = sums.argmax(dim=2)
            correct = correct + (chosen == labels.to(chosen.device)).sum(dim=1)  # [T]
            count += len(inputs)
    if not count:
        raise ValueError("loader must hold at least one sample to measure with, got none")
    if not numbers:
        raise ValueError(
            "multi must give scores that are numbers, and there is NaN or infinity in them: look for it in the inputs "
            "and the weights"
        )
    rights = torch.as_tensor(correct).tolist()
    enough = [100 * (max(rights) - right) <= loss * count for right in rights]
    return Recommendation(enough.index(True) + 1, tuple(100 * right / count for right in rights), loss)


def _check_classes(labels, classes: int) -> None:
    if not labels.numel():
        return
    lowest, highest = (int(label) for label in labels.long().aminmax())
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"labels must lie in 0..{classes - 1}, as the scores do, got {lowest}..{highest}: leave "
            "samples without a class out of loader"
        )


def _hint(inputs, labels) -> str:
    """What to do with sequences ``[T, N, *]``, if the inputs may be some."""
    if inputs.ndim < 3 or inputs.shape[1:2] != labels.shape:
        return ""
    return (
        "; sequences [T, N, *] are not measured here: with output='steps' the class after each number of steps is "
        "multi(inputs, sequence=True).cumsum(0).argmax(2), [T, N]"
    )


def _labelled(batch) -> tuple[torch.Tensor, torch.Tensor]:
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2
            and all(isinstance(part, torch.Tensor) for part in batch)):  # fmt: skip
        kind = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
        raise TypeError(f"loader must give labelled batches, (inputs, labels) tensors, got {kind}")
    inputs, labels = batch
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.shape != inputs.shape[:1]:
        raise TypeError(
            f"loader must give integer labels [N] for inputs [N, *] of shape {tuple(inputs.shape)}, got "
            f"{validation.dtype_name(labels)} of shape {tuple(labels.shape)}" + _hint(inputs, labels)
        )
    return inputs, labels
