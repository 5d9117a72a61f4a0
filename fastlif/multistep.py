"""From a single-step spiking network to T steps: the second and the third of the paper's three steps."""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from fastlif import early_exit, validation
from fastlif.libraries.names import no_neuron
from fastlif.models import copy_of, evaluating, neurons, on_its_device
from fastlif.modules import NoisyLIF
from fastlif.passes import Pass, Running, tensors_in, thread

__all__ = ["MultiStep"]

OF_NEURONS = ("alpha", "beta", "residual", "over_time", "statistics")
REMEDY = (
    "If the model shapes tensors by the batch size of its input, or a path in it bypasses the first neuron, use "
    "MultiStep(..., repeat_input=True), then run fastlif.check_time_axis"
)
FURTHER = (
    "Further arguments go to the model as they are. One with a row for each sample needs one for each step too: give "
    "torch.cat([argument] * T), or argument.flatten(0, 1) of a sequence, with repeat_input=True or sequence=True"
)


class MultiStep(nn.Module):
    """A single-step network run over T steps without retraining, Eq. (6)-(9): the mean over T of its outputs.

    Holds a copy of ``model``, its neurons converted. ``multi(images)`` gives it the same input ``[N, *]`` at every
    step, so the layers before the first neuron are computed once; what follows sees the batch T times, ``[T*N, *]``
    time-major. ``multi(events, sequence=True)`` takes ``[T, N, *]``, an input for each step: then T is that of the
    input, whatever ``timesteps`` is, and every layer sees ``[T*N, *]``. Further arguments go to the model as they are:
    one with a row for each sample, such as a mask, needs ``repeat_input=True`` or ``sequence=True``, and to be repeated
    by you, ``torch.cat([mask] * timesteps)``; a second sequence is folded by you, ``more.flatten(0, 1)``.

    Args:
        model: a module with fastlif neurons that takes ``[N, *]``, of any dtype, as its first argument.
        timesteps: T, at least 1; 10 by default. Can be set to another value at any time.
        alpha, beta, residual, over_time, statistics: if given, for every :class:`fastlif.NoisyLIF` in place of its own.
            If ``statistics`` are given, a calibration is dropped.
        repeat_input: repeat the input T times at the start instead, for models in which a path bypasses the first
            neuron or a layer before it changes the batch.
        output: ``"mean"`` (default) averages over T; ``"steps"`` gives every step. Can be set at any time.

    Output:
        What ``model`` returns for ``[N, *]``, every tensor in it (in tuples, lists, dicts and dataclasses too) averaged
        over T; with ``output="steps"`` every tensor is ``[T, N, *]``.

    Raises:
        TypeError, ValueError: for wrong arguments, or a model without fastlif neurons; in a call, for more steps than
            were calibrated.

    Warns:
        UserWarning: for neurons of a single step without noise to which beta is added, if it was not given.
    """

    def __init__(
        self,
        model: nn.Module,
        timesteps: int = 10,
        *,
        alpha: float | None = None,
        beta: float | None = None,
        residual: str | None = None,
        over_time: str | None = None,
        statistics: str | None = None,
        repeat_input: bool = False,
        output: str = "mean",
    ):
        super().__init__()
        validation.check_module("model", model)
        if any(isinstance(module, MultiStep) for module in model.modules()):
            raise ValueError("model has time steps already, as it is or holds a MultiStep: set its timesteps instead")
        if not neurons(model):
            raise ValueError(no_neuron(model))
        options: tuple[Any, ...] = (alpha, beta, residual, over_time, statistics)
        given = {name: value for name, value in zip(OF_NEURONS, options) if value is not None}
        if given and not any(isinstance(neuron, NoisyLIF) for neuron in neurons(model)):
            raise ValueError(f"only a fastlif.NoisyLIF takes {', '.join(given)}, and {type(model).__name__} has none")
        self.model = copy_of(model)
        self.repeat_input = validation.check_flag("repeat_input", repeat_input)
        self.output = output
        self.running = Running()
        shifted = [name for name, neuron in self.model.named_modules() if beta is None and _is_shifted(neuron)]
        if shifted:
            warnings.warn(
                "fastlif.MultiStep adds beta to neurons that were trained without it and without noise, such as "
                f"{shifted[0] or type(model).__name__}: give MultiStep(..., beta=0)",
                stacklevel=2,
            )
        for neuron in neurons(self.model):
            neuron.needs_pass = True
            neuron.running = self.running
            if isinstance(neuron, NoisyLIF):
                neuron.convert(**given)
        self.timesteps = timesteps
        self.training = model.training  # its own flag alone: the copy has kept those of its parts

    def __setattr__(self, name, value):
        if name in OF_NEURONS and type(self) is MultiStep:  # a subclass may have its own
            new = f"a new MultiStep(multi.model, timesteps, {name}=...) with this one's repeat_input and output"
            raise AttributeError(f"{name} is each neuron's own: to set all, make {new}. Calibrate it if this one is")
        super().__setattr__(name, value)

    @property
    def timesteps(self) -> int:
        """T: setting it sets that of every neuron."""
        return self._timesteps

    @timesteps.setter
    def timesteps(self, timesteps: int) -> None:
        self._timesteps = validation.check_timesteps(timesteps)
        for neuron in neurons(self.model):
            neuron.timesteps = self._timesteps

    @property
    def output(self) -> str:
        """``"mean"`` or ``"steps"``."""
        return self._output

    @output.setter
    def output(self, output: str) -> None:
        self._output = validation.check_choice("output", output, ("mean", "steps"))

    def forward(self, input: torch.Tensor, *args: Any, sequence: bool = False, **keywords: Any) -> Any:
        return self.over(self._timesteps, self._output, input, *args, sequence=sequence, **keywords)

    def over(
        self, T: int, how: str, input: torch.Tensor, /, *args: Any, sequence: bool = False, **keywords: Any
    ) -> Any:
        """``forward`` over T steps that need not be ``timesteps``, and with an ``output`` that need not be its own."""
        if validation.check_flag("sequence", sequence):
            validation.check_sequence(input, any_dtype=True)
            T, batch = input.shape[:2]
            self.check_calibrated("the input's T", T)
            input, static = input.flatten(0, 1), False
        else:
            validation.check_input(input, dimensions="[N, *]", minimum=1, any_dtype=True)
            batch, static = input.shape[0], not self.repeat_input
            if self.repeat_input:
                input = input.expand(T, *input.shape).flatten(0, 1)
        current = Pass(T, self._timesteps, batch, static)
        if torch.compiler.is_compiling():
            return over_time(self.run(current, self.model, input, *args, **keywords), T, batch, how)
        try:
            output = self.run(current, self.model, input, *args, **keywords)
        except (RuntimeError, AssertionError, ValueError) as error:
            if not current.reached and static and input.ndim > 4:
                error.add_note("For an input at each step, [T, N, *], give sequence=True")
            if T > 1 and re.search("shape|size|dimension", str(error)):
                if current.reached and not isinstance(error, ValueError):  # which says what it is
                    error.add_note(f"{_behind(T, batch)}. {REMEDY}")
                shapes = [tensor.shape for tensor in tensors_in([args, keywords])]
                if any(shape[:1] == (batch,) or sequence and shape[:2] == (T, batch) for shape in shapes):
                    error.add_note(FURTHER)
            raise
        if current.reached and _only_of_batch(batch, output, T):
            raise ValueError(f"{_behind(T, batch)}, and the model's output has {batch}. {REMEDY}")
        output = over_time(output, T, batch, how)
        current.keep(output)
        return output

    def run(self, current: Pass, model: nn.Module, input: torch.Tensor, /, *args: Any, **keywords: Any) -> Any:
        """The output of ``model``, the own one or its last layers, over the steps of a pass: ``[T*N, *]``."""
        around = thread.current
        thread.current = current
        if not torch.compiler.is_compiling():
            self.running.append(current)
        try:
            return model(input, *args, **keywords)
        finally:
            thread.current = around
            if not torch.compiler.is_compiling():
                self.running.remove(current)

    def check_calibrated(self, name: str, timesteps: int) -> None:
        """Refuses more steps than the neurons were calibrated for, before any of them has run."""
        if thread.recording is not None:  # which replaces what was calibrated
            return
        for neuron in neurons(self.model):
            if isinstance(neuron, NoisyLIF) and 0 < neuron.calibrated_mean.shape[1] < timesteps:
                raise ValueError(
                    f"{name} is {timesteps} and exceeds the {neuron.calibrated_mean.shape[1]} steps that were "
                    "calibrated: calibrate again"
                )

    def until_confident(
        self, images: torch.Tensor, confidence: float = 0.9, max_timesteps: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Class scores that stop early: a sample takes steps until the softmax of its mean score says that it is sure.

        The model is run step by step. After each step the samples whose largest probability, the softmax of the mean
        of their outputs so far, exceeds ``confidence`` are dropped, and the rest goes on with the membranes that it
        has. So a sample's result does not depend on when others stop. Each step draws its noise with a seed of its own:
        a sample that takes all T steps gets what ``multi(images)`` gives, with other noise of the same distribution,
        and exactly that without noise. With ``over_time="antithetic"`` two steps are run at a time, a step and its
        mirror image, so that samples stop after an even number of them, or at the end.

        The layers of an ``nn.Sequential`` that come before the first with a neuron are computed once. In other models
        what comes before the first neuron is computed at each step again.

        The scores should be a linear output's. An output of spikes, which are between 0 and 1, cannot get far from
        equal probabilities: of ten classes the largest is below 0.24.

        Args:
            images: ``[N, *]``, the same at every step.
            confidence: the probability to exceed, between 0 and 1; 0.9 by default.
            max_timesteps: T, the most steps that a sample takes; by default ``timesteps``.

        Returns:
            The mean scores ``[N, classes]``, and the steps that each sample took, ``[N]`` int64. Without gradients.

        Raises:
            TypeError, ValueError: for wrong arguments; for more steps than were calibrated; for neurons with statistics
                of the layer, which is the batch that is left, or stateful ones; for an output that is not scores
                ``[N, classes]``, or a model that mixes samples.
            RuntimeError: in training mode.
        """
        return early_exit.run(self, images, confidence, max_timesteps)

    @torch.no_grad()
    def calibrate(self, batches: Iterable, *, sequence: bool = False) -> MultiStep:
        """Freezes the membrane's mean and largest deviation of every NoisyLIF and step, averaged over ``batches``.

        From then on a neuron is one elementwise pass, and a sample's result does not depend on the others. The frozen
        values are buffers of the neurons and travel in the state_dict; they hold for any T up to the present one.

        Args:
            batches: inputs ``[N, *]``, or tuples that begin with one, as a data loader gives them, on the CPU too.
            sequence: whether they are ``[T, N, *]``, all of one T, which is then the largest that the values hold for.

        Returns:
            The module itself.

        Raises:
            TypeError: if ``batches`` is not an iterable of these.
            ValueError: if there are no batches, or an empty one, if a membrane does not stay finite or a neuron is not
                called equally often for each batch, if sequences differ in T, or if the model has no NoisyLIF.

        After an error the neurons are as before: nothing is frozen until all batches have passed.
        """
        validation.check_batches("batches", batches)
        validation.check_flag("sequence", sequence)
        converted = [neuron for neuron in neurons(self.model) if isinstance(neuron, NoisyLIF)]
        if not converted:
            raise ValueError("the model has no fastlif.NoisyLIF, so there is nothing to calibrate")
        recordings: dict[NoisyLIF, list] = {neuron: [] for neuron in converted}
        timesteps = None
        with evaluating(self) as carried:
            for batch in batches:
                input = on_its_device(self, validation.check_batch(batch))
                if sequence and timesteps not in (None, input.shape[0]):
                    raise ValueError(f"sequences must all have one T, got {timesteps} and {input.shape[0]} steps")
                timesteps = input.shape[0]
                for neuron in carried:
                    neuron.reset()
                recording = thread.recording = {}
                try:
                    self(input, sequence=sequence)
                finally:
                    thread.recording = None
                for neuron in converted:
                    calls = [torch.stack(pair) for pair in recording.get(neuron, [])]  # each [2, T]
                    recordings[neuron].append(torch.stack(calls, dim=1) if calls else None)
        frozen = {}
        for neuron, passes in recordings.items():
            if not passes:
                raise ValueError("batches must hold at least one batch to calibrate with, got none")
            shapes = {None if calls is None else calls.shape for calls in passes}
            if len(shapes) > 1:
                raise ValueError(
                    "a neuron is called more often for one batch than for another: it cannot be calibrated"
                )
            if shapes != {None}:  # a neuron that the forward never reaches has nothing to freeze
                frozen[neuron] = torch.stack(passes).mean(dim=0)
        if not all(bool(statistics.isfinite().all()) for statistics in frozen.values()):
            raise ValueError(
                "batches must leave every membrane finite: there is NaN or infinity in them, or in the weights"
            )
        for neuron, statistics in frozen.items():
            neuron.set_calibration(*statistics)
        return self

    def extra_repr(self) -> str:
        return f"timesteps={self._timesteps}, repeat_input={self.repeat_input}, output={self._output!r}"


def _is_shifted(module: nn.Module) -> bool:
    """Whether beta would shift this neuron: it ran without it so far, and no noise's mean is less by it."""
    if not isinstance(module, NoisyLIF) or module.timesteps != 1 or module.converted:
        return False
    return module.noise.kind == "none" and module.beta != 0


def _behind(timesteps: int, batch: int) -> str:
    return f"behind the first neuron of a MultiStep model the batch is {timesteps * batch} = timesteps * batch"


def over_time(output, timesteps: int, batch: int, how: str):
    """Each tensor ``[T*N, *]`` in ``output`` averaged over T, or as ``[T, N, *]``.

    One ``[N, *]`` beside them, which no neuron reached, is the same at every step.
    """
    if isinstance(output, torch.Tensor):
        if output.ndim and output.shape[0] == timesteps * batch:
            steps = output.unflatten(0, (timesteps, batch))
            if how == "mean" and not (output.is_floating_point() or output.is_complex()):
                raise TypeError(
                    f"the model's output holds {output.dtype}, which has no mean over time: return scores, and take "
                    "the class from their mean, or choose MultiStep(..., output='steps')"
                )
            return steps if how == "steps" else steps.mean(dim=0)
        if output.ndim and output.shape[0] == batch:
            return output.expand(timesteps, *output.shape) if how == "steps" else output
        raise ValueError(
            f"the model's output must hold its batch in the first dimension, {timesteps * batch} = timesteps * batch, "
            f"to be averaged over time, got shape {tuple(output.shape)}"
        )
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(over_time(value, timesteps, batch, how) for value in output))
    if isinstance(output, (tuple, list)):
        return type(output)(over_time(value, timesteps, batch, how) for value in output)
    if isinstance(output, dict):
        averaged = {key: over_time(value, timesteps, batch, how) for key, value in output.items()}
        if type(output) is dict:
            return averaged
        output = copy.copy(output)
        for key, value in averaged.items():
            output[key] = value
        return output
    if dataclasses.is_dataclass(type(output)):
        output = copy.copy(output)
        for part in dataclasses.fields(output):
            value = over_time(getattr(output, part.name, None), timesteps, batch, how)
            object.__setattr__(output, part.name, value)  # a frozen one too
    return output


def _only_of_batch(batch: int, output, timesteps: int) -> bool:
    """Whether there are tensors ``[N, *]`` in ``output``, and none ``[T*N, *]``."""
    sizes = {tensor.shape[0] for tensor in tensors_in(output) if tensor.ndim}
    return batch in sizes and timesteps * batch not in sizes
