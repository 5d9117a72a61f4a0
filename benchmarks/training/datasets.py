"""Small image data sets as plain tensors, for the demo and the benchmarks.

``load("digits")`` needs no files; for the others, ``load`` finds the published files, checks their content and reads
them through torchvision. ``synthetic`` gives random images of the same shapes. Nothing heavy is imported before the
call that needs it.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.files import write_whole

SYSTEM_ROOT = Path("/usr/share/datasets")  # where Debian's dataset-* packages put their files


class DatasetError(RuntimeError):
    """A data set cannot be used: a file is damaged or foreign, or storing or downloading it failed."""


class DatasetNotFound(DatasetError, FileNotFoundError):
    """No complete copy of a data set lies in any of the places searched."""


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


@dataclass(frozen=True)
class _Files:
    """A data set that lies in files, which a class of torchvision.datasets reads."""

    reader: str  # the name of that class
    layout: str  # where it expects the files below its root
    sums: dict[str, str]  # file name -> sum of the unpacked content
    algorithm: str = "SHA256"  # of these sums
    debian_package: str = ""


# Sums of the unpacked content: Debian has repacked the .gz files, so torchvision's md5 sums reject them.
_FILES = {
    "fashion-mnist": _Files(
        reader="FashionMNIST",
        layout="FashionMNIST/raw",
        sums={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        debian_package="dataset-fashion-mnist",
    ),
    "mnist": _Files(
        reader="MNIST",
        layout="MNIST/raw",
        sums={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    # These are pickles, which run what they contain: torchvision too checks these sums before it opens them.
    "cifar-10": _Files(
        reader="CIFAR10",
        layout="cifar-10-batches-py",
        sums={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        },
        algorithm="MD5",
    ),
}

PADDED = "fashion-mnist-32"  # Fashion-MNIST with zeros around, of the size that VGG-16 takes
NAMES = ("digits", *_FILES, PADDED)
SHAPES = {  # (C, H, W) of one image
    "digits": (1, 8, 8),
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
    [3, 32, 32]; "fashion-mnist-32" is Fashion-MNIST with two zeros on each side, [1, 32, 32]. Their files, plain or
    gzipped, are searched for in ``data_root``, the environment variable FASTLIF_DATA_ROOT, /usr/share/datasets and the
    cache folder (FASTLIF_CACHE, by default ~/.cache/fastlif), in this order; in each of these, in torchvision's layout,
    in a folder of the data set's name, and directly. What torchvision cannot read where it lies is unpacked into the
    cache folder.

    Args:
        data_root: the folder to search first and to download into (default: download into the cache folder).
        download: let torchvision download the files if no complete copy is found.

    Raises:
        ValueError: the name is unknown.
        DatasetNotFound: there is no complete copy; says where it looked and how to get one.
        DatasetError: a file's content is not the published one, or writing or downloading failed.
        ImportError: torchvision, or scikit-learn for the digits, does not import.
    """
    _check_name(name)
    if name == "digits":
        return _load_digits()
    if name == PADDED:
        found = load("fashion-mnist", data_root=data_root, download=download)
        train_images, test_images = (pad(images, [2] * 4) for images in (found.train_images, found.test_images))
        return ImageDataset(name, train_images, found.train_labels, test_images, found.test_labels)
    return _load_files(name, data_root and Path(data_root).expanduser(), download)


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


def _load_digits() -> ImageDataset:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError(
            f"the digits are part of scikit-learn, which does not import here ({error}); pip install scikit-learn"
        ) from error

    pixels, labels = load_digits(return_X_y=True)  # [N, 64] float in 0..16, [N] int64
    images = (pixels * (255 / 16)).round().astype("uint8").reshape(-1, 1, 8, 8)
    split = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, split)
    return ImageDataset("digits", train_images, train_labels.long(), test_images, test_labels.long())


