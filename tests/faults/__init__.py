"""Small faults of the library, its kernels and its benchmarks, each with a quick test that must catch it: mutants.py.

An entry follows the code: its old text stands exactly once in its file. What it changes is told in a few words.
"""

from dataclasses import dataclass

from faults import arguments, benchmarks, computing, conversion, kernels, libraries, looking, modules


@dataclass(frozen=True)
class Fault:
    """Puts ``new`` in the place of ``old`` in ``file``. Then ``test`` must fail, a name in tests/ that pytest takes."""

    file: str
    what: str
    old: str
    new: str
    test: str


FAULTS = [
    Fault(file, *fault)
    for part in (computing, kernels, arguments, modules, conversion, looking, libraries, benchmarks)
    for file, faults in part.BY_FILE.items()
    for fault in faults
]
