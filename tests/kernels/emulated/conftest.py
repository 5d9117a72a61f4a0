"""These tests need the compiled kernels: ``python -m pytest -p emulator.pytest_plugin tests/kernels/emulated``.

In an ordinary run there is Triton's interpreter instead, and they are not collected: tests/kernels/test_emulated.py
runs them.
"""


def pytest_ignore_collect(config):
    return None if config.pluginmanager.has_plugin("emulator.pytest_plugin") else True