def _load_files(name: str, data_root: Path | None, download: bool) -> ImageDataset:
    files, cache = _FILES[name], _cache_root()
    env_root = os.environ.get("FASTLIF_DATA_ROOT")
    roots = [data_root, env_root and Path(env_root).expanduser(), SYSTEM_ROOT, cache]
    # folder -> the root it belongs to, in the order of the search
    places = {root / below: root for root in roots if root for below in (files.layout, name, "")}
    folder = _first_complete(places, files)
    if folder is None and download:
        _download(files, data_root or cache)
        folder = _first_complete(places, files)
    if folder is None:
        raise DatasetNotFound(_not_found(name, places))

    paths, root = _present(folder, files), places[folder]
    in_place = (
        folder == root / files.layout
        and not any(path.suffix == ".gz" for path in paths.values())
        # torchvision would prefer the tensors that its old releases left there to the files checked here.
        and not (root / files.reader / "processed").exists()
    )
    contents = {file: _read(path, files.sums[file], files.algorithm) for file, path in paths.items()}
    if not in_place:  # nothing is stored of a copy in which a file is refused
        for file, content in contents.items():
            _store(cache / files.layout / file, content)
    reader, root = _reader(files), root if in_place else cache
    return ImageDataset(name, *_tensors(reader(root, train=True)), *_tensors(reader(root, train=False)))


def _cache_root() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "fastlif"
    return Path(os.environ.get("FASTLIF_CACHE") or default).expanduser()


def _present(folder: Path, files: _Files) -> dict[str, Path]:
    """The files of a data set that lie in a folder, unpacked ones before gzipped ones."""
    paths = [(file, folder / (file + suffix)) for file in files.sums for suffix in (".gz", "")]
    return {file: path for file, path in paths if os.path.isfile(path)}


def _first_complete(folders: Iterable[Path], files: _Files) -> Path | None:
    return next((folder for folder in folders if len(_present(folder, files)) == len(files.sums)), None)


def _not_found(name: str, folders: Iterable[Path]) -> str:
    files = _FILES[name]
    lines = [f"no complete copy of {name} was found; looked for {', '.join(files.sums)} (plain or .gz) in"]
    for folder in folders:
        present = _present(folder, files)
        missing = ", ".join(file for file in files.sums if file not in present)
        lines.append(f"  {folder}" + (f" (lacks {missing})" if present else ""))
    lines.append("to get it, run one of")
    if files.debian_package:
        lines.append(f"  apt-get install {files.debian_package}")
    lines.append(f"  python -m benchmarks run accuracy --dataset {name} --download")
    return "\n".join(lines)


def _read(path: Path, expected: str, algorithm: str) -> bytes:
    """The unpacked content of a file, refused unless it has the expected sum."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        found = f"none, as it cannot be read to its end ({error})"
    if found != expected:
        raise DatasetError(
            f"{path} is damaged or another file: the {algorithm} of its unpacked content should be {expected}, "
            f"found {found}; replace it by a good copy, or delete it so that the next place is searched"
        )
    return content


def _store(path: Path, content: bytes) -> None:
    """Write a file of the cache folder, unless it is there already."""
    try:
        if not (path.is_file() and path.read_bytes() == content):
            write_whole(path, content)
    except OSError as error:
        raise DatasetError(f"cannot write {path} ({error}); set FASTLIF_CACHE to a writable folder") from None


def _download(files: _Files, root: Path) -> None:
    reader = _reader(files)
    try:
        reader(root, download=True)
    except Exception as error:  # network, server, disk and checksum each fail in their own way
        reason = " ".join(str(error).split())
        raise DatasetError(f"torchvision could not download {files.reader} into {root}: {reason}") from None


def _reader(files: _Files) -> type:
    return getattr(import_torchvision(f"{files.reader} is read").datasets, files.reader)


def _tensors(split) -> tuple[Tensor, Tensor]:
    """Images [N, C, H, W] and labels [N] of a torchvision data set of images [N, H, W] or [N, H, W, C]."""
    images = torch.as_tensor(split.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(split.targets, dtype=torch.int64)
