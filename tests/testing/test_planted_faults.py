"""Faults as users make them, each caught by the test that is named for it, and by what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from page import page

import varinv as vi
from varinv.forms import Differences, Magnitudes, Quadratic
from varinv.fused import table

pytestmark = pytest.mark.usefixtures("one_thread")
P = page()
OPERATORS, FUNCTIONALS, SOLVERS = (list(c.kinds) for c in (vi.LinearOperator, vi.Functional, vi.Solver))


def failing(report: Any, name: str, words: str = "") -> None:
    """A test of that name failed, and the report says these words."""
    assert not report.ok
    assert any(name in line.name for line in report.failed), str(report)
    assert words in str(report), str(report)
    with pytest.raises(AssertionError, match="tests failed"):
        report.raise_if_failed()


# -------------------------------------------------------------------------------------------------------- operators

Diagonal = P.DiagonalDifferences


class WrongSign(Diagonal, same_map=True):  # a fault, not another map
    def adjoint(self, y: Any) -> Any:
        return -Diagonal.adjoint(self, y)


class WrongScale(Diagonal, same_map=True):  # a fault, not another map
    def adjoint(self, y: Any) -> Any:
        return 1.001 * Diagonal.adjoint(self, y)


class WrongBorder(Diagonal, same_map=True):  # a fault, not another map
    def adjoint(self, y: Any) -> Any:
        x = Diagonal.adjoint(self, y)
        x[-1, -1] += y[-1, -1]
        return x


class SmallNorm(Diagonal, same_map=True):  # a fault, not another map
    def norm(self) -> float:
        return 0.97 * float(np.linalg.svd(self.matrix(), compute_uv=False)[0])

    def matrix(self) -> Any:
        eye = np.eye(math.prod(self.shape)).reshape(-1, *self.shape)
        return np.stack([self.forward(e).ravel() for e in eye], axis=-1)


class Widens(Diagonal, same_map=True):  # a fault, not another map
    def forward(self, x: Any) -> Any:
        return Diagonal.forward(self, x).astype("f8")


class InPlace(Diagonal, same_map=True):  # a fault, not another map
    def forward(self, x: Any) -> Any:
        if x.flags.writeable:
            x -= x.mean() * 0 + 1e-3
        return Diagonal.forward(self, x)


class Affine(Diagonal, same_map=True):  # a fault, not another map
    def forward(self, x: Any) -> Any:
        return Diagonal.forward(self, x) + 0.1


class Reuses(Diagonal, same_map=True):  # a fault, not another map
    def forward(self, x: Any) -> Any:
        buffer = self.__dict__.setdefault("buffer", np.zeros(self.shape))
        buffer[:] = Diagonal.forward(self, x)
        return buffer if x.dtype == np.float64 else buffer.astype(x.dtype)


class FalselyPositive(Diagonal, same_map=True):  # a fault, not another map
    def absolute(self) -> Any:
        return self


class FalseIsometry(Diagonal, same_map=True):  # a fault, not another map
    def isometry(self) -> float:
        return 2.0


class WrongSpacing(vi.Gradient, same_map=True):  # a fault, not another map
    def form(self) -> Any:
        return Differences((1.0, 1.0), (0, 1))


class ReadsLess(Diagonal, same_map=True):  # a fault, not another map
    def reads(self) -> Any:
        mask = np.ones(self.shape, dtype=bool)
        mask[1, 1] = False
        return mask


class WrongShape(Diagonal, same_map=True):  # a fault, not another map
    def forward(self, x: Any) -> Any:
        return Diagonal.forward(self, x)[:-1]


class Misspelt(Diagonal, same_map=True):  # a fault, not another map
    def forward(self, x: Any) -> Any:
        return np.zeros_lik(x)  # type: ignore[attr-defined]


SIZE = (4, 5)
WRONG_OPERATORS = [
    (WrongSign, "⟨Kx, y⟩ = ⟨x, Kᵀy⟩ on signed images, float64", "forward has -1, adjoint 1"),
    (WrongScale, "⟨Kx, y⟩ = ⟨x, Kᵀy⟩ on signed images, float32", "same scale"),
    (WrongBorder, "⟨Kx, y⟩ = ⟨x, Kᵀy⟩ on border images, float64", "from x[3, 4] to y[3, 4] forward has 0, adjoint 1"),
    (SmallNorm, "norm() is an upper bound", "a power iteration is always below"),
    (Widens, "forward keeps shape, library and dtype, float32", "dtype float64 from float32"),
    (InPlace, "forward leaves its input alone", "copy before writing"),
    (Affine, "K(0) = 0", "put the offset into the data"),
    (Affine, "linear: K(3x − z/2) = 3Kx − Kz/2", "offset"),
    (Reuses, "forward leaves earlier results alone", "buffer"),
    (FalselyPositive, "absolute() bounds the magnitudes", "K has entries below 0"),
    (FalseIsometry, "isometry(): KᵀK = c", "c = 2 is not so"),
    (ReadsLess, "reads(): K does not see the entries outside", ""),
    (WrongShape, "forward keeps shape, library and dtype, float64", "shape (3, 5)"),
    (Misspelt, "shapes, library and dtype are kept", "return np.zeros_lik(x)"),
]


@pytest.mark.parametrize(("kind", "name", "words"), WRONG_OPERATORS, ids=lambda v: getattr(v, "__name__", None))
def test_operators(kind: Any, name: str, words: str) -> None:
    failing(vi.testing.check_operator(kind(SIZE)), name, words)


def test_a_form_with_another_spacing() -> None:
    failing(vi.testing.check_operator(WrongSpacing(SIZE, spacing=(1.0, 2.0))), "form() says what forward", "spacing")


def test_a_norm_too_small_by_three_percent_is_seen_without_a_dense_matrix() -> None:
    class Small(vi.Gradient, same_map=True):  # a fault, not another map
        def norm(self) -> float:
            return 0.97 * vi.Gradient.norm(self)

    failing(vi.testing.check_operator(Small((60, 70))), "norm() is an upper bound", "Lanczos")


def test_a_typo_is_quoted_with_its_file_and_line_and_is_the_cause() -> None:
    report = vi.testing.check_operator(Misspelt(SIZE))
    assert __file__ in str(report)
    with pytest.raises(AssertionError) as caught:
        report.raise_if_failed()
    assert isinstance(caught.value.__cause__, AttributeError)


# ------------------------------------------------------------------------------------------------------ functionals

Squares, AsForm, Lifted = P.Squares, P.SquaresAsForm, P.SquaresLifted
DATA = np.array([1.0, -2.0, 0.5, 4.0])


def squares(name: str, base: Any = Squares, **changes: Any) -> Any:
    """`base` with other members; all that is not overridden is named, so that the guard takes nothing away."""
    kept = {
        n: getattr(base, n)
        for n in ("__call__", "prox", "conj", "grad", "smoothness", "convexity", "curvature", "separable")
    }
    more = {n: getattr(base, n) for n in ("form", "total", "lifted") if hasattr(base, n)}
    return type(name, (base,), {**kept, **more, **changes})(DATA)


@dataclass(frozen=True, eq=False)
class Lengths(vi.L21):
    """ℓ2,1 whose form is given."""

    said: Any = None

    def form(self) -> Any:
        return self.said


def changes(self: Any, z: Any) -> float:
    z *= 1.0 + 1e-3
    return float(np.sum(z))


WRONG_FUNCTIONALS: list[tuple[str, Callable[[], Any], Any, str, str]] = [
    ("prox off by a factor 2", lambda: squares("F", prox=lambda s, z, t: 0.5 * Squares.prox(s, z, t)), (4,),
     "prox(x, step) minimises", "look at its factor 2"),
    ("prox of another step", lambda: squares("F", prox=lambda s, z, t: Squares.prox(s, z, 2 * t)), (4,),
     "prox(x, step) minimises", "prox(x, 0.5·step) would be right"),
    ("prox depends on what came before", lambda: squares("F", prox=remembering), (4,), "prox gives the same twice", ""),
    ("conj without its data", lambda: squares("F", conj=lambda s, q: float(np.sum(q * q)) / 2), (4,),
     "f(p) + conj(q) = ⟨p, q⟩", "a term that is missing"),
    ("conj too large", lambda: squares("F", conj=lambda s, q: Squares.conj(s, q) - 0.1), (4,),
     "f(z) + conj(q) ≥ ⟨z, q⟩", ""),
    ("prox_conj of another step", lambda: squares("F", prox_conj=lambda s, q, t: (q - 2 * t * s.y) / (1 + 2 * t)), (4,),
     "prox_conj(y, step) minimises conj", "with the step on f*"),
    ("grad off by a factor 2", lambda: squares("F", grad=lambda s, z: 2 * Squares.grad(s, z)), (4,),
     "⟨grad(x), d⟩ is the slope", "factor, weight and data"),
    ("hvp off", lambda: squares("F", hvp=lambda s, z, p: 1.1 * p), (4,), "hvp(x, p) is the slope of grad", ""),
    ("smoothness too small", lambda: squares("F", smoothness=0.9), (4,), "grad is as smooth as it says", "0.9"),
    ("convexity too large", lambda: squares("F", convexity=1.2), (4,), "f is as convex as it says", "constant smaller"),
    ("form with another weight", lambda: squares("F", AsForm, form=lambda s: Quadratic(s.y, 1.1)), (4,),
     "form(): its value is that of f", "weight"),
    ("form with other data", lambda: squares("F", AsForm, form=lambda s: Quadratic(s.y + 0.1, 1.0)), (4,),
     "form(): its prox is that of f", "data"),
    ("form without groups", lambda: Lengths(0.5, Magnitudes(0.5)), (2, 3, 4), "form(): its prox", "groups"),
    ("form with another weight of lengths", lambda: Lengths(0.5, Magnitudes(0.4, groups=True)), (2, 3, 4),
     "form(): its conj is that of f", "weight"),
    ("total too small", lambda: squares("F", Lifted, total=lambda s, v: 0.9 * Lifted.total(s, v) - 0.1), (4,),
     "total(value) ≥ Σ z", "from above"),
    ("lifted too large", lambda: squares("F", Lifted, lifted=lambda s, q, p, n: Lifted.lifted(s, q, p, n) + 0.05), (4,),
     "lifted(q, price, need) proves no more", "false lower bound"),
    ("total alone", lambda: squares("F", total=lambda s, v: Lifted.total(s, v)), (4,), "total()", "without lifted()"),
    ("float64 out of float32", lambda: squares("F", prox=lambda s, z, t: (z + t * s.y) / (1 + t)), (4,),
     "prox keeps shape and dtype, float32", "float64"),
    ("in-place change of the argument", lambda: squares("F", __call__=changes), (4,), "the value leaves its input",
     "copy"),
    ("falsely separable", lambda: type("F", (vi.L2Ball,), {"separable": True})(DATA, 1.5), (4,),
     "separable", ""),
    ("falsely growing", lambda: type("F", (Squares,), {"grows": True})(DATA), (4,), "grows: f", "grows = False"),
    ("value is an array", lambda: squares("F", __call__=lambda s, z: 0.5 * (z - s.y) ** 2), (4,), "value", ""),
    ("a typo", lambda: squares("F", conj=lambda s, q: s.yy), (4,), "conj(y)", "lambda s, q: s.yy"),
    ("violation at feasible points", lambda: type("F", (vi.Box,), {"violation": lambda s, z: 0.1})(0.0, 1.0), (4,),
     "violation is 0", ""),
    ("scaled wrongly", lambda: type("F", (vi.L1,), {"scale": lambda s, lam: vi.L1(lam**2 * s.weight)})(0.5), (4,),
     "λf is λ times f", "scale(lam)"),
]  # fmt: skip


def remembering(self: Any, z: Any, step: Any) -> Any:
    count = self.__dict__["count"] = self.__dict__.get("count", 0) + 1
    return Squares.prox(self, z, step) + 1e-14 * count * z


@pytest.mark.parametrize(("make", "shape", "name", "words"), [pytest.param(*c[1:], id=c[0]) for c in WRONG_FUNCTIONALS])
def test_functionals(make: Callable[[], Any], shape: Any, name: str, words: str) -> None:
    failing(vi.testing.check_functional(make(), shape), name, words)


class Own(NamedTuple):
    """A form of one's own."""

    w: float


