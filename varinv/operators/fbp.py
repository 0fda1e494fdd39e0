"""Filtered back-projection for parallel and fan beams: the direct inversion, and the usual first image."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, device, indices_like, kernel, like, namespace
from varinv.operators.fbp_weights import Bridge, MissingArcWarning, bridge, fan_weights, parallel_weights
from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.views import on_views

xnp = namespace()  # weights and filters are prepared on the host, in float64

# the window that multiplies the ramp, as a function of frequency / cut-off in [0, 1]
FILTERS: dict[str, Callable[[Array], Array]] = {
    "ram-lak": lambda r: xnp.ones(r.shape),
    "shepp-logan": lambda r: xnp.where(r > 0, xnp.sin(math.pi * r / 2) / xnp.maximum(math.pi * r / 2, 1e-300), 1.0),
    "cosine": lambda r: xnp.cos(math.pi * r / 2),
    "hamming": lambda r: 0.54 + 0.46 * xnp.cos(math.pi * r),
    "hann": lambda r: 0.5 + 0.5 * xnp.cos(math.pi * r),
}
EDGE = 4  # outermost bins whose mean continues a truncated projection


class _Plan(NamedTuple):
    """All that does not depend on the data: weights, filter, sizes of the padded row."""

    before: Array  # (angles, 1 + detectors + 1): share of the arc × redundancy × cosine, and of the continuation
    response: Array  # (frequencies,)
    size: int  # FFT length
    pad: int  # bins that continue the data on either side
    extend: int  # bins beyond the detector at which the filtered row is kept
    spacing: float  # of the bins at the axis
    source: float  # source to axis; 0 for a parallel beam
    curved: bool
    radius: float  # of the disc that every view sees
    missing: str | None


@on_views
def fbp(
    A: Any,
    sinogram: Array,
    filter: str = "ram-lak",
    *,
    cutoff: float = 1.0,
    padding: str = "edge",
    mask: bool = False,
) -> Array:
    """Filtered back-projection: the classical, direct reconstruction of an image from its line integrals.

    From `sinogram` onto the grid of `A`, in image value (line integral / length).

    Parallel beam (Kak & Slaney 1988, section 3.3):  f(x, y) = Σ_θ Δθ (p_θ * h)(x cos θ + y sin θ).

    Flat fan beam (section 3.4.2, bins rescaled to the axis, s = v R/(R + d)):

        f(x, y) = Σ_θ Δθ U⁻² ((p_θ w R/√(R² + s²)) * h)(t / U),   U = 1 + (y cos θ − x sin θ)/R.

    Curved fan beam (section 3.4.1, fan angles γ, s = R γ): h_n (γ/sin γ)² at n bins, γ = nΔ/R, in place of h_n, cos γ
    in place of R/√(R² + s²), U² + (t/R)² in place of U², read at s = R atan(t/(R U)).

    h is the band-limited ramp sampled in space, h₀ = 1/4Δ², h_n = −1/(π n Δ)² for odd n, 0 for even n, so that the
    mean of the image is right; the convolution is padded so that nothing wraps around.  Δθ is half the gap to both
    neighbours (modulo π; modulo 2π for fans), in any order and over any number of turns; w shares the rays measured
    twice smoothly (full turns, short scans, anything between, detectors with the axis far off centre).
    Back-projection interpolates linearly: it is not `A.T`, whose weights serve the solvers.

    Parameters
    ----------
    A : Radon or AstraRadon; only its shape, geometry, pixel size and origin are read.
    sinogram : line integrals of shape (angles, detectors), or (slices, angles, detectors) for a stack; any library.
    filter : "ram-lak", "shepp-logan", "cosine", "hamming" or "hann": from sharpest to smoothest.
    cutoff : where the filter ends, as a fraction of the detector's highest frequency 1/(2 spacing).  Where bins are
        finer than pixels, spacing / pixel size keeps what the pixels can show.
    padding : "edge" continues each projection by the mean of its four outermost bins, falling smoothly to 0 over the
        width of the detector: for objects wider than the detector; makes no difference where the edges are 0.
        "zero" continues it with 0.
    mask : True sets pixels outside the disc that every view sees to 0.  False (the default) keeps the continuation
        there, so that the projections of the image stay near the data.

    Returns
    -------
    array of shape `A.domain`
        In the library, device and dtype of `sinogram`.

    Warns
    -----
    MissingArcWarning
        Fewer views than half a turn (fan: a short scan, half a turn and the fan angle): it names the missing arc.
        The image is then the part the measured views give, without any correction of its scale.

    Raises
    ------
    TypeError, ValueError
        An `A` without scan geometry; NaN or Inf; a sinogram of another shape; an unknown filter or padding; a
        cut-off outside (0, 1].  (A fan-beam source inside the image is refused by `A` itself.)

    Examples
    --------
    >>> import numpy as np
    >>> from varinv.operators.geometry import ParallelBeam
    >>> from varinv.operators.radon import Radon
    >>> from varinv.phantom import disc
    >>> A = Radon((32, 32), ParallelBeam(np.arange(60) * np.pi / 60, 48))
    >>> x = fbp(A, disc(10.0).line_integrals(A.geometry))
    >>> print(f"{x[15, 15]:.2f} inside, {x[1, 15]:.2f} outside")
    1.00 inside, -0.00 outside
    """
    geometry = A.scan_geometry() if hasattr(A, "scan_geometry") else None
    if hasattr(geometry, "projections"):
        raise TypeError(
            f"fbp: {geometry!r} is a scan of volumes, for which there is no filtered back-projection here yet; "
            "vi.solve(vi.L2Squared(y) @ A + vi.NonNegative(), vi.SIRT(), stop=vi.iterations(50)) gives a start image"
        )
    if not isinstance(geometry, (ParallelBeam, FanBeam)):
        raise TypeError(
            f"fbp: A must be a Radon or AstraRadon operator, got {check.describe(A)}; "
            "for A @ B pass the Radon part itself"
        )
    if not isinstance(filter, str) or filter not in FILTERS:
        raise ValueError(f"fbp: filter must be one of {', '.join(FILTERS)}, got {filter!r}")
    if padding not in ("edge", "zero"):
        raise ValueError(f"fbp: padding must be 'edge' or 'zero', got {padding!r}")
    cutoff = check.number("fbp", "cutoff", cutoff, low=0, high=1, strict=True)
    sinogram = check.real_array("fbp", "sinogram", sinogram)
    expected = (*A.domain[:-2], *geometry.shape)
    if tuple(sinogram.shape) != expected:
        swapped = (*expected[:-2], expected[-1], expected[-2])
        hint = "; it looks transposed" if tuple(sinogram.shape) == swapped else ""
        raise ValueError(f"fbp: sinogram must have shape {expected} for {A}, got {tuple(sinogram.shape)}{hint}")
    rows, columns = A.domain[-2:]
    added = bridge(geometry)
    if added is not None:
        geometry = dataclasses.replace(geometry, angles=xnp.concat([geometry.angles % (2 * math.pi), added.angles]))
    place = getattr(A, "origin", None)
    row, column = ((rows - 1) / 2, (columns - 1) / 2) if place is None else place
    corner = math.hypot(max(row, rows - 1 - row) + 0.5, max(column, columns - 1 - column) + 0.5) * A.pixel_size
    plan = _plan(geometry, corner, FILTERS[filter], cutoff, padding)
    if plan.missing is not None:
        warnings.warn(
            f"fbp: {plan.missing}; expect streaks and blurred edges there; a variational method fills in better",
            MissingArcWarning,
            stacklevel=check.outside(),
        )
    before, response = like(plan.before, sinogram), like(plan.response, sinogram)
    cosines, sines = like(xnp.cos(geometry.angles), sinogram), like(xnp.sin(geometry.angles), sinogram)
    axes = like(geometry.axes + plan.extend, sinogram)
    grid = Grid(rows, columns, row, column, A.pixel_size / plan.spacing, plan.source / A.pixel_size)  # lengths: pixels
    back = interpolate_back_curved if plan.curved else interpolate_back

    def one(p: Array) -> Array:
        q = _filtered(_bridged(p, added), before, response, plan, padding)
        return back(q, cosines, sines, axes, grid)

    xp = namespace(sinogram)
    image = one(sinogram) if sinogram.ndim == 2 else xp.stack([one(sinogram[k, ...]) for k in range(A.domain[0])])
    return _masked(image, grid, plan.radius / A.pixel_size) if mask else image


def _plan(g: Any, corner: float, window: Any, cutoff: float, padding: str) -> _Plan:
    """`corner`: from the axis to the farthest corner of the image."""
    low, high = float(g.axes.min()), float(g.axes.max())
    edge = min(low, g.detectors - 1 - high) + 0.5  # bins every view sees on either side of the axis
    curved = isinstance(g, FanBeam) and g.curved
    if isinstance(g, FanBeam):
        R, D = g.source_to_axis, g.source_to_axis + g.axis_to_detector
        spacing = g.spacing * R / D
        weights, missing, full = fan_weights(g, math.asin(corner / R))
        v = (xnp.arange(-1, g.detectors + 1, dtype=xnp.float64)[None, :] - g.axes[:, None]) * g.spacing
        weights = weights * xnp.cos(g.fan_angles(v))  # R/√(R² + s²) on a flat detector
        far = corner / math.sqrt(1 - (corner / R) ** 2)  # A keeps its source outside the image
        far = R * math.asin(corner / R) if curved else far
    else:
        R, spacing, far = 0.0, g.spacing, corner
        weights, missing, full = parallel_weights(g)
    if full:  # the wider side sees every line, at one of two opposite views
        edge = max(low, g.detectors - 1 - high) + 0.5
    radius = max(edge, 0.0) * spacing
    if R:
        radius = R * math.sin(radius / R) if curved else R * radius / math.hypot(R, radius)
    bins = far / spacing
    extend = math.ceil(max(bins - low, bins - (g.detectors - 1 - high), 0.0)) + 1
    extend = min(extend, 4 * g.detectors + 1)
    pad = g.detectors if padding == "edge" else 0
    from scipy.fft import next_fast_len

    size = next_fast_len(2 * (g.detectors + pad + extend), real=True)
    response = _response(size, spacing, window, cutoff, R if curved else 0.0)
    return _Plan(weights, response, size, pad, extend, spacing, R, curved, radius, missing)


def _response(size: int, spacing: float, window: Callable[[Array], Array], cutoff: float, arc: float = 0.0) -> Array:
    """The ramp's transform × window × spacing (the convolution's step), at the frequencies of a real FFT.

    `arc`: the radius about which equal bins are equal angles, 0 for bins on a line.
    """
    n = xnp.arange(size)
    n = xnp.astype(xnp.minimum(n, size - n), xnp.float64)
    h = xnp.where(n % 2 == 1, -1 / (math.pi * xnp.maximum(n, 1.0) * spacing) ** 2, 0.0)
    h[0] = 1 / (4 * spacing**2)
    if arc:  # rays of a view are less than half a turn apart; beyond 135° the factor, ∞ at 180°, is held
        gamma = xnp.minimum(n * spacing / arc, 0.75 * math.pi)
        h = h * xnp.where(n > 0, gamma / xnp.sin(xnp.where(n > 0, gamma, 1.0)), 1.0) ** 2
    r = xnp.arange(size // 2 + 1, dtype=xnp.float64) * 2 / size / cutoff
    return spacing * xnp.real(xnp.fft.rfft(h)) * xnp.where(r <= 1, window(xnp.minimum(r, 1.0)), 0.0)


def _bridged(p: Array, added: Bridge | None) -> Array:
    """The sinogram with the views of `added` after its own, linear between two of them."""
    if added is None:
        return p
    xp = namespace(p)
    one, two = (indices_like(i, p) for i in (added.first, added.second))
    share = like(added.share, p)[:, None]
    return xp.concat([p, (1 - share) * xp.take(p, one, axis=0) + share * xp.take(p, two, axis=0)], axis=0)


def _filtered(p: Array, before: Array, response: Array, plan: _Plan, padding: str) -> Array:
    """Weighted rows convolved with the ramp, (angles, detectors) → (angles, detectors + 2 extend)."""
    xp = namespace(p)
    count, bins = p.shape
    lead = max(plan.pad, plan.extend)
    parts = [xp.zeros((count, lead - plan.pad), dtype=p.dtype, device=device(p)), p * before[:, 1 : bins + 1]]
    if padding == "edge":
        fall = like(xnp.cos(math.pi / 2 * (xnp.arange(plan.pad, dtype=xnp.float64) + 1) / (plan.pad + 1)) ** 2, p)
        m = min(EDGE, bins)
        left = xp.mean(p[:, :m], axis=1, keepdims=True) * before[:, :1]
        right = xp.mean(p[:, bins - m :], axis=1, keepdims=True) * before[:, bins + 1 :]
        parts = [parts[0], left * xp.flip(fall)[None, :], parts[1], right * fall[None, :]]
    spectrum = xp.fft.rfft(xp.concat(parts, axis=1), n=plan.size, axis=1)
    q = xp.fft.irfft(spectrum * response[None, :], n=plan.size, axis=1)
    return q[:, lead - plan.extend : lead + bins + plan.extend]


class Grid(NamedTuple):
    """The pixels onto which a scan is back-projected, and the fan they see; lengths in pixels.

    The axis is at (row, column); `source`: distance of the fan's source from it, 0 for a parallel beam.
    """

    rows: int
    columns: int
    row: float
    column: float
    bins_per_pixel: float
    source: float


@kernel
def interpolate_back(q: Array, cosines: Array, sines: Array, axes: Array, grid: Grid) -> Array:
    """Σ over the rows of q, read by linear interpolation where each pixel's centre projects to; 0 beyond the row.

    The axis is at bin axes[k] of row k.  Each view of a fan is weighted by U⁻².  (angles, bins) → (rows, columns).
    """
    x, y, total = _places(q, grid)
    for k in range(q.shape[0]):
        place, weight = x * cosines[k] + y * sines[k], 1.0
        if grid.source > 0:
            inverse = 1 / (1 + (y * cosines[k] - x * sines[k]) / grid.source)
            place, weight = place * inverse, inverse * inverse
        total = total + weight * _read(q[k, :], place * grid.bins_per_pixel + axes[k], (grid.rows, grid.columns))
    return total


@kernel
def interpolate_back_curved(q: Array, cosines: Array, sines: Array, axes: Array, grid: Grid) -> Array:
    """As `interpolate_back`, for a fan onto a curved detector: weighted by (R/distance from the source)²."""
    xp = namespace(q)
    x, y, total = _places(q, grid)
    for k in range(q.shape[0]):
        across = (x * cosines[k] + y * sines[k]) / grid.source
        ahead = 1 + (y * cosines[k] - x * sines[k]) / grid.source
        place = xp.atan(across / ahead) * (grid.source * grid.bins_per_pixel) + axes[k]
        total = total + _read(q[k, :], place, (grid.rows, grid.columns)) / (across * across + ahead * ahead)
    return total


def _places(q: Array, grid: Grid) -> tuple[Array, Array, Array]:
    """x of the columns and y of the rows, from the axis, and an image of zeros."""
    xp = namespace(q)
    x = like(xnp.arange(grid.columns) - grid.column, q)[None, :]
    y = like(grid.row - xnp.arange(grid.rows), q)[:, None]
    return x, y, xp.zeros((grid.rows, grid.columns), dtype=q.dtype, device=device(q))


def _read(row: Array, place: Array, shape: tuple[int, int]) -> Array:
    """Linear interpolation of a row at each pixel's place; 0 beyond its ends."""
    xp, last = namespace(row), row.shape[0] - 1
    low = xp.astype(xp.clip(xp.floor(place), 0, max(last - 1, 0)), xp.int64)
    part = place - xp.astype(low, row.dtype)
    flat = xp.reshape(low, (-1,))
    one = xp.reshape(xp.take(row, flat), shape)
    two = xp.reshape(xp.take(row, xp.clip(flat + 1, 0, last)), shape)
    return xp.astype((place >= 0) & (place <= last), row.dtype) * (one + part * (two - one))


def _masked(image: Array, grid: Grid, radius: float) -> Array:
    y = xnp.arange(grid.rows, dtype=xnp.float64)[:, None] - grid.row
    x = xnp.arange(grid.columns, dtype=xnp.float64)[None, :] - grid.column
    return image * like(x * x + y * y <= radius * radius, image)
