"""Everything but the place of the kernels stands in pyproject.toml.

They live in kernels/ at the top level and are imported as fastlif.kernels: a top-level package named `kernels`
belongs to somebody else.
"""

from setuptools import find_packages, setup

packages = find_packages(include=["fastlif", "fastlif.*"])
setup(packages=[*packages, "fastlif.kernels"], package_dir={"fastlif.kernels": "kernels"})