class Flip(NamedTuple):
    """And of one's own operator."""


class OwnLengths(vi.L1):
    def form(self) -> Any:
        return Own(self.weight)


class Flipped(vi.LinearOperator):
    domain = codomain = (3, 4)

    def forward(self, x: Any) -> Any:
        return x[:, ::-1].copy()

    adjoint = forward

    def norm(self) -> float:
        return 1.0

    def form(self) -> Any:
        return Flip()


def test_a_fused_step_for_a_pair_of_own_forms_is_found_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def right(f: Own, K: Flip, y: Any, x: Any, step: float, relaxation: float, spare: bool) -> Any:
        called.append(step)
        new = np.clip(y + step * x[:, ::-1], -f.w, f.w)
        return new if relaxation == 1 else (1 - relaxation) * y + relaxation * new

    def wrong(f: Own, K: Flip, y: Any, x: Any, step: float, relaxation: float, spare: bool) -> Any:
        return right(f, K, y, x, 1.1 * step, relaxation, spare)

    def unrelaxed(f: Own, K: Flip, y: Any, x: Any, step: float, relaxation: float, spare: bool) -> Any:
        return right(f, K, y, x, step, 1.0, spare)

    monkeypatch.setattr(table, "TABLE", dict(table.TABLE))
    for module in (vi.testing.claims, vi.fused.steps):
        monkeypatch.setattr(module, "TABLE", table.TABLE)
    for entry in (wrong, unrelaxed):
        vi.fused.ascent(Own, Flip)(entry)
        report = vi.testing.check_functional(OwnLengths(0.4), (3, 4), operator=Flipped())
        failing(report, "fused ascent(Own, Flip) equals the general formula, float64", "varinv.fused")
    vi.fused.ascent(Own, Flip)(right)
    vi.testing.check_functional(OwnLengths(0.4), (3, 4), operator=Flipped()).raise_if_failed()
    called.clear()
    y = np.arange(12.0).reshape(3, 4)
    problem = vi.L2Squared(y) + OwnLengths(0.4) @ Flipped()
    x = vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(2000)).x
    assert called  # the solver takes it
    assert np.abs(x - np.maximum(y - 0.4, 0)).max() <= 1e-4  # ℓ1 behind a flip is ℓ1; Algorithm 2 has a rate of 1/k
    unfit = vi.testing.check_functional(OwnLengths(0.4), (3, 4))
    assert "pass operator=K" in str(unfit)


