"""The accuracy at every T, from one pass."""

import math

import pytest
import torch
from helpers import QUIET
from refusals import unchanged
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fastlif
from fastlif import MultiStep, recommend_timesteps
from fastlif.timesteps import Recommendation

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))


def network(**keywords):
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    return fastlif.convert(model, **QUIET, **keywords)


def labels(multi, T):
    """What it says after T steps, but for some samples."""
    chosen = fastlif.MultiStep(multi.model, T).eval()(X).argmax(1)
    chosen[::10] = (chosen[::10] + 1) % 3
    return chosen


def batches(y):
    return DataLoader(TensorDataset(X, y), batch_size=25)


@pytest.mark.parametrize("how", ["sample", "calibrated", "repeated"])
def test_one_pass_is_a_run_for_every_T(how):
    multi = MultiStep(network(statistics="sample"), 8, repeat_input=how == "repeated")
    if how == "calibrated":
        multi.calibrate([X])
    y = labels(multi, 8)
    found = recommend_timesteps(multi, batches(y), loss=4)
    expected = []
    for multi.timesteps in range(1, 9):
        expected.append(100 * int((multi.eval()(X).argmax(1) == y).sum()) / 60)
    assert found.accuracies == tuple(expected) and len(set(expected)) > 2 and max(expected) < 95
    assert found.timesteps == 1 + next(i for i, a in enumerate(expected) if a >= max(expected) - 4)
    assert 1 < found.timesteps


def test_the_loss_decides():
    multi = MultiStep(network(statistics="sample"), 8)
    y = labels(multi, 8)
    by_loss = [recommend_timesteps(multi, batches(y), loss=loss).timesteps for loss in (0, 4, 100)]
    accuracies = recommend_timesteps(multi, batches(y)).accuracies
    assert by_loss[0] == 1 + accuracies.index(max(accuracies)) and by_loss[2] == 1
    assert by_loss == sorted(by_loss, reverse=True) and len(set(by_loss)) == 3
    assert by_loss[1] == 1 + next(i for i, accuracy in enumerate(accuracies) if accuracy >= max(accuracies) - 4)
    lost = max(accuracies) - accuracies[by_loss[1] - 1]  # exactly so many points may be lost
    assert recommend_timesteps(multi, batches(y), loss=round(lost * 60 / 100) * 100 / 60).timesteps == by_loss[1]


def test_fewer_and_more_steps_than_the_model_is_set_to():
    multi = MultiStep(network(statistics="sample"), 4)
    y = labels(multi, 4)
    four = recommend_timesteps(multi, batches(y)).accuracies
    assert len(four) == 4
    for T in (2, 6):
        assert recommend_timesteps(multi, batches(y), max_timesteps=T).accuracies[:4] == four[:T]
    assert multi.timesteps == 4


def test_an_error_about_as_many_steps_as_samples_speaks_of_sequences():
    multi = MultiStep(nn.Sequential(nn.Conv2d(1, 2, 3), fastlif.NoisyLIF(**QUIET), nn.Flatten()), 3)
    with pytest.raises(RuntimeError, match="conv2d") as caught:
        recommend_timesteps(multi, [(torch.rand(5, 5, 1, 4, 4), torch.zeros(5, dtype=torch.int64))])
    assert "sequences [T, N, *] are not measured here" in caught.value.__notes__[-1]


def test_the_model_is_left_as_it_is():
    multi = MultiStep(network(statistics="sample", stateful=True), 3).train()
    multi.model[1].train(False)
    multi(X)
    given = list(batches(torch.zeros(60, dtype=torch.int64)))
    with unchanged(multi):
        first, second = (recommend_timesteps(multi, given) for _ in range(2))
    assert first == second  # batches of 25 and 10 samples, so each began without a membrane


def test_a_class_may_be_ruled_out_and_a_batch_empty():
    """By a mask that makes its score -inf."""
    multi = MultiStep(network(statistics="sample"), 3)
    y = labels(multi, 3)
    outputs = [recommend_timesteps(multi, batches(y.clamp(max=1)))]
    for ruled_out in (-1e9, -math.inf):
        with torch.no_grad():
            multi.model[-1].bias[2] = ruled_out
        outputs.append(recommend_timesteps(multi, [*batches(y.clamp(max=1)), (X[:0], y[:0])]))
    assert outputs[1] == outputs[2] != outputs[0]


def test_what_comes_back_can_be_read():
    assert str(Recommendation(timesteps=2, accuracies=(71.25, 90.0, 90.5), loss=0.5)).splitlines() == [
        "T = 1     71.25 %",
        "T = 2     90.00 %  recommended",
        "T = 3     90.50 %  best",
        "T = 2 is the smallest T within 0.5 percentage points of the best",
    ]
