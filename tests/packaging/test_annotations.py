"""Every public signature is annotated in full. tests/packaging/typed_usage.py says what the calls return."""

import inspect

import pytest

import fastlif
from fastlif.neuron import Neuron
from fastlif.types import LIFArguments, NoisyLIFArguments

FUNCTIONS = [(fastlif.functional, name) for name in fastlif.functional.__all__]
FUNCTIONS += [(fastlif.plot, name) for name in ("raster", "membrane", "rates")]
PUBLIC = {name: getattr(fastlif, name) for name in fastlif.__all__}
PUBLIC |= {f"{module.__name__}.{name}": getattr(module, name) for module, name in FUNCTIONS}


def signatures(thing):
    """The functions that a user calls: a class's constructor and its public methods."""
    if not inspect.isclass(thing):
        return [thing] if inspect.isfunction(thing) else []
    own = [value.__func__ if isinstance(value, classmethod) else value
           for cls in thing.__mro__ if cls.__module__.startswith("fastlif.") and cls is not Neuron
           for name, value in vars(cls).items() if name == "__init__" or not name.startswith("_")]  # fmt: skip
    return [value for value in own if inspect.isfunction(value)]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_signature_is_annotated(name):
    for function in signatures(PUBLIC[name]):
        signature, where = inspect.signature(function), function.__qualname__
        said = [signature.parameters[name].annotation for name in signature.parameters if name not in ("self", "cls")]
        said += [signature.return_annotation] if function.__name__ != "__init__" else []
        assert inspect.Signature.empty not in said, f"{where}{signature} leaves a type out"


@pytest.mark.parametrize("name", ["lif", "noisy_lif"])
def test_type_checkers_know_every_keyword(name):
    """The overloads take them from a class, which must have those of the function itself."""
    known = {"lif": LIFArguments, "noisy_lif": NoisyLIFArguments}[name].__annotations__
    assert {*known, "input", "return_state"} == {*inspect.signature(getattr(fastlif.functional, name)).parameters}
