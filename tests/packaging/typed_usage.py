"""A user's program, which is not run: ``make lint`` checks its types. ``assert_type`` fails where one is lost."""

from collections.abc import Iterable
from typing import assert_type

import torch
from torch import Tensor, nn

import fastlif
from fastlif.timesteps import Recommendation


def train_and_convert(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> fastlif.MultiStep:
    spiking = fastlif.convert(model, alpha=8.0, noise=fastlif.Noise("uniform"))
    spiking = fastlif.fuse(fastlif.scale_thresholds(spiking, model, batches))
    assert_type(spiking, nn.Module)
    for images, labels in batches:
        with fastlif.packed_spikes():
            loss = nn.functional.cross_entropy(spiking(images), labels)
        loss.backward()
    multi = fastlif.MultiStep(spiking, timesteps=10, statistics="sample").eval()
    multi = multi.calibrate(images for images, _ in batches)
    multi.timesteps = 5
    assert_type(multi, fastlif.MultiStep)
    assert_type(fastlif.recommend_timesteps(multi, batches), Recommendation)
    return multi


def convert_in_part(model: nn.Module) -> nn.Module:
    makers = {"layer4.*": None, "layer1.*": fastlif.LIF, "*": fastlif.NoisyLIF}
    return fastlif.convert(model, makers, activations=(nn.ReLU, nn.ReLU6))


def call_functions(x: Tensor, wanted: bool) -> None:
    assert_type(fastlif.functional.noisy_spike(x, noise=fastlif.Noise(), surrogate="sigmoid", seed=1), Tensor)
    assert_type(fastlif.functional.lif(x, decay=torch.full((64, 1, 1), 0.9), reset=None), Tensor)
    spikes, state = fastlif.functional.lif(x, tau=2.0, return_state=True)
    assert_type(state, Tensor)
    assert_type(fastlif.functional.noisy_lif(x, statistics=(state, state), initial_state=state), Tensor)
    assert_type(fastlif.functional.noisy_lif(x, return_state=True), tuple[Tensor, Tensor])
    assert_type(fastlif.functional.lif(x, return_state=wanted), Tensor | tuple[Tensor, Tensor])


def build(steps: int | None) -> nn.Sequential:
    def derivative(u: Tensor, width: Tensor) -> Tensor:
        return (1 - u.abs() / width).clamp(min=0)

    lif = fastlif.LIF(steps, decay=nn.Parameter(torch.tensor(0.9)), surrogate=derivative, stateful=True)
    assert_type(lif.decay, Tensor | float)
    lif.timesteps = None
    lif.threshold = 2.0
    lif.reset()
    others = fastlif.NoisyLIF(None), fastlif.IF(steps, reset=None), fastlif.ParametricLIF(steps, channels=3)
    return nn.Sequential(lif, *others, fastlif.LI(steps, tau=2.0))


def in_a_loop(model: nn.Module, events: Iterable[Tensor]) -> None:
    for x in events:
        model(x).sum().backward()
        fastlif.detach(model)
    fastlif.reset(model)


def look_inside(multi: fastlif.MultiStep, images: Tensor) -> None:
    fastlif.check_time_axis(multi, images)
    with fastlif.record(multi, membrane="before") as log:
        multi(images)
    assert_type(log.spikes["features.2"], Tensor)
    assert_type(log.rates()["features.2"], float)
    assert_type(log.rates("unit")["features.2"], Tensor)
    print(log.table(), fastlif.energy(multi, images).picojoules)
    scores, steps = multi.until_confident(images, 0.9)
    assert_type(scores, Tensor)


def exchange(model: nn.Module, leaky: nn.Module) -> None:
    assert_type(fastlif.accelerate(model), nn.Module)
    assert_type(fastlif.LIF.from_snntorch(leaky, timesteps=5), fastlif.LIF)
    assert_type(fastlif.from_nir(fastlif.to_nir(model, (1, 28, 28)), dt=1e-4), nn.Module)
    assert_type(fastlif.batch_norm_neuron(nn.BatchNorm2d(3), fastlif.NoisyLIF(), torch.rand(2, 3, 8, 8)), Tensor)
