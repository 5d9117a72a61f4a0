"""Nothing that is uninitialised reaches a result: with NaN in all such memory, the kernels agree with the reference.

FASTLIF_POISON=1 has the same done to the whole of a test run (conftest.py).
"""

import pytest
import torch
from helpers import DEVICE

pytest.importorskip("triton")

from test_kernels import SEQUENCE_LAYOUTS, check_scan, check_spike, sample, statistics_of

from fastlif.functional import lif, noisy_lif


@pytest.fixture(autouse=True)
def poison():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before, warn_only=before)


def test_memory_is_poisoned():
    assert torch.empty(100, device=DEVICE).isnan().all()
    assert torch.empty_strided((2, 3), (1, 2), dtype=torch.bfloat16, device=DEVICE).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [1, 500, 2049])
def test_noisy_spike(size, dtype):
    check_spike(sample((3, size), dtype))


# 37 steps keep membranes at checkpoints.
@pytest.mark.full
@pytest.mark.parametrize("T, layout", [(3, "channels_last"), (37, "static"), (37, "every-other")])
def test_lif(T, layout):
    x = SEQUENCE_LAYOUTS[layout](sample((T, 3, 4, 5, 7)))
    check_scan(lif, x, sample(x.shape[1:], seed=2))


# 9,001 features leave partial results of several programs.
@pytest.mark.parametrize("statistics, features", [("layer", 9001), ("layer", 63), ("sample", 63), ("calibrated", 63)])
def test_noisy_lif(statistics, features):
    x = sample((3, 2, features))
    check_scan(noisy_lif, x, sample(x.shape[1:], seed=2), seed=5, statistics=statistics_of(statistics, 3))
