"""The surrogate derivatives, with u = h - threshold and w the surrogate's width. A user's own is a Triton function of
the two, given in place of a name."""

import triton
import triton.language as tl

from fastlif.reference import derivative_of
from fastlif.types import OWN


@triton.jit
def _reciprocal(x):
    """1 / x for x >= 1, in two instructions: a division spends six more on numbers that x cannot be."""
    root = tl.rsqrt(x)
    return root * root


@triton.jit
def surrogate_derivative(u, w, NAME: tl.constexpr):
    if NAME == "atan":
        z = (1.5707963267948966 * w) * u
        return (0.5 * w) * _reciprocal(tl.fma(z, z, 1.0))
    elif NAME == "sigmoid":
        e = tl.exp2((-1.4426950408889634 * w) * tl.abs(u))  # exp(-w |u|), at most 1: it never overflows
        r = _reciprocal(1.0 + e)
        return (w * e) * (r * r)
    elif NAME == "rectangular":
        outside = tl.minimum(tl.abs(u), 0.0, propagate_nan=tl.PropagateNan.ALL)  # 0, or NaN
        return tl.where(tl.abs(u) < 0.5 * w, 1.0 / w, outside)
    elif NAME == "triangular":
        return tl.maximum(1.0 - tl.abs(u) * (1.0 / w), 0.0, propagate_nan=tl.PropagateNan.ALL) * (1.0 / w)
    elif NAME == "fast_sigmoid":
        r = _reciprocal(tl.fma(w, tl.abs(u), 1.0))
        return r * r
    elif NAME == "gaussian":
        return tl.exp2((u * u) * (-0.7213475204444817 / (w * w))) * (0.3989422804014327 / w)
    else:
        return NAME(u, w)


def in_triton(surrogate):
    """A record's surrogate as :func:`surrogate_derivative` takes it."""
    derivative_of(surrogate)  # or why there is none
    return OWN[surrogate].triton_function() if surrogate in OWN else surrogate
