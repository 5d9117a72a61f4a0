"""Small image data sets as plain tensors, for the demo and the benchmarks.

``load("digits")`` needs no files; ``load("fashion-mnist")`` finds the published files, checks their
content and reads them through torchvision. Nothing heavy is imported before the call that needs it.
"""

import gzip
import hashlib
import os
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

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
    sha256: dict[str, str]  # file name -> sum of the unpacked content
    debian_package: str = ""


# Sums of the unpacked content: Debian has repacked the .gz files, so torchvision's md5 sums reject them.
_FILES = {
    "fashion-mnist": _Files(
        reader="FashionMNIST",
        layout="FashionMNIST/raw",
        sha256={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        debian_package="dataset-fashion-mnist",
    ),
}

NAMES = ("digits", *_FILES)


def load(name: str, *, data_root: str | os.PathLike | None = None, download: bool = False) -> ImageDataset:
    """Load a data set by its name, one of ``NAMES``.

    "digits" is scikit-learn's: 1,437 training and 360 test images [1, 8, 8], always split alike.
    "fashion-mnist" has 60,000 and 10,000 images [1, 28, 28]. Its files, plain or gzipped, are searched
    for in ``data_root``, the environment variable FASTLIF_DATA_ROOT, /usr/share/datasets and the cache
    folder (FASTLIF_CACHE, by default ~/.cache/fastlif), in this order; in each of these, in torchvision's
    layout, in a folder of the data set's name, and directly. What torchvision cannot read where it
    lies is unpacked into the cache folder.

    Args:
        data_root: the folder to search first and to download into (default: download into the cache folder).
        download: let torchvision download the files if no complete copy is found.

    Raises:
        ValueError: the name is unknown.
        DatasetNotFound: there is no complete copy; says where it looked and how to get one.
        DatasetError: a file's content is not the published one, or writing or downloading failed.
        ImportError: torchvision does not import.
    """
    if name == "digits":
        return _load_digits()
    if name in _FILES:
        return _load_files(name, data_root and Path(data_root).expanduser(), download)
    raise ValueError(f"unknown data set {name!r}; known are {', '.join(NAMES)}")


def to_float(images: Tensor) -> Tensor:
    """Images [N, C, H, W] from uint8 in 0..255 to float32 in [0, 1], on the same device."""
    return images.to(torch.float32) / 255


def _load_digits() -> ImageDataset:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

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
        and not (folder.parent / "processed").exists()
    )
    for file, path in paths.items():
        content = _read(path, files.sha256[file])
        if not in_place:
            _store(cache / files.layout / file, content)
    reader, root = _reader(files), root if in_place else cache
    return ImageDataset(name, *_tensors(reader(root, train=True)), *_tensors(reader(root, train=False)))


def _cache_root() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "fastlif"
    return Path(os.environ.get("FASTLIF_CACHE") or default).expanduser()


def _present(folder: Path, files: _Files) -> dict[str, Path]:
    """The files of a data set that lie in a folder, unpacked ones before gzipped ones."""
    paths = [(file, folder / (file + suffix)) for file in files.sha256 for suffix in (".gz", "")]
    return {file: path for file, path in paths if os.path.isfile(path)}


def _first_complete(folders: Iterable[Path], files: _Files) -> Path | None:
    return next((folder for folder in folders if len(_present(folder, files)) == len(files.sha256)), None)


def _not_found(name: str, folders: Iterable[Path]) -> str:
    files = _FILES[name]
    lines = [f"no complete copy of {name} was found; looked for {', '.join(files.sha256)} (plain or .gz) in"]
    for folder in folders:
        present = _present(folder, files)
        missing = ", ".join(file for file in files.sha256 if file not in present)
        lines.append(f"  {folder}" + (f" (lacks {missing})" if present else ""))
    lines.append("to get it, run one of")
    if files.debian_package:
        lines.append(f"  apt-get install {files.debian_package}")
    lines.append(f"  make demo DATASET={name} ARGS=--download")
    return "\n".join(lines)


def _read(path: Path, expected: str) -> bytes:
    """The unpacked content of a file, refused unless it has the expected SHA-256."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        found = hashlib.sha256(content).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        found = f"none, as it cannot be read to its end ({error})"
    if found != expected:
        raise DatasetError(
            f"{path} is damaged or another file: the SHA-256 of its unpacked content should be {expected}, "
            f"found {found}; replace it by a good copy, or delete it so that the next place is searched"
        )
    return content


def _store(path: Path, content: bytes) -> None:
    """Write a file in one step, so that neither a crash nor another process leaves or sees half of it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
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
    try:
        from torchvision import datasets
    # A torchvision built for another torch fails in its compiled operators, with any of these.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise ImportError(
            f"{files.reader} is read through torchvision, which does not import here "
            f"({type(error).__name__}: {error}); install the torchvision that matches "
            f"the installed torch {torch.__version__}"
        ) from error
    return getattr(datasets, files.reader)


def _tensors(split) -> tuple[Tensor, Tensor]:
    """Images [N, C, H, W] and labels [N] of a torchvision data set of images [N, H, W] or [N, H, W, C]."""
    images = torch.as_tensor(split.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(split.targets, dtype=torch.int64)
