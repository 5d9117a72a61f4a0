"""From a single-step spiking network to T steps: the second and the third of the paper's three steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from fastlif import validation
from fastlif.conversion import _copy
from fastlif.modules import NoisyLIF, Pass, neurons, thread

__all__ = ["MultiStep"]


class MultiStep(nn.Module):
    """A single-step network run over T steps without retraining, Eq. (6)-(9): static input in, mean over T out.

    Holds a copy of ``model``, its neurons converted. The input is the same at every step, so the layers before the
    first neuron are computed once; what follows sees the batch T times, ``[T*N, *]`` time-major.

    Args:
        model: a module with fastlif neurons that takes ``[N, *]`` as its first argument.
        timesteps: T, at least 1; 10 by default. Can be set to another value at any time.
        alpha, beta, residual, over_time, statistics: if given, for every :class:`fastlif.NoisyLIF` in place of its own.
        repeat_input: repeat the input T times at the start instead, for models in which a path bypasses the first
            neuron or a layer before it changes the batch.

    Output:
        What ``model`` returns for ``[N, *]``, every tensor in it (in tuples, lists and dicts too) averaged over T.

    Raises:
        TypeError, ValueError: for wrong arguments, or a model without fastlif neurons.
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
    ):
        super().__init__()
        validation.check_module("model", model)
        if any(isinstance(module, MultiStep) for module in model.modules()):
            raise ValueError("model has time steps already, as it is or holds a MultiStep: set its timesteps instead")
        if not neurons(model):
            raise ValueError(f"{type(model).__name__} has no fastlif neuron: convert it first, with fastlif.convert")
        self.model = _copy(model)
        self.repeat_input = validation.check_flag("repeat_input", repeat_input)
        self.running: list[Pass] = []
        for neuron in neurons(self.model):
            neuron.needs_pass = True
            neuron.running = self.running
            if isinstance(neuron, NoisyLIF):
                neuron.convert(alpha=alpha, beta=beta, residual=residual, over_time=over_time, statistics=statistics)
        self.timesteps = timesteps
        self.training = model.training  # its own flag alone: the copy has kept those of its parts

    @property
    def timesteps(self) -> int:
        """T: setting it sets that of every neuron."""
        return self._timesteps

    @timesteps.setter
    def timesteps(self, timesteps: int) -> None:
        self._timesteps = validation.check_timesteps(timesteps)
        for neuron in neurons(self.model):
            neuron.timesteps = self._timesteps

    def forward(self, input: torch.Tensor, *args, **keywords):
        validation.check_input(input, dimensions="[N, *]", minimum=1)
        batch = input.shape[0]
        if self.repeat_input:
            input = input.expand(self._timesteps, *input.shape).flatten(0, 1)
        around, current = thread.current, Pass(self._timesteps, None if self.repeat_input else batch)
        thread.current = current
        if not torch.compiler.is_compiling():
            self.running.append(current)
        try:
            output = self.model(input, *args, **keywords)
        finally:
            thread.current = around
            if not torch.compiler.is_compiling():
                self.running.remove(current)
        output = _mean_over_time(output, current.timesteps, batch)
        if not torch.compiler.is_compiling():
            current.keep(output)
        return output

    @torch.no_grad()
    def calibrate(self, batches: Iterable) -> MultiStep:
        """Freezes the membrane's mean and largest deviation of every NoisyLIF and step, averaged over ``batches``.

        From then on a neuron is one elementwise pass, and a sample's result does not depend on its batch. The frozen
        values are buffers of the neurons and travel in the state_dict; they hold for any T up to the present one.

        Args:
            batches: inputs ``[N, *]``, or tuples that begin with one, as a data loader gives them.

        Returns:
            The module itself.

        Raises:
            TypeError: if ``batches`` is not an iterable of these.
            ValueError: if there are no batches, or an empty one, if a membrane does not stay finite or a neuron is not
                called equally often for each batch, or if the model has no NoisyLIF.

        After an error the neurons are as before: nothing is frozen until all batches have passed.
        """
        if isinstance(batches, (torch.Tensor, dict, str)) or not isinstance(batches, Iterable):
            raise TypeError(
                "batches must be an iterable of batches, such as a data loader or a list of tensors, got "
                f"{type(batches).__name__}"
            )
        modes = {module: module.training for module in self.modules()}
        states = {neuron: neuron.states for neuron in neurons(self.model)}
        converted = [neuron for neuron in neurons(self.model) if isinstance(neuron, NoisyLIF)]
        if not converted:
            raise ValueError("the model has no fastlif.NoisyLIF, so there is nothing to calibrate")
        recordings: dict[NoisyLIF, list] = {neuron: [] for neuron in converted}
        self.eval()
        try:
            for batch in batches:
                input = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
                if not isinstance(input, torch.Tensor):
                    shown = _shown(batch)
                    raise TypeError(f"each batch must be a tensor, or a tuple that begins with one, got {shown}")
                if input.numel() == 0:
                    raise ValueError(f"each batch must hold something, got one of shape {tuple(input.shape)}")
                for neuron in states:
                    neuron.reset()
                recording = thread.recording = {}
                try:
                    self(input)
                finally:
                    thread.recording = None
                for neuron in converted:
                    calls = [torch.stack(pair) for pair in recording.get(neuron, [])]  # each [2, T]
                    recordings[neuron].append(torch.stack(calls, dim=1) if calls else None)
        finally:
            for module, mode in modes.items():
                module.training = mode
            for neuron, state in states.items():
                neuron.states = state
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
        return f"timesteps={self._timesteps}, repeat_input={self.repeat_input}"


def _shown(batch) -> str:
    name = type(batch).__name__
    return f"{name} of {type(batch[0]).__name__}" if isinstance(batch, (tuple, list)) and batch else name


def _mean_over_time(output, timesteps: int, batch: int):
    """Each tensor ``[T*N, *]`` in ``output`` averaged over T; one that no neuron reached, ``[N, *]``, as it is."""
    if isinstance(output, torch.Tensor):
        if output.ndim and output.shape[0] == timesteps * batch:
            return output.unflatten(0, (timesteps, batch)).mean(dim=0)
        if output.ndim and output.shape[0] == batch:
            return output
        raise ValueError(
            f"the model's output must hold its batch in the first dimension, {timesteps * batch} = timesteps * batch, "
            f"to be averaged over time, got shape {tuple(output.shape)}"
        )
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_mean_over_time(value, timesteps, batch) for value in output))
    if isinstance(output, (tuple, list)):
        return type(output)(_mean_over_time(value, timesteps, batch) for value in output)
    if isinstance(output, dict):
        return {key: _mean_over_time(value, timesteps, batch) for key, value in output.items()}
    return output
