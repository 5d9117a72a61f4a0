"""The demo's parts, small and uncompiled: the network, its training, what is counted, and the program as a whole."""

import json

import pytest
import torch
from torch import nn

import fastlif
from benchmarks import demo, options
from benchmarks.training import datasets, evaluation, loop, networks
from benchmarks.training.loop import Recipe

TIMESTEPS = 3
ACTIVATIONS = {
    "relu": nn.ReLU,
    "noisy": lambda: fastlif.NoisyLIF(backend="reference"),
    "lif": lambda: fastlif.LIF(timesteps=TIMESTEPS, backend="reference"),
}


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def network(activation="noisy", image_shape=(1, 8, 8), **options):
    torch.manual_seed(0)
    return networks.small_network(image_shape, 10, activation=ACTIVATIONS[activation], **{"width": 0.125} | options)


@pytest.mark.parametrize("image_shape", [(1, 8, 8), (1, 28, 28), (3, 32, 24)], ids=str)
def test_the_network_gives_a_score_per_class(image_shape):
    images = torch.rand(4, *image_shape)
    assert network("relu", image_shape)(images).shape == (4, 10)
    assert network("lif", image_shape)(images.repeat(TIMESTEPS, 1, 1, 1)).shape == (TIMESTEPS * 4, 10)


def test_the_network_at_full_width_is_that_of_table_1():
    layers = network(width=1.0, image_shape=(1, 28, 28))
    features = [layer.weight.shape[0] for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert features == [64, 128, 128, 512, 10]


@pytest.mark.parametrize(
    "options", [{"image_shape": (1, 7, 28)}, {"width": 0.0}, {"output": "rate"}], ids=["image_shape", "width", "output"]
)
def test_wrong_arguments_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        network(**options)


@pytest.mark.parametrize("loss", loop.LOSSES)
def test_training_in_a_single_step_learns(digits, loss):
    model = network(width=0.25)
    before = evaluation.evaluate(model, digits.test_images, digits.test_labels)
    epochs = loop.train(model, digits.train_images, digits.train_labels, Recipe(4, 50, loss=loss))
    after = evaluation.evaluate(model, digits.test_images, digits.test_labels)
    assert len(epochs) == 4 and all(epoch.seconds > 0 for epoch in epochs)
    assert epochs[-1].loss < epochs[0].loss / 1.2
    assert after > before + 0.3


def test_training_directly_over_time_learns(digits):
    model = fastlif.MultiStep(network("lif"), timesteps=TIMESTEPS)
    epochs = loop.train(model, digits.train_images[:600], digits.train_labels[:600], Recipe(3, 50))
    assert epochs[-1].loss < epochs[0].loss


def test_a_seed_decides_the_weights(digits):
    def trained(seed):
        model = network()
        loop.train(model, digits.train_images[:200], digits.train_labels[:200], Recipe(1, 50, seed=seed))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_evaluation_repeats_itself_and_leaves_no_trace(digits):
    model = network().train()
    state, weights = torch.get_rng_state(), {key: value.clone() for key, value in model.state_dict().items()}
    first, second = (evaluation.evaluate(model, digits.test_images, digits.test_labels, seed=3) for _ in range(2))
    assert first == second
    assert model.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_batches_are_whole_when_shuffled_and_complete_when_not(digits):
    images, labels = digits.test_images[:25], digits.test_labels[:25]
    assert [len(y) for _, y in loop.batches(images, labels, 10)] == [10, 10, 5]
    shuffled = list(loop.batches(images, labels, 10, torch.Generator().manual_seed(0)))
    assert [len(y) for _, y in shuffled] == [10, 10]
    assert [len(y) for _, y in loop.batches(images, labels, 30, torch.Generator())] == [25]
    for x, _ in shuffled:
        assert x.dtype == torch.float32 and 0 <= x.min() and x.max() <= 1


def test_spikes_are_counted_per_neuron_and_image():
    noise = fastlif.Noise("none")
    always = nn.Sequential(nn.Flatten(), fastlif.NoisyLIF(threshold=-1.0, noise=noise, backend="reference"))
    never = nn.Sequential(nn.Flatten(), fastlif.LIF(threshold=9.0, backend="reference"))
    for model, timesteps, expected in [(always, 1, 1.0), (never, 4, 0.0)]:
        model = fastlif.MultiStep(model, timesteps=timesteps)
        with fastlif.record(model, spikes=False) as log:
            model(torch.zeros(5, 1, 2, 3))
            model(torch.zeros(3, 1, 2, 3))
        assert demo.spikes_per_neuron(log, timesteps) == expected
    silent = [nn.Linear(1, 4), fastlif.LIF(threshold=1e9, backend="reference")]
    lif = fastlif.MultiStep(nn.Sequential(fastlif.LIF(backend="reference"), *silent), timesteps=6)
    with fastlif.record(lif, spikes=False) as log:
        lif(torch.tensor([[2.0], [0.75]]))  # one spikes at every step, one at every second: 0.75, then 0.75 + 0.375
    assert demo.spikes_per_neuron(log, 6) == pytest.approx((6 + 3) / 2 / (1 + 4))


def run(*options):
    demo.main(["--backend", "reference", "--device", "cpu", *options])


@pytest.mark.full
@pytest.mark.parametrize("output", networks.OUTPUTS)
def test_the_demo_from_end_to_end(output, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, "TIMED_BATCHES", 2)
    run("--width", "0.1", "--epochs", "2", "--limit", "120", "--output", output,
        "--out", str(tmp_path / "new" / "folder"))  # fmt: skip
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


def test_missing_data_is_one_message_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(datasets, "SYSTEM_ROOT", tmp_path / "system")
    monkeypatch.setenv("FASTLIF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTLIF_DATA_ROOT", raising=False)
    with pytest.raises(SystemExit) as stop:
        run("--dataset", "fashion-mnist", "--data-root", str(tmp_path / "mine"), "--out", str(tmp_path / "out"))
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "no complete copy of fashion-mnist" in message and str(tmp_path / "mine") in message
    assert "--dataset fashion-mnist --download" in message and "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_without_a_compiler_the_demo_goes_on_and_says_so(monkeypatch, capsys):
    def no_compiler(backend, _):
        raise RuntimeError(f"{backend}: no compiler")

    monkeypatch.setattr(options, "choose_backend", no_compiler)
    assert options.backend("auto", torch.device("cpu")) == "reference"
    assert "no compiler" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="no compiler"):
        options.backend("compiled", torch.device("cpu"))
