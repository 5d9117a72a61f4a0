"""Bad files and command lines: checkpoints and results that are cut short, altered or not ours, and writes that fail
half-way or are killed. What is refused has changed nothing.
"""

import contextlib
import dataclasses
import errno
import io
import itertools
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from counts import COUNTS
from refusals import damages, refused, unchanged
from test_results import ROW
from test_suite import TINY
from torch import nn

from benchmarks import demo, files
from benchmarks.__main__ import main
from benchmarks.report import rows as results
from benchmarks.training import checkpoint, lab, loop
from fastlif import NoisyLIF

REFERENCE = {"backend": "reference"}


# --- Checkpoints: what stands in the place of one -------------------------------------------------------------------

IMAGES = torch.arange(32, dtype=torch.uint8).view(8, 1, 2, 2)
LABELS = torch.arange(8) % 2
RECIPE = loop.Recipe(epochs=1, batch_size=4)


def network(hidden=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, hidden), NoisyLIF(**REFERENCE), nn.Linear(hidden, 2))


def train(path, model=None, recipe=RECIPE):
    return loop.train(model or network(), IMAGES, LABELS, recipe, path=path, resume=True)


def saved(content, **options):
    """What torch.save makes of it."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def summed(content):
    """The same with the sum at its end that makes it a whole checkpoint."""
    return content + checkpoint.hashlib.sha256(content).digest()


def altered(whole, **changes):
    """A whole checkpoint in whose state these parts are others; None for one that is left out."""
    content = torch.load(io.BytesIO(whole), weights_only=True)
    content["state"] |= changes
    content["state"] = {name: part for name, part in content["state"].items() if part is not None}
    return summed(saved(content))


class Malicious:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


DAMAGED = "training.pt is damaged or not a checkpoint"
MISFIT = "training.pt does not fit the model"
CHECKPOINTS = {
    "more behind it": (DAMAGED, lambda whole: whole + b"\n"),
    "a model's weights, summed": (DAMAGED, lambda whole: summed(saved(network().state_dict()))),
    "a list, summed": (DAMAGED, lambda whole: summed(saved([1, 2, 3]))),
    "text, summed": (DAMAGED, lambda whole: summed(b"epoch 1, loss 0.5")),
    "malicious": (DAMAGED, lambda whole: altered(whole, optimizer=Malicious())),
    "malicious, of old": (DAMAGED, lambda whole: summed(
        saved({"state": Malicious()}, _use_new_zipfile_serialization=False))),
    "of an older format": ("has the format 'fastlif training 1', not",
                           lambda whole: summed(saved({"format": "fastlif training 1", "spec": "", "state": {}}))),
    "no model": (MISFIT, lambda whole: altered(whole, model=None)),
    "another model": (MISFIT, lambda whole: altered(whole, model=network(hidden=5).state_dict())),
    "no model's weights": (MISFIT, lambda whole: altered(whole, model=[1.0])),
    "another optimizer": (MISFIT, lambda whole: altered(whole, optimizer={"state": {}, "param_groups": []})),
    "no generators": (MISFIT, lambda whole: altered(whole, generators=None)),
    "a generator of another size": (MISFIT, lambda whole: altered(
        whole, generators={"cpu": torch.zeros(3, dtype=torch.uint8)})),
    "an order that is no state": (MISFIT, lambda whole: altered(whole, order=7)),
    "another history": (MISFIT, lambda whole: altered(whole, history=[{"accuracy": 1.0}])),
}  # fmt: skip

# --- Files of results: what stands in the place of one --------------------------------------------------------------

RESULTS = {
    "another table": ("a.csv is not a file of results: move it away", lambda text: "name,value\n1,2\n"),
    "header alone": ("there are no results in", lambda text: text.split("\n", 1)[0] + "\n"),
    "another experiment": ("has rows of 'figure-9': not one of accuracy,", lambda text: text.replace("noise-type", "figure-9")),
    "a row less": ("a.csv lacks rows of noise-type", lambda text: re.sub(".*standard error of the lead.*\n", "", text)),
}  # fmt: skip

# --- Command lines: status 2, a sentence on stderr, no traceback ----------------------------------------------------

WHOLE = "must be a whole number of at least"
POSITIVE = "must be a number greater than 0, and at most 1000, got"
COMMANDS = [
    ("arguments are required: COMMAND", ""),
    ("invalid choice: 'measure'", "measure"),
    ("arguments are required: NAME", "run"),
    ("invalid choice: 'figure-9'", "run figure-9"),
    (f"--epochs: {WHOLE} 1, got '0'", "run alpha --epochs 0"),
    (f"--epochs: {WHOLE} 1, got '1.5'", "run alpha --epochs 1.5"),
    (f"--batch-size: {WHOLE} 2, got '1'", "run alpha --batch-size 1"),
    (f"--limit: {WHOLE} 2, got 'x'", "run alpha --limit x"),
    (f"--width: {POSITIVE} '-1'", "run alpha --width -1"),
    ("--surrogate names one, and the experiment surrogate compares all", "run surrogate --surrogate atan --dataset digits"),
    (f"--width: {POSITIVE} '0'", "run alpha --width 0"),
    (f"--width: {POSITIVE} 'nan'", "run alpha --width nan"),
    (f"--width: {POSITIVE} '1e300'", "run alpha --width 1e300"),
    (f"--seed: {WHOLE} 0, got '-1'", "run alpha --seed -1"),
    ("--seed: must be at most 2147483647", f"run alpha --seed {'9' * 20}"),
    ("--dtype: invalid choice: 'float8'", "run alpha --dtype float8"),
    ("--preset: invalid choice: 'best'", "run alpha --preset best"),
    ("--dataset: invalid choice: 'imagenet'", "run alpha --dataset imagenet"),
    ("--device: invalid choice: 'cuda:0'", "run alpha --device cuda:0"),
    ("--backend: invalid choice: 'cupy'", "run alpha --backend cupy"),
    ("--out: must not be empty: give a path", "run alpha --out="),
    ("--data-root: must not be empty: give a path", "run alpha --data-root="),
    ("cannot be made a folder (Not a directory): give another", "run dynamics --out file"),
    ("cannot be made a folder", "run dynamics --out file/below"),
    ("there was nothing to measure on; --dataset digits", "run alpha --dataset mnist --data-root none --out new"),
    ("there are no results in file", "report --out file"),
    ("there are no results in none: run `python -m benchmarks run all", "report --out none"),
    ("--out: must not be empty", "report --out="),
    ("--target: invalid choice: 'sm_1'", "static --target sm_1"),
    ("--dtype: invalid choice: 'fp8'", "static --dtype fp8"),
    ("no kernel has 'conv' in its name: there are lif_backward,", "static --kernel conv"),
    ("--out results is a folder: give the name of a file in it", "static --out results"),
    ("--out file cannot be made a folder", "static --out file/table.md"),
    ("--out results is a folder: give the name of a file in it", "nir --out results"),
    (f"--epochs: {WHOLE} 1, got '0'", "demo --epochs 0"),
    (f"--seed: {WHOLE} 0, got '1e3'", "demo --seed 1e3"),
    (f"--learning-rate: {POSITIVE} 'fast'", "demo --learning-rate fast"),
    ("--dataset: invalid choice: 'imagenet'", "demo --dataset imagenet"),
    ("--output: invalid choice: 'rate'", "demo --output rate"),
    ("--out file cannot be made a folder (File exists): give another", "demo --out file"),
    ("there is no mnist in none/MNIST/raw; to get it", "demo --dataset mnist --data-root none"),
]
if not torch.cuda.is_available():
    COMMANDS += [
        ("--device cuda cannot be used: PyTorch finds no GPU here; use --device cpu", "run dynamics --device cuda --out new"),
        ("--device cuda cannot be used: PyTorch finds no GPU here; use --device cpu", "demo --device cuda"),
        ('backend="triton" cannot run here', "run dynamics --backend triton --out new"),
        ('backend="triton" cannot run here', "demo --backend triton"),
    ]  # fmt: skip


# --- The tests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint's content."""
    path = tmp_path_factory.mktemp("whole") / "training.pt"
    train(path)
    assert train(path) and path.exists()  # it can be resumed from
    return path.read_bytes()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_not_a_checkpoint_of_this_training(tmp_path, monkeypatch, whole, name):
    monkeypatch.chdir(tmp_path)
    phrase, damage = CHECKPOINTS[name]
    path, model = tmp_path / "training.pt", network()
    path.write_bytes(damage(whole))
    with refused(checkpoint.CheckpointError, phrase, model, tmp_path):
        train(path, model)
    assert not (tmp_path / "ran").exists()


