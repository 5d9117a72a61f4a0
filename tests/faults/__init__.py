"""Small faults of the library, its kernels and its benchmarks, each with a quick test that must catch it: mutants.py.

An entry follows the code: its old text stands exactly once in its file. What it changes is told in a few words.
"""

from dataclasses import dataclass

from faults import benchmarks, core, kernels, modules


@dataclass(frozen=True)
class Fault:
    """``new`` instead of ``old`` in ``file``, which ``test``, a name that pytest takes, in tests/, must catch."""

    file: str
    what: str
    old: str
    new: str
    test: str


FAULTS = [
    Fault(file, *fault)
    for part in (core, kernels, modules, benchmarks)
    for file, faults in part.BY_FILE.items()
    for fault in faults
]
