"""Random calls of every kernel, of sizes that take many programs, within the bounds of the properties."""

import os
from dataclasses import replace

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cases
from test_properties import check, expected_of, run

# Of a step. 16 divides some: wide accesses; 2,048 divides some: sub-blocks of the noise draw together.
FEATURES = (1, 3, 16, 48, 100, 256, 511, 1000, 1024, 2048, 2049, 3000, 4096, 4100, 6144, 8192)


@settings(max_examples=400 if os.environ.get("FASTLIF_TEST_PROFILE") == "long" else 12)
@given(cases(), st.sampled_from((1, 1, 2, 3, 5)), st.sampled_from(FEATURES), st.sampled_from(range(1, 27)))
def test_within_rounding_of_the_equations(case, samples, features, T):
    T = 1 if case.neuron == "noisy_spike" else min(T, 40_000 // (samples * features))
    case = replace(case, shape=(T, samples, features))
    check(run(case, "triton"), expected_of(case), case)
