"""The baseline of the paper's Table 2: a trained network without spikes as a rate-coded spiking one.

Every activation becomes an integrate-and-fire neuron with soft reset, whose rate of spikes stands for it. The threshold
of a ReLU's neuron is a percentile of the activations (Diehl et al. 2015, Rueckauer et al. 2017). A membrane that begins
at half the threshold makes the rate round where it would truncate, which takes fewer steps (Deng & Gu 2021). A network
that is trained with the rounding, and learns its thresholds, takes fewer still (QCFS, Bu et al. 2022).
"""

import copy
import math

import torch
from torch import Tensor, nn

import fastlif
from benchmarks.training.networks import QuantisedReLU


class IntegrateAndFire(fastlif.LIF):
    """``[T*N, *]`` to spikes worth the threshold each, ``[T*N, *]``: their mean over time is the ReLU's output.

    That holds from 0 to the threshold, where the rate saturates. The membrane is carried from call to call, so that
    calls with a few steps each are the same as one with all of them, until :func:`fastlif.reset`.

    Args:
        threshold: in units of the ReLU's activation.
        half_charged: begin with the membrane at half the threshold instead of zero.
        backend: as in :class:`fastlif.LIF`.
    """

    def __init__(self, *, threshold: float = 1.0, half_charged: bool = True, backend: str = "auto"):
        super().__init__(decay=1.0, reset=None, threshold=threshold, stateful=True, backend=backend)
        self.half_charged = bool(half_charged)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.threshold

    def _initial_state(self, x: Tensor, timesteps: int | None, state: Tensor | None) -> Tensor | None:
        state = super()._initial_state(x, timesteps, state)
        if state is None and self.half_charged:
            step = x[0] if timesteps is None else x[: x.shape[0] // timesteps]
            return torch.full_like(step, self.threshold / 2, dtype=torch.promote_types(x.dtype, torch.float32))
        return state


def rate_coded(
    model: nn.Module,
    images: Tensor | None = None,
    *,
    percentile: float = 99.9,
    half_charged: bool = True,
    chunk: int = 16,
    backend: str = "auto",
) -> fastlif.MultiStep:
    """A rate-coded copy of a trained network, in evaluation mode.

    The image is the input at every step, so what comes before the first neuron runs once per call. A call goes on for
    ``chunk`` steps from where the last one ended and gives the mean of the scores over them; before other images, call
    :func:`fastlif.reset`.

    Args:
        model: a network of ``nn.ReLU`` modules, each called once in a pass, or of ``QuantisedReLU``, whose
            thresholds the neurons take over. It is left as it is.
        images: ``[N, C, H, W]`` float, on the model's device, to take a ReLU's activations from: training images.
        percentile: of a ReLU's positive activations, its neuron's threshold; above 0, up to 100 (the maximum).
        half_charged: as in :class:`IntegrateAndFire`.
        chunk: the ``timesteps`` of the result. It bounds the memory and does not change what is computed.
        backend: as in :class:`fastlif.LIF`.

    Raises:
        ValueError: for a percentile out of range, a model without such activations, or a ReLU without ``images``, that
            is not called exactly once in a pass, or that gives nothing positive.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be greater than 0 and at most 100, got {percentile}")
    model = copy.deepcopy(model).eval()
    activations = (nn.ReLU, QuantisedReLU)
    spiking = fastlif.convert(
        model, IntegrateAndFire, activations=activations, half_charged=half_charged, backend=backend
    )
    learned = {name: one for name, one in model.named_modules() if isinstance(one, QuantisedReLU)}
    thresholds = {name: one.threshold.item() for name, one in learned.items()}
    if any(isinstance(module, nn.ReLU) for module in model.modules()):
        if images is None:
            raise ValueError("images must be given: the thresholds of ReLUs are taken from their activations")
        thresholds |= _thresholds(model, images, percentile)
    for name, threshold in thresholds.items():
        spiking.get_submodule(name).threshold = threshold
    return fastlif.MultiStep(spiking, timesteps=chunk)


@torch.no_grad()
def _thresholds(model: nn.Module, images: Tensor, percentile: float) -> dict[str, float]:
    """That percentile of the positive activations of each ReLU, by its path in ``model``."""
    relus = {name: module for name, module in model.named_modules() if isinstance(module, nn.ReLU)}
    found: dict[nn.Module, list[float]] = {relu: [] for relu in relus.values()}

    def record(relu, _, output):
        positive = output[output > 0]
        if len(positive):
            rank = math.ceil(percentile / 100 * len(positive))
            found[relu].append(positive.kthvalue(rank).values.item())  # torch.quantile takes 16 million at most
        else:
            found[relu].append(0.0)

    hooks = [relu.register_forward_hook(record) for relu in found]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    for name, relu in relus.items():
        if len(found[relu]) != 1:
            raise ValueError(f"the ReLU {name!r} must be called once in a pass, got {len(found[relu])} calls")
        if found[relu] == [0.0]:
            raise ValueError(f"the ReLU {name!r} gives nothing positive on these images, so it has no threshold")
    return {name: found[relu][0] for name, relu in relus.items()}
