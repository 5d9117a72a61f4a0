"""Where a training was when its last epoch ended: written whole, read without running any code in it.

The file is what ``torch.save`` makes, which ``torch.load(path, weights_only=True)`` reads, and behind it 32 bytes: the
SHA-256 of what comes before them.
"""

import hashlib
import io
from pathlib import Path

import torch

from benchmarks.files import write_whole
from benchmarks.options import UsageError

FORMAT = "fastlif training 2"


class CheckpointError(UsageError):
    """A checkpoint cannot be used: it is damaged, foreign, or of another training."""


def save(path: Path, spec: str, state: dict) -> None:
    """Write ``state``, made of tensors, numbers, strings, lists and dicts, of the training that ``spec`` describes."""
    file = io.BytesIO()
    torch.save({"format": FORMAT, "spec": spec, "state": state}, file)
    content = file.getvalue()
    write_whole(path, content + hashlib.sha256(content).digest())


def load(path: Path, spec: str) -> dict | None:
    """The state that was saved, on the CPU; None if there is no such file.

    Raises:
        CheckpointError: the file is damaged or foreign, or of another training than ``spec``.
    """
    if not path.exists():
        return None
    try:
        file = path.read_bytes()
        content, digest = file[:-32], file[-32:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its SHA-256 is wrong")
        content = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        found = content["format"], content["spec"], content["state"]
    except Exception as error:  # what is foreign fails in its own way
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({reason}): delete it to start anew") from None
    if found[0] != FORMAT:
        raise CheckpointError(f"{path} has the format {found[0]!r}, not {FORMAT!r}: delete it to start anew")
    if found[1] != spec:
        raise CheckpointError(f"{path} is of another training: delete it to start anew.\nits: {found[1]}\nnow: {spec}")
    return found[2]
