"""Everything but the place of the kernels stands in pyproject.toml.

They live in kernels/ at the top level and are imported as fastlif.kernels: a top-level package named `kernels`
belongs to somebody else.
"""

from setuptools import setup

setup(packages=["fastlif", "fastlif.operators", "fastlif.kernels"], package_dir={"fastlif.kernels": "kernels"})
