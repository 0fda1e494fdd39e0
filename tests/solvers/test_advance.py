"""Several iterations at once: to the bit what single steps give, and nobody who watches sees a difference."""

from __future__ import annotations

import itertools
from typing import Any

import numba
import numpy as np
import pytest

import varinv as vi
from varinv.fused import sweep_cpu

RNG = np.random.default_rng(3)


def image(*shape: int) -> Any:
    return (np.add.outer(np.arange(shape[-2]) > shape[-2] / 3, np.arange(shape[-1]) / shape[-1])
            + 0.3 * RNG.standard_normal(shape)).astype(np.float32)  # fmt: skip


Y = image(75, 19)
PROBLEMS = {
    "image": vi.L2Squared(Y) + 0.2 * vi.TV(Y.shape),
    "weighted, in a box": vi.L2Squared(Y, 2.0) + vi.TV(Y.shape, weight=0.1 + Y**2, smoothing=0.1) + vi.Box(0.2, 0.9),
    "float64": vi.L2Squared(Y.astype(float)) + 0.2 * vi.TV(Y.shape),
    "stack": vi.L2Squared(image(3, 40, 7)) + 0.2 * vi.TV((3, 40, 7), axes=(1, 2)),
    "volume": vi.L2Squared(image(5, 20, 7)) + 0.2 * vi.TV((5, 20, 7)),
    "one row": vi.L2Squared(image(1, 9)) + 0.2 * vi.TV((1, 9)),
    "one column": vi.L2Squared(image(30, 1)) + 0.2 * vi.TV((30, 1)),
    "nothing to sweep": vi.L2Squared(Y) @ vi.Blur(Y.shape, np.ones((3, 3)) / 9) + 0.2 * vi.TV(Y.shape),
}


SINGLE = ("volume", "nothing to sweep")


class Stepwise(vi.AdaptiveChambollePock):
    """The same steps, one by one."""

    def step(self, problem: Any, s: Any) -> Any:
        return super().step(problem, s)


vi.Solver.kinds.remove(Stepwise)


