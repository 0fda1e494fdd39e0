"""Inputs of every kernel, for test_kernels (numba), test_cuda_kernels and test_gpu: in every layout, of both dtypes."""

from __future__ import annotations

import importlib
import itertools
import math
import pkgutil

import numpy as np

import varinv
from varinv.forms import Differences, Magnitudes, Quadratic
from varinv.operators.cone import ConeBeam, Laminography
from varinv.operators.fbp import Grid
from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.operators.radon import Rays
from varinv.operators.volume_radon import VolumeRays

for _, _name, _ in pkgutil.walk_packages(varinv.__path__, "varinv."):
    if _name.startswith(
        ("varinv.operators", "varinv.functionals", "varinv.fused", "varinv.solvers", "varinv.linalg")
    ) and not (_name.endswith(("_cpu", "_cuda"))):
        importlib.import_module(_name)  # so that all kernels are known

SHAPES = [(1, 1), (1, 9), (9, 1), (5, 7), (6, 8), (13, 16), (90, 101), (3, 4, 5), (1, 1, 1), (2, 1, 6), (7,), (1,)]
LAYOUTS = ["plain", "strided", "reversed", "fortran", "read-only"]


class Maker:
    """Random arrays of one dtype in one memory layout."""

    def __init__(self, dtype, layout):
        self.dtype, self.layout, self.rng = dtype, layout, np.random.default_rng(5)

    def __call__(self, *shape):
        values = self.rng.standard_normal(shape).astype(self.dtype)
        if self.layout == "strided":
            wide = np.full([2 * n for n in shape], np.nan, self.dtype)
            wide[tuple(slice(None, None, 2) for _ in shape)] = values
            return wide[tuple(slice(None, None, 2) for _ in shape)]
        if self.layout == "reversed":
            return np.flip(np.ascontiguousarray(np.flip(values)))
        if self.layout == "fortran":
            return np.asfortranarray(values)
        values.flags.writeable = self.layout != "read-only"
        return values


def _stack(shape):
    return (1, 1, 1, *shape)[-3:]


def _rays(shape):
    turn = np.array([0.0, 0.3, math.pi / 4, 1.2, math.pi / 2, 2.1, -2.5])
    far = 2.0 * max(shape) + 3
    yield Rays(shape, ParallelBeam(turn, max(shape) + 2), 1.0)
    yield Rays(shape, ParallelBeam(turn, 5, spacing=1.9, axis=1.4), 0.8)  # wide bins, axis off centre
    yield Rays(shape, FanBeam(turn, max(shape) + 3, 1.5, far, 0.4 * far, axis=1.3), 1.0)
    moving = np.linspace(0.9, 2.4, 7)
    yield Rays(shape, ParallelBeam(turn, max(shape) + 2, axis=moving), 1.0, (shape[0] / 2, -0.3))
    yield Rays(shape, FanBeam(turn, max(shape) + 3, 1.5, far, 0.4 * far, moving), 1.0, (0.4, shape[1] / 3))
    yield Rays(shape, FanBeam(turn, max(shape) + 3, 1.5, far, 0.4 * far, moving, True), 0.9)


def _project(shape, make):
    for rays in _rays(_stack(shape)[1:]):
        yield make(*_stack(shape)), rays


def _backproject(shape, make):
    for rays in _rays(_stack(shape)[1:]):
        yield make(_stack(shape)[0], *rays.geometry.shape), rays


def _volumes(shape):
    """Upright detector columns, a helix through voxels with three edges, a leaning scan, rays along the slices."""
    if math.prod(shape) > 300:
        return
    turn, far = [0.0, 0.3, math.pi / 4, math.pi / 2, 2.1, -2.5], 3.0 * max(shape) + 6
    circle = ConeBeam(turn, (shape[0] + 2, shape[2] + 1), 1.5, far, far / 2)
    for views, voxel in (
        (circle, (1.0, 1.0, 1.0)),
        (ConeBeam(turn, (4, 5), (1.1, 1.9), far, 2.0, axis=1.3, rise=2.0, curved=True), (0.9, 1.1, 0.7)),
        (Laminography(turn, (4, 5), tilt=0.5), (1.0, 1.0, 1.0)),
        (circle.views()[:3].turned("x", 0.4), (1.0, 0.8, 1.0)),
        (circle.views()[:3].turned("x", 1.4), (1.0, 1.0, 1.0)),
    ):
        yield VolumeRays(shape, views.views(), voxel)


