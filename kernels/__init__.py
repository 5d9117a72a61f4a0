"""The Triton kernels and their launchers, imported as ``fastlif.kernels``.

Read in this order: ``tile.py`` (which element a program owns), ``noise.py``, ``surrogate.py``; the single step,
``noisy_spike.py``; the scan over time, ``scan.py``, ``lif.py`` and ``lif_reverse.py``; ``noisy_lif.py``. Training with
less memory: ``batch_norm.py``, ``bits.py``. ``launch.py`` is the way from a call to a launch.
"""

if __name__ != "fastlif.kernels":
    raise ImportError("this folder is the package fastlif.kernels: install fastlif and import that name")

from fastlif.kernels.bits import bytes_of, pack_bits, unpack_bits
from fastlif.kernels.launch import visible
from fastlif.kernels.lif import _lif_forward_kernel, lif_forward
from fastlif.kernels.lif_reverse import _lif_backward_kernel, lif_backward
from fastlif.kernels.noisy_lif import _noisy_lif_steps_kernel, noisy_lif_forward
from fastlif.kernels.noisy_spike import (
    _noisy_spike_backward_kernel,
    _noisy_spike_forward_kernel,
    noisy_spike_backward,
    noisy_spike_forward,
)

__all__ = ["bytes_of", "lif_backward", "lif_forward", "noisy_lif_forward", "noisy_spike_backward",
           "noisy_spike_forward", "pack_bits", "unpack_bits", "visible"]  # fmt: skip

if visible():  # then what torch.compile keeps on disk must be found by the kernels' text, the backward's included
    from torch._library.triton import triton_ops_to_kernels

    triton_ops_to_kernels["fastlif::noisy_spike"] = [_noisy_spike_forward_kernel, _noisy_spike_backward_kernel]
    triton_ops_to_kernels["fastlif::lif"] = [_lif_forward_kernel, _lif_backward_kernel]
    triton_ops_to_kernels["fastlif::noisy_lif"] = [_noisy_lif_steps_kernel, _lif_backward_kernel]
