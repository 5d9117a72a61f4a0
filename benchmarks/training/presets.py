"""Options and presets: how networks are trained, how much is done, and what on."""

from dataclasses import dataclass
from pathlib import Path

import torch

import fastlif
from benchmarks.report.rows import FOLDER
from benchmarks.training.loop import Recipe

T = 10  # the steps that the paper converts to, and trains the baseline with


@dataclass(frozen=True)
class Preset:
    """How networks are trained: what an experiment does not vary."""

    description: str
    recipe: Recipe
    output: str
    shifts: dict[str, int]  # data set -> how far its training images are shifted, in pixels; these are mirrored too
    surrogate: str | fastlif.Surrogate = "atan"
    channels_last: bool = False  # the weights' memory format


PRESETS = {
    "paper": Preset(
        "MSE against one-hot, Adam at 1e-4, cosine annealing with warm restarts of period 100, spiking output",
        Recipe(learning_rate=1e-4, loss="mse", schedule="warm-restarts"),
        output="spiking",
        shifts={"cifar-10": 4},
    ),
    "modern": Preset(
        "cross-entropy with labels smoothed by 0.05, AdamW at 3e-3 in one cycle, linear output, Fashion-MNIST and "
        "CIFAR-10 shifted and mirrored, a rectangular surrogate taken at the noise's mean, channels_last",
        Recipe(learning_rate=3e-3, loss="smoothed-cross-entropy", schedule="one-cycle", weight_decay=1e-2),
        output="linear",
        shifts={"cifar-10": 4, "fashion-mnist": 2, "fashion-mnist-32": 2},
        surrogate=fastlif.Surrogate("rectangular", at="mean"),
        channels_last=True,
    ),
}


@dataclass(frozen=True)
class Form:
    """How much is done: ``quick`` takes minutes on two CPU cores, ``full`` minutes on one data-centre GPU."""

    width: float  # of the small network where it is trained for its accuracy, and no width is asked for
    epochs: int | None  # of the networks that everything else uses; None: Table 1's
    ablation_epochs: int  # of each variant that is compared with the others
    train_images: int | None  # how many, the first ones; None: all
    test_images: int | None  # likewise
    batch_size: int
    noise_seeds: int  # evaluations of one network
    trainings: int  # of the network whose accuracy is claimed, from different seeds
    curve_images: int | None  # of an epoch where training is timed
    curve_epochs: int  # of the single-step way; the direct ones get half as many
    goals: dict[tuple[str, str], float]  # (dataset, network) -> the accuracy in % to reach
    rate_steps: tuple[int, ...]  # T of the rate-coded network
    rate_images: int | None
    large: bool  # whether VGG-16 and ResNet-18 of the whole width are trained for their accuracy, or only timed
    large_batch_size: int
    throughput_batches: int  # of an epoch that is timed for its throughput


FORMS = {
    "quick": Form(
        width=0.25,
        epochs=3,
        ablation_epochs=2,
        train_images=20_000,
        test_images=2000,
        batch_size=50,
        noise_seeds=3,
        trainings=3,
        curve_images=10_000,
        curve_epochs=8,
        goals={("mnist", "small"): 95.0, ("fashion-mnist", "small"): 80.0, ("digits", "small"): 80.0},
        rate_steps=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        rate_images=500,
        large=False,
        large_batch_size=4,
        throughput_batches=1,
    ),
    "full": Form(
        width=1.0,
        epochs=None,
        ablation_epochs=20,
        train_images=None,
        test_images=None,
        batch_size=100,
        noise_seeds=5,
        trainings=3,
        curve_images=None,
        curve_epochs=40,
        goals={
            ("mnist", "small"): 99.0,
            ("fashion-mnist", "small"): 92.0,
            ("cifar-10", "vgg16"): 88.0,
            ("cifar-10", "resnet18"): 90.0,
            ("digits", "small"): 95.0,
        },
        rate_steps=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 2500),
        rate_images=None,
        large=True,
        large_batch_size=100,
        throughput_batches=20,
    ),
}

# Table 1: what is trained on what, and for how many epochs. The last three are ours, where the other files are not.
WORKLOADS = {
    "mnist": {"small": 100},
    "fashion-mnist": {"small": 200},
    "cifar-10": {"vgg16": 1000, "resnet18": 800},
    "fashion-mnist-32": {"vgg16": 200, "resnet18": 200},
    "mnist-5k": {"small": 100},
    "digits": {"small": 100},
}


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    form: str = "quick"
    preset: str = "paper"
    surrogate: str | None = None  # in place of the preset's
    erase: bool = False  # as in Recipe
    datasets: tuple[str, ...] = ("mnist", "fashion-mnist", "cifar-10")
    synthetic: bool = False
    dtype: str = "float32"
    backend: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    limit: int | None = None  # of training and test images
    width: float | None = None
    trainings: int | None = None
    seed: int = 0
    data_root: Path | None = None
    download: bool = False
    out: Path = FOLDER
    resume: bool = False

    def shown(self, device: torch.device) -> str:
        """The options that affect the result and differ from the defaults, as on the command line."""
        usual = "triton" if device.type == "cuda" else "compiled"
        backend = None if self.backend in ("auto", usual) else self.backend
        numbers = {name: getattr(self, name) for name in ("epochs", "batch_size", "limit", "width", "trainings")}
        values = {
            "preset": self.preset if self.preset != "paper" else None,
            "surrogate": self.surrogate,
            "dtype": self.dtype if self.dtype != "float32" else None,
            "backend": backend,
            **numbers,
            "seed": self.seed or None,
        }
        words = ["--quick"] * (self.form == "quick") + ["--erase"] * self.erase
        words += [f"--{name.replace('_', '-')} {value}" for name, value in values.items() if value is not None]
        return " ".join(words)
