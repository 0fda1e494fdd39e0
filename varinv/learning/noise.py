"""The noise level of data: as given, or estimated from the finest wavelets of an image."""

from __future__ import annotations

import math

from varinv.backend import Array, double, is_array, namespace
from varinv.solvers.least_squares import Square

ROOT3 = math.sqrt(3)
DETAIL = tuple(c / (4 * math.sqrt(2)) for c in (1 - ROOT3, ROOT3 - 3, ROOT3 + 3, -1 - ROOT3))  # Daubechies' 4 taps
QUARTILE = 0.6744897501960817  # Φ⁻¹(3/4): the median of |n| for n of standard deviation 1


def estimate(image: Array) -> float:
    """σ of white noise in an image: median |d|/0.6745 over its finest diagonal details d (Donoho & Johnstone 1994).

    At every pixel, not at every other as in the transform: a third less deviation.  Details that are exactly 0 are
    areas without noise and do not count; 0 where there are no others.
    """
    d, xp = double(image), namespace(image)
    if min(image.shape) < 4:
        return 0.0
    for _ in range(2):
        n = d.shape[-1] - 3
        d = xp.matrix_transpose(sum(c * d[:, k : k + n] for k, c in enumerate(DETAIL)))
    sizes = xp.sort(xp.reshape(abs(d), (-1,)))
    sizes = sizes[sizes > 0]
    n = int(sizes.shape[0])
    return float(sizes[(n - 1) // 2] + sizes[n // 2]) / 2 / QUARTILE if n else 0.0


def noise_level(who: str, noise: float | None, y: Array, term: Square) -> float:
    """The given standard deviation, or its estimate where the data are an image (A = I).

    Of a stack (slices or channels first) the mean of the estimates.  Raises ValueError where there is no estimate.
    """
    if noise is not None:
        return noise
    d = 1.0 if term.K is None else term.K.diagonal()
    if d is None or is_array(d) or is_array(term.weight) or y.ndim not in (2, 3):
        what = f"behind {term.K}" if term.K is not None else f"of shape {tuple(y.shape)} with such weights"
        raise ValueError(
            f"{who}: the noise level can be estimated from images only (A = I), not from data {what}; pass "
            f"{who}(noise=…), the standard deviation of the noise, or use Whiteness(), which needs none"
        )
    each = [estimate(y)] if y.ndim == 2 else [estimate(y[k, ...]) for k in range(y.shape[0])]
    value = math.fsum(each) / len(each)
    if not value > 0:
        raise ValueError(f"{who}: the noise level of these data is estimated as {value:g}; pass {who}(noise=…)")
    return value
