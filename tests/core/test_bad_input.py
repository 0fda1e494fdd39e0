"""What every public constructor and call does with input it cannot use: the error names the argument and the value.

Rows: (who and what, call, the error type, words that its message holds), or a documented acceptance and its result.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.functionals.sparsity import L1, L21

strict = pytest.importorskip("array_api_strict")

NAN, INF = math.nan, math.inf
X = np.arange(12.0).reshape(3, 4)
BAD = np.where(X == 5, NAN, X)  # one NaN of 12
ENDLESS = np.where(X == 5, INF, X)
FOREIGN = strict.asarray(X)
EMPTY = np.zeros((0, 4))
ANGLES = np.linspace(0, math.pi, 6, endpoint=False)
DEGREES = np.arange(0.0, 720.0, 2.0)
BEAM = vi.ParallelBeam(ANGLES, 7)
A = vi.Radon((3, 4), BEAM)
SINOGRAM = np.ones(A.codomain)
G, I, BLUR = vi.Gradient((3, 4)), vi.Identity((3, 4)), vi.Blur((3, 4), np.ones((3, 3)))
MASK = X > 3
P = vi.L2Squared(X) + 0.1 * vi.TV((3, 4))
R = vi.solve(P, stop=vi.iterations(2))
T, V = TypeError, ValueError
SHAPES = ("(3, 4)", "(4, 3)")

OPERATORS = [("Gradient", G), ("Identity", I), ("Diagonal", vi.Diagonal(X)), ("Blur", BLUR), ("Radon", A),
             ("Subsampling", vi.Subsampling((3, 4), MASK)),
             ("Downsampling", vi.Downsampling((3, 4), (3, 2))),
             ("Restriction", vi.Restriction((3, 4), slice(1, 3))), ("Fourier", vi.Fourier((3, 4))),
             ("ConvolutionBank", vi.ConvolutionBank((3, 4), [[1.0, 2.0]])), ("Wavelet", vi.Wavelet((3, 4))),
             ("Matrix", vi.from_scipy(np.eye(12), (3, 4)))]  # fmt: skip


def calls() -> list[Any]:
    """What holds for every operator alike."""
    rows: list[Any] = []
    for name, K in OPERATORS:
        rows += [
            (f"{name} transposed", lambda K=K: K(X.T), V, *SHAPES, "transposed"),
            (f"{name} wrong shape", lambda K=K: K(np.ones(5)), V, "(3, 4)", "(5,)"),
            (
                f"{name}.T wrong shape",
                lambda K=K: K.T(np.ones((2, 2, 2, 2))),
                V,
                "(2, 2, 2, 2)",
                str(tuple(K.codomain)),
            ),
            (f"{name} complex", lambda K=K: K(X + 1j), T, "input", "complex128"),
            (f"{name} text", lambda K=K: K("image"), T, "input", "'image'"),
            (f"{name} times an array", lambda K=K: K * np.ones((2, 5)), T, "(2, 5)", "multiplied by numbers"),
            (f"{name} times NaN", lambda K=K: K * NAN, V, "factor", "nan"),
            (f"{name} @ an array", lambda K=K: K @ X, T, "(3, 4)", "apply an operator as K(x)"),
            (f"{name} times itself", lambda K=K: K * K, T, repr(K), "composed with @"),
            (f"{name} over zero", lambda K=K: K / 0, ZeroDivisionError, repr(K)),
            (f"{name}.pinv NaN", lambda K=K: K.pinv(np.full(K.codomain, NAN)), V, repr(K), "NaN or infinite"),
            (f"{name}.pinv shape", lambda K=K: K.pinv(np.ones(5)), V, "y", str(tuple(K.codomain)), "(5,)"),
            (f"{name}.pinv method", lambda K=K: K.pinv(np.ones(K.codomain), "svd"), V, "method", "cg, fbp", "'svd'"),
            (f"{name}.project NaN", lambda K=K: K.project(BAD, np.ones(K.codomain)), V, "NaN or infinite"),
        ]
    return rows


def functionals() -> list[Any]:
    """What holds for every functional with data or weights alike."""
    rows: list[Any] = []
    for name, arg, make in (
        ("L2Squared", "y", vi.L2Squared), ("L2Squared", "weight", lambda w: vi.L2Squared(X, w)),
        ("KullbackLeibler", "y", vi.KullbackLeibler), ("L2Ball", "y", lambda y: vi.L2Ball(y, 1.0)),
        ("KullbackLeibler", "background", lambda b: vi.KullbackLeibler(X, b)), ("L1", "weight", L1),
        ("L21", "weight", L21), ("Huber", "weight", lambda w: vi.Huber(0.1, w)),
        ("Charbonnier", "weight", lambda w: vi.Charbonnier(0.1, w)),
        ("TV", "weight", lambda w: vi.TV((3, 4), w)), ("Diagonal", "values", vi.Diagonal),
    ):  # fmt: skip
        rows += [
            (f"{name} {arg} NaN", lambda f=make: f(BAD), V, name, arg, "1 NaN or infinite of 12"),
            (f"{name} {arg} Inf", lambda f=make: f(ENDLESS), V, name, arg, "1 NaN or infinite of 12"),
            (f"{name} {arg} complex", lambda f=make: f(X + 1j), T, name, arg, "complex128"),
            (f"{name} {arg} empty", lambda f=make: f(EMPTY), V, name, arg, "(0, 4)"),
            (f"{name} {arg} text", lambda f=make: f("x"), T, name, arg, "'x'"),
        ]
        if arg in ("weight", "background") or name == "KullbackLeibler":
            rows.append((f"{name} {arg} negative", lambda f=make: f(-X), V, name, arg, "-11"))
    for f in (
        vi.L2Squared(X),
        vi.KullbackLeibler(X),
        vi.L2Ball(X, 1.0),
        L1(X),
        vi.Huber(0.1, X),
        vi.Charbonnier(0.1, X),
    ):
        name = type(f).__name__
        rows.append((f"{name} transposed", lambda f=f: f(X.T), V, name, *SHAPES, "transposed"))
        rows.append((f"{name} other library", lambda f=f: f(FOREIGN), T, name, "numpy", "array_api_strict"))
    return rows


ERRORS = [
    *calls(),
    *functionals(),
    ("Gradient shape empty", lambda: vi.Gradient(()), V, "Gradient", "shape", "()"),
    ("Gradient shape zero", lambda: vi.Gradient((3, 0)), V, "shape[1]", "0"),
    ("Gradient shape float", lambda: vi.Gradient((3.5, 4)), T, "shape[0]", "3.5"),
    ("Gradient shape an image", lambda: vi.Gradient(X), T, "shape", "(3, 4)"),
    ("Gradient spacing zero", lambda: vi.Gradient((3, 4), 0), V, "spacing", "0"),
    ("Gradient spacing NaN", lambda: vi.Gradient((3, 4), NAN), V, "spacing", "nan"),
    ("Gradient spacing three", lambda: vi.Gradient((3, 4), (1, 1, 1)), V, "spacing", "got 3"),
    ("Gradient axes", lambda: vi.Gradient((3, 4), axes=(2,)), V, "axes", "(2,)"),
    ("Gradient axes twice", lambda: vi.Gradient((3, 4), axes=(0, -2)), V, "axes", "(0, 0)"),
    ("Gradient boundary", lambda: vi.Gradient((3, 4), boundary="mirror"), V, "boundary", "'mirror'"),
    ("Identity negative", lambda: vi.Identity((-1,)), V, "shape[0]", "-1"),
    ("Fourier shape zero", lambda: vi.Fourier((0, 3)), V, "Fourier", "shape[0]", "0"),
    ("Fourier axes none", lambda: vi.Fourier((3, 4), ()), V, "axes", "-2..1", "()"),
    ("Fourier axes text", lambda: vi.Fourier((3, 4), "rows"), T, "axes", "integer"),
    ("Wavelet shape", lambda: vi.Wavelet((4, -1)), V, "Wavelet", "shape[1]", "-1"),
    ("Wavelet shape an image", lambda: vi.Wavelet(X), T, "shape", "(3, 4)"),
    ("Wavelet names", lambda: vi.Wavelet((4, 4), ["haar"]), V, "wavelet", "['haar']"),
    ("Wavelet levels text", lambda: vi.Wavelet((4, 4), levels="max"), T, "levels", "'max'"),
    ("StationaryWavelet levels huge", lambda: vi.StationaryWavelet((4, 4), levels=10**6), V, "levels", "fewer levels"),
    ("ConvolutionBank complex kernel", lambda: vi.ConvolutionBank((4,), [[1j]]), T, "kernels[0]", "complex128"),
    ("ConvolutionBank numbers", lambda: vi.ConvolutionBank((4,), [1.0, 2.0]), V, "kernels[0]", "shape ()"),
    ("Restriction None", lambda: vi.Restriction((3, 4), None), T, "region[0]", "None"),
    ("Restriction two ellipses", lambda: vi.Restriction((3, 4), (..., 1, ...)), V, "region", "got 3"),
    ("Part outside", lambda: vi.Part((3, 4), 3), V, "region[0]", "-3..2", "3"),
    ("Part of a line", lambda: vi.Part((3,), 0), V, "single number", "slice(i, i + 1)"),
    ("from_scipy ours", lambda: vi.from_scipy(I), T, "from_scipy", "Identity((3, 4))"),
    ("from_scipy text", lambda: vi.from_scipy(np.array([["a"]])), T, "L", "real array"),
    ("from_scipy norm", lambda: vi.from_scipy(vi.as_scipy(G), norm=NAN), V, "norm", "nan"),
    ("as_scipy of an array", lambda: vi.as_scipy(X), T, "as_scipy", "(3, 4)"),
    ("Subsampling mask first axes", lambda: vi.Subsampling((2, 3, 4), MASK[:2]), V, "mask", "(2, 3, 4)", "(2, 4)"),
    ("composition", lambda: G @ vi.Identity((4, 3)), V, *SHAPES),
    ("sum of operators", lambda: I + vi.Identity((4, 3)), V, *SHAPES),
    ("Diagonal other library", lambda: vi.Diagonal(X)(FOREIGN), T, "values", "numpy", "array_api_strict"),
    ("Subsampling mask shape", lambda: vi.Subsampling((3, 4), MASK.T), V, "mask", *SHAPES),
    ("Subsampling mask numbers", lambda: vi.Subsampling((3, 4), X), (T, V), "mask"),
    ("Subsampling mask empty", lambda: vi.Subsampling((3, 4), X < 0), V, "mask"),
    ("Downsampling divides", lambda: vi.Downsampling((3, 4), 2), V, "(3, 4)", "2"),
    ("Downsampling factor zero", lambda: vi.Downsampling((3, 4), 0), V, "factor", "0"),
    ("Downsampling filter", lambda: vi.Downsampling((4, 4), 2, filter="median"), V, "filter", "'median'"),
    ("Blur kernel NaN", lambda: vi.Blur((3, 4), [[NAN]]), V, "kernel", "NaN"),
    ("Blur kernel complex", lambda: vi.Blur((3, 4), [[1j]]), T, "kernel", "complex128"),
    ("Blur kernel empty", lambda: vi.Blur((3, 4), EMPTY), V, "kernel", "(0, 4)"),
    ("Blur boundary", lambda: vi.Blur((3, 4), [[1.0]], boundary="wrap"), V, "boundary", "'wrap'"),
    ("ParallelBeam degrees", lambda: vi.ParallelBeam(DEGREES, 7), V, "angles", "degrees", "deg2rad"),
    ("ParallelBeam NaN", lambda: vi.ParallelBeam([0, NAN], 7), V, "angles", "1 NaN or infinite of 2"),
    ("ParallelBeam empty", lambda: vi.ParallelBeam([], 7), V, "angles", "empty"),
    ("ParallelBeam complex", lambda: vi.ParallelBeam([1j], 7), T, "angles", "complex128"),
    ("ParallelBeam 2-D angles", lambda: vi.ParallelBeam(X, 7), V, "angles", "(3, 4)"),
    ("ParallelBeam detectors zero", lambda: vi.ParallelBeam(ANGLES, 0), V, "detectors", "0"),
    ("ParallelBeam detectors float", lambda: vi.ParallelBeam(ANGLES, 7.5), T, "detectors", "7.5"),
    ("ParallelBeam spacing negative", lambda: vi.ParallelBeam(ANGLES, 7, spacing=-1), V, "spacing", "-1"),
    ("ParallelBeam axis NaN", lambda: vi.ParallelBeam(ANGLES, 7, axis=NAN), V, "axis", "nan"),
    ("FanBeam degrees", lambda: vi.FanBeam(DEGREES, 7, 1.0, 50, 50), V, "angles", "degrees"),
    ("FanBeam source zero", lambda: vi.FanBeam(ANGLES, 7, 1.0, 0, 50), V, "source_to_axis", "0"),
    ("FanBeam detector negative", lambda: vi.FanBeam(ANGLES, 7, 1.0, 50, -1), V, "axis_to_detector", "-1"),
    ("Radon shape 1-D", lambda: vi.Radon((5,), BEAM), V, "shape", "(5,)"),
    ("Radon pixel zero", lambda: vi.Radon((3, 4), BEAM, pixel_size=0), V, "pixel_size", "0"),
    ("Radon pixel Inf", lambda: vi.Radon((3, 4), BEAM, pixel_size=INF), V, "pixel_size", "inf"),
    ("Radon geometry", lambda: vi.Radon((3, 4), ANGLES), T, "geometry", "(6,)"),
    ("Radon.T of the transposed sinogram", lambda: A.T(SINOGRAM.T), V, "(6, 7)", "(7, 6)", "transposed"),
    ("fbp transposed", lambda: vi.fbp(A, SINOGRAM.T), V, "(6, 7)", "(7, 6)", "transposed"),
    ("fbp NaN", lambda: vi.fbp(A, SINOGRAM * NAN), V, "sinogram", "42 NaN or infinite"),
    ("fbp complex", lambda: vi.fbp(A, SINOGRAM + 1j), T, "sinogram", "complex128"),
    ("fbp filter", lambda: vi.fbp(A, SINOGRAM, filter="ramp"), V, "filter", "'ramp'"),
    ("fbp operator", lambda: vi.fbp(G, SINOGRAM), T, "Radon", "Gradient"),
    ("L2Squared weight shape", lambda: vi.L2Squared(X, X.T), V, "weight", *SHAPES),
    ("L2Squared mixed", lambda: vi.L2Squared(X, FOREIGN), T, "weight", "numpy", "array_api_strict"),
    ("L2Squared y a NaN", lambda: vi.L2Squared(NAN), V, "y", "nan"),
    ("KullbackLeibler background shape", lambda: vi.KullbackLeibler(X, X.T), V, "background", *SHAPES),
    ("KullbackLeibler background number", lambda: vi.KullbackLeibler(X, -2), V, "background", "-2"),
    ("L2Ball radius negative", lambda: vi.L2Ball(X, -1), V, "radius", "-1"),
    ("L2Ball radius NaN", lambda: vi.L2Ball(X, NAN), V, "radius", "nan"),
    ("L1 weight number", lambda: L1(-0.5), V, "weight", "-0.5"),
    ("Huber delta zero", lambda: vi.Huber(0), V, "delta", "0"),
    ("Huber delta complex", lambda: vi.Huber(1j), T, "delta", "1j"),
    ("Charbonnier smoothing zero", lambda: vi.Charbonnier(0), V, "smoothing", "0"),
    ("Box order", lambda: vi.Box(2, 1), V, "lo=2.0", "hi=1.0"),
    ("Box NaN", lambda: vi.Box(NAN, 1), V, "lo", "nan"),
    ("Box shapes", lambda: vi.Box(np.zeros(3), np.ones(4)), V, "hi", "(3,)", "(4,)"),
    ("Box complex", lambda: vi.Box(0, X + 1j), T, "hi", "complex128"),
    ("Box mixed", lambda: vi.Box(X, FOREIGN), T, "hi", "numpy", "array_api_strict"),
    ("Box transposed", lambda: vi.Box(X, X + 1)(X.T), V, "lo", *SHAPES),
    ("TV shape", lambda: vi.TV(X), T, "shape", "(3, 4)"),
    ("TV weight transposed", lambda: vi.TV((3, 4), X.T), V, "TV", "weight", *SHAPES),
    ("TV smoothing negative", lambda: vi.TV((3, 4), smoothing=-1), V, "smoothing", "-1"),
    ("TV kind", lambda: vi.TV((3, 4), smoothing=0.1, kind="Huber"), V, "kind", "'huber' or 'charbonnier'", "'Huber'"),
    ("TV spacing zero", lambda: vi.TV((3, 4), spacing=0), V, "spacing", "0"),
    ("Term of a number", lambda: vi.Term(3), T, "Functional", "3"),  # type: ignore[arg-type]
    ("Term transposed", lambda: vi.L2Squared(X.T) @ I, V, "y", *SHAPES, "transposed"),
    ("lam negative", lambda: -2 * P, V, "lam", "-2"),
    ("lam NaN", lambda: NAN * vi.L1(), V, "lam", "nan"),
    ("lam complex", lambda: 1j * vi.L1(), T, "lam", "1j"),
    ("lam an array", lambda: X * vi.L1(), T, "weights goes into the constructor"),
    ("Problem shapes", lambda: P + vi.TV((4, 3)), V, *SHAPES),
    ("Problem transposed", lambda: P(X.T), V, "x", *SHAPES, "transposed"),
    ("Problem complex", lambda: P(X + 1j), T, "x", "complex128"),
    ("solve number", lambda: vi.solve(3), T, "problem", "3"),
    ("solve solver", lambda: vi.solve(P, "pdhg"), T, "solver", "'pdhg'"),
    ("solve stop", lambda: vi.solve(P, stop=100), T, "stop", "100"),
    ("solve x0 transposed", lambda: vi.solve(P, x0=X.T), V, "x0", *SHAPES, "transposed"),
    ("solve x0 NaN", lambda: vi.solve(P, x0=BAD), V, "x0", "1 NaN or infinite of 12"),
    ("solve x0 complex", lambda: vi.solve(P, x0=X + 1j), T, "x0", "complex128"),
    ("solve x0 other library", lambda: vi.solve(P, x0=FOREIGN), T, "numpy", "array_api_strict"),
    ("ChambollePock tau zero", lambda: vi.ChambollePock(tau=0), V, "tau", "0"),
    ("ChambollePock tau NaN", lambda: vi.ChambollePock(tau=NAN), V, "tau", "nan"),
    ("ChambollePock sigma negative", lambda: vi.ChambollePock(sigma=(1, -2)), V, "sigma", "-2"),
    ("ChambollePock gamma negative", lambda: vi.ChambollePock(gamma=-1), V, "gamma", "-1"),
    ("iterations negative", lambda: vi.iterations(-1), V, "n", "-1"),
    ("iterations float", lambda: vi.iterations(1.5), T, "n", "1.5"),
    ("gap zero", lambda: vi.gap(0), V, "tol", "0"),
    ("gap every zero", lambda: vi.gap(0.1, every=0), V, "every", "0"),
    ("gap bound negative", lambda: vi.gap(0.1, bound=-1), V, "bound", "-1"),
    ("residual NaN", lambda: vi.residual(NAN), V, "tol", "nan"),
    ("small_change text", lambda: vi.small_change("1e-3"), T, "tol", "'1e-3'"),
    ("seconds negative", lambda: vi.seconds(-1), V, "t ", "-1"),
    ("save suffix", lambda: R.save("image.png"), V, ".h5", "'image.png'"),
    ("save folder", lambda: R.save(Path("no-such-folder") / "image.h5"), FileNotFoundError, "no-such-folder"),
    ("psnr shapes", lambda: vi.psnr(X, X.T), V, *SHAPES),
    ("psnr complex", lambda: vi.psnr(X + 1j, X), T, "complex128"),
    ("psnr NaN", lambda: vi.psnr(BAD, X), V, "NaN"),
    ("relative_error shapes", lambda: vi.relative_error(X, X.T), V, *SHAPES),
    ("relative_error zero", lambda: vi.relative_error(X, 0 * X), V, "truth"),
    ("ssim shapes", lambda: vi.ssim(X, X.T), V, *SHAPES),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row[0].replace(" ", "-"))
def test_the_error_names_the_argument_and_the_value(row: Any) -> None:
    _, call, kind, *words = row
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value), f"{word!r} is missing in: {error.value}"
    assert "[[" not in str(error.value)  # never an array's numbers
    assert "broadcast" not in str(error.value)  # never NumPy's own words


ACCEPTED = [
    ("lists are arrays", lambda: vi.L2Squared([1, 2]).y.dtype, np.float64),
    ("integers become float64", lambda: vi.L2Squared(np.arange(3)).y.dtype, np.float64),
    ("float16 becomes float32", lambda: G(X.astype("f2")).dtype, np.float32),
    ("booleans become float64", lambda: I(X > 3).dtype, np.float64),
    ("foreign byte order", lambda: I(X.astype(">f8")).dtype.isnative, True),
    ("one number as an array", lambda: (np.array([0.5]) * vi.L1()).weight, 0.5),
    ("NaN passes through an operator", lambda: int(np.isnan(I(BAD)).sum()), 1),
    ("weights of zero exclude", lambda: vi.L2Squared(X, 0 * X)(X + 1), 0.0),
    ("a multi-turn scan in radians", lambda: vi.ParallelBeam(np.linspace(0, 6 * math.pi, 97), 7).shape, (97, 7)),
    ("a strided image", lambda: bool(np.array_equal(G(X[::-1, ::-1]), G(X[::-1, ::-1].copy()))), True),
    ("the same library in and out", lambda: type(I(FOREIGN)) is type(FOREIGN), True),
    ("a problem of one functional", lambda: float(vi.solve(vi.L2Squared(X), stop=vi.residual(1e-9)).x[2, 3]), 11.0),
]


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row[0].replace(" ", "-"))
def test_what_is_accepted_gives_the_documented_result(row: Any) -> None:
    _, call, expected = row
    assert call() == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_there_are_at_least_a_hundred_rows() -> None:
    assert len(ERRORS) + len(ACCEPTED) >= 150
    names = [row[0] for row in ERRORS]
    assert not {name for name in names if names.count(name) > 1}
