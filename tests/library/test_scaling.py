"""A trained ReLU network's activations set the thresholds of its conversion."""

import copy

import torch
from helpers import REFERENCE, seeded
from refusals import unchanged
from torch import nn

import fastlif
from fastlif import LIF, MultiStep, Noise, NoisyLIF, scale_thresholds


def trained(size=20.0):
    """A network whose hidden activations are about ``size``, by no means 1."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(inplace=True), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3))
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.mul_(size)
    return model.train()


def batches(count=2):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(64, 6, generator=generator) for _ in range(count)]


def scaled(model, given, *arguments, **keywords):
    return scale_thresholds(fastlif.convert(model, *arguments, **(REFERENCE | keywords)), model, given)


def test_a_scale_is_the_best_single_level():
    """Without noise a spike is one level above a threshold: half-way between 0 and the level where that is best."""
    relu = nn.Sequential(nn.ReLU())
    levels = torch.tensor([-3.0, 0.5, 8.0, 8.2]).repeat(100, 1)
    model = scaled(relu, [levels], LIF, threshold=0.5)
    assert 7.2 < float(model[0].scale) < 9  # candidates are 12 % apart
    assert torch.equal(model(levels[:1]), model[0].scale * torch.tensor([[0.0, 0.0, 1.0, 1.0]]))


def test_threshold_noise_and_spikes_are_scaled():
    neuron = NoisyLIF(threshold=1.0, noise=Noise("uniform"), **REFERENCE)
    model = scale_thresholds(nn.Sequential(neuron))
    model[0].scale.fill_(4.0)
    other = NoisyLIF(threshold=4.0, noise=Noise("uniform", high=4.0), **REFERENCE)
    x = torch.linspace(-1, 5, 1000)
    spikes = seeded(model, x)
    assert torch.equal(spikes, 4 * seeded(other, x)) and 0 < float(spikes.mean()) < 4


def test_a_user_s_hooks_see_the_model_s_own_data_alone():
    model, seen = trained(), []
    spiking = fastlif.convert(model, **REFERENCE)
    for module in spiking.modules():
        if isinstance(module, fastlif.NoisyLIF):
            module.register_forward_pre_hook(lambda module, arguments: seen.append(arguments))
            module.register_forward_hook(lambda module, arguments, output: seen.append(output))
    scaled_model = fastlif.scale_thresholds(spiking, model, batches())
    assert not seen
    scaled_model(batches(1)[0])
    assert seen, "they are still there"


def test_it_comes_nearer_to_the_trained_network():
    model = trained()
    x = batches(1)[0]
    expected = model(x).detach()
    errors = []
    for spiking in (fastlif.convert(model, **REFERENCE), scaled(model, batches())):
        mean = torch.stack([spiking(x).detach() for _ in range(10)]).mean(dim=0)
        errors.append(float((mean - expected).norm() / expected.norm()))
    assert errors[1] < 0.5 * errors[0], errors


def test_over_more_steps_the_scale_is_larger():
    """A neuron of many steps has many levels, so it can tell the largest activations apart too."""
    model = trained()
    one, many = (scaled(model, batches(), LIF, timesteps=T, decay=1.0, reset=None) for T in (1, 32))
    assert float(many[1].scale) > 1.5 * float(one[1].scale)
    x = batches(1)[0]
    with torch.no_grad():
        assert float((MultiStep(many, 32)(x) - model(x)).norm() / model(x).norm()) < 0.1


def test_nothing_else_changes(monkeypatch):
    """Nor are the generators of other devices seeded."""
    model, seeds = trained(), []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    model[1].eval()
    spiking = fastlif.convert(model, **REFERENCE)
    spiking[3].eval()
    given = [(x, None) for x in batches()]
    with unchanged(model, spiking):
        made = scale_thresholds(spiking, model, given)
    assert seeds == []
    assert not made[1].training and not made[3].training and made[3].neuron.training is False and made.training
    for key, value in model.state_dict().items():
        assert torch.equal(made.state_dict()[key], value)


def test_an_activation_that_is_called_by_keyword():
    relu, levels = nn.Sequential(nn.ReLU()), torch.rand(100, 4)
    expected = scaled(relu, [levels])
    relu.forward = lambda x: relu[0](input=x)
    assert torch.equal(scaled(relu, [levels])[0].scale, expected[0].scale)


def test_a_shared_neuron_has_one_scale():
    relu = nn.ReLU()
    model = nn.Sequential(relu, nn.Linear(6, 6), relu)
    made = scaled(model, batches())
    assert made[0] is made[2]
    assert type(scaled(nn.ReLU(), batches()).neuron) is NoisyLIF


def test_a_silent_layer_and_one_that_is_never_called():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.ReLU(), nn.ReLU()

        def forward(self, x):
            return self.used(x)

    made = scaled(Net(), [-torch.rand(4, 6)])
    assert float(made.used.scale) == float(made.unused.scale) == 1.0
    assert float(scaled(Net(), [torch.rand(4, 6)]).used.scale) != 1.0


def test_it_travels_in_the_state_dict_and_over_time():
    model = trained()
    made = scaled(model, batches())
    loaded = scale_thresholds(fastlif.convert(model, **REFERENCE))
    assert float(loaded[1].scale) == 1.0
    loaded.load_state_dict(made.state_dict())
    x = batches(1)[0]
    results = [seeded(lambda run=run: MultiStep(run, 3).calibrate([x])(x)) for run in (made, loaded)]
    assert torch.equal(*results) and results[0].shape == (64, 3)
    half = copy.deepcopy(made).bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16 and torch.equal(half[1].scale, made[1].scale)
    assert half[1].to("meta").scale.is_meta
    made(x).square().mean().backward()  # it can be fine-tuned
    assert all(bool(parameter.grad.any()) for parameter in made.parameters())
