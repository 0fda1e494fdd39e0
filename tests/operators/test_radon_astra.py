"""ASTRA as a second engine, and as the oracle of Radon."""

from __future__ import annotations

import math
import sys
import types
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
import standin
from conftest import dense, rand

from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.operators.radon import Radon
from varinv.phantom import disc

astra = pytest.importorskip("astra", reason="astra-toolbox is not installed")

from varinv.operators.radon_astra import AstraRadon  # noqa: E402

ANGLES = np.random.default_rng(4).uniform(-4, 9, 30)  # any order, more than one turn


def relative(a: Any, b: Any) -> float:
    return float(np.linalg.norm(np.asarray(a, float) - b) / np.linalg.norm(np.asarray(b, float)))


def both(shape: tuple[int, ...], g: Any, h: float = 1.0) -> tuple[Radon, AstraRadon]:
    return Radon(shape, g, h), AstraRadon(shape, g, h)


@pytest.mark.parametrize("h", [1.0, 0.03, 25.0])
@pytest.mark.parametrize("axis", [None, 90.3])
def test_parallel_disc(h: float, axis: float | None) -> None:
    """The same interpolation, so only float32 rounding differs: ≤ 1e-4 on a disc (issue)."""
    A, B = both((120, 128), ParallelBeam(ANGLES, 190, 0.9 * h, axis), h)
    x = disc(40 * h, x=11 * h, y=5 * h).image((120, 128), h).astype(np.float32)
    assert relative(A(x), B(x)) <= 1e-4
    y = B(x)
    assert relative(A.T(y), B.T(y)) <= 1e-4


@pytest.mark.parametrize(("size", "kind", "bound"), [(512, "non-negative", 3e-4), (64, "signed", 1e-3)])
def test_parallel_noise(size: int, kind: str, bound: float) -> None:
    """ASTRA rounds positions to float32 (3e-5 pixel at 512), which noise shows most: the bounds asked of it."""
    A, B = both((size, size), ParallelBeam(np.linspace(0, math.pi, 90, endpoint=False), int(1.42 * size)))
    x = rand(np, A.domain, 2, "float32", kind)
    assert relative(A(x), B(x)) <= bound


@pytest.mark.parametrize("axis", [None, 172.75])
def test_fan_disc(axis: float | None) -> None:
    """Another model of the same line integral (length in each pixel): ≤ 4e-3 on a disc at 256² (issue)."""
    A, B = both((256, 256), FanBeam(ANGLES, 365, 1.5, 512.0, 256.0, axis))
    x = disc(77.0, x=26.0, y=13.0).image((256, 256)).astype(np.float32)
    assert relative(A(x), B(x)) <= 4e-3


@pytest.mark.parametrize("fan", [False, True])
def test_an_axis_a_view_and_an_origin_are_radons(fan: bool) -> None:
    """Bounds as above; the axis at its mean, or the image half a pixel off, differ by 3 % and more."""
    axis, n, origin = 92.0 + 3 * np.sin(ANGLES), 128, (60.0, 70.5)
    g = FanBeam(ANGLES, 190, 1.5, 256.0, 128.0, axis) if fan else ParallelBeam(ANGLES, 190, 0.9, axis)
    A, B = Radon((n, n), g, 1.0, origin), AstraRadon((n, n), g, 1.0, origin=origin)
    x = disc(35.0, x=11.0, y=5.0).image((n, n), origin=origin).astype(np.float32)
    bound = 5e-3 if fan else 1e-4
    assert relative(A(x), B(x)) <= bound
    if not fan:  # back, lengths in pixels and Joseph's weights are textured differently
        assert relative(A.T(A(x)), B.T(A(x))) <= bound


def test_projectors_agree_on_what_they_measure() -> None:
    """Three models of one line integral of a disc, 50 pixels wide: within 1.5 % of each other at its rim."""
    g = ParallelBeam(ANGLES, 90, 0.9, 42.1)
    x = disc(25.0, x=4.0).image((64, 70)).astype(np.float32)
    expected = disc(25.0, x=4.0).line_integrals(g)
    for projector in ("linear", "line", "strip"):
        assert relative(AstraRadon((64, 70), g, 1.0, projector=projector)(x), expected) <= 0.02
    f = FanBeam(ANGLES, 90, 1.4, 120.0, 60.0)
    expected = disc(25.0, x=4.0).line_integrals(f)
    for projector in ("line_fanflat", "strip_fanflat"):
        assert relative(AstraRadon((64, 70), f, 1.0, projector=projector)(x), expected) <= 0.02


@pytest.mark.parametrize("A", list(AstraRadon.examples()), ids=repr)
def test_contract(A: AstraRadon) -> None:
    x, y = rand(np, A.domain, 1, "float32"), rand(np, A.codomain, 2, "float32")
    x.flags.writeable = y.flags.writeable = False
    Ax, Aty = A(x), A.T(y)
    assert (Ax.shape, Ax.dtype, Aty.shape, Aty.dtype) == (A.codomain, np.float32, A.domain, np.float32)
    error = abs(np.vdot(Ax.astype(float), y) - np.vdot(x.astype(float), Aty))
    assert error <= 1e-6 * np.linalg.norm(Ax) * np.linalg.norm(y)  # float32, DESIGN section 5
    if len(A.domain) == 3:
        single = AstraRadon(A.domain[1:], A.geometry, A.pixel_size, A.projector, A.origin)
        assert np.array_equal(Ax, [single(s) for s in x])
        return
    eye = np.eye(x.size, dtype=np.float32).reshape(-1, *A.domain)
    sigma = np.linalg.svd(np.stack([A(e).ravel() for e in eye]).astype(float), compute_uv=False)[0]
    assert sigma <= A.norm() <= 1.0101 * sigma  # one per cent and the margin for float32


