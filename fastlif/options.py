"""One record of a neuron's numbers and choices: stated once, and handed on whole to whatever computes.

An operator of PyTorch takes no such object, but text. So a record has a text, :attr:`Options.text`, and
:func:`options_of_text` gives the record back. Equal records are one object, for as long as anybody holds it. Whoever
keeps something for a record puts it into :attr:`Options.kept`: that ends with the record. So a number that changes at
every training step leaves nothing behind but the last records, ``KEPT`` of them.
"""

from __future__ import annotations

import functools
import json
import operator
import threading
import weakref
from dataclasses import dataclass, fields, replace

import torch

KEPT = 4096  # records, and ways to ask for one, that are held though nobody uses them: about 2 KB each


@dataclass(frozen=True, eq=False)
class Options:
    """What a neuron is beside its tensors; the equations' numbers are in units of the membrane potential.

    The threshold and the reset count from the resting potential, as the membrane does where it is computed. A gain,
    decay or threshold that is a tensor has no number here.
    """

    threshold: float
    noise: str = "none"
    noise_scalars: tuple[float, ...] = ()  # of fastlif/noise.py
    over_time: str = "independent"  # or "antithetic"
    surrogate: str = "atan"
    surrogate_width: float = 2.0
    surrogate_at: str = "membrane"  # or "mean", with noise
    gain: float = 1.0
    decay: float = 0.0
    inv_alpha: float = 0.0
    beta: float = 0.0
    reset: float | None = 0.0
    rest: float = 0.0
    inclusive: bool = False  # a spike at the threshold too
    reset_delay: bool = False  # the soft reset is taken off a step later, after the decay
    detach_reset: bool = False
    backend: str = "auto"  # on what device: see launchers

    @functools.cached_property
    def text(self) -> str:
        """The record as JSON, from which it can be made again to the last bit."""
        return json.dumps({field.name: getattr(self, field.name) for field in fields(self)})

    @functools.cached_property
    def choices(self) -> tuple:
        """What a kernel is compiled for: the record without its numbers, of which the types are left, and whether
        there is a gain to multiply by."""
        values = [float if isinstance(value, float) else value for value in _values_of(self)]
        return *values, len(self.noise_scalars), self.gain != 1

    @functools.cached_property
    def kept(self) -> dict:
        """Whatever anybody keeps for this record, by keys of their own."""
        return {}

    @functools.cached_property
    def at_the_mean(self) -> Options:
        """The record that has the noise's mean in the threshold, and no noise: ``x - (threshold - E n)``."""
        threshold = self.threshold - self.noise_scalars[0]
        return options_of_text(replace(self, threshold=threshold, noise="none", noise_scalars=(),
                                       surrogate_at="membrane").text)  # fmt: skip

    def __reduce__(self):  # a copy is the record itself
        return options_of_text, (self.text,)


_values_of = operator.attrgetter(*(field.name for field in fields(Options) if field.name != "noise_scalars"))


def constant_when_compiling(function):
    """``torch.compiler.assume_constant_result``, which would import the compiler with fastlif: two seconds."""
    function._dynamo_marked_constant = True
    return function


def once(function):
    """``function`` of a neuron's arguments, run once for each: what it returns is kept."""
    kept = functools.lru_cache(maxsize=KEPT, typed=True)(function)

    @functools.wraps(function)
    def known(*arguments):
        if torch.compiler.is_dynamo_compiling():  # which sees through no cache
            return function(*arguments)
        try:
            hash(arguments)
        except TypeError:  # then one of them is wrong, such as a list, and the function says so
            return function(*arguments)
        return kept(*arguments)

    return known


def options(**values) -> Options:
    """The record with these values: made once, and found again."""
    return _found(*(pair for name, value in values.items() for pair in (name, _text(value))))


def _text(value):
    """A float as text. ``torch.compile`` may make a variable of a number. It never does so with text."""
    if isinstance(value, float):
        return value.hex()
    return tuple(_text(item) for item in value) if isinstance(value, tuple) else value


@constant_when_compiling
def _found(*pairs):
    return _made(pairs)


@functools.lru_cache(maxsize=KEPT)
def _made(pairs):
    values = dict(zip(pairs[::2], pairs[1::2]))
    for field in fields(Options):
        if field.type.startswith("float") and values.get(field.name) is not None:  # reset may be None
            values[field.name] = float.fromhex(values[field.name])
    values["noise_scalars"] = tuple(map(float.fromhex, values.get("noise_scalars", ())))
    return options_of_text(Options(**values).text)


# The lru_cache answers quickly, and keeps the last records. _alive knows every record that somebody still holds.
@functools.lru_cache(maxsize=KEPT)
def options_of_text(text: str) -> Options:
    """The record that has this text."""
    with _one_at_a_time:
        record = _alive.get(text)
        if record is None:
            values = json.loads(text)
            values["noise_scalars"] = tuple(values["noise_scalars"])
            record = _alive[text] = Options(**values)
    return record


_alive: weakref.WeakValueDictionary[str, Options] = weakref.WeakValueDictionary()
_one_at_a_time = threading.RLock()
