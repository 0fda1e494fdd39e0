"""A⁺ over the registry, against numpy.linalg.pinv and the equation A A⁺ A = A; project, nullspace, FBP's defect."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import dense, rand
from test_operators import TINY, placed

import varinv as vi
from varinv.backend import device, library, to_numpy


def closed_form(A):
    """Whether A has its pseudo-inverse in closed form."""
    return A.pseudoinverse(np.zeros(A.codomain), 1e-10) is not None


EXACT = [A for A in TINY if closed_form(A)]


def limit(A):
    """What is promised: 1e-10 for closed forms, 1e-6 for conjugate gradients at convergence."""
    return 1e-10 if closed_form(A) else 1e-6


def tol(A):
    """For closed forms the default; for conjugate gradients a hundredth of what is asked of them."""
    return 1e-10 if closed_form(A) else 1e-8


def test_a_closed_form_where_there_is_one():
    """These must not fall back to conjugate gradients unseen."""
    kinds = {type(A).__name__ for A in EXACT}
    assert {"Identity", "Diagonal", "Subsampling", "Restriction", "Fourier", "Blur", "Downsampling"} <= kinds
    assert all(closed_form(A) for A in TINY if type(A).__name__ == "Blur" and A.boundary == "periodic")
    assert not any(closed_form(A) for A in TINY if type(A).__name__ == "Blur" and A.boundary != "periodic")


@pytest.mark.parametrize("A", TINY, ids=repr)
def test_a_pinv_a_is_a(A):
    if type(A) is vi.Blur and A.boundary == "reflect" and A.kernel.shape == (15, 16):
        pytest.skip("condition above 1e9, computed by FFTs: 2e-8 after 10 000 steps, which take seconds")
    x = rand(np, A.domain, 1)
    y = A(x)
    found = A.pinv(y, tol=tol(A))
    assert np.linalg.norm(A(found) - y) <= limit(A) * np.linalg.norm(y)
    values = np.linalg.svd(dense(A), compute_uv=False)
    # ‖A⁺y‖ ≤ ‖x‖ for y = A x: least norm (1e-4: errors of 1e-10 along singular values down to 1e-6)
    if values[values > 1e-9 * values[0]].min() > 1e-6 * values[0]:
        assert np.linalg.norm(found) <= (1 + 1e-4) * np.linalg.norm(x)


@pytest.mark.parametrize("A", TINY, ids=repr)
def test_is_the_pseudo_inverse(A):
    """Any y, in the range or not, against the dense pseudo-inverse where that is well conditioned."""
    M, y = dense(A), rand(np, A.codomain, 2)
    values = np.linalg.svd(M, compute_uv=False)
    nonzero = values[values > 1e-9 * values[0]]
    if values[0] == 0 or nonzero.min() < 1e-3 * values[0]:
        pytest.skip("badly conditioned: the dense pseudo-inverse is as doubtful")
    expected = np.linalg.pinv(M, rcond=1e-9) @ y.ravel()
    # an error of relative size limit(A) in y, by the least singular value
    scale = np.linalg.norm(y) / nonzero.min()
    assert np.linalg.norm(A.pinv(y).ravel() - expected) <= limit(A) * scale


def test_places(xp):
    zeros = vi.Diagonal(np.array([1.0, 0.0, 3.0]))
    for A in (vi.Gradient((4, 5)), vi.Blur((4, 5), [[1.0, 2.0]]), zeros, vi.Fourier((4,))):
        K = placed(A, xp)
        for dtype in ("float32", "float64"):
            y = rand(xp, A.codomain, 3, dtype)
            before = to_numpy(y).tobytes()
            x = K.pinv(y)
            assert (library(x), device(x), x.dtype) == (library(y), device(y), y.dtype)
            assert to_numpy(y).tobytes() == before
            np.testing.assert_allclose(to_numpy(x), A.pinv(np.array(to_numpy(y))), rtol=1e-5, atol=1e-6)
    y = np.ones((3, 4))
    assert not np.shares_memory(vi.Identity((3, 4)).pinv(y), y)


def test_compositions_use_grevilles_rule_only_where_it_holds():
    up, down = vi.Part((2, 6), 0).T, vi.Part((2, 6), 1).T
    stack = up @ (-2 * vi.Identity((6,))) + down
    assert stack.isometry() == 5
    assert (stack.T.coisometry(), stack.coisometry(), (stack @ vi.Diagonal(np.ones(6))).isometry()) == (5, None, None)
    mask = np.array([True, False, True, True, False, True])
    S, B, D = vi.Subsampling((6,), mask), vi.Blur((6,), [1.0, 3.0, 1.0]), vi.Diagonal(np.array([1.0, 2.0, 0.0, 4.0]))
    for A, exact in ((D @ S, True), (2.0 * D @ S, True), (vi.Fourier((6,)) @ B, True), (S @ B, False), (B @ B, False),
                     (S.T @ D, True), (D.T @ S, False),
                     (stack, True), (stack.T, True), (D @ D, False)):  # fmt: skip
        assert closed_form(A) == exact, A
        y = rand(np, A.codomain, 4)
        np.testing.assert_allclose(A.pinv(y).ravel(), np.linalg.pinv(dense(A)) @ y.ravel(), atol=1e-7)


def test_zeros_of_a_periodic_blur():
    """A mean of two pixels does not see the checkerboard; `tol` is the cut-off of the truncated inverse."""
    A = vi.Blur((8,), [5.0, 5.0])
    checker = (-1.0) ** np.arange(8)
    x = rand(np, (8,), 5)
    assert np.linalg.norm(A.pinv(A(x) + 5 * checker) - (x - (x @ checker) / 8 * checker)) <= 1e-12
    cut = A.pinv(A(x), tol=0.5)  # |cos(ξ/2)| ≤ 1/2 for ξ = 3π/4 and π
    spectrum = np.fft.fft(cut)
    assert np.abs(spectrum[[3, 4, 5]]).max() <= 1e-12
    np.testing.assert_allclose(np.delete(spectrum, [3, 4, 5]), np.delete(np.fft.fft(x), [3, 4, 5]), atol=1e-12)


def test_project_and_nullspace():
    rng = np.random.default_rng(6)
    for A in (vi.Subsampling((4, 5), rng.uniform(size=(4, 5)) > 0.5), vi.Downsampling((4, 6), 2),
              vi.Radon((5, 4), vi.ParallelBeam([0.0, 0.9, 2.1], 7))):  # fmt: skip
        truth, x = rng.standard_normal(A.domain), rng.standard_normal(A.domain)
        y = A(truth)
        p = A.project(x, y)
        size = np.linalg.norm(y)
        assert np.linalg.norm(A(p) - y) <= 1e-8 * size  # tol 1e-10 times the norms of x and y over that of y - A x
        null = A.nullspace(truth)
        assert np.linalg.norm(A(null)) <= 1e-8 * size
        assert abs(np.vdot(p - x, null)) <= 1e-6 * np.linalg.norm(p - x) * np.linalg.norm(null)  # the nearest one
        np.testing.assert_allclose(A.nullspace(null), null, atol=1e-6)


def test_fbp_reports_its_defect():
    A = vi.Radon((24, 24), vi.ParallelBeam(np.arange(40) * np.pi / 40, 36))
    i = np.arange(24) - 11.5
    y = A((i[:, None] ** 2 + i**2 < 64) * 1.0)
    with pytest.warns(vi.InexactInverseWarning, match="filtered back-projection is no pseudo-inverse") as caught:
        x = A.pinv(y, method="fbp")
    defect = np.linalg.norm(A(x) - y) / np.linalg.norm(y)
    assert f"= {defect:.1e} ‖y‖" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert 1e-3 < defect < 0.2  # no inverse, but near one: a disc on 24² pixels
    np.testing.assert_array_equal(x, vi.fbp(A, y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        A.pinv(y, method="fbp")  # said once
    assert np.linalg.norm(A(A.pinv(y)) - y) <= 1e-6 * np.linalg.norm(y)
    np.testing.assert_allclose(A.nullspace(x, "fbp"), x - vi.fbp(A, A(x)))


def test_too_few_steps_are_said(monkeypatch):
    monkeypatch.setattr("varinv.operators.pinv.MOST", 3)
    A = vi.Gradient((9, 9))
    said = "after 3 conjugate-gradient steps .* than tol=1e-10; ask for"
    for call in (lambda y: A.pinv(y), lambda y: (2 * A).pinv(y), lambda y: A.nullspace(A.T(y))):  # at several depths
        with pytest.warns(vi.InexactInverseWarning, match=said) as caught:
            call(rand(np, (2, 9, 9), 7))
        assert [w.filename for w in caught] == [__file__]
    vi.Subsampling((3,), [True, False, True]).pinv(np.ones(2), method="cg")  # one step


def test_zero_operator_and_zero_data():
    for A in (0 * vi.Gradient((3, 4)), vi.Diagonal(np.zeros(3)), vi.Gradient((3, 4))):
        assert not A.pinv(np.zeros(A.codomain)).any()
    assert not (0 * vi.Gradient((3, 4))).pinv(np.ones((2, 3, 4))).any()
    assert not vi.Diagonal(np.zeros(3)).pinv(np.ones(3)).any()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda A: A.pinv(np.ones((3, 4))), ValueError, r"pinv: y must have shape \(2, 3, 4\), got \(3, 4\)"),
        (lambda A: A.pinv(np.full((2, 3, 4), np.nan)), ValueError, "pinv: y has 24 NaN or infinite of 24"),
        (lambda A: A.pinv(np.ones((2, 3, 4)) * 1j), TypeError, "y must be a real array, got dtype complex128"),
        (lambda A: A.pinv(np.ones((2, 3, 4)), "lsqr"), ValueError, "method must be None or one of cg, fbp, got 'lsqr'"),
        (lambda A: A.pinv(np.ones((2, 3, 4)), tol=0), ValueError, "tol must be between 0 and 1, got 0"),
        (lambda A: A.pinv(np.ones((2, 3, 4)), "fbp"), TypeError, r"A must be a Radon or AstraRadon operator, got Grad"),
        (lambda A: A.project(np.ones((3, 4)), np.ones((3, 4))), ValueError, r"maps shape \(2, 3, 4\) to \(3, 4\), got"),
        (
            lambda A: A.nullspace(np.ones((4, 3))),
            ValueError,
            r"\(3, 4\) to \(2, 3, 4\), got .* \(4, 3\): it looks",
        ),
    ],
)
def test_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call(vi.Gradient((3, 4)))
