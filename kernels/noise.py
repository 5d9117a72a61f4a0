"""The noise, drawn where it is needed and never stored. Its format is published in fastlif/noise.py."""

import triton
import triton.language as tl

PHILOX_ROUNDS = tl.constexpr(7)


@triton.jit
def issue_loads_first(KIND: tl.constexpr):
    """A barrier, so that the loads before it are in flight while the noise is drawn.

    The compiler would issue few of them at a time, to save registers, and the memory would wait.
    """
    if KIND != "none":
        tl.debug_barrier()


@triton.jit
def step_noise(before, seed, counter, counter_high, t, lane, scalars, KIND: tl.constexpr, OVER_TIME: tl.constexpr):
    """The noise of step t, given that of the step ``before``.

    OVER_TIME is "independent": every step draws. Or it says how antithetic noise is made:

    "in turn"   the walk begins at an even step: even steps draw, odd steps mirror ``before``.
    "mirrored"  t is odd: mirror ``before``.
    "alone"     ``before`` is not the noise of step t - 1: draw that of the pair, and mirror it if t is odd.
    """
    if OVER_TIME == "independent":
        return draw_noise(seed, counter, counter_high, t, lane, scalars, KIND)
    elif OVER_TIME == "mirrored":
        return 2.0 * scalars[0] - before
    elif OVER_TIME == "alone":
        n = draw_noise(seed, counter, counter_high, t // 2, lane, scalars, KIND)
        return tl.where(t % 2 == 1, 2.0 * scalars[0] - n, n)
    else:
        tl.static_assert(OVER_TIME == "in turn", "unknown order of noise")
        if t % 2 == 0:
            n = draw_noise(seed, counter, counter_high, t // 2, lane, scalars, KIND)
        else:
            n = 2.0 * scalars[0] - before
        return n


@triton.jit
def draw_noise(seed, counter, counter_high, step, lane, scalars, KIND: tl.constexpr):
    """Noise in units of the membrane, float32, of the elements at (counter, lane) and time ``step``.

    ``counter`` and ``lane`` broadcast against each other. ``scalars`` comes from :func:`fastlif.noise.noise_scalars`.
    """
    w0, w1, w2, w3 = tl.philox(seed, counter, counter_high, step, 0, PHILOX_ROUNDS)
    word = tl.where(lane % 4 < 2, tl.where(lane % 2 == 0, w0, w1), tl.where(lane % 2 == 0, w2, w3))
    # The lane's 16 bits and a trailing one become the mantissa of a number in (1, 2): no integer conversion, which
    # would run at a quarter of the rate.
    mantissa = tl.where(lane < 4, word << 7, word >> 9) & 0x007FFF80
    u = tl.fma((mantissa | 0x3F800040).to(tl.float32, bitcast=True), 2.0, -3.0)
    if KIND == "uniform":
        return tl.fma(u, scalars[1], scalars[0])
    else:
        x = u * scalars[1]
        root = tl.sqrt(tl.sqrt(tl.sqrt(1.0 - x * x)))
        polynomial = tl.fma(root, scalars[8], scalars[7])
        for i in tl.static_range(5):
            polynomial = tl.fma(polynomial, root, scalars[6 - i])
        return tl.fma(u, polynomial, scalars[0])


def noise_arguments(scalars):
    """A kernel's arguments ``noise_0`` to ``noise_8``, from :func:`fastlif.noise.noise_scalars`, and None beyond them.
    A tuple would do, but ``torch.compile`` can give a kernel none."""
    return {f"noise_{i}": scalars[i] if i < len(scalars) else None for i in range(9)}
