"""The X-ray transform: its formula, its transpose, its conventions, its norm."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from typing import Any

import numba as nb
import numpy as np
import pytest
from conftest import dense, rand

from varinv.backend import POOL, library, to_numpy
from varinv.operators import radon, radon_cpu
from varinv.operators.geometry import FanBeam, GeometryWarning, ParallelBeam
from varinv.operators.radon import Radon

SMALL = [A for A in Radon.examples() if max(A.domain) < 100]
GOLDEN = np.arange(23) * math.pi * (math.sqrt(5) - 1) / 2  # arbitrary order, more than one turn
MIDDLE = [
    Radon((64, 51), ParallelBeam(GOLDEN, 83, axis=38.2)),
    Radon((51, 64), ParallelBeam(GOLDEN, 60, spacing=0.31), pixel_size=0.45),
    Radon((40, 64), ParallelBeam(GOLDEN, 30, spacing=2.3), 1.0),
    Radon((64, 51), FanBeam(GOLDEN, 83, 1.4, 90.0, 40.0, axis=44.7), 1.0),
    Radon((33, 64), FanBeam(GOLDEN, 25, 4.0, 50.0, 12.0), 1.0),  # a wide fan: runs of row and column steps, wide bins
    Radon((2, 20, 31), FanBeam(GOLDEN, 150, 0.3, 70.0, 0.0), 1.0),
    Radon((51, 64), ParallelBeam(GOLDEN, 60, axis=30 + np.sin(GOLDEN)), origin=(20.0, 33.5)),
    Radon((51, 64), FanBeam(GOLDEN, 70, 1.6, 90.0, 40.0, 30 + np.sin(GOLDEN), curved=True), 1.1, (26.0, 31.5)),
]
name = repr


def joseph(A: Radon) -> np.ndarray:
    """The matrix of one slice, ray by ray from the geometry's definition: independent of `Rays`."""
    g, h, (rows, cols) = A.geometry, A.pixel_size, A.domain[-2:]
    pitch = g.spacing / (g.magnification if isinstance(g, FanBeam) else 1)
    row, column = ((rows - 1) / 2, (cols - 1) / 2) if A.origin is None else A.origin
    axes = np.broadcast_to(g.axis, len(g.angles))
    parts = max(1, math.ceil(pitch / h - 1e-3))
    matrix = np.zeros((len(g.angles), g.detectors, rows, cols))
    for q, angle in enumerate(g.angles):
        c, s = math.cos(angle), math.sin(angle)
        for k in range(g.detectors * parts):
            u = ((k // parts) - axes[q] + (k % parts + 0.5) / parts - 0.5) * g.spacing
            if isinstance(g, FanBeam):  # from the source to the detector element
                x0, y0 = g.source_to_axis * s, -g.source_to_axis * c
                D = g.source_to_axis + g.axis_to_detector
                u = D * math.tan(u / D) if g.curved else u
                dx, dy = u * c - g.axis_to_detector * s - x0, u * s + g.axis_to_detector * c - y0
            else:
                x0, y0, dx, dy = u * c, u * s, -s, c
            by_row = abs(dy) >= abs(dx)
            step = h * math.hypot(dx, dy) / max(abs(dx), abs(dy)) / parts
            for n in range(rows if by_row else cols):
                if by_row:
                    y = (row - n) * h
                    t = (x0 + (y - y0) / dy * dx) / h + column
                else:
                    x = (n - column) * h
                    t = row - (y0 + (x - x0) / dx * dy) / h
                for j in (math.floor(t), math.floor(t) + 1):
                    if 0 <= j < (cols if by_row else rows):
                        matrix[(q, k // parts, *((n, j) if by_row else (j, n)))] += step * max(0, 1 - abs(t - j))
    return matrix.reshape(len(g.angles) * g.detectors, rows * cols)


@pytest.mark.parametrize("A", [A for A in SMALL if len(A.domain) == 2], ids=name)
def test_matrix_is_josephs(A: Radon) -> None:
    expected = joseph(A)
    # float64 rounding of positions of size ≤ 10 pixels; a wrong weight or step length is ≥ 1e-3
    assert np.abs(dense(A) - expected).max() <= 1e-12
    assert np.abs(dense(A, adjoint=True) - expected).max() <= 1e-12


NARROW = math.nextafter(0.2, 0)  # 1/NARROW rounds to 5, 5 · NARROW below 1: every 5th ray is too close
SIZES = [(1, 1), (1, 6), (7, 1), (2, 2), (5, 5), (9, 4), (4, 17), (33, 32)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-5)])
def test_twin_is_reference(shape: tuple[int, int], dtype: str, bound: float) -> None:
    """Bounds: a few hundred roundings per sum (1e-16, 6e-8 each); float32 weights are rounded once more."""
    size = max(shape)
    for g in (
        ParallelBeam(GOLDEN, size + 3, 0.9, axis=size / 2 - 0.7),
        ParallelBeam(GOLDEN, size + 3, 0.23),
        ParallelBeam([0.0, math.pi / 2], size + 3, NARROW),
        ParallelBeam([0.0, math.pi / 2, math.pi / 4], size + 3, 2.7),
        FanBeam(GOLDEN, size + 3, 1.7, size + 3.0, 2.0, axis=size / 3),
    ):
        A = Radon((2, *shape), g, 1.0)
        x, y = rand(np, A.domain, 1, dtype), rand(np, A.codomain, 2, dtype)
        x.flags.writeable = y.flags.writeable = False
        for got, expected in (
            (A.forward(x), radon.project.reference(x, A.rays)),
            (A.adjoint(y), radon.adjoint.reference(y, A.rays)),
            (A.forward(np.asfortranarray(x)), radon.project.reference(x, A.rays)),
        ):
            assert got.dtype == expected.dtype == dtype
            assert np.abs(got - expected).max() <= bound * max(np.abs(expected).max(), 1e-30)


def adjoint_error(A: Radon, x: Any, y: Any) -> float:
    Ax, Aty = A.forward(x).astype(float), A.adjoint(y).astype(float)
    scale = max(np.linalg.norm(Ax) * np.linalg.norm(y), np.linalg.norm(x) * np.linalg.norm(Aty))
    return abs(float(np.vdot(Ax, y.astype(float)) - np.vdot(x.astype(float), Aty))) / scale


@pytest.mark.parametrize("A", MIDDLE, ids=name)
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-6)])  # DESIGN section 5
def test_adjoint(A: Radon, dtype: str, bound: float) -> None:
    worst = max(
        adjoint_error(A, rand(np, A.domain, seed, dtype, kind), rand(np, A.codomain, seed + 100, dtype))
        for kind in ("signed", "non-negative", "border")
        for seed in range(50)
    )
    assert worst <= bound


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_adjoint_of_production_size(dtype: str) -> None:
    for A in Radon.examples():
        if max(A.domain) > 100:
            for kind in ("signed", "non-negative", "border"):
                error = adjoint_error(A, rand(np, A.domain, 1, dtype, kind), rand(np, A.codomain, 2, dtype))
                assert error <= (1e-12 if dtype == "float64" else 1e-6)  # DESIGN section 5


