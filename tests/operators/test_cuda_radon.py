"""The CUDA twins of the X-ray transform and of FBP, run on the host: more shapes and scans than the generic test."""

from __future__ import annotations

import gc
import math

import cuda_shim
import numpy as np
import pytest
from conftest import rand
from test_radon import GOLDEN, MIDDLE, SIZES, adjoint_error

from varinv import backend
from varinv.operators import fbp as fbp_module
from varinv.operators import fbp_cuda, radon, radon_cuda
from varinv.operators.fbp import fbp
from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.operators.radon import Radon
from varinv.phantom import disc

pytestmark = pytest.mark.filterwarnings("ignore:.*beside the detector:varinv.operators.geometry.GeometryWarning")

# float64: DESIGN section 4.  float32: a few hundred roundings of 6e-8 a sum, weights rounded once more
BOUNDS = [("float64", 1e-12), ("float32", 1e-5)]


@pytest.fixture(autouse=True)
def twins(monkeypatch):
    """NumPy arrays go to the CUDA twins, their kernels to the C++ compiler."""
    if cuda_shim.COMPILER is None:
        pytest.skip("no C++ compiler (g++, clang++ or c++): the CUDA sources cannot run on the host")
    monkeypatch.setattr("varinv.cuda_tools.run", cuda_shim.run)
    monkeypatch.setitem(radon.project.twins, "numpy", radon_cuda.project)
    monkeypatch.setitem(radon.adjoint.twins, "numpy", radon_cuda.adjoint)
    monkeypatch.setitem(fbp_module.interpolate_back.twins, "numpy", fbp_cuda.interpolate_back)


def close(got, expected, bound):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= bound * max(np.abs(expected).max(), 1e-30)


def both_ways(A, dtype, bound, seed=1):
    x, y = rand(np, A.domain, seed, dtype), rand(np, A.codomain, seed + 1, dtype)
    x.flags.writeable = y.flags.writeable = False
    stack = len(A.domain) == 3
    one = (lambda a: a) if stack else (lambda a: a[None])
    for got, expected in (
        (A(x), radon.project.reference(one(x), A.rays)),
        (A.T(y), radon.adjoint.reference(one(y), A.rays)),
    ):
        close(got, expected if stack else expected[0], bound)


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize(("dtype", "bound"), BOUNDS)
def test_pair_is_reference(shape, dtype, bound):
    size = max(shape)
    far = size + 3.0
    for k, g in enumerate(
        (
            ParallelBeam(GOLDEN[:9], size + 3, 0.9, axis=size / 2 - 0.7),
            ParallelBeam(GOLDEN[:9], size + 3, 0.23),  # five taps on either side
            ParallelBeam([0.0, math.pi / 2, math.pi / 4, -math.pi / 2, math.pi], size + 3, 2.7),  # bins of three rays
            ParallelBeam([0.3], 1),  # one view, one bin
            FanBeam(GOLDEN[:9], size + 3, 1.7, far, 2.0, axis=size / 3),
            FanBeam(GOLDEN[:5], 2 * size + 3, 0.3, far, 2.0, axis=-4.6),  # nothing under the axis, narrow bins
            FanBeam(GOLDEN[:5], size, 4.7, far, 2.0),
            FanBeam([2.3], 1, 1.7, far, 0.0),
        )
    ):
        for slices in (1, 2, 3, 6) if k in (0, 4) else (1, 5):  # alone, and four at a time with and without a rest
            both_ways(Radon((slices, *shape), g, 1.0), dtype, bound)


@pytest.mark.parametrize(("dtype", "bound"), BOUNDS)
def test_pixel_size_and_some_views(dtype, bound):
    moving = 10 + 2 * np.sin(GOLDEN)
    for g, origin in (
        (ParallelBeam(GOLDEN, 22, 0.03, axis=7.3), None),
        (FanBeam(GOLDEN, 22, 0.05, 0.9, 0.4, axis=13.4), None),
        (ParallelBeam(GOLDEN, 22, 0.03, moving), (9.0, 3.5)),
        (FanBeam(GOLDEN, 22, 0.05, 0.9, 0.4, moving), (7.0, 10.5)),
        (FanBeam(GOLDEN, 22, 0.05, 0.9, 0.4, moving, curved=True), (7.0, 10.5)),  # back by the reference
    ):
        A = Radon((17, 20), g, 0.031, origin)
        both_ways(A, dtype, bound)
        x, views = rand(np, A.domain, 5, dtype), [19, 3, 4]
        part = A.subset(views)
        both_ways(part, dtype, bound)
        assert np.array_equal(part(x), A(x)[views]), "a view does not depend on the others"


@pytest.mark.parametrize("A", MIDDLE, ids=repr)
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-6)])  # DESIGN section 5
def test_pair_is_matched(A, dtype, bound):
    for kind in ("signed", "non-negative", "border"):
        assert adjoint_error(A, rand(np, A.domain, 3, dtype, kind), rand(np, A.codomain, 4, dtype)) <= bound