def _project_volume(shape, make):
    return ((make(*_stack(shape)), rays) for rays in _volumes(_stack(shape)))


def _adjoint_volume(shape, make):
    return ((make(*rays.views.projections), rays) for rays in _volumes(_stack(shape)))


def _back_project(shape, make):
    rows, columns = _stack(shape)[1:]
    turn = np.linspace(0, 3, 6)
    for source in (0.0, 2.0 * (rows + columns)):
        for bins in (1, rows + columns + 1):
            q = make(6, bins)
            axes = (bins / 2 + 0.3 * np.arange(6)).astype(q.dtype)
            for place in ((rows - 1) / 2, (columns - 1) / 2), (rows / 2, columns / 3):
                grid = Grid(rows, columns, *place, 0.7, source)
                yield q, np.cos(turn).astype(q.dtype), np.sin(turn).astype(q.dtype), axes, grid


def _back_project_curved(shape, make):
    return (case for case in _back_project(shape, make) if case[-1].source > 0)


def _convolve(shape, make):
    for size in ((1,), (4,), (1, 1), (3, 2), (2, 5), (3, 9), (2, 3, 4), (1, 1, 6)):
        if len(size) <= len(shape):
            lead = len(shape) - len(size)
            big = (*shape[:lead], *(n + s - 1 for n, s in zip(shape[lead:], size, strict=True)))
            psf = np.random.default_rng(1).standard_normal(size)
            yield make(*big), psf
            if size == (2, 3, 4) and math.prod(shape) < 100:
                yield make(2, *big), psf  # a batch of volumes


def _differences(shape, make):
    axes = tuple(range(len(shape)))
    for boundary in ("neumann", "periodic", "dirichlet"):
        yield make(*shape), tuple(0.5 + k for k in axes), axes, boundary
    yield make(*shape), (2.0,), (len(shape) - 1,), "neumann"


def _minus_divergence(shape, make):
    for u, spacing, axes, boundary in _differences(shape, make):
        yield make(len(axes), *u.shape), spacing, axes, boundary


def _quadratic_ascent(shape, make):
    for y in (make(*shape), 0.25):
        for w in (2.0, abs(make(*shape)) + make.dtype(0.1)):
            for relaxation in (1.0, 1.9):
                yield make(*shape), make(*shape), y, w, 0.7, relaxation


def _weighted_square(shape, make):
    for y in (make(*shape), 0.0, 0.25):
        for w in (2.0, abs(make(*shape))):
            yield make(*shape), y, w


def _square_descent(shape, make):
    for lo, hi in ((-math.inf, math.inf), (0.0, math.inf), (0.0, 0.8)):
        yield make(*shape), 0.4, make(*shape), Quadratic(make(*shape), 1.5, lo, hi), 1.0
        yield make(*shape), 0.4, make(*shape), Quadratic(lo=lo, hi=hi), 0.9


def _tv_descent(shape, make):
    for axes in {tuple(range(len(shape))), tuple(range(len(shape)))[-2:]}:
        spacing = tuple(0.5 + k for k in axes)
        for g in (None, make(*shape)):
            for y, w in ((0.0, 0.0), (0.3, 1.2), (make(*shape), 0.7)):
                K = Differences(spacing, axes)
                yield make(*shape), 0.4, g, make(len(axes), *shape), K, Quadratic(y, w, -0.5, 0.8), 0.9


def _variation(shape, make):
    """(image, field, functional, differences): all axes, or the last two of three."""
    for axes in {tuple(range(len(shape))), tuple(range(len(shape)))[-2:]}:
        field, K = make(len(axes), *shape), Differences(tuple(1.0 + k for k in axes), axes)
        for groups in (True, False):
            for weight in (0.8, abs(make(*shape) if groups else make(*field.shape))):
                for smoothing in (0.0, 0.3):
                    yield make(*shape), field, Magnitudes(weight, smoothing, groups), K


def _tv_dual_ascent(shape, make):
    for x, p, f, K in _variation(shape, make):
        for relaxation in (1.0, 1.9):
            yield p, x, 0.6, f, K, relaxation
        yield 0 * p, 0 * x, 0.6, Magnitudes(0.0, 0.0, f.groups), K, 1.0  # 0/0 is 0


