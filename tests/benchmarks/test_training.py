"""Training: recipes, checkpoints, and a run that is interrupted at any moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import fastlif
from benchmarks.training import checkpoint, datasets, evaluation, loop, networks
from benchmarks.training.loop import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(epochs=3, batch_size=50, learning_rate=1e-3, loss="mse", schedule="warm-restarts", shift=2)


@pytest.fixture(scope="module")
def digits():
    data = datasets.load("digits")
    return data.train_images[:200], data.train_labels[:200]


def network(activation=lambda: fastlif.NoisyLIF(backend="reference"), **options):
    torch.manual_seed(0)
    return networks.small_network((1, 8, 8), 10, activation=activation, **{"width": 0.0625} | options)


def weights(model):
    return [value.clone() for value in model.state_dict().values()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


class Interrupted(Exception):
    pass


@pytest.fixture
def interrupt(monkeypatch):
    """Makes the loss of the n-th batch from now raise."""

    def at(batch):
        calls, loss = [], loop.LOSSES["mse"]

        def failing(*arguments):
            calls.append(None)
            if len(calls) == batch:
                raise Interrupted
            return loss(*arguments)

        monkeypatch.setitem(loop.LOSSES, "mse", failing)

    return at


# 4 batches an epoch: within each epoch, at its first batch, at its last one.
@pytest.mark.parametrize("batch", [1, 4, 5, 11, *(pytest.param(n, marks=pytest.mark.long) for n in (3, 8, 9, 12))])
@pytest.mark.parametrize("schedule", ["warm-restarts", "one-cycle"])
def test_a_training_interrupted_at_any_batch_ends_with_the_same_weights(digits, tmp_path, interrupt, batch, schedule):
    recipe = Recipe(epochs=3, batch_size=50, loss="mse", schedule=schedule, shift=2, weight_decay=1e-2)
    whole, broken, path = network(), network(), tmp_path / "training.pt"
    history = loop.train(whole, *digits, recipe)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setitem(loop.LOSSES, "mse", loop.LOSSES["mse"])  # restored before the second attempt
        interrupt(batch)
        loop.train(broken, *digits, recipe, path=path)
    interrupt(0)  # never
    resumed = network()
    torch.manual_seed(123)
    again = loop.train(resumed, *digits, recipe, path=path, resume=True)
    assert same(whole, resumed)
    assert [epoch.loss for epoch in again] == [epoch.loss for epoch in history]


def test_a_finished_training_is_not_repeated(digits, tmp_path):
    first, second, path = network(), network(), tmp_path / "training.pt"
    history = loop.train(first, *digits, RECIPE, path=path)
    assert loop.train(second, *digits, RECIPE, path=path, resume=True) == history
    assert same(first, second)


def test_what_is_measured_after_an_epoch_changes_nothing(digits):
    def measure(model):
        return {"accuracy": evaluation.evaluate(fastlif.MultiStep(model, timesteps=2), *digits)}

    plain, measured = network(), network()
    loop.train(plain, *digits, RECIPE)
    epochs = loop.train(measured, *digits, RECIPE, after_epoch=measure)
    assert same(plain, measured)
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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_training_in_16_bits_learns(digits, dtype):
    model = network(width=0.125)
    epochs = loop.train(model, *digits, Recipe(epochs=6, batch_size=20, learning_rate=3e-3, dtype=dtype))
    assert epochs[-1].loss < epochs[0].loss / 1.2
    assert all(value.dtype != loop.DTYPES[dtype] for value in model.state_dict().values())


FOREIGN = {
    "truncated": lambda content: content[: len(content) // 2],
    "text": lambda content: b"not a checkpoint",
    "empty": lambda content: b"",
    "flipped": lambda content: content[:100] + bytes(100) + content[200:],
}


@pytest.mark.parametrize("damage", FOREIGN)
def test_a_damaged_checkpoint_is_refused_by_name(digits, tmp_path, damage):
    path, model = tmp_path / "training.pt", network()
    loop.train(model, *digits, RECIPE, path=path)
    path.write_bytes(FOREIGN[damage](path.read_bytes()))
    fresh = network()
    with pytest.raises(checkpoint.CheckpointError, match="training.pt"):
        loop.train(fresh, *digits, RECIPE, path=path, resume=True)
    assert same(fresh, network())


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": checkpoint.FORMAT, "spec": "", "state": Malicious()}, tmp_path / "training.pt")
    with pytest.raises(checkpoint.CheckpointError, match="training.pt"):
        checkpoint.load(tmp_path / "training.pt", "")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_training_is_refused(digits, tmp_path):
    path = tmp_path / "training.pt"
    loop.train(network(), *digits, RECIPE, path=path)
    with pytest.raises(checkpoint.CheckpointError, match="another training"):
        loop.train(network(), *digits, Recipe(epochs=4), path=path, resume=True)


def test_a_write_that_fails_leaves_the_last_checkpoint(digits, tmp_path, monkeypatch):
    path = tmp_path / "training.pt"
    loop.train(network(), *digits, RECIPE, path=path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        loop.train(network(), *digits, RECIPE, path=path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def suite(out, *arguments):
    command = [sys.executable, "-m", "benchmarks", "run", "accuracy"]
    options = "--quick --dataset digits --backend reference --width 0.0625 --limit 200 --device cpu".split()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *options, "--out", str(out), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def states(out):
    """What was kept of each training, by its name; a kill during a write leaves a file of another kind."""
    paths = (out / "work" / "checkpoints").glob("*.pt")
    return {path.name: torch.load(path, weights_only=True)["state"] for path in paths}


@pytest.mark.long
def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finished(suite(whole, "--epochs", "40"))
    process, metrics = suite(killed, "--epochs", "40"), killed / "work" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was finished before it could be killed"
    assert sum(len(state["history"]) for state in states(killed).values()) < 3 * 40
    finished(suite(killed, "--epochs", "40", "--resume"))
    first, second = states(whole), states(killed)
    assert len(first) == 3 and first.keys() == second.keys()
    for name, state in first.items():
        losses = ([epoch["loss"] for epoch in one["history"]] for one in (state, second[name]))
        assert len(set(map(tuple, losses))) == 1
        assert all(torch.equal(value, second[name]["model"][key]) for key, value in state["model"].items())
