"""The Triton kernels and their launchers, imported as ``fastlif.kernels``.

Read in this order: ``tile.py`` (which element a program owns), ``noise.py``, ``surrogate.py``, then the three neurons
``noisy_spike.py``, ``lif.py`` and ``noisy_lif.py``. Training with less memory: ``batch_norm.py``, ``bits.py``.
"""

if __name__ != "fastlif.kernels":
    raise ImportError("this folder is the package fastlif.kernels: install fastlif and import that name")

from fastlif.kernels.bits import pack_bits, unpack_bits
from fastlif.kernels.lif import lif_backward, lif_forward
from fastlif.kernels.noisy_lif import noisy_lif_forward
from fastlif.kernels.noisy_spike import noisy_spike_backward, noisy_spike_forward

__all__ = ["lif_backward", "lif_forward", "noisy_lif_forward", "noisy_spike_backward", "noisy_spike_forward",
           "pack_bits", "unpack_bits"]  # fmt: skip
