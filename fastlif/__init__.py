"""fastlif: spiking neurons for PyTorch, trained in a single noisy step and converted to T time steps."""

import os

import fastlif.requirements  # noqa: F401  isort: skip  before all else
from fastlif import functional, plot
from fastlif.conversion import convert
from fastlif.exchange.nir_models import from_nir, to_nir
from fastlif.fusion import batch_norm_neuron, fuse
from fastlif.libraries.spikingjelly import accelerate, restore
from fastlif.models import detach, reset
from fastlif.modules import LIF, NoisyLIF
from fastlif.multistep import MultiStep
from fastlif.packing import packed_spikes
from fastlif.recording import record
from fastlif.recording.energy import energy
from fastlif.scaling import scale_thresholds
from fastlif.time_axis import check_time_axis
from fastlif.timesteps import recommend_timesteps
from fastlif.types import Noise, Surrogate
from fastlif.variants import IF, LI, ParametricLIF

# In a checkout the kernels lie beside this folder. A program that is run there finds it before any installed package.
if not os.path.isdir(os.path.join(__path__[0], "kernels")):
    __path__.append(os.path.dirname(__path__[0]))

__version__ = "0.2.0"
__all__ = ["IF", "LI", "LIF", "MultiStep", "Noise", "NoisyLIF", "ParametricLIF", "Surrogate", "accelerate",
           "batch_norm_neuron", "check_time_axis", "convert", "detach", "energy", "from_nir", "functional", "fuse",
           "packed_spikes", "plot", "recommend_timesteps", "record", "reset", "restore", "scale_thresholds",
           "to_nir"]  # fmt: skip
