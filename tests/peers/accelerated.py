"""A plugin of pytest that runs SpikingJelly's own tests with its neurons on fastlif's kernels.

Every IFNode, LIFNode and ParametricLIFNode that a test makes is accelerated at once. In a clone of SpikingJelly::

    cd test/activation_based
    PYTHONPATH=FASTLIF:FASTLIF/tests/peers python -m pytest -p accelerated test_functional_neuron.py test_memory.py

FASTLIF is this repository's folder, and python that of .venv-peers. Without ``-p accelerated`` the same tests run as
they are, to compare with.
"""

import functools

from fastlif.libraries.spikingjelly_nodes import ACCELERATED, why_not


def _accelerating(node, fast):
    """The ``__init__`` of ``node``, after which what it made is of the class ``fast``."""
    initialise = node.__init__

    @functools.wraps(initialise)
    def initialise_and_accelerate(self, *arguments, **keywords):
        initialise(self, *arguments, **keywords)
        if type(self) is node and why_not(self) is None:
            self.__class__ = fast

    return initialise_and_accelerate


def pytest_configure(config):
    for node, fast in ACCELERATED.items():
        node.__init__ = _accelerating(node, fast)
