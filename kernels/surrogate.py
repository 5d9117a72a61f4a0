"""The surrogate derivatives, with u = h - threshold and w the surrogate's width."""

import triton
import triton.language as tl


@triton.jit
def surrogate_derivative(u, w, NAME: tl.constexpr):
    if NAME == "atan":
        z = (1.5707963267948966 * w) * u
        return (0.5 * w) / (1.0 + z * z)
    elif NAME == "sigmoid":
        e = tl.exp(-w * tl.abs(u))  # at most 1: it never overflows
        return w * e / ((1.0 + e) * (1.0 + e))
    elif NAME == "rectangular":
        return tl.where(tl.abs(u) < 0.5 * w, 1.0 / w, 0.0 * u)
    elif NAME == "triangular":
        return tl.maximum(1.0 - tl.abs(u) / w, 0.0, propagate_nan=tl.PropagateNan.ALL) / w
    elif NAME == "fast_sigmoid":
        z = 1.0 + w * tl.abs(u)
        return 1.0 / (z * z)
    else:
        tl.static_assert(NAME == "gaussian", "unknown surrogate")
        return tl.exp(u * u * (-0.5 / (w * w))) * (0.3989422804014327 / w)
