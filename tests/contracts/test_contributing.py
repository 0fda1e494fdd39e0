"""The contributor page is true: a new class meets the contracts by existing, and a public name is one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat.numpy as xnp
import pytest
import test_functionals
import test_operators
from page import page
from proof import cases
from resume import digest

import varinv as vi
from varinv.backend import namespace
from varinv.linalg import dot
from varinv.metrics import relative_error
from varinv.operators.base import LinearOperator
from varinv.solvers.base import Solver

ROOT = Path(__file__).parents[2]


def test_no_file_is_longer_than_an_afternoon_bears() -> None:
    """450 lines at most."""
    for folder in ("varinv", "tests", "demos", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".pyi", ".cu", ".cuh", ".h"):
                assert len(path.read_text().splitlines()) <= 450, path.relative_to(ROOT)


@dataclass(frozen=True, eq=False)
class Mirror(vi.LinearOperator):
    """Left and right exchanged."""

    shape: tuple[int, ...]

    @property
    def domain(self) -> Any:
        return self.shape

    codomain = domain

    def forward(self, x: Any) -> Any:
        return namespace(x).flip(x, axis=-1)

    adjoint = forward

    def norm(self) -> float:
        return 1.0

    @classmethod
    def examples(cls) -> Any:
        yield cls((3, 4))


@dataclass(frozen=True, eq=False)
class Quartic(vi.Functional):
    """Σ z⁴/4: by its gradient alone."""

    def __call__(self, z: Any) -> float:
        return dot(z * z, z * z) / 4

    def grad(self, z: Any) -> Any:
        return z**3

    def hvp(self, z: Any, p: Any) -> Any:
        return 3 * z * z * p

    @classmethod
    def examples(cls) -> Any:
        yield cls(), (3,)


class Step(NamedTuple):
    x: Any
    k: int = 0


@dataclass(frozen=True)
class Descent(Solver):
    """x ← x − ∇/L."""

    def init(self, problem: Any, x: Any) -> Step:
        return Step(x)

    def step(self, problem: Any, s: Step) -> Step:
        L = sum(t.f.smoothness * t.K.norm() ** 2 for t in problem.coupled)
        return Step(s.x - problem.grad(s.x) / L, s.k + 1)


OPERATOR, FUNCTIONAL, SOLVER = LinearOperator.kinds.pop(), vi.Functional.kinds.pop(), Solver.kinds.pop()


def test_classes_register_themselves() -> None:
    assert (Mirror, Quartic, Descent) == (OPERATOR, FUNCTIONAL, SOLVER)  # popped: they are of this file only


def test_a_new_operator_meets_the_contracts() -> None:
    K = next(Mirror.examples())
    test_operators.test_adjoint_and_places(K, xnp)
    test_operators.test_linearity(K, xnp)
    test_operators.test_dense_matrix_and_norm(K)
    test_operators.test_calls_and_pickles(K)

    class Wrong(Mirror, same_map=True):
        def adjoint(self, y: Any) -> Any:
            return -y

    LinearOperator.kinds.pop()
    with pytest.raises(AssertionError):
        test_operators.test_adjoint_and_places(Wrong((3, 4)), xnp)


def test_a_new_functional_meets_the_contracts() -> None:
    for f, shape in Quartic.examples():
        test_functionals.test_grad_and_hvp_against_central_differences(f, shape)


def test_a_new_solver_meets_the_contracts(tmp_path: Path) -> None:
    case = next(c for c in cases() if c.name == "squares-5")
    result = vi.solve(case.problem, Descent(), stop=vi.iterations(3000))
    assert case.problem(result.x) <= case.best * (1 + 1e-6)
    for n in (5, 12):
        resumed = vi.solve(case.problem, Descent(), stop=vi.iterations(n), checkpoint=tmp_path / "run.npz")
    assert digest(resumed.state) == digest(vi.solve(case.problem, Descent(), stop=vi.iterations(12)).state)


def test_the_blocks_of_the_page_run_and_their_checks_pass() -> None:
    text = page().printed
    reports = [line for line in text.splitlines() if line.endswith("tests passed")]
    assert [r.split("(")[0] for r in reports] == [
        "DiagonalDifferences",
        "Squares",
        "SquaresAsForm",
        "SquaresLifted",
        "L1",
    ]
    assert "FAILED" not in text
    assert "fused ascent(Magnitudes, DiagonalSteps) equals the general formula, float32" in text


def test_the_classes_of_the_page_are_proved_as_fast_as_the_built_in() -> None:
    p = page()
    ours = vi.solve(p.tomography(vi.L2Squared(p.sinogram)), stop=vi.gap(1e-3))
    print(f"built-in {ours.state.k} iterations, form() {p.proved.state.k}, total and lifted {p.lifted.state.k}")
    for result in (ours, p.proved, p.lifted):
        assert result.why.startswith("relative gap")
        assert result.state.k <= 1.5 * ours.state.k
        assert relative_error(result.x, p.generic.x) <= 0.05  # a gap of 1e-3 of the objective
    exact = vi.solve(p.tomography(vi.L2Squared(p.sinogram)), stop=vi.iterations(1500)).x
    assert relative_error(p.generic.x, exact) <= 1e-6  # the generic path ends at the same image


def test_a_public_name_is_one_line() -> None:
    lines = (ROOT / "varinv" / "__init__.pyi").read_text().splitlines()
    for name in ("Gradient", "L1", "ChambollePock", "solve"):
        assert sum(line.endswith(f"import {name} as {name}") for line in lines) == 1
        others = (p for p in (ROOT / "varinv").rglob("__init__.py"))
        assert not any(f"import {name}" in p.read_text() for p in others)  # no second list to keep


def test_what_the_page_names_exists() -> None:
    text = (ROOT / "docs" / "contributing.md").read_text()
    for word in text.split("`")[1::2]:
        if word.endswith((".py", ".pyi", ".md")) and "<" not in word:
            assert (ROOT / word).exists(), word
    for name in ("mutants", "check", "test"):
        assert f"\n{name}" in (ROOT / "Makefile").read_text() or f" {name}" in (ROOT / "Makefile").read_text()