def test_float64_comes_back_as_float64_with_the_numbers_of_float32() -> None:
    A = AstraRadon((6, 7), ParallelBeam(ANGLES, 9, 0.9, 4.4))
    x = rand(np, A.domain, 1, "float32")
    assert A(x.astype(float)).dtype == A.T(A(x.astype(float))).dtype == np.float64
    assert np.array_equal(A(x.astype(float)), A(x))  # the same computation


def test_matrix_is_radons() -> None:
    A, B = both((6, 7), ParallelBeam(ANGLES, 9, 0.9, 4.4))
    matrix = np.stack([B(e.astype(np.float32)).ravel() for e in np.eye(42).reshape(-1, 6, 7)], axis=1)
    assert np.abs(matrix - dense(A)).max() <= 1e-5  # float32 positions of size 10: 1e-6 each


def test_nothing_is_left_in_astra(capsys: pytest.CaptureFixture[str]) -> None:
    A = AstraRadon((8, 8), ParallelBeam(ANGLES, 12))
    before = astra.data2d.create("-vol", astra.create_vol_geom(1, 1))
    A.T(A(np.ones((8, 8), np.float32)))
    astra.data2d.info()
    astra.projector.info()
    astra.algorithm.info()
    listing = capsys.readouterr().out
    astra.data2d.delete(before)
    assert "8x8" not in listing.replace(" ", "")


G, F = ParallelBeam([0.0], 5), FanBeam([0.0], 5, 1.0, 40.0, 10.0)
WRONG = [
    (lambda: AstraRadon((4, 4), G)(strict.ones((4, 4))), TypeError, "the image is a array_api_strict array"),
    (lambda: AstraRadon((4, 4), G).T(strict.ones((1, 5))), TypeError, "the sinogram is a array_api_strict array"),
    (lambda: AstraRadon((4, 4), G, projector="cuda"), ValueError, "linear, line, strip .* got 'cuda'"),
    (lambda: AstraRadon((4, 4), F, projector="linear"), ValueError, "line_fanflat, strip_fanflat"),
    (
        lambda: AstraRadon((4, 4), FanBeam([0.0], 5, 1.0, 40.0, 10.0, axis=1.0), projector="strip_fanflat"),
        ValueError,
        "no axis offset, got .*axis=1,",
    ),
    (lambda: AstraRadon((60, 60), F, 1.0), ValueError, "AstraRadon: the source is inside the image"),
    (lambda: AstraRadon((4, 4), FanBeam([0.0], 5, 1.0, 40.0, 10.0, curved=True)), ValueError, "ASTRA has no curved"),
    (lambda: AstraRadon((4, 4), "parallel"), TypeError, "geometry must be"),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG)
def test_errors_name_the_fault(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("A", list(AstraRadon.examples()), ids=repr)
def test_the_way_through_dlpack_gives_the_same_numbers(A: AstraRadon) -> None:
    """What CuPy arrays take with projector "cuda", here with the processor's."""
    x, y = rand(np, A.domain, 1, "float32"), rand(np, A.codomain, 2, "float64")
    assert np.array_equal(A._direct(x, "FP", A.projector or ""), A(x))
    assert np.array_equal(A._direct(y, "BP", A.projector or ""), A.T(y))
    assert A._direct(y, "BP", A.projector or "").dtype == np.float64


def test_cupy_arrays_go_to_the_cuda_projector(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    wait = types.SimpleNamespace(synchronize=lambda: calls.append("wait"))
    runtime = types.SimpleNamespace(cuda=types.SimpleNamespace(Device=lambda: wait))
    monkeypatch.setattr("varinv.cuda_tools.cupy", lambda: runtime)
    monkeypatch.setattr(AstraRadon, "_direct", lambda self, a, algorithm, name: calls.append(f"{algorithm} {name}"))
    x = standin.xp.asarray(np.ones((4, 4), np.float32))
    monkeypatch.setattr(astra, "use_cuda", lambda: False)
    with pytest.raises(RuntimeError, match=r"needs ASTRA 2\.5 or later, built with CUDA"):
        AstraRadon((4, 4), G)(x)
    monkeypatch.setattr(astra, "use_cuda", lambda: True)
    calls.clear()
    AstraRadon((4, 4), F).forward(x)
    assert calls == ["wait", "FP cuda", "wait"]
    with pytest.raises(ValueError, match="on CuPy arrays there is one projector"):
        AstraRadon((4, 4), G, projector="strip")(x)


def test_cupy_arrays_without_cupy_or_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match="needs CuPy, which is not installed"):
        AstraRadon((4, 4), G)(standin.xp.asarray(np.ones((4, 4))))


def test_astra_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astra", None)
    with pytest.raises(ImportError, match=r"pip install varinv\[astra\]"):
        AstraRadon((4, 4), G)
