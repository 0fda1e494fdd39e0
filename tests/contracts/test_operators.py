"""What every linear operator promises, over the registry × its examples × array libraries."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import pickle
import pkgutil
from itertools import pairwise

import array_api_compat.numpy as xnp
import numpy as np
import pytest
from conftest import dense, rand

import varinv.operators
from varinv.backend import device, library, to_numpy
from varinv.linalg import norm
from varinv.operators.base import LinearOperator
from varinv.testing.figures import KINDS, LIMIT, adjoint_error, linearity_error

for _, _name, _ in pkgutil.iter_modules(varinv.operators.__path__):
    if not _name.endswith(("_cuda", "_cpu")):
        importlib.import_module(f"varinv.operators.{_name}")

OWN_TESTS = {"AstraRadon", "SciPyMatrix", "Foreign", "DeviceMatrix"}  # one library each: test files of their own


def concrete():
    """Every concrete operator class of the package and of this file; other test files register theirs too."""
    ours = [c for c in LinearOperator.kinds if c.__module__.startswith("varinv.") or c.__module__ == __name__]
    return [c for c in ours if not inspect.isabstract(c) and c.__name__ not in OWN_TESTS]


def examples(c):
    try:
        return list(c.examples())
    except NotImplementedError:
        return []


def without_examples():
    """Names of the concrete classes of which no class has an example: those that the contract tests cannot reach.

    The algebra has none of its own; a sum, a multiple, … stands among those of the operators that it is made of.
    """
    reached = {type(K) for c in concrete() for K in examples(c)}
    return [c.__name__ for c in concrete() if c not in reached]


def is_tiny(K):
    return math.prod(K.domain) <= 200 and math.prod(K.codomain) <= 400


EXAMPLES = [K for c in concrete() for K in examples(c)]
TINY = [K for K in EXAMPLES if is_tiny(K)]
LARGE = [K for K in EXAMPLES if not is_tiny(K)]


def placed(K, xp):
    """The operator with its own arrays in the library `xp`: image-sized ones must be where the image is."""
    changes = {}
    for field in dataclasses.fields(K):
        value = getattr(K, field.name)
        if isinstance(value, LinearOperator):
            changes[field.name] = placed(value, xp)
        elif isinstance(value, np.ndarray):
            changes[field.name] = xp.asarray(np.array(value))  # a copy: torch takes no read-only memory
    return dataclasses.replace(K, **changes) if changes else K


def test_every_class_has_examples():
    assert not without_examples(), "write examples(): the contract tests run on them"


def test_a_class_without_examples_is_found():
    class Dummy(LinearOperator):
        domain = codomain = (2,)

        def forward(self, x):
            return x

        adjoint = forward

        def norm(self):
            return 1.0

    try:
        assert without_examples() == ["Dummy"]
        with pytest.raises(NotImplementedError, match=r"Dummy needs examples\(\)"):
            next(Dummy.examples())
    finally:
        LinearOperator.kinds.remove(Dummy)


def test_examples_cover_what_contracts_need():
    for c in concrete():
        mine = [K for K in TINY if type(K) is c]
        assert mine, f"{c.__name__} has no example small enough for its dense matrix"


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_adjoint_and_places(K, xp):
    """Adjoint error, library, device, dtype and shape kept, inputs left alone, numbers as with NumPy's twins."""
    on_numpy, K = K, placed(K, xp)
    for dtype in ("float64", "float32"):
        for seed, kind in enumerate(KINDS):
            x, y = rand(xp, K.domain, seed, dtype, kind), rand(xp, K.codomain, seed + 9, dtype, kind)
            before = to_numpy(x).tobytes(), to_numpy(y).tobytes()
            assert adjoint_error(K, x, y) <= LIMIT[dtype]
            assert (to_numpy(x).tobytes(), to_numpy(y).tobytes()) == before
            for apply, other, a, shape in ((K, on_numpy, x, K.codomain), (K.T, on_numpy.T, y, K.domain)):
                result = apply(a)
                assert tuple(result.shape) == tuple(shape)
                assert (library(result), device(result), result.dtype) == (library(a), device(a), a.dtype)
                expected = other(np.array(to_numpy(a)))
                scale = np.linalg.norm(expected) + np.linalg.norm(to_numpy(a)) * K.norm()
                assert np.linalg.norm(to_numpy(result) - expected) <= LIMIT[dtype] * scale


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_linearity(K, xp):
    K = placed(K, xp)
    # twelve digits: rounding only
    assert linearity_error(K, rand(xp, K.domain, 1), rand(xp, K.domain, 2)) <= 1e-12


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_dense_matrix_and_norm(K):
    forward, adjoint = dense(K), dense(K, adjoint=True)
    size = np.abs(forward).max(initial=0)
    np.testing.assert_allclose(forward, adjoint, rtol=0, atol=1e-12 * size)  # entries are sums of a few terms
    true = np.linalg.svd(forward, compute_uv=False)[0]
    assert K.norm() >= true * (1 - 1e-13)  # the dense singular value itself is rounded
    assert K.T.norm() == K.norm()
    tight = type(K).__name__ in ("Gradient", "Radon") or (
        (type(K).__name__ == "Blur" and (K.boundary == "periodic" or K.kernel.min() >= 0))
        or (type(K).__name__ == "ConvolutionBank" and K.boundary == "periodic")
    )
    if tight:
        ratio = 1.06 if type(K).__name__ == "Radon" and hasattr(K.geometry, "projections") else 1.01
        assert K.norm() <= ratio * true, "DESIGN promises at most 1 % above, 6 % for volumes"
    absolute = K.absolute()
    if absolute is not None:
        magnitudes = dense(absolute)
        if absolute is K:
            assert forward.min() >= -1e-12 * size  # FFTs leave rounding of either sign
        if type(K).__name__ not in (
            "Composition",
            "Blur",
            "ConvolutionBank",
        ):  # there terms may meet and cancel: only ≥ is promised
            np.testing.assert_allclose(magnitudes, np.abs(forward), rtol=0, atol=1e-12 * size)
        assert (magnitudes >= np.abs(forward) - 1e-12 * size).all()


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_what_an_operator_says_of_itself(K):
    """isometry, coisometry, reads, writes: against the dense matrix."""
    M = dense(K)
    for c, gram in ((K.isometry(), M.T @ M), (K.coisometry(), M @ M.T)):
        if c is not None:
            assert c > 0
            np.testing.assert_allclose(gram, c * np.eye(len(gram)), rtol=0, atol=1e-10 * c)  # filters have 11 digits
    for mask, shape, axis in ((K.reads(), K.domain, 0), (K.writes(), K.codomain, 1)):
        if mask is not None:
            assert (mask.shape, mask.dtype) == (tuple(shape), bool)
            assert not np.abs(M).sum(axis=axis).reshape(shape)[~mask].any(), "entries outside the mask are zero"


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_calls_and_pickles(K):
    assert K.T.T is K
    assert (K.T.domain, K.T.codomain) == (K.codomain, K.domain)
    for apply in (K, K.T):
        with pytest.raises(ValueError) as caught:
            apply(np.zeros((*apply.domain, 2)))
        for shape in (apply.domain, apply.codomain, (*apply.domain, 2)):
            assert str(tuple(shape)) in str(caught.value)
    x = rand(xnp, K.domain, 3)
    K.norm()
    copy = pickle.loads(pickle.dumps(K))
    assert repr(copy) == repr(K)
    assert copy(x).tobytes() == K(x).tobytes()
    assert copy.norm() == K.norm()


