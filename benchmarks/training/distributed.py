"""Several processes on one training, as ``torchrun`` starts them; with one process everything here does nothing.

Every process holds the whole model and data set, trains on its own part of each batch with its own noise, and ends
with the same weights. The first one (rank 0) prints and writes.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes if ``torchrun`` started this one; gives the device of this process."""
    if "LOCAL_RANK" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield device
    # Not after an error: these would wait for processes that wait for this one. Threads of the group that outlive it
    # end Python in an abort: so nobody leaves while others talk, and no DistributedDataParallel is left to hold it.
    dist.barrier()
    gc.collect()
    dist.destroy_process_group()


def leave(status: int) -> NoReturn:
    """End this process. One of several ends at once: now and then a thread of theirs aborts Python's own way out."""
    if "LOCAL_RANK" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process does what is inside before the others do, so that these find what it made."""
    if rank() != 0:
        dist.barrier()
    yield
    if rank() == 0 and world_size() > 1:
        dist.barrier()


def parallel(model: nn.Module) -> nn.Module:
    """``model`` such that its gradients are averaged over the processes."""
    return nn.parallel.DistributedDataParallel(model) if world_size() > 1 else model


def add_up(tensor: Tensor) -> Tensor:
    """``tensor`` summed over the processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def same_buffers(model: nn.Module) -> None:
    """Give every process the first one's buffers: batch normalisation has seen other images in each."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def gather(value) -> list:
    """The ``value`` of every process, in the order of their ranks."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values
