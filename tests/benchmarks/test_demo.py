"""The demo's parts, small and uncompiled: batches, what is counted, and the program as a whole."""

import json

import pytest
import torch
from torch import nn

import fastlif
from benchmarks import demo, options
from benchmarks.__main__ import main
from benchmarks.speed import measure
from benchmarks.training import loop, networks


def test_batches_are_whole_when_shuffled_and_complete_when_not(digits):
    images, labels, generator = digits.test_images[:25], digits.test_labels[:25], torch.Generator()
    for count, order, sizes in ((10, None, [10, 10, 5]), (10, generator, [10, 10]), (30, generator, [25])):
        found = list(loop.batches(images, labels, count, order))
        assert [len(y) for _, y in found] == sizes
        assert all(x.dtype == torch.float32 and 0 <= x.min() and x.max() <= 1 for x, _ in found)


def test_spikes_are_counted_per_neuron_and_image():
    lif, silent = (fastlif.LIF(threshold=threshold, backend="reference") for threshold in (1.0, 1e9))
    model = fastlif.MultiStep(nn.Sequential(lif, nn.Linear(1, 4), silent), timesteps=6)
    with fastlif.record(model, spikes=False) as log:
        model(torch.tensor([[2.0], [2.0]]))  # these spike at every step
        model(torch.tensor([[0.75]]))  # and this at every second: 0.75, then 0.75 + 0.375
    assert demo.spikes_per_neuron(log, 6) == pytest.approx((6 + 6 + 3) / 3 / (1 + 4))


@pytest.mark.full
@pytest.mark.parametrize("output", networks.OUTPUTS)
def test_the_demo_from_end_to_end(output, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "CALLS", (2, 4))
    command = "--backend reference --device cpu --width 0.1 --epochs 2 --limit 120 --output".split()
    main(["demo", *command, output, "--out", str(tmp_path / "new" / "folder")])
    printed = capsys.readouterr().out
    figure, results = (tmp_path / "new" / "folder" / f"digits{suffix}" for suffix in (".png", ".json"))
    assert figure.read_bytes().startswith(b"\x89PNG")
    record = json.loads(results.read_text())
    assert [row["timesteps"] for row in record["rows"]] == [1, 1, 2, 5, 10, 10, 1]
    assert record["rows"][-1]["spikes_per_neuron"] is None
    for row in record["rows"]:
        spikes = row["spikes_per_neuron"]
        assert 0 <= row["accuracy"] <= 1 and (row["network"] == "ReLU" or 0 < spikes <= row["timesteps"])
        assert 0 < row["seconds_per_image"]["p20"] <= row["seconds_per_image"]["median"]
        assert f"{row['accuracy'] * 100:.2f} %" in printed
    assert list(record["training"]) == ["single step", "direct, T = 10", "ReLU"]
    for name, epochs in record["training"].items():
        assert len(epochs) == 2 and all(epoch["seconds"] > 0 for epoch in epochs)
        found = next(row["accuracy"] for row in record["rows"] if row["network"] == name)
        assert name != "ReLU" or epochs[-1]["metrics"]["accuracy"] == found, "what was tested is what was trained"
    assert record["versions"]["fastlif"] == fastlif.__version__ and record["versions"]["torch"]
    assert record["settings"]["output"] == output
    named = "converted, T = 10", "An epoch of training, direct, T = 10", "times the single step's"
    for expected in (*named, str(figure), str(results)):
        assert expected in printed


def test_without_a_compiler_the_demo_goes_on_and_says_so(monkeypatch, capsys):
    def no_compiler(backend, _):
        raise RuntimeError(f"{backend}: no compiler")

    monkeypatch.setattr(options, "choose_backend", no_compiler)
    assert options.backend("auto", torch.device("cpu")) == "reference"
    assert "no compiler" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="no compiler"):
        options.backend("compiled", torch.device("cpu"))