def test_repr_hides_arrays():
    assert all("array(" not in repr(K) and len(repr(K)) < 200 for K in EXAMPLES)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("K", LARGE, ids=repr)
def test_production_size(K, dtype):
    for seed, kind in enumerate(KINDS):
        x, y = rand(xnp, K.domain, seed, dtype, kind), rand(xnp, K.codomain, seed + 9, dtype, kind)
        assert adjoint_error(K, x, y) <= LIMIT[dtype]
        assert K(x).dtype == x.dtype
        assert K.T(y).dtype == y.dtype
        assert norm(K(x)) <= K.norm() * norm(x) * (1 + 1e-6)  # the float32 rounding of K(x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("operator", concrete(), ids=lambda c: c.__name__)
def test_fifty_seeds(operator, dtype):
    """The worst adjoint error over 50 seeds; `pytest -s` prints it."""
    worst = 0.0
    examples = [K for K in TINY if type(K) is operator]
    for seed in range(50):
        for K in examples:
            kind = KINDS[seed % 3]
            x, y = rand(xnp, K.domain, seed + 100, dtype, kind), rand(xnp, K.codomain, seed + 200, dtype, kind)
            worst = max(worst, adjoint_error(K, x, y))
    print(f"\nadjoint error {operator.__name__} {dtype}: {worst:.1e} (limit {LIMIT[dtype]:.0e})", end="")
    assert worst <= LIMIT[dtype]


