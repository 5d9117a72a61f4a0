"""One network trained from several seeds, and what each variant of it gets right, image by image.

Variants are compared on the same images and within the same training: only where they differ counts, so that far fewer
images tell them apart than two separate accuracies would need.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import fastlif
from benchmarks.report.rows import Spread, spread
from benchmarks.report.verdicts import ERROR, LEAD, mean_and_error
from benchmarks.training.data import Work
from benchmarks.training.evaluation import correct, correct_per_step, correct_when_confident
from benchmarks.training.lab import Lab, Spec


@dataclass
class Trials:
    """What the networks of an experiment get right on one data set.

    Each test is called once for each training and setting.
    """

    lab: Lab
    experiment: str
    work: Work
    _found: dict[frozenset, tuple[Spec, dict, list[Tensor]]] = field(default_factory=dict)  # by setting

    def test(self, spec: Spec, model: nn.Module, **setting) -> None:
        """Note which test images ``model``, trained as ``spec`` says, gets right at this setting."""
        self._note(spec, setting, self._tested(correct, spec, model))

    def test_steps(self, spec: Spec, model: fastlif.MultiStep, steps: Iterable[int], **setting) -> None:
        """As :meth:`test`, after each of these numbers of steps, up to ``model.timesteps``: the setting's T."""
        per_step = self._tested(correct_per_step, spec, model)
        for T in steps:
            self._note(spec, setting | {"T": T}, per_step[T - 1])

    def test_early_exit(self, spec: Spec, model: fastlif.MultiStep, *, confidence: float, **setting) -> float:
        """As :meth:`test`, each image at its own number of steps; returns their mean. The confidence is a setting."""
        right, steps = self._tested(correct_when_confident, spec, model, confidence)
        self._note(spec, setting | {"confidence": confidence}, right)
        return steps.double().mean().item()

    def _tested(self, function: Callable, spec: Spec, model: nn.Module, *options):
        """What ``function`` finds. The noise differs from training to training: its chance is part of theirs."""
        data, recipe = self.lab.data[self.work.dataset], spec.recipe
        return function(model, data.test_images, data.test_labels, *options, dtype=recipe.dtype, seed=recipe.seed)

    def _note(self, spec: Spec, setting: dict[str, object], right: Tensor) -> None:
        self._found.setdefault(frozenset(setting.items()), (spec, setting, []))[2].append(right)

    def right(self, **setting) -> Tensor:
        """Whether each image was right at this setting, 1 or 0: ``[trainings, images]`` float64."""
        return torch.stack(self._found[frozenset(setting.items())][2]).double()

    def record_accuracies(self) -> None:
        """A row for each setting: the accuracy's spread over the trainings."""
        for spec, setting, right in self._found.values():
            accuracies = spread(100 * one.double().mean().item() for one in right)
            self.lab.record(self.experiment, spec, setting, "accuracy", "%", accuracies, "trainings")

    def record_lead(self, name: str, lead: Tensor) -> None:
        """Two rows for a comparison, by which it is judged: its mean over the trainings and that mean's error.

        Args:
            name: of the comparison, such as "T = 10 over the single step".
            lead: what each image contributes, ``[trainings, images]``: a difference of two results of :meth:`right`.
        """
        spec = next(iter(self._found.values()))[0]
        for metric, part in zip((LEAD, ERROR), mean_and_error(lead)):
            points = 100 * part
            values = Spread(points, points, points, len(lead))
            self.lab.record(self.experiment, spec, {"lead": name}, metric, "points", values, "trainings")
