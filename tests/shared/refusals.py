"""What it means that something is refused: a sentence that says why, and nothing has changed."""

import contextlib
import copy
from pathlib import Path

import pytest
import torch
from counts import COUNTS
from torch import nn


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def snapshot(thing):
    """A copy to compare with later: of a tensor, of all that a module is and holds, of the files below a folder."""
    if isinstance(thing, torch.Tensor):
        return str(thing.dtype), thing.shape, thing.requires_grad, thing.detach().numpy().tobytes()
    if isinstance(thing, nn.Module):  # but for the records of options, which are made when they are first needed
        return type(thing), snapshot({name: value for name, value in vars(thing).items() if name != "_kept"})
    if isinstance(thing, dict):
        return {name: snapshot(value) for name, value in thing.items()}
    if isinstance(thing, Path):
        return tree(thing)
    return copy.copy(thing)


@contextlib.contextmanager
def unchanged(*things):
    """Neither torch's generator nor these things are other afterwards than before."""
    before = [snapshot(thing) for thing in (torch.get_rng_state(), *things)]
    yield
    assert [snapshot(thing) for thing in (torch.get_rng_state(), *things)] == before


@contextlib.contextmanager
def refused(error, phrase, *things, count="bad inputs refused"):
    """A sentence with that phrase, and nothing has changed."""
    with unchanged(*things), pytest.raises(error) as caught:
        yield
    assert phrase in str(caught.value)
    COUNTS[count] += 1


def damages(content, count=50):
    """The content cut short at as many lengths, then with a bit flipped at as many places, the last byte too."""
    places = [round(i * (len(content) - 1) / (count - 1)) for i in range(count)]
    yield from (content[:i] for i in places)
    yield from (content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] for i in places)