@pytest.mark.parametrize(
    "g",
    [
        ParallelBeam(GOLDEN[:7], 1400, 0.97, axis=655.3),
        FanBeam(GOLDEN[:7], 1200, 1.5, 2000.0, 1000.0, axis=531.2),
    ],
    ids=repr,
)
@pytest.mark.parametrize(("dtype", "bound"), BOUNDS)
def test_a_thousand_pixels(g, dtype, bound, monkeypatch):
    """Positions in float would be off by 6e-5 of a pixel here: 2e-5 of the largest value, and no matched pair."""
    A = Radon((400, 1000), g)
    x, y = rand(np, A.domain, 1, dtype), rand(np, A.codomain, 2, dtype)
    Ax, Aty = A(x), A.T(y)
    assert adjoint_error(A, x, y) <= (1e-12 if dtype == "float64" else 1e-7)  # measured 3e-9: the sums round, no weight
    monkeypatch.undo()  # float64 through the CPU twin, which its own tests hold to the reference
    close(Ax.astype(float), A(x.astype(float)), bound)
    # in a fan the twin finds positions of up to 1200 rays by 32 additions: 32 · 1200 · 2^-53 of a ray
    close(Aty.astype(float), A.T(y.astype(float)), max(bound, 4.3e-12) if isinstance(g, FanBeam) else bound)


def test_more_slices_than_are_copied_at_once(monkeypatch):
    A = Radon((7, 5, 6), ParallelBeam(GOLDEN[:3], 9))
    x, y = rand(np, A.domain, 1), rand(np, A.codomain, 2)
    whole = A(x), A.T(y)
    monkeypatch.setattr(radon_cuda, "SLICES", 3)
    assert np.array_equal(A(x), whole[0])
    assert np.array_equal(A.T(y), whole[1])


@pytest.mark.parametrize(("dtype", "bound"), BOUNDS)
def test_scans_far_beside_the_image(dtype, bound):
    """Beyond the range of integer coordinates the reference takes over; rays of a wide fan pass far outside."""
    declined = 0
    for g in (
        ParallelBeam([0.3, 1.0], 5, axis=400.0),
        ParallelBeam([0.3, 1.0], 5, axis=1e10),
        FanBeam([0.3, 1.0], 5, 1.0, 20.0, 10.0, axis=1e6),
        FanBeam([0.3, 1.6], 900, 1.0, 9.0, 0.0),  # up to 89° from the axis
    ):
        A = Radon((8, 6), g)
        both_ways(A, dtype, bound)
        known = radon_cuda._tables[A.rays]
        declined += sum(t is None for t in known.values())
    assert declined == (3 if dtype == "float32" else 0)


def test_tables_are_made_once_and_live_as_long_as_the_scan(monkeypatch):
    A = Radon((6, 7), FanBeam(GOLDEN[:4], 9, 1.0, 20.0, 10.0))
    x = rand(np, A.domain, 1)
    A(x), A.T(A(x))
    before = len(radon_cuda._tables)
    monkeypatch.setattr(radon_cuda, "_coordinates", None)  # making another one fails
    A.T(A(x))
    with pytest.raises(TypeError):
        A(x.astype("float32"))
    del A
    gc.collect()  # the traceback of the error holds the operator
    assert len(radon_cuda._tables) < before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_survive(bad):
    for A in (MIDDLE[0], MIDDLE[3]):
        x, y = np.zeros(A.domain, np.float32), np.zeros(A.codomain, np.float32)
        x[20, 30] = y[5, 40] = bad
        hit = A(np.eye(64 * 51, dtype=np.float32)[20 * 51 + 30].reshape(A.domain)) > 0
        assert hit.any()
        assert not np.isfinite(A(x)[hit]).any()
        assert np.isfinite(A(x)).any()
        assert not np.isfinite(A.T(y)).all()


# ---------------------------------------------------------------------------------------------------------------- FBP


@pytest.mark.parametrize("fan", [False, True])
def test_fbp_is_the_cpus(fan, monkeypatch):
    angles = np.arange(90) * 2 * np.pi / 90
    g = FanBeam(angles, 80, 1.3, 90.0, 40.0, axis=38.3) if fan else ParallelBeam(angles, 70, 0.9, axis=33.1)
    A = Radon((5, 41, 50), g)
    sinogram = np.stack([disc(15.0, x=k).line_integrals(g) for k in range(5)])
    device = fbp(A, sinogram), fbp(A, sinogram.astype("float32"))
    monkeypatch.undo()
    expected = fbp(A, sinogram)
    assert expected[2, 20, 25] == pytest.approx(1, abs=0.02)  # the disc is there
    close(device[0], expected, 1e-12)
    close(device[1].astype(float), expected, 1e-5)  # positions rounded to float: 3e-6 of a bin at 50 pixels


def test_nothing_of_fbp_leaves_the_device(monkeypatch):
    """The filter and the weights are made on the host; the sinogram never comes there."""
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    A = Radon((9, 8), ParallelBeam(np.arange(30) * np.pi / 30, 14))
    sinogram = strict.asarray(rand(np, A.codomain, 1))
    to_numpy = backend.to_numpy

    def guarded(x):
        assert type(x) is np.ndarray, "an array of the device is copied to the host"
        return to_numpy(x)

    monkeypatch.setattr(backend, "to_numpy", guarded)
    image = fbp(A, sinogram, mask=True)
    monkeypatch.undo()
    close(to_numpy(image), fbp(A, to_numpy(sinogram), mask=True), 1e-12)