# ---------------------------------------------------------------------------------------------------------- solvers


class State(NamedTuple):
    x: Any
    k: int = 0

    def residual(self, problem: Any, previous: Any) -> float:
        g = problem.grad(self.x)
        return float(np.linalg.norm(g))


@dataclass(frozen=True)
class Descent(vi.Solver):
    """x ← x − ∇/L."""

    factor: float = 1.0

    def init(self, problem: Any, x: Any) -> Any:
        return State(x)

    def length(self, problem: Any) -> float:
        return self.factor / sum(t.f.smoothness * t.K.norm() ** 2 for t in problem.coupled)

    def step(self, problem: Any, s: Any) -> Any:
        return State(s.x - self.length(problem) * problem.grad(s.x), s.k + 1)


class Mutates(Descent):
    def step(self, problem: Any, s: Any) -> Any:
        x = s.x
        x -= self.length(problem) * problem.grad(x)
        return State(x, s.k + 1)


class Hidden(Descent):
    def step(self, problem: Any, s: Any) -> Any:
        slope = 0.5 * self.__dict__.get("_slope", 0.0) + problem.grad(s.x)
        self.__dict__["_slope"] = slope
        return State(s.x - 0.5 * self.length(problem) * slope, s.k + 1)


class WritesStart(Descent):
    def init(self, problem: Any, x: Any) -> Any:
        x += 0.0
        return State(x)


