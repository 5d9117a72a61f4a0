"""A plugin of pytest that runs SpikingJelly's own tests with its neurons computed by fastlif.

Every IFNode, LIFNode and ParametricLIFNode that a test makes is accelerated at once. In a clone of SpikingJelly, at
commit afb13226 for the numbers in docs/proven.md::

    cd test/activation_based
    PYTHONPATH=FASTLIF:FASTLIF/tests/peers python -m pytest -p accelerated test_functional_neuron.py test_memory.py \\
        test_monitor.py test_neuron_variants.py test_functional.py test_functional_layer.py test_fuse_conv_bn.py \\
        test_encoding_attention.py test_noisy_and_misc.py test_rnn.py test_op_counter_neuron_state.py \\
        test_ann2snn_qcfs.py test_spikformer_model.py test_profiler.py test_learning.py

FASTLIF is this repository's folder, and python that of .venv-peers. Without ``-p accelerated`` the same tests run as
they are, to compare with.
"""

import collections
import functools

from fastlif.libraries.spikingjelly_nodes import ACCELERATED, why_not

counted = collections.Counter()  # what was accelerated, by its class


def _accelerating(node, fast):
    """The ``__init__`` of ``node``, after which what it made is of the class ``fast``."""
    initialise = node.__init__

    @functools.wraps(initialise)
    def initialise_and_accelerate(self, *arguments, **keywords):
        initialise(self, *arguments, **keywords)
        if type(self) is node and why_not(self) is None:
            self.__class__ = fast
            counted[fast.__name__] += 1

    return initialise_and_accelerate


def pytest_configure(config):
    for node, fast in ACCELERATED.items():
        node.__init__ = _accelerating(node, fast)


def pytest_terminal_summary(terminalreporter):
    shown = ", ".join(f"{count} {name}" for name, count in counted.items())
    terminalreporter.write_line(f"accelerated: {shown or 'nothing'}")
