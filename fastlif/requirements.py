"""Refuses, at import, a PyTorch that the rest would fail in with errors that say less."""

import torch

OLDEST_TORCH = "2.11"

if torch.__version__ < OLDEST_TORCH:
    raise ImportError(f"fastlif needs torch >= {OLDEST_TORCH}, found {torch.__version__}: pip install -U torch")
