"""The operators: one for each neuron in each direction, from tensors of any layout to a launch.

``common.py`` makes them; ``single_step.py``, ``scan.py`` and ``batch_norm.py`` hold one kind each, whole: what it
computes, its form without values, its gradient.
"""
