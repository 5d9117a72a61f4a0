"""Small faults of the library, its kernels and its benchmarks, each with a quick test that must catch it: mutants.py.

A file's faults stand under the test that must catch them: told in a few words, the old text, the new text.
An entry follows the code: its old text stands exactly once in its file.
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
    Fault(file, *fault, test)
    for part in (computing, kernels, arguments, modules, conversion, looking, libraries, benchmarks)
    for file, tests in part.FAULTS.items()
    for test, faults in tests.items()
    for fault in faults
]
