"""Random calls of every neuron, of sizes that take many programs, within the bounds of the properties."""

from dataclasses import replace

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import PROFILE
from strategies import NEURONS, cases
from test_properties import check, expected_of, run

# Of a step. 16 divides some: wide accesses; 2,048 divides some: sub-blocks of the noise draw together.
FEATURES = (1, 3, 16, 48, 100, 256, 511, 1000, 1024, 2048, 2049, 3000, 4096, 4100, 6144, 8192)


@pytest.mark.parametrize("neuron", NEURONS)
@settings(max_examples={"quick": 2, "full": 5, "long": 40}[PROFILE])
@given(st.data(), st.sampled_from((1, 1, 2, 3, 5)), st.sampled_from(FEATURES), st.integers(1, 26))
def test_within_rounding_of_the_equations(neuron, data, samples, features, T):
    T = 1 if neuron == "noisy_spike" else max(1, min(T, 40_000 // (samples * features)))
    case = replace(data.draw(cases(neurons=(neuron,))), shape=(T, samples, features))
    check(run(case, "triton"), expected_of(case), case)
