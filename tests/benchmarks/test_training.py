"""Training: recipes, and a run that is interrupted at any moment. What a checkpoint refuses is in test_bad_files.py."""

import dataclasses
import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import fastlif
from benchmarks.training import evaluation, loop, networks
from benchmarks.training.loop import Recipe

RECIPE = Recipe(epochs=3, batch_size=50, learning_rate=1e-3, loss="mse", schedule="warm-restarts", shift=2)


@pytest.fixture
def few(digits):
    return digits.train_images[:200], digits.train_labels[:200]


def network(width=0.0625):
    torch.manual_seed(0)
    neuron = functools.partial(fastlif.NoisyLIF, backend="reference")
    return networks.build("small", (1, 8, 8), 10, activation=neuron, width=width)


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


# 4 batches an epoch: within each epoch, at its first batch, at its last one.
@pytest.mark.parametrize("batch", [1, 4, 5, 11, *(pytest.param(n, marks=pytest.mark.long) for n in (3, 8, 9, 12))])
@pytest.mark.parametrize("schedule", ["warm-restarts", "one-cycle"])
def test_a_training_interrupted_at_any_batch_ends_with_the_same_weights(few, tmp_path, monkeypatch, batch, schedule):
    recipe = Recipe(epochs=3, batch_size=50, loss="mse", schedule=schedule, shift=2, weight_decay=1e-2)
    whole, broken, resumed, finished = (network() for _ in range(4))
    path = tmp_path / "training.pt"
    numbers = itertools.count(1)

    def interrupted(scores, labels):
        if next(numbers) == batch:
            raise KeyboardInterrupt
        return loop.mean_squared_error(scores, labels)

    history = loop.train(whole, *few, recipe)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(loop.LOSSES, "mse", interrupted)
        loop.train(broken, *few, recipe, path=path)
    torch.manual_seed(123)
    again = loop.train(resumed, *few, recipe, path=path, resume=True)
    assert loop.train(finished, *few, recipe, path=path, resume=True) == again, "what is finished is not repeated"
    assert same(whole, resumed) and same(whole, finished)
    assert [epoch.loss for epoch in again] == [epoch.loss for epoch in history]


def test_a_seed_decides_the_weights_and_what_is_measured_after_an_epoch_changes_nothing(few):
    def measure(model):
        return {"accuracy": evaluation.evaluate(model, *few)}

    plain, measured, other = (network() for _ in range(3))
    loop.train(plain, *few, RECIPE)
    loop.train(other, *few, dataclasses.replace(RECIPE, seed=1))
    epochs = loop.train(measured, *few, RECIPE, after_epoch=measure)
    assert same(plain, measured) and not same(plain, other)
    assert all(0 <= epoch.metrics["accuracy"] <= 1 for epoch in epochs)


def test_the_paper_recipe_restarts_its_learning_rate_after_100_epochs():
    rates = []
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    schedule = loop.SCHEDULES["warm-restarts"](optimizer, RECIPE, 4)
    for _ in range(401):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == rates[400] == pytest.approx(1e-4)
    assert rates[200] == pytest.approx(5e-5) and rates[399] < 1e-8


@pytest.mark.parametrize("loss", loop.LOSSES)
def test_training_in_a_single_step_learns(digits, loss):
    model = network(width=0.25)
    before = evaluation.evaluate(model, digits.test_images, digits.test_labels)
    epochs = loop.train(model, digits.train_images, digits.train_labels, Recipe(4, 50, loss=loss))
    after = evaluation.evaluate(model, digits.test_images, digits.test_labels)
    assert len(epochs) == 4 and all(epoch.seconds > 0 for epoch in epochs)
    assert epochs[-1].loss < epochs[0].loss / 1.2
    assert after > before + 0.3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_training_in_16_bits_learns(few, dtype):
    model = network(width=0.125)
    epochs = loop.train(model, *few, Recipe(epochs=6, batch_size=20, learning_rate=3e-3, dtype=dtype))
    assert epochs[-1].loss < epochs[0].loss / 1.2
    assert all(value.dtype != loop.DTYPES[dtype] for value in model.state_dict().values())


def suite(out, *arguments):
    options = "--quick --dataset digits --backend reference --width 0.0625 --limit 200 --device cpu --epochs 40".split()
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "run", "accuracy", *options, "--out", str(out), *arguments],
        cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def states(out):
    """What was kept of each training, by its name; a kill during a write leaves a file of another kind."""
    paths = (out / "work" / "checkpoints").glob("*.pt")
    return {path.name: torch.load(path, weights_only=True)["state"] for path in paths}


@pytest.mark.long
def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process, metrics = suite(killed), killed / "work" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was finished before it could be killed"
    for process in (suite(whole), suite(killed, "--resume")):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    first, second = states(whole), states(killed)
    assert len(first) == 6 and first.keys() == second.keys()  # three trainings, and three with ReLU
    for name, state in first.items():
        losses = ([epoch["loss"] for epoch in one["history"]] for one in (state, second[name]))
        assert len(set(map(tuple, losses))) == 1
        assert all(torch.equal(value, second[name]["model"][key]) for key, value in state["model"].items())
