"""What only a device can show; `make gpu` runs these.  The rest of the suite runs there too, on its `xp` of CuPy."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import _library, rand
from kernel_cases import CASES, Maker, equal
from test_cuda_kernels import TWINS
from test_operators import adjoint_error

import varinv as vi
from varinv.backend import to_numpy
from varinv.operators.radon_astra import AstraRadon

pytestmark = pytest.mark.gpu
CONSTANTS = {"convolve": (1,), "wavelet_analysis": (1, 2), "wavelet_synthesis": (1, 2)}  # arguments that stay NumPy's


@pytest.fixture
def cupy():
    return _library("cupy")


def moved(kernel, args, asarray):
    keep = CONSTANTS.get(kernel.__name__, ())
    return [a if k in keep else placed(a, asarray) for k, a in enumerate(args)]


def placed(a, asarray):
    """An array on the device; a form with its arrays there."""
    if isinstance(a, np.ndarray):
        return asarray(a)
    return type(a)(*(placed(v, asarray) for v in a)) if hasattr(a, "_fields") else a


def fetched(result):
    return tuple(map(to_numpy, result)) if isinstance(result, tuple) else to_numpy(result)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (1, 300), (257, 1023), (3, 66, 70)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kernel", TWINS, ids=lambda k: k.__name__)
def test_kernel_is_reference_and_repeats_its_bits(kernel, dtype, shape, cupy):
    for args in CASES[kernel.__name__](shape, Maker(dtype, "plain")):
        there = moved(kernel, args, cupy.asarray)
        got, again = kernel(*there), kernel(*there)
        equal(fetched(got) if not isinstance(got, float) else got, kernel.reference(*args), dtype)
        assert np.array_equal(fetched(got), fetched(again)) or isinstance(got, tuple)


@pytest.mark.parametrize(
    "K",
    [
        vi.Gradient((512, 300)),
        vi.Blur((512, 300), np.arange(35.0).reshape(5, 7), "reflect"),
        vi.Wavelet((256, 300), "db3"),
        vi.Radon((512, 512), vi.ParallelBeam(np.arange(180) * np.pi / 180, 725)),
        vi.Radon((4, 256, 256), vi.ParallelBeam(np.arange(90) * np.pi / 90, 365)),
        vi.Radon((256, 256), vi.FanBeam(np.arange(180) * np.pi / 90, 400, 1.4, 500.0, 300.0, axis=190.0)),
    ],
    ids=repr,
)
def test_adjoint_and_numbers_of_the_processor(K, cupy):
    """DESIGN, section 5: 1e-6 in float32; issue: parity 1e-5."""
    x, y = rand(np, K.domain, 1, "float32"), rand(np, K.codomain, 2, "float32")
    X, Y = cupy.asarray(x), cupy.asarray(y)
    assert adjoint_error(K, X, Y) <= 1e-6
    for got, expected in ((K(X), K(x)), (K.T(Y), K.T(y))):
        assert np.linalg.norm(to_numpy(got) - expected) <= 1e-5 * np.linalg.norm(expected)


def test_a_solve_is_the_processors(cupy):
    shape = (96, 96)
    A = vi.Radon(shape, vi.ParallelBeam(np.arange(40) * np.pi / 40, 137))
    truth = np.zeros(shape, np.float32)
    truth[20:60, 30:70] = 1
    y = A(truth)
    images = []
    for data in (y, cupy.asarray(y)):
        problem = vi.L2Squared(data) @ A + 0.5 * vi.TV(shape) + vi.NonNegative()
        images.append(to_numpy(vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(100)).x))
    assert np.linalg.norm(images[1] - images[0]) <= 1e-5 * np.linalg.norm(images[0])


def test_astra_on_the_device(cupy):
    """ASTRA's pair on CuPy arrays: its projection is ours to the accuracy of its interpolation; the rest is printed."""
    astra = pytest.importorskip("astra")
    if not astra.use_cuda():
        pytest.skip("ASTRA is built without CUDA")
    geometry = vi.ParallelBeam(np.arange(60) * np.pi / 60, 190)
    A, B = vi.Radon((128, 128), geometry), AstraRadon((128, 128), geometry)
    x, y = (cupy.asarray(rand(np, s, 3, "float32", "non-negative")) for s in (A.domain, A.codomain))
    distance = float(cupy.linalg.norm(A(x) - B(x)) / cupy.linalg.norm(A(x)))
    print(f"adjoint error of ASTRA's pair {adjoint_error(B, x, y):.1e}, of ours {adjoint_error(A, x, y):.1e}")
    assert distance <= 1e-2  # 8-bit weights of texture interpolation: 1/256 of a pixel
