"""The experiments by their names on the command line.

An experiment is a module with

    TITLE         what it is, with the figure's or table's number in the paper
    DESCRIPTION   one line for ``python -m benchmarks list``
    SUMMARY       the rows that the page shows: those that any of these dicts fits
    PAPER         the paper's own numbers, on its hardware: a tuple of Published, empty if it gives none
    measure(lab)  runs it, and records rows in the lab (benchmarks/training/lab.py)
    draw(rows, figure)   draws the rows of one run group (one device, form and preset) on a matplotlib figure
    findings(rows)       what the rows say of the paper's claims: a list of Finding

``draw`` and ``findings`` see nothing but rows: what they show can always be made again from the committed files.
"""

import importlib

# The figures and tables of the paper, and our own experiments beside them, are in benchmarks/paper/.
FIGURES = ("accuracy", "training-speed", "training-time", "alpha", "noise-type", "dynamics", "inference", "ablation",
           "surrogate", "any-t", "methods")  # fmt: skip
# The measurements of speed are in benchmarks/speed/.
SPEED = ("host", "kernels", "training-step", "end-to-end")
NAMES = (*FIGURES, *SPEED)
GROUPS = {"all": FIGURES, "speed": SPEED}  # what the command line calls them together


def load(name: str):
    """The module of an experiment, one of ``NAMES``."""
    room = "paper" if name in FIGURES else "speed"
    return importlib.import_module(f"benchmarks.{room}.{name.replace('-', '_')}")