@pytest.mark.parametrize("A", SMALL, ids=name)
def test_every_library(A: Radon, xp: Any) -> None:
    x, y = rand(xp, A.domain, 1), rand(xp, A.codomain, 2)
    for got, plain in ((A(x), A(rand(np, A.domain, 1))), (A.T(y), A.T(rand(np, A.codomain, 2)))):
        assert library(got) == library(x)
        assert got.dtype == x.dtype
        assert np.abs(to_numpy(got) - plain).max() <= 1e-12 * np.abs(plain).max()  # float64 rounding


def test_stack_is_slice_by_slice() -> None:
    g = ParallelBeam(GOLDEN, 30)
    x = rand(np, (3, 19, 22), 3, "float32")
    stack, single = Radon((3, 19, 22), g), Radon((19, 22), g)
    y = stack(x)
    assert np.array_equal(y, [single(s) for s in x])
    assert np.array_equal(stack.T(y), [single.T(s) for s in y])


def test_pixel_no_ray_hits() -> None:
    A = Radon((32, 32), ParallelBeam([0.0, 0.3], 5))
    seen = A.T(np.ones(A.codomain))
    assert (seen == 0).any()
    assert (seen >= 0).all()
    assert np.array_equal(seen > 0, (joseph(A) > 0).any(axis=0).reshape(32, 32))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_weight_is_negative(dtype: str) -> None:
    """Rays through pixel centres up to rounding: a weight of −1e-16 would make certificates and logarithms wrong."""
    for spacing in (1.0, 1 / 3, 0.1, math.sqrt(0.5), 1.7):
        A = Radon(
            (12, 13), ParallelBeam(np.arctan2([0, 1, 1, 3, 4, 12, 5, 7], [1, 1, 3, 1, 3, 5, 12, 24]), 40, spacing), 1.0
        )
        for k in range(12 * 13):
            x = np.zeros(12 * 13, dtype)
            x[k] = 1
            assert A(x.reshape(12, 13)).min() >= 0
        for k in range(A.codomain[0]):
            for j in range(40):
                y = np.zeros(A.codomain, dtype)
                y[k, j] = 1
                assert A.T(y).min() >= 0


class Fused(float):
    """fl(a·b) that remembers a·b: less an integer it is what a compiler makes of one fused instruction."""

    def __new__(cls, a: float, b: int) -> Fused:
        new = super().__new__(cls, a * b)
        new.exact = Fraction(a) * b
        return new

    def __sub__(self, other: Any) -> float:
        return float(self.exact - int(other))


def test_no_weight_is_negative_on_machines_that_fuse() -> None:
    """There the rest of 3·(1/3), which rounds to 1, is −5.6e-17, whatever the compiler of this machine does."""
    assert Fused(1 / 3, 3) - 1 < 0
    assert radon_cpu.floored.py_func(Fused(1 / 3, 3)) == (1, 0.0)


