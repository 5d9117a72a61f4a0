"""The Triton kernels and their launchers, imported as ``fastlif.kernels``.

Read in this order: ``tile.py`` (which element a program owns), ``noise.py``, ``surrogate.py``; the single step,
``noisy_spike.py``; the scan over time, ``scan.py``, ``lif.py`` and ``lif_reverse.py``; ``noisy_lif.py``. Training with
less memory: ``batch_norm.py``, ``bits.py``. ``launch.py`` is the way from a call to a launch.
"""

if __name__ != "fastlif.kernels":
    raise ImportError("this folder is the package fastlif.kernels: install fastlif and import that name")

from fastlif.kernels.bits import bytes_of, pack_bits, unpack_bits
from fastlif.kernels.launch import visible
from fastlif.kernels.lif import lif_forward
from fastlif.kernels.lif_reverse import lif_backward
from fastlif.kernels.noisy_lif import noisy_lif_forward
from fastlif.kernels.noisy_spike import noisy_spike_backward, noisy_spike_forward

__all__ = ["bytes_of", "lif_backward", "lif_forward", "noisy_lif_forward", "noisy_spike_backward",
           "noisy_spike_forward", "pack_bits", "unpack_bits", "visible"]  # fmt: skip