def test_algebra():
    from varinv.operators.elementary import Diagonal, Identity
    from varinv.operators.gradient import Gradient

    G, D = Gradient((3, 4)), Diagonal(np.arange(12.0).reshape(3, 4) - 5)
    g, d = dense(G), dense(D)
    for K, expected in (
        (G @ D, g @ d),
        (G.T @ G, g.T @ g),
        ((G @ D).T, (g @ d).T),
        (2 * G - G * 0.5, 1.5 * g),
        (-G, -g),
        (D + Identity((3, 4)), d + np.eye(12)),
        (G / 4, g / 4),
        (sum([D, Identity((3, 4)), D]), 2 * d + np.eye(12)),
    ):
        np.testing.assert_allclose(dense(K), expected, rtol=0, atol=1e-12)
        assert K.norm() >= np.linalg.norm(expected, 2) * (1 - 1e-13)
    with pytest.raises(ValueError, match=r"the left operator takes shape \(3, 4\), the right one gives \(2, 3, 4\)"):
        G @ G
    with pytest.raises(ValueError, match="differ"):
        G + D
    with pytest.raises(TypeError, match="compose with Diagonal"):
        G * np.ones((3, 4))
    with pytest.raises(TypeError):
        np.ones((3, 4)) * G


def test_gradient_is_differences():
    """Against numpy.diff, an oracle that shares no code with it."""
    from varinv.operators.gradient import Gradient

    u = rand(xnp, (4, 6, 5), 0)
    modes = {"neumann": {"mode": "edge"}, "periodic": {"mode": "wrap"}, "dirichlet": {"mode": "constant"}}
    for boundary, mode in modes.items():
        got = Gradient(u.shape, spacing=(0.5, 2.0, 3.0), boundary=boundary)(u)
        for k, h in enumerate((0.5, 2.0, 3.0)):
            after = [(0, 1) if a == k else (0, 0) for a in range(3)]
            np.testing.assert_allclose(got[k], np.diff(np.pad(u, after, **mode), axis=k) / h, rtol=1e-14, atol=1e-14)


def test_gradient_norm_is_exact():
    from varinv.operators.gradient import Gradient

    for boundary in ("neumann", "periodic", "dirichlet"):
        for shape in ((2,), (5,), (4, 7), (1, 6), (3, 2, 4)):
            K = Gradient(shape, spacing=tuple(0.5 + k for k in range(len(shape))), boundary=boundary)
            true = np.linalg.norm(dense(K), 2)
            assert true * (1 - 1e-13) <= K.norm() <= true * (1 + 1e-11)  # a closed form: only rounding apart
    bounds = [Gradient((n, n)).norm() for n in (2, 4, 8, 512)]
    assert all(a < b for a, b in pairwise(bounds))
    assert bounds[-1] < math.sqrt(8)


def test_gradient_refuses():
    from varinv.operators.gradient import Gradient

    for arguments, text in (
        ({"axes": 2}, r"axes must lie in -2..1 .* got \(2,\)"),
        ({"axes": (0, -2)}, r"axes must differ, got \(0, 0\)"),
        ({"spacing": 0}, "spacing must be greater than 0, got 0"),
        ({"spacing": (1.0, 2.0, 3.0)}, "spacing must be one number or 2 of them, got 3"),
        ({"boundary": "mirror"}, "boundary must be one of neumann, periodic, dirichlet, got 'mirror'"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            Gradient((4, 5), **arguments)
