"""Where a training was when its last epoch ended: written whole, read without running any code in it."""

import io
import pickle
import zipfile
from pathlib import Path

import torch

from benchmarks.files import write_whole

FORMAT = "fastlif training 1"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used: it is damaged, foreign, or of another training."""


def save(path: Path, spec: str, state: dict) -> None:
    """Write ``state``, made of tensors, numbers, strings, lists and dicts, of the training that ``spec`` describes."""
    content = io.BytesIO()
    torch.save({"format": FORMAT, "spec": spec, "state": state}, content)
    write_whole(path, content.getvalue())


def load(path: Path, spec: str) -> dict | None:
    """The state that was saved, on the CPU; None if there is no such file.

    Raises:
        CheckpointError: the file is damaged or foreign, or of another training than ``spec``.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["format"], content["spec"], content["state"]
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({reason}): delete it to start anew") from None
    if found[0] != FORMAT:
        raise CheckpointError(f"{path} has the format {found[0]!r}, not {FORMAT!r}: delete it to start anew")
    if found[1] != spec:
        raise CheckpointError(f"{path} is of another training: delete it to start anew.\nits: {found[1]}\nnow: {spec}")
    return found[2]
