"""``torch.compile`` takes the CPU for an H100, whose kernels the emulator runs: ``on_a_gpu()``."""

import contextlib
from unittest import mock

import torch
from torch._dynamo.device_interface import CpuInterface
from torch._inductor.runtime import hints, triton_helpers, triton_heuristics

PROPERTIES = {
    "type": "cuda", "index": 0, "multi_processor_count": 132, "cc": 90, "major": 9, "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048, "max_threads_per_block": 1024, "warp_size": 32,
}  # fmt: skip


@contextlib.contextmanager
def on_a_gpu():
    """Within it what is compiled launches its kernels of Triton by the active driver, such as the emulator's.

    That is for torch 2.15 and later. Nothing is taken from PyTorch's caches, nor left there, and no strides are padded,
    as they are for a GPU.
    """
    torch._dynamo.reset()
    device = mock.patch.multiple(
        CpuInterface,
        raise_if_triton_unavailable=mock.DEFAULT,
        exchange_device=lambda device: 0,
        maybe_exchange_device=lambda device: 0,
    )
    with (
        device,
        mock.patch.object(hints.DeviceProperties, "create", return_value=hints.DeviceProperties(**PROPERTIES)),
        mock.patch.object(triton_helpers, "set_driver_to_gpu"),
        mock.patch.object(triton_heuristics.CachingAutotuner, "get_device_interface", return_value=CpuInterface),
        torch._functorch.config.patch(enable_autograd_cache=False),
        torch._inductor.config.patch(compile_threads=1, fx_graph_cache=False, use_static_triton_launcher=False),
    ):
        yield
    torch._dynamo.reset()