class Counts(Descent):
    def step(self, problem: Any, s: Any) -> Any:
        return Descent.step(self, problem, s)._replace(k=s.k + 2)


class Single(Descent):
    def step(self, problem: Any, s: Any) -> Any:
        s = Descent.step(self, problem, s)
        return s._replace(x=s.x.astype("f4"))


class Half(Descent):
    """Minimises something else: half the data."""

    def step(self, problem: Any, s: Any) -> Any:
        return State(s.x - self.length(problem) * (problem.grad(s.x) + 0.3 * s.x), s.k + 1)


class Still(NamedTuple):
    x: Any
    k: int = 0

    def residual(self, problem: Any, previous: Any) -> float:
        return 0.0 if self.k > 1 else 1.0


class FalseResidual(Descent):
    def init(self, problem: Any, x: Any) -> Any:
        return Still(x)

    def step(self, problem: Any, s: Any) -> Any:
        return Still(*Descent.step(self, problem, s))


class Leaps(Descent):
    def advance(self, problem: Any, state: Any, most: int, spare: bool = False) -> Any:
        return State(self.step(problem, state).x, state.k + 2)


class Draws(Descent):
    def step(self, problem: Any, s: Any) -> Any:
        noise = np.random.default_rng().standard_normal(s.x.shape)
        return State(Descent.step(self, problem, s).x + 1e-12 * noise, s.k + 1)