def same(a: Any, b: Any) -> None:
    for name, one, other in zip(a._fields, a, b, strict=True):
        pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
        assert all(np.array_equal(p, q) for p, q in pairs), name


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("share", [1, 4], ids=["wide borders", "as shipped"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_leap_is_its_steps_to_the_bit(name: str, share: int, threads: int, monkeypatch: Any) -> None:
    """share = 1: as many iterations as a thread has rows, so that all it has are computed by its neighbour as well."""
    monkeypatch.setattr(sweep_cpu, "SHARE", share)
    problem, solver, before = PROBLEMS[name], vi.AdaptiveChambollePock(), numba.get_num_threads()
    steps = list(itertools.islice(solver.states(problem), 41))
    try:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        for most in (1, 2, 7, 40):
            state = steps[0]
            while state.k < 40:
                new = solver.advance(problem, state, min(most, 40 - state.k))
                assert state.k < new.k <= state.k + most
                assert new.k in (state.k + most, 10, 13, 16, 20, 25, 31, 39, 40) or name in SINGLE
                state = new
                same(state, steps[state.k])
    finally:
        numba.set_num_threads(before)


VIEWS = vi.Radon(Y.shape, vi.ParallelBeam([0.1, 1.0, 2.0], 90))
TOMOGRAPHY = vi.L2Squared(VIEWS(Y)) @ VIEWS + vi.NonNegative()
SPARE = {
    "image": TOMOGRAPHY + 0.2 * vi.TV(Y.shape),
    "Huber, weighted": TOMOGRAPHY + vi.TV(Y.shape, weight=0.1 + Y**2, smoothing=0.1),
    "anisotropic": TOMOGRAPHY + 0.2 * vi.TV(Y.shape, isotropic=False),
    "volume": vi.L2Squared(image(5, 20, 7)) @ vi.Blur((5, 20, 7), np.ones((3, 3, 3)) / 27) + 0.2 * vi.TV((5, 20, 7)),
    "one column": vi.L2Squared(Y[:, :1]) @ vi.Blur((75, 1), np.ones((3, 1)) / 3) + 0.2 * vi.TV((75, 1)),
    "two terms": TOMOGRAPHY + 0.2 * vi.TV(Y.shape) + 0.1 * vi.L1() @ vi.Gradient(Y.shape),
}


@pytest.mark.parametrize("name", SPARE)
def test_duals_that_nobody_reads_again_are_written_over_with_the_same_bits(name: str) -> None:
    problem, solver = SPARE[name], vi.AdaptiveChambollePock()
    steps = list(itertools.islice(solver.states(problem), 15))
    state = solver.init(problem, problem.zeros())
    for expected in steps[1:]:
        x, u = state.x.copy(), state.u.copy()
        new = solver.advance(problem, state, 1, spare=True)
        same(new, expected)
        assert any(np.shares_memory(a, b) for a, b in zip(state.y, new.y, strict=True))
        assert np.array_equal(state.x, x)
        assert np.array_equal(state.u, u)
        state = new


class Clip:
    """Part of a class: another step."""

    def step(self, problem: Any, s: Any) -> Any:
        new = super().step(problem, s)  # type: ignore[misc]
        return new._replace(x=np.clip(new.x, 0, 1))


def test_who_steps_otherwise_does_not_leap() -> None:
    class Clipped(Clip, vi.AdaptiveChambollePock):
        pass

    class Renamed(vi.AdaptiveChambollePock):
        pass

    vi.Solver.kinds.remove(Clipped)
    vi.Solver.kinds.remove(Renamed)
    for kind in (Stepwise, Clipped):
        assert kind.advance is vi.Solver.advance
        assert kind().advance(PROBLEMS["image"], kind().init(PROBLEMS["image"], Y), 9).k == 1
    assert Renamed().advance(PROBLEMS["image"], Renamed().init(PROBLEMS["image"], Y), 9).k == 9


def test_a_leap_is_one_step_to_sixteen() -> None:
    """However many are asked for: nobody can stop what is in it."""
    problem = PROBLEMS["image"]
    state = next(itertools.islice(vi.AdaptiveChambollePock().states(problem), 150, None))  # the next balance is at 182
    for most, made in ((-3, 1), (0, 1), (1, 1), (15, 15), (16, 16), (1000, 16)):
        assert vi.AdaptiveChambollePock().advance(problem, state, most).k == 150 + made


class Until(vi.gap):
    """A rule of its own class, with an end that its base knows nothing of."""

    def __call__(self, problem: Any, previous: Any, state: Any) -> str | None:
        return "seventeen" if state.k == 17 else super().__call__(problem, previous, state)


class Target(vi.iterations):
    def __call__(self, problem: Any, previous: Any, state: Any) -> str | None:
        return "met" if state.k >= 23 and previous.k == state.k - 1 else super().__call__(problem, previous, state)


RULES: dict[str, Any] = {
    "a class of its own": Until(1e-12) | vi.iterations(60),
    "another": Target(60),
    "iterations": vi.iterations(57),
    "gap": vi.gap(1e-3) | vi.iterations(90),
    "residual": vi.residual(1e-3, every=7) | vi.iterations(90),
    "both": vi.gap(1e-9) & vi.residual(1e-9) | vi.iterations(123),
    "change": vi.small_change(1e-2) | vi.iterations(90),
    "a function": lambda problem, previous, state: "enough" if state.k >= 23 and previous.k == state.k - 1 else None,
}


@pytest.mark.parametrize("observe", [None, lambda s: s.k if s.k % 17 == 3 else None], ids=["alone", "observed"])
@pytest.mark.parametrize("name", RULES)
def test_solve_tells_the_same(name: str, observe: Any) -> None:
    def run(solver: Any) -> Any:
        return vi.solve(PROBLEMS["image"], solver, stop=RULES[name], observe=observe)

    def rows(result: Any) -> list[Any]:
        return [{key: v for key, v in row.items() if key not in ("seconds", "memory")} for row in result.history]

    leaps, steps = run(vi.AdaptiveChambollePock()), run(Stepwise())
    same(leaps.state, steps.state)
    assert leaps.why == steps.why
    assert rows(leaps) == rows(steps)


def test_solve_leaps_where_nobody_looks(monkeypatch: Any) -> None:
    asked: list[int] = []
    advance = vi.AdaptiveChambollePock.advance

    def counted(self: Any, problem: Any, state: Any, most: int, spare: bool) -> Any:
        asked.append(most)
        return advance(self, problem, state, most, spare)

    monkeypatch.setattr(vi.AdaptiveChambollePock, "advance", counted)
    vi.solve(PROBLEMS["image"], vi.AdaptiveChambollePock(), stop=vi.gap(1e-9) | vi.seconds(60) | vi.iterations(40))
    # to the iteration before an evaluation (10, 20, 30, 40), whose step is single; in between balance at 13, 16, 25, 31
    assert asked == [9, 1, 9, 6, 3, 1, 9, 4, 1, 9, 8, 1]
    asked.clear()
    seen: list[int] = []
    vi.solve(PROBLEMS["image"], stop=vi.iterations(20), progress=lambda k, readings: seen.append(k))
    assert seen == list(range(1, 21))
    assert set(asked) == {1}


def test_a_row_after_a_leap_claims_no_change(monkeypatch: Any) -> None:
    """Time may be up after several iterations at once: the last of them is not known by itself."""
    rule = vi.gap(1e-12) | vi.seconds(1.0)
    monkeypatch.setattr(vi.seconds, "spent_now", lambda self: float(now[0] >= 45))
    now, advance = [0], vi.AdaptiveChambollePock.advance

    def counted(self: Any, problem: Any, state: Any, most: int, spare: bool) -> Any:
        new = advance(self, problem, state, most, spare)
        now[0] = new.k
        return new

    monkeypatch.setattr(vi.AdaptiveChambollePock, "advance", counted)
    rows = vi.solve(PROBLEMS["image"], vi.AdaptiveChambollePock(), stop=rule).history
    assert rows[-1]["k"] == 48  # a advance from 40, to the balance
    assert "change" not in rows[-1]
    assert all("change" in row for row in rows[1:-1])


def test_a_start_from_a_checkpoint_leaps_to_the_same_bits(tmp_path: Any) -> None:
    whole = vi.solve(PROBLEMS["image"], vi.AdaptiveChambollePock(), stop=vi.iterations(47))
    for every in (None, 6):
        keep = vi.Checkpoint(tmp_path / f"run{every}.npz", every=every)
        for n in (18, 47):
            part = vi.solve(PROBLEMS["image"], vi.AdaptiveChambollePock(), stop=vi.iterations(n), checkpoint=keep)
        same(whole.state, part.state)
