"""Samples that stop when they are sure: what they get, when they stop, and what is refused for it."""

import pytest
import torch
from helpers import QUIET, REFERENCE
from torch import nn

import fastlif
from fastlif import LIF, MultiStep, Noise, NoisyLIF

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0)).mul(8).round() / 8
LOW = 0.45  # a confidence that some samples reach early, some late and some never


def layers(neuron=NoisyLIF, **keywords):
    """One neuron for two layers, then another. The weights are short binary fractions, so that sums are exact."""
    torch.manual_seed(1)
    shared, last = (neuron(**(QUIET if neuron is NoisyLIF else REFERENCE) | keywords) for _ in range(2))
    made = [nn.Linear(6, 16), shared, nn.Linear(16, 16), shared, nn.Linear(16, 16), last, nn.Linear(16, 3)]
    with torch.no_grad():
        for layer in made[::2]:
            layer.weight.copy_((layer.weight * 96).round() / 32)
            layer.bias.copy_((layer.bias * 32).round() / 32)
    return made


class Skip(nn.Sequential):
    """A path around all neurons."""

    def forward(self, x):
        return super().forward(x) + x[:, :3] / 8


MODELS = {
    "calibrated": lambda: MultiStep(nn.Sequential(*layers()), 6).calibrate([X, X[:20]]),
    "sample": lambda: MultiStep(nn.Sequential(*layers()), 6, statistics="sample"),
    "antithetic, which without noise is nothing": lambda: MultiStep(
        nn.Sequential(*layers()), 6, statistics="sample", over_time="antithetic"),
    "nested": lambda: MultiStep(
        nn.Sequential(nn.Sequential(*layers()[:1]), nn.Sequential(*layers()[1:])), 6, statistics="sample"),
    "LIF": lambda: MultiStep(nn.Sequential(*layers(LIF)), 6),
    "soft reset": lambda: MultiStep(nn.Sequential(*layers(LIF, reset=None)), 6),
    "repeated input": lambda: MultiStep(Skip(*layers()), 6, repeat_input=True).calibrate([X]),
    "compiled backend": lambda: MultiStep(nn.Sequential(*layers(backend="compiled")), 6).calibrate([X]),
}  # fmt: skip


def running_means(multi, x, T):
    """The mean over the first steps, for each number of them, ``[T, N, classes]``."""
    multi.timesteps, multi.output = T, "steps"
    steps = multi(x).detach()
    multi.timesteps, multi.output = 6, "mean"
    return steps.cumsum(0) / torch.arange(1, T + 1)[:, None, None]


@pytest.mark.parametrize("T", [6, 5])
@pytest.mark.parametrize("name", MODELS)
def test_each_sample_gets_the_mean_over_its_steps(name, T):
    multi = MODELS[name]().eval()
    means = running_means(multi, X, T)
    sure = means.softmax(2).amax(2) > LOW
    expected = torch.where(sure.any(0), sure.int().argmax(0) + 1, T)
    scores, steps = multi.until_confident(X, LOW, max_timesteps=T)
    assert steps.dtype == torch.int64 and not scores.requires_grad
    assert torch.equal(steps, expected) and len(steps.unique()) > 2
    assert torch.equal(scores, means[steps - 1, torch.arange(len(X))])
    scores, steps = multi.until_confident(X, 0.9999)  # which nobody reaches
    assert (steps == 6).all() and torch.equal(scores, multi(X).detach())
    assert not any(neuron.states for neuron in fastlif.models.neurons(multi)) and not multi.running


class Shifted(nn.Sequential):
    """Changes its input in place."""

    def forward(self, x):
        x += 0.25
        return super().forward(x)


@pytest.mark.parametrize("repeat_input", [False, True])
@pytest.mark.parametrize("before", [(), (nn.Hardtanh(-0.5, 0.5, inplace=True),)])
def test_what_a_layer_changes_in_place_is_not_changed_again(before, repeat_input):
    model = nn.Sequential(*before, Shifted(*layers()))
    multi = MultiStep(model, 6, statistics="sample", repeat_input=repeat_input).eval()
    x = X.clone()
    scores, _ = multi.until_confident(x, 0.9999)
    assert torch.equal(x, X) and torch.equal(scores, multi(X.clone()).detach())