def test_nothing_hit() -> None:
    with pytest.warns(GeometryWarning, match="axis=400 lies beside the detector"):
        A = Radon((8, 8), ParallelBeam([0.0, 1.0], 5, axis=400.0))  # the detector is far beside the image
    assert not A(np.ones((8, 8))).any()
    assert not A.T(np.ones(A.codomain)).any()
    assert A.norm() == 0


@pytest.mark.parametrize("A", [A for A in SMALL if len(A.domain) == 2], ids=name)
def test_norm_is_certified(A: Radon) -> None:
    sigma = np.linalg.svd(dense(A), compute_uv=False)[0]
    assert sigma <= A.norm() <= 1.01 * sigma  # DESIGN section 5
    assert Radon((3, *A.domain), A.geometry, A.pixel_size, A.origin).norm() == A.norm()
    assert A.absolute() is A


@pytest.mark.parametrize("A", MIDDLE, ids=name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads(A: Radon, dtype: str) -> None:
    x, y, threads = rand(np, A.domain, 1, dtype), rand(np, A.codomain, 2, dtype), nb.get_num_threads()
    results = []
    try:
        for n in {1, 2, threads} if threads > 1 else {1}:
            nb.set_num_threads(n)
            results.append((A.forward(x).tobytes(), A.adjoint(y).tobytes()))
    finally:
        nb.set_num_threads(threads)
    if threads == 1:
        pytest.skip("one thread only")
    assert all(r == results[0] for r in results)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_few_angles_at_a_time_add_up(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sums in another order: as far apart as rounding of the sum over angles, at most `views` additions."""
    A = MIDDLE[0]
    y = abs(rand(np, A.codomain, 2, dtype))
    whole = A.adjoint(y)
    monkeypatch.setattr(radon_cpu, "TABLES", 0.1)
    assert np.abs(A.adjoint(y) - whole).max() <= A.codomain[0] * np.finfo(dtype).eps * whole.max()
    monkeypatch.setattr(radon_cpu, "CACHE", 1 << 12)
    x = rand(np, A.domain, 1, dtype)
    sums = A.forward(x)
    monkeypatch.setattr(radon_cpu, "CACHE", 1 << 30)
    assert np.array_equal(A.forward(x), sums)


@pytest.mark.parametrize("A", [MIDDLE[0], MIDDLE[3]], ids=name)
def test_nan_and_inf_survive(A: Radon) -> None:
    for bad in (np.nan, np.inf):
        x, y = np.zeros(A.domain, np.float32), np.zeros(A.codomain, np.float32)
        x[20, 30] = y[5, 40] = bad
        hit = A(np.eye(64 * 51, dtype=np.float32)[20 * 51 + 30].reshape(A.domain)) > 0
        assert hit.any()
        assert not np.isfinite(A(x)[hit]).any()
        assert not np.isfinite(A.T(y)).all()
        assert np.isfinite(A(x)).any()  # and only the rays near that pixel


def test_long_runs_allocate_nothing() -> None:
    A = Radon((128, 128), ParallelBeam(GOLDEN, 183))
    x = rand(np, A.domain, 1, "float32")
    for _ in range(3):
        y = A.T(A(x))
    made = POOL.made
    for _ in range(5):
        y = A.T(A(x))
    assert POOL.made == made
    assert y.any()


def test_pickle_keeps_everything() -> None:
    A = MIDDLE[3]
    A.norm()
    B = pickle.loads(pickle.dumps(A))
    x = rand(np, A.domain, 1)
    assert np.array_equal(A(x), B(x))
    assert repr(A) == repr(B)


G, F = ParallelBeam([0.0], 5), FanBeam([0.0], 5, 1.0, 40.0, 10.0)
WRONG = [
    (lambda: Radon((4, 4), [0.0, 1.0]), TypeError, "geometry must be a ParallelBeam or a FanBeam"),
    (lambda: Radon((4, 4, 4, 4), G), ValueError, "must have 2 or 3 entries, got \\(4, 4, 4, 4\\)"),
    (lambda: Radon((4, 0), G), ValueError, "at least 1, got 0"),
    (lambda: Radon((4, 4), G, 0.0), ValueError, "pixel_size must be greater than 0, got 0"),
    (lambda: Radon((4, 4), G, math.nan), ValueError, "pixel_size must be finite"),
    (lambda: Radon((4, 4), G, "1 mm"), TypeError, "pixel_size must be a real number"),
    (lambda: Radon((60, 60), F, 1.0), ValueError, "source is inside the image: source_to_axis=40 .* diagonal 42.4"),
    (lambda: Radon((4, 4), F, 50.0), ValueError, "same unit"),
    (lambda: Radon((4, 6), G)(np.ones((6, 4))), ValueError, "got an array of shape \\(6, 4\\).*transposed"),
    (lambda: Radon((4, 6), G).T(np.ones((5, 1))), ValueError, "got an array of shape \\(5, 1\\).*transposed"),
    (lambda: Radon((4, 6), G)(np.ones((4, 6), complex)), TypeError, "real array"),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG)
def test_errors_name_the_fault(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()