def test_what_is_malicious_would_have_run(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    torch.load(io.BytesIO(CHECKPOINTS["malicious"][1](whole)), weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_folder_in_the_place_of_a_checkpoint(tmp_path):
    model = network()
    with refused(checkpoint.CheckpointError, f"{tmp_path} is damaged or not a checkpoint (", model, tmp_path):
        train(tmp_path, model)


def test_a_checkpoint_of_other_options(tmp_path, whole):
    path, model = tmp_path / "training.pt", network()
    path.write_bytes(whole)
    with refused(checkpoint.CheckpointError, "is of another training: delete it to start anew", model, tmp_path):
        train(path, model, dataclasses.replace(RECIPE, seed=1))


def test_a_checkpoint_cut_short_or_altered_anywhere(tmp_path, whole):
    path, model = tmp_path / "training.pt", network()
    for content in damages(whole):
        path.write_bytes(content)
        with refused(checkpoint.CheckpointError, DAMAGED, model, tmp_path, count="faults injected"):
            train(path, model)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The text of a small file of results."""
    path = tmp_path_factory.mktemp("table") / "a.csv"
    committed = [row for file in results.FOLDER.glob("*.csv") for row in results.read(file)]
    results.update(path, results.select(committed, experiment="noise-type"))
    return path.read_text()


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_not_a_file_of_results(tmp_path, capsys, table, name):
    phrase, damage = RESULTS[name]
    (tmp_path / "a.csv").write_text(damage(table))
    refuse(["report", "--out", str(tmp_path)], phrase, tmp_path, capsys)


def refuse(arguments, phrase, folder, capsys, begun=False):
    """Status 2 and a sentence; if the command has not ``begun`` its work, nothing has changed."""
    with contextlib.nullcontext() if begun else unchanged(folder):
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = stop.code
    error = capsys.readouterr().err
    assert status == 2 and phrase in error and "Traceback" not in error
    COUNTS["bad inputs refused"] += 1


def test_a_file_of_results_cut_short_anywhere(tmp_path, table):
    """It can be read only where a line ends, and then to that line."""
    path = tmp_path / "a.csv"
    path.write_text(table)
    rows = results.read(path)
    for content in itertools.islice(damages(table.encode()), 50):  # a digit for a digit would read as well
        path.write_bytes(content)
        try:
            assert results.read(path) == rows[: content.count(b"\n") - 1] and content.endswith(b"\n")
        except results.ResultsError as error:
            assert "a.csv" in str(error)
        COUNTS["faults injected"] += 1


@pytest.fixture
def workplace(tmp_path, monkeypatch, without_data, table):
    """The folder a command runs in: nothing of what it does by default reaches the checkout or the machine's data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    (tmp_path / "file").write_text("a file\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.csv").write_text(table)
    return tmp_path


@pytest.mark.parametrize("phrase, command", COMMANDS, ids=[command or "nothing" for _, command in COMMANDS])
def test_a_wrong_command_line_is_answered_by_a_sentence(workplace, capsys, phrase, command):
    refuse(command.split(), phrase, workplace, capsys)


def test_memory_that_is_too_small_is_said(workplace, capsys, monkeypatch):
    def build(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12")

    monkeypatch.setattr(lab.networks, "build", build)
    command = ["run", "accuracy", *TINY, "--out", "new"]
    refuse(command, "the memory is too small (DefaultCPU", workplace, capsys, begun=True)
    monkeypatch.setattr(demo.networks, "build", build)
    refuse(["demo"], "give a smaller --batch-size or --width", workplace, capsys, begun=True)


# --- Writes that fail ------------------------------------------------------------------------------------------------


class Full(io.FileIO):
    """A file on a disk that is full after half of what is written."""

    def write(self, content):
        super().write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def no_space(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


WRITERS = {
    "a.bin": lambda folder, number: files.write_whole(folder / "a.bin", bytes([number]) * 1000),
    "a.pt": lambda folder, number: checkpoint.save(folder / "a.pt", "", {"n": torch.full((100,), number)}),
    "a.csv": lambda folder, number: results.update(folder / "a.csv", [dataclasses.replace(ROW, median=float(number))]),
}


def no_rename(source, target):
    assert source.parent == target.parent, "it is one step only within a file system"
    assert source.suffix != target.suffix, "after a kill it would be read as a file of results"
    no_space()


MOMENTS = {"write": (files, "open", Full), "fsync": (os, "fsync", no_space), "replace": (os, "replace", no_rename)}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch, name, moment):
    WRITERS[name](tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    monkeypatch.setattr(*MOMENTS[moment], raising=False)
    with refused(OSError, f"No space left on device: '{tmp_path / name}'", tmp_path, count="faults injected"):
        WRITERS[name](tmp_path, 2)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_full_disk_ends_a_command_in_a_sentence(workplace, capsys, monkeypatch, moment):
    assert main(["report", "--out", "results"]) == 0
    monkeypatch.setattr(*MOMENTS[moment], raising=False)
    refuse("report --out results".split(), "No space left on device: 'results/", workplace, capsys)
    monkeypatch.setattr(demo, "_compare", no_space)
    refuse(["demo"], "error: [Errno 28] No space left on device", workplace, capsys)


ENDLESS = """
import itertools, sys
from pathlib import Path

from benchmarks.files import write_whole

for number in itertools.count():
    write_whole(Path(sys.argv[1]), bytes([number % 251]) * 300_000)
    if number == 0:
        print("written", flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    """Old or new. What was being written stays behind under a name that nothing reads."""
    path, moments = tmp_path / "a.csv", random.Random(0)
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], cwd=Path(__file__).parents[2],
                                   stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert process.stdout.readline() == "written\n"
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        process.communicate()
        content = path.read_bytes()
        assert len(content) == 300_000 and len(set(content)) == 1
        assert list(tmp_path.glob("*.csv")) == [path]
        COUNTS["faults injected"] += 1
    assert len(list(tmp_path.iterdir())) > 1, "no kill came during a write"
