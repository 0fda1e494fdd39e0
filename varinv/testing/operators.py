"""Does an operator of your own keep what the library builds on?  `check_operator` measures it."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from varinv.backend import Array
from varinv.capabilities import lost
from varinv.forms import Differences
from varinv.linalg import norm
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import differences, minus_divergence
from varinv.returned import as_written
from varinv.testing.figures import (
    KINDS,
    LIMIT,
    adjoint_error,
    dense,
    largest_singular_value,
    linearity_error,
    rand,
    relative_difference,
    worst,
)  # fmt: skip
from varinv.testing.report import ABSENT, FAILED, NOTE, OK, Line, Report, at_most, collect, holds, refused

WAYS = (("forward", "domain", "codomain"), ("adjoint", "codomain", "domain"))


@as_written()
def check_operator(K: LinearOperator) -> Report:
    """Test an operator of your own: the adjoint, the norm and whatever else it declares, on random images.

    Shapes, dtypes, linearity, the adjoint, the norm and what traits K has; the images are of NumPy.

    Parameters
    ----------
    K : an instance of your class; small shapes (up to 1024 pixels) are judged by their dense matrix, larger ones by
        samples.

    Returns
    -------
    Report : true where nothing failed; `print` it, or ``report.raise_if_failed()`` in a test.

    Examples
    --------
    >>> import varinv as vi
    >>> vi.testing.check_operator(vi.Gradient((5, 8))).ok
    True
    """
    refused("check_operator", LinearOperator, K, "Gradient((5, 8))")
    return collect(
        repr(K),
        [
            ("shapes, library and dtype are kept", _places),
            ("the input is left alone", _input),
            ("earlier results are left alone", _results),
            ("linear", _linear),
            ("⟨Kx, y⟩ = ⟨x, Kᵀy⟩", _adjoint),
            ("norm() is an upper bound", _norm),
            ("absolute() bounds the magnitudes of the entries", _absolute),
            ("isometry() and coisometry()", _isometries),
            ("form() says what forward does", _form),
            ("subset() takes some views", _views),
            ("reads() and writes()", _masks),
            ("pickles", _pickles),
            ("a wrong shape is refused with both shapes", _wrong_shape),
            ("examples() for the contract tests", _examples),
        ],
        K,
    )


def _places(K: Any) -> Iterator[Line]:
    for way, given, wanted in WAYS:
        for dtype in ("float64", "float32"):
            x = rand(np, getattr(K, given), 0, dtype)
            x.flags.writeable = False
            z = getattr(K, way)(x)
            shape = tuple(getattr(K, wanted))
            came = f"{type(z).__module__}.{type(z).__name__}"
            if isinstance(z, np.ndarray):
                came = f"shape {tuple(z.shape)} and dtype {z.dtype}"
            good = isinstance(z, np.ndarray) and tuple(z.shape) == shape and z.dtype == x.dtype
            yield holds(
                f"{way} keeps shape, library and dtype, {dtype}",
                good,
                f"return an array of NumPy of shape {shape} and dtype {dtype}: make arrays with namespace(x) and "
                "dtype=x.dtype, and cast constants to it",
                f"{came} from {dtype}",
            )


def _input(K: Any) -> Iterator[Line]:
    for way, given, _ in WAYS:
        x = rand(np, getattr(K, given), 3)
        before = x.tobytes()
        getattr(K, way)(x)
        yield holds(
            f"{way} leaves its input alone", x.tobytes() == before, "copy before writing: states are shared, never own"
        )


def _results(K: Any) -> Iterator[Line]:
    for way, given, _ in WAYS:
        x, z = rand(np, getattr(K, given), 4), rand(np, getattr(K, given), 5)
        first = getattr(K, way)(x)
        before = np.asarray(first).tobytes()
        getattr(K, way)(z)
        yield holds(
            f"{way} leaves earlier results alone",
            np.asarray(first).tobytes() == before,
            "do not return a buffer that the next call writes to",
        )
        if K.fresh and np.may_share_memory(np.asarray(first), x):
            yield Line(f"fresh: {way} returns new arrays", FAILED, advice="fresh = True, but the result is a view of x")


def _linear(K: Any) -> Iterator[Line]:
    zero = norm(np.asarray(K(np.zeros(K.domain))))
    yield at_most("K(0) = 0", zero, 0.0, "exactly", "an affine map is no operator: put the offset into the data")
    x, z = rand(np, K.domain, 1), rand(np, K.domain, 2)
    figure = linearity_error(K, x, z)
    yield at_most(
        "linear: K(3x − z/2) = 3Kx − Kz/2", figure, 1e-12, "rounding of float64", "no abs, max or offset in forward"
    )


def _adjoint(K: Any) -> Iterator[Line]:
    for dtype, limit in LIMIT.items():
        for kind in KINDS:
            pairs = [
                (K, rand(np, K.domain, s, dtype, kind), rand(np, K.codomain, s + 9, dtype, kind)) for s in range(3)
            ]
            yield at_most(
                f"⟨Kx, y⟩ = ⟨x, Kᵀy⟩ on {kind} images, {dtype}",
                worst(adjoint_error, pairs),
                limit,
                "rounding of its sums",
                "adjoint must be the transpose of forward: same weights, same scale, same treatment of the border"
                + _entry(K),
            )


def _entry(K: Any) -> str:
    """The worst entry of the two matrices of a small operator, in words."""
    if math.prod(K.domain) * math.prod(K.codomain) > 2**16:
        return ""
    A, B = dense(K), dense(K, adjoint=True)
    i, j = np.unravel_index(int(np.argmax(abs(A - B))), A.shape)
    if A[i, j] == B[i, j]:
        return ""
    y, x = (tuple(map(int, np.unravel_index(int(k), s))) for k, s in ((i, K.codomain), (j, K.domain)))
    return f"; from x{list(x)} to y{list(y)} forward has {A[i, j]:.4g}, adjoint {B[i, j]:.4g}"


def _norm(K: Any) -> Iterator[Line]:
    bound = K.norm()
    name = "norm() is an upper bound of the largest singular value"
    if not isinstance(bound, (int, float)) or not math.isfinite(bound) or bound < 0:
        yield Line(name, FAILED, repr(bound), "", "norm() must return a finite float ≥ 0")
        return
    true, exact = largest_singular_value(K)
    words = "σ_max of the dense matrix" if exact else "a lower bound of σ_max by Lanczos"
    # the dense value itself is rounded; a Ritz value carries the rounding of 60 applications
    good = bound >= true * (1 - (1e-13 if exact else 1e-10))
    yield Line(
        name,
        OK if good else FAILED,
        f"{bound:.6g} {'≥' if good else '<'} {true:.6g}",
        f"({words}; steps that rest on it would diverge)",
        "give a closed form, or a bound that is proved: collatz_wielandt(K) for entries ≥ 0, √(‖K‖₁‖K‖_∞) for any; "
        "a power iteration is always below",
    )
    if exact and good and bound > 1.06 * true > 0:
        yield Line("norm() is not far above", NOTE, f"{bound / true:.2f} times σ_max", advice="steps are shorter by it")
    yield holds("K.T.norm() is K.norm()", K.T.norm() == bound, "the two norms are equal: K.T takes norm() of K")


def _absolute(K: Any) -> Iterator[Line]:
    name, A = "absolute() bounds the magnitudes of the entries", K.absolute()
    if A is None:
        yield Line(
            "absolute()", ABSENT, advice="it would give: certificates with x ≥ 0 (return self where no entry is "
            "negative), SIRT, MLEM, diagonal steps" + lost(K, "absolute"),
        )  # fmt: skip
        return
    size = K.norm()
    if math.prod(K.domain) * math.prod(K.codomain) <= 2**18:
        M, entries = dense(K), dense(A)
        below = float(np.max(np.abs(M) - entries, initial=0.0))
    else:
        x = rand(np, K.domain, 6)
        below = float(np.max(np.abs(K(x)) - A(np.abs(x)), initial=0.0))
    words = "absolute() returns K itself, but K has entries below 0" if A is K else "entries must be |K_ij| or more"
    yield at_most(name, below / size if size else below, 1e-12, "rounding over ‖K‖", words)


def _isometries(K: Any) -> Iterator[Line]:
    for name, c, L, shape in (
        ("isometry(): KᵀK = c", K.isometry(), K.T @ K, K.domain),
        ("coisometry(): KKᵀ = c", K.coisometry(), K @ K.T, K.codomain),
    ):
        if c is None:
            continue
        x = rand(np, shape, 7)
        away = norm(L(x) - c * x) / (abs(c) * norm(x) or 1.0)
        yield at_most(f"{name} times the identity", away, 1e-10, "filters have 11 digits", f"c = {c:g} is not so")


def _form(K: Any) -> Iterator[Line]:
    form = K.form()
    if form is None:
        if lost(K, "form"):
            yield Line("form()", ABSENT, advice=lost(K, "form").strip())
        return
    if not isinstance(form, Differences):
        words = "of your own: check_functional(f, shape, operator=K) tests the steps registered for it"
        yield Line(f"form() is {type(form).__name__}", NOTE, advice=words)
        return
    x, y = rand(np, K.domain, 8), rand(np, K.codomain, 9)
    away = max(
        relative_difference(differences(x, *form, "neumann"), K.forward(x)),
        relative_difference(minus_divergence(y, *form, "neumann"), K.adjoint(y)),
    )
    advice = (
        "spacing, axes or border of the form are not those of forward; without form() the general formulas are used"
    )
    yield at_most("form() says what forward and adjoint do", away, 1e-12, "rounding of float64", advice)


def _views(K: Any) -> Iterator[Line]:
    axis = K.views() if callable(getattr(K, "views", None)) else None
    if axis is None:
        return
    some = list(range(0, K.codomain[axis], 2))
    x = rand(np, K.domain, 10)
    away = relative_difference(K.subset(some)(x), np.take(K(x), some, axis=axis))
    yield at_most("subset() gives the rows of those views", away, 1e-12, "rounding of float64", f"axis {axis} of K(x)")


def _masks(K: Any) -> Iterator[Line]:
    x, reads, writes = rand(np, K.domain, 11), K.reads(), K.writes()
    image = K(x)
    if reads is not None:
        away = relative_difference(K(np.where(np.reshape(reads, K.domain), x, 0.0)), image)
        yield at_most(
            "reads(): K does not see the entries outside", away, 1e-14, "exactly 0 there", "the mask is short"
        )
    if writes is not None:
        outside = float(np.max(np.abs(image[~np.reshape(writes, K.codomain)]), initial=0.0))
        yield at_most("writes(): K x is zero outside", outside, 0.0, "exactly", "the mask leaves out entries of K x")


def _pickles(K: Any) -> Iterator[Line]:
    advice = "checkpoints and worker processes need it: keep the class at module level, and no lambdas in it"
    try:
        again = pickle.loads(pickle.dumps(K))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        yield Line("pickles", NOTE, str(error), "", advice)
        return
    x = rand(np, K.domain, 12)
    yield holds("pickles: the copy does the same", _same(again(x), K(x)) and again.norm() == K.norm(), advice)


def _same(a: Array, b: Array) -> bool:
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


def _wrong_shape(K: Any) -> Iterator[Line]:
    yield holds("K.T.T is K", K.T.T is K, "leave T to the base class")
    for word, apply in (("K", K), ("K.T", K.T)):
        wrong = np.zeros((*apply.domain, 2))
        name = f"{word} refuses a wrong shape and names both"
        try:
            apply(wrong)
        except ValueError as error:
            good = all(str(tuple(s)) in str(error) for s in (apply.domain, wrong.shape))
            yield holds(name, good, "leave __call__ to the base class", "" if good else str(error))
        else:
            yield holds(name, False, "leave __call__ to the base class: it checks the shape", "no error")


def _examples(K: Any) -> Iterator[Line]:
    try:
        next(iter(type(K).examples()))
    except (NotImplementedError, StopIteration):
        yield Line("examples()", ABSENT, advice="it would give: the contract tests run on your class by themselves")