def _tv_sweep(shape, make):
    """Shapes beyond one block of the twin as well: five iterations in 33 rows, 65 slices of 17 rows."""
    if shape == (3, 4, 5):
        for large in ((67, 9), (66, 19, 3), (2, 33, 4)):
            yield from _tv_sweep(large, make)
    for u, p, f, K in _variation(shape, make):
        if f.groups:
            boxes = Quadratic(), Quadratic(0.3, 1.2, -0.5, 0.8), Quadratic(make(*shape), 0.7, 0.0, 1.0)
            for g, count in itertools.product(boxes, (1, 5)):
                yield u, p, 0.4, g, 0.6, f, K, 1.9, count
    yield 0 * u, 0 * p, 0.4, Quadratic(0.0, 1.0, -1.0, 1.0), 0.6, Magnitudes(0.0, 0.0, True), K, 1.0, 3  # 0/0 is 0


def _exact(f):
    return f._replace(weight=f.weight.astype(float)) if isinstance(f.weight, np.ndarray) else f


def _tv_value(shape, make):
    for x, _, f, K in _variation(shape, make):
        yield x, _exact(f), K


def _tv_pull(shape, make):
    for _, p, f, K in _variation(shape, make):
        yield p, _exact(f), K


def _tv_moved(shape, make):
    for x, p, f, K in _variation(shape, make):
        yield p, x, 0.3, _exact(f), K
        yield 0 * p, 0 * x, 0.3, Magnitudes(0.0, f.smoothing, f.groups), K  # 0/0 is 0


def _wavelet(shape, make):
    import pywt

    for name in ("haar", "db3", "bior2.2", "sym8"):
        low, high = map(np.array, pywt.Wavelet(name).filter_bank[:2])
        for axis in range(len(shape)):
            yield make(*shape), low, high, axis


def _laplacian(shape, make):
    for radius in (1, 2):
        window = itertools.product(range(-radius, radius + 1), repeat=len(shape))
        offsets = tuple(o for o in window if any(o))[::3]
        reach = [[0 <= i + k < n for i in range(n)] for o in offsets for k, n in zip(o, shape, strict=True)]
        inside = [np.ix_(*reach[m : m + len(shape)]) for m in range(0, len(reach), len(shape))]
        mask = np.zeros((len(offsets), *shape), bool)
        for m, cells in enumerate(inside):
            mask[m][cells] = True
        W = make(*shape[:-1], len(offsets), shape[-1]) * np.moveaxis(mask, 0, -2)
        yield make(*shape), W, make(*shape), offsets, radius, {}
        few = W * (make(*W.shape) > 1)  # a few weights, as of the nearest neighbours
        yield make(*shape), few, make(*shape), offsets, radius, {}


# kernel name → generator of argument tuples for an image of a given shape; `make(*shape)` makes the arrays
CASES = {
    "laplacian": _laplacian,
    "dot": lambda shape, make: [(make(*shape), make(*shape))],
    "distance": lambda shape, make: [(make(*shape), make(*shape))],
    "add_scaled": lambda shape, make: [(make(*shape), -0.7, make(*shape))],
    "differences": _differences,
    "minus_divergence": _minus_divergence,
    "convolve": _convolve,
    "project": _project,
    "adjoint": _backproject,
    "project_volume": _project_volume,
    "adjoint_volume": _adjoint_volume,
    "interpolate_back": _back_project,
    "interpolate_back_curved": _back_project_curved,
    "quadratic_ascent": _quadratic_ascent,
    "relaxed": lambda shape, make: [(make(*shape), make(*shape), rho) for rho in (1.9, 0.3)],
    "square_descent": _square_descent,
    "weighted_square": _weighted_square,
    "tv_descent": _tv_descent,
    "tv_dual_ascent": _tv_dual_ascent,
    "tv_moved": _tv_moved,
    "tv_pull": _tv_pull,
    "tv_sweep": _tv_sweep,
    "tv_value": _tv_value,
    "wavelet_analysis": _wavelet,
    "wavelet_synthesis": _wavelet,
}

# rounding of sums of up to about a thousand terms, relative to the largest value
LIMIT = {np.float64: 1e-12, np.float32: 4e-6}

EXACT = ("tv_value", "tv_pull", "tv_moved", "weighted_square")  # in float64 whatever comes in


def equal(got, expected, dtype):
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            equal(g, e, dtype)
        return
    if not isinstance(expected, float):
        assert type(got) is np.ndarray
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    assert np.all(np.isfinite(got)), "the padding of a strided input was read, or part of the output never written"
    scale = max(float(np.max(np.abs(expected), initial=0)), 1.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=LIMIT[dtype] * scale)