def test_noise_has_the_distribution_of_one_run():
    """The number of spikes of a neuron in four steps, of 20,000 equal samples: total variation below 0.02."""
    torch.manual_seed(0)
    single = nn.Sequential(NoisyLIF(noise=Noise("uniform"), **REFERENCE), nn.Identity())
    multi = MultiStep(single, 4).eval().calibrate([torch.full((500, 2), 0.6)])
    x = torch.full((20_000, 2), 0.6)
    one, stepwise = multi(x), multi.until_confident(x, 0.99)[0]
    shares = [torch.bincount((4 * scores[:, 0]).round().long(), minlength=5) / len(x) for scores in (one, stepwise)]
    assert (shares[0] > 0.005).sum() >= 3 and (shares[0] - shares[1]).abs().sum() / 2 < 0.02
    assert not torch.equal(*(multi.until_confident(x, 0.99)[0] for _ in range(2)))


def test_antithetic_steps_stay_in_pairs():
    """With the membrane left out, a neuron at the middle of its noise spikes in one step of each pair."""
    noisy = NoisyLIF(noise=Noise("uniform"), **REFERENCE)
    x = torch.full((400, 2), 0.5)
    for over_time, paired in (("antithetic", True), ("independent", False)):
        multi = MultiStep(noisy, 4, alpha=float("inf"), statistics="sample", over_time=over_time).eval()
        scores, steps = multi.until_confident(x, 0.99)
        assert bool((scores == 0.5).all()) == paired and (steps == 4).all()
        scores, steps = multi.until_confident(x, 0.99, max_timesteps=3)
        assert set((scores * 3).round().unique().tolist()) == ({1, 2} if paired else {0, 1, 2, 3})
        assert (steps == 3).all()
        _, steps = multi.until_confident(x, 0.51)  # any step of one spike in two neurons is enough
        assert bool((steps % 2 == 0).all()) == paired


def test_the_layers_before_the_first_neuron_run_once():
    calls = []
    made = layers()
    multi = MultiStep(nn.Sequential(nn.Sequential(*made[:1]), nn.Sequential(*made[1:])), 6, statistics="sample").eval()
    multi.model[0][0].register_forward_hook(lambda *_: calls.append("first"))
    multi.model[1][1].register_forward_hook(lambda *_: calls.append("second"))
    multi.until_confident(X, 0.9999)
    assert calls == ["first"] + 6 * ["second"]
    calls.clear()
    multi.model.register_forward_hook(lambda *_: calls.append("whole"))  # a hook sees all that it is for
    multi.until_confident(X, 0.9999)
    assert calls == 6 * ["first", "second", "whole"]


def test_all_sure_and_none_there():
    multi = MODELS["sample"]().eval()
    scores, steps = multi.until_confident(X, 1e-6)
    assert (steps == 1).all() and torch.equal(scores, running_means(multi, X, 1)[0])
    scores, steps = multi.until_confident(X[:0])
    assert scores.shape == (0, 3) and steps.shape == (0,)
    x = X.bfloat16()
    scores, _ = multi.bfloat16().until_confident(x, 0.9999)
    assert scores.dtype == torch.bfloat16 and torch.equal(scores, multi(x).detach())


@pytest.mark.full
def test_fused_layers_carry_their_membranes():
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), LIF(backend="compiled"), nn.Linear(8, 3))
    multi = MultiStep(fastlif.fuse(net), 4).eval()
    scores, _ = multi.until_confident(2 * X, 0.9999)
    torch.testing.assert_close(scores, multi(2 * X).detach())
    assert (multi(2 * X) != running_means(multi, 2 * X, 1)[0]).any()


def test_a_layer_that_changes_the_batch_is_refused():
    class Halves(nn.Sequential):
        def forward(self, x):
            return super().forward(x.reshape(-1, 3)).reshape(len(x), -1)

    multi = MultiStep(Halves(LIF(**REFERENCE)), 2, repeat_input=True).eval()
    assert multi(X).shape == (60, 6)
    with pytest.raises(ValueError, match="every layer has one row for each sample"):
        multi.until_confident(X)


def test_a_failed_run_leaves_nothing_behind():
    multi = MODELS["calibrated"]().eval()
    expected, calls = multi.until_confident(X, LOW), []

    def interrupt(*_):
        calls.append("a step")
        if len(calls) == 3:
            raise KeyboardInterrupt

    hook = multi.model[4].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        multi.until_confident(X, LOW)
    hook.remove()
    assert fastlif.passes.thread.current is None and not multi.running
    assert all(map(torch.equal, multi.until_confident(X, LOW), expected))
