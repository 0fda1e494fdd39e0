"""What is remembered of an object is found once, and seen by nobody else: pickles, copies, checkpoints."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.memory import once, remembered
from varinv.operators.base import LinearOperator
from varinv.solvers.fingerprint import fingerprint

Y = rand(np, (6, 5), 1)


class Mine(vi.LinearOperator):
    """No dataclass, and attributes of its own."""

    def __init__(self, M: Any) -> None:
        self.M = M
        self.domain, self.codomain = (M.shape[1],), (M.shape[0],)

    def forward(self, x: Any) -> Any:
        return self.M @ x

    def adjoint(self, y: Any) -> Any:
        return self.M.T @ y


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: Any


class Slots:
    __slots__ = ("a",)


class Both(Mine):
    __slots__ = ("extra",)


for _kind in (Mine, Both):
    LinearOperator.kinds.remove(_kind)


def test_a_checkpoint_goes_on_after_the_operator_was_used_elsewhere(tmp_path: Path) -> None:
    A, path = Mine(Y), tmp_path / "run.npz"
    y = A(np.ones(5))
    problem = vi.L2Squared(y) @ A + 0.1 * vi.L1()
    vi.solve(problem, vi.FISTA(), stop=vi.iterations(5), checkpoint=path)
    vi.spectral(A, y, vi.filters.tikhonov(0.1))
    A.T, A.norm(), A.pinv(y)
    assert vi.solve(problem, vi.FISTA(), stop=vi.iterations(9), checkpoint=path).state.k == 9


def test_a_pickled_problem_does_not_grow() -> None:
    A = vi.Radon((20, 20), vi.ParallelBeam(np.linspace(0, 3, 15), 30))
    y = A(rand(np, A.domain, 2, kind="non-negative"))
    problem = vi.L2Squared(y) @ (2 * A) + 0.1 * vi.TV(A.domain) + vi.Box(0, 2)
    before, marks = pickle.dumps(problem), fingerprint(problem, vi.ChambollePock(), None)
    result = vi.solve(problem, stop=vi.iterations(20))
    problem.gap(result.x, result.state.y)
    vi.solve(vi.L2Squared(y) @ A + vi.Box(0, 2), vi.SIRT(), stop=vi.iterations(2))
    vi.fbp(A, y), A.T, A.T.norm(), A.rays
    assert len(pickle.dumps(problem)) == len(before)
    assert fingerprint(problem, vi.ChambollePock(), None) == marks
    again = vi.solve(pickle.loads(pickle.dumps(problem)), stop=vi.iterations(20))
    assert np.array_equal(again.x, result.x)


@pytest.mark.parametrize("owner", [Frozen([]), Frozen(np.ones(3)), Mine(Y), vi.Identity((2,))], ids=repr)
def test_found_once(owner: Any) -> None:
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return None if len(made) == 1 else "again"

    assert remembered(owner, "a", make) is None  # None is a result like others
    assert remembered(owner, "a", make) is None
    assert remembered(owner, "b", make) == "again"
    assert remembered(copy.deepcopy(owner), "a", lambda: 5) == 5
    assert remembered(pickle.loads(pickle.dumps(owner)), "a", lambda: 5) == 5


def test_without_attributes_it_is_found_each_time() -> None:
    owner, made = Slots(), []
    for n in (1, 2):
        assert remembered(owner, "a", lambda: made.append(1) or len(made)) == n


def test_an_error_is_not_remembered() -> None:
    owner = Frozen(1)
    with pytest.raises(ZeroDivisionError):
        remembered(owner, "a", lambda: 1 // 0)
    assert remembered(owner, "a", lambda: 3) == 3


def test_methods_of_parent_and_child_are_two() -> None:
    class Parent:
        @once
        def size(self) -> int:
            return 1

    class Child(Parent):
        @once
        def size(self) -> int:
            return 10 + super().size()

    assert (Child().size(), Parent().size()) == (11, 1)


def test_copies_and_slots() -> None:
    K = Both(Y)
    K.extra = 7
    K.norm()
    for same in (copy.copy(K), pickle.loads(pickle.dumps(K))):
        assert (same.extra, same.norm()) == (7, K.norm())
    other = copy.copy(K)
    other.M = 2 * Y
    assert other.norm() == pytest.approx(2 * K.norm())


def test_nothing_is_kept_alive() -> None:
    K = Mine(Y)
    K.T.norm()
    alive = weakref.ref(K)
    del K
    gc.collect()
    assert alive() is None


def test_threads_get_one_object() -> None:
    owner, gate, found = Frozen(1), threading.Barrier(8), []

    def ask() -> None:
        gate.wait()
        found.append(remembered(owner, "a", object))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