PROBLEM = vi.Problem((vi.L2Squared(np.array([[1.0, 2.0], [3.0, -1.0]])) @ vi.Diagonal([[1.0, 0.5], [2.0, 1.0]]),))
WRONG_SOLVERS = [
    (Mutates(), "states never change", "x of an earlier state changed later"),
    (Hidden(), "a run resumed at 11 is the uninterrupted one", "x differ"),
    (WritesStart(), "what came in is left alone", "read-only"),
    (Counts(), "k counts the steps", "step returns k + 1"),
    (Single(), "x keeps its dtype", "float32"),
    (Half(), "the objective after 400 iterations is that of the solution", "does not minimise"),
    (Descent(2.5), "the objective after 400 iterations", ""),
    (Descent(0.01), "the objective after 400 iterations", "pass more iterations"),
    (FalseResidual(0.1), "the residual is 0 only near a solution", "0 at iteration 2"),
    (Leaps(), "advance() makes up to `most` steps", "leave advance() away"),
    (Draws(), "two runs give the same bits", "a seed and k"),
]


@pytest.mark.parametrize(("solver", "name", "words"), WRONG_SOLVERS, ids=lambda v: type(v).__name__)
def test_solvers(solver: Any, name: str, words: str) -> None:
    failing(vi.testing.check_solver(solver, PROBLEM, iterations=400), name, words)


class Long(vi.ChambollePock):
    def steps(self, problem: Any) -> Any:
        tau, sigma = vi.ChambollePock.steps(self, problem)
        return 2.5 * tau, sigma


def test_steps_that_are_too_long_for_all_terms_together() -> None:
    problem = PROBLEM + 0.3 * vi.TV((2, 2))
    failing(
        vi.testing.check_solver(Long(), problem, iterations=50, tol=1.0), "the steps keep τ ‖Σ^½ K‖² ≤ 1", "shorter τ"
    )


def test_the_solver_without_a_fault_passes() -> None:
    report = vi.testing.check_solver(Descent(), PROBLEM, iterations=400).raise_if_failed()
    assert "vi.gap(tol), a certified stop" in str(report)  # it has no duals


for _c, _kinds in ((vi.LinearOperator, OPERATORS), (vi.Functional, FUNCTIONALS), (vi.Solver, SOLVERS)):
    _c.kinds[:] = _kinds
