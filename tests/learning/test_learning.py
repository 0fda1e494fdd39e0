"""`learn`: what it returns, files, executors, learning without truths, and every bad input."""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from learning_cases import bilevel, images

import varinv as vi
from varinv.learning.executors import checked
from varinv.learning.oracle import Bilevel

pytestmark = pytest.mark.usefixtures("one_thread")


def test_learn_apply_save_and_load(tmp_path: Any) -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(3), np.array([-4.0, -3.0])
    learned = vi.learn(family, pairs, theta0, vi.MAID(budget=500), observe=lambda s: {"first": float(s.x[0])})
    c = learned.certificate
    assert c["lower"] <= learned.loss <= c["upper"]
    assert c["certified"]
    assert c["work"] == learned.history[-1]["work"] == learned.state.work.total
    assert learned.history[-1]["first"] == learned.theta[0]
    y, truth = pairs[0]
    x = learned.apply(y)
    assert np.linalg.norm(x - truth) < np.linalg.norm(y - truth)
    direct = family(learned.theta, y)
    assert np.linalg.norm(direct.grad(x)) <= 1e-6 * np.linalg.norm(direct.grad(0 * y))
    assert "proved" in learned.summary()
    again = vi.Learned.load(learned.save(tmp_path / "found.json"), family)
    assert again.theta.tobytes() == learned.theta.tobytes()
    assert (again.why, again.certificate, again.history) == (learned.why, learned.certificate, learned.history)
    assert again.apply(y).tobytes() == x.tobytes()
    with pytest.raises(
        ValueError, match=r"the file was learned with TV\(Gradient\(\(7, 6\)\)\), got TV\(Gradient\(\(8, 6\)"
    ):
        vi.Learned.load(tmp_path / "found.json", vi.families.TV((8, 6)))
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"other.json is not a file that Learned.save wrote"):
        vi.Learned.load(tmp_path / "other.json", family)
    with pytest.raises(ValueError, match=r"must end in .json, got 'found.pkl'"):
        learned.save(tmp_path / "found.pkl")


def test_resuming_a_run_equals_not_stopping_it() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(2), np.array([-4.0, -3.0])
    straight = vi.learn(family, pairs, theta0, stop=vi.iterations(8))
    part = vi.learn(family, pairs, theta0, stop=vi.iterations(3))
    resumed = vi.learn(family, pairs, theta0, stop=vi.iterations(8), resume=part.state)
    assert resumed.theta.tobytes() == straight.theta.tobytes()
    assert resumed.certificate == straight.certificate


def test_learning_without_truths() -> None:
    """SURE: the hypergradient is the derivative of the estimate, and the learned loss is near the supervised one."""
    pairs = images(2, (16, 16))
    family, theta0 = vi.families.TV((16, 16)), np.array([-1.0, -2.0])
    data = [y for y, _ in pairs]
    blind = vi.learn(family, data, theta0, vi.MAID(budget=3000), noise=0.1)
    oracle = vi.learn(family, pairs, theta0, vi.MAID(budget=1000))
    supervised_loss = bilevel(family, pairs, theta0)
    assert supervised_loss(theta0) >= 10 * oracle.loss  # 18 times: the start is far
    # one probe per image of 256 pixels: the risk is known to some 10 %, and its minimum is flat
    assert supervised_loss(blind.theta) <= 1.1 * oracle.loss
    # an unbiased estimate of ‖x̂ − x*‖²; its deviation is 2σ²√(2m) = 0.45 for each of two
    risk = 2 * supervised_loss(blind.theta)
    assert abs(blind.loss - risk) <= 0.5 * risk
    from varinv.learning.losses import unsupervised

    problem = Bilevel(family=family, cases=unsupervised(data, 0.1, None, 0), theta0=theta0)
    h = 1e-4
    slopes = [(problem(theta0 + h * e) - problem(theta0 - h * e)) / (2 * h) for e in np.eye(2)]
    assert np.allclose(problem.grad(theta0), slopes, rtol=1e-5)
    with pytest.raises(TypeError, match="the examples are data alone, got a pair"):
        vi.learn(family, pairs, theta0, noise=0.1)


def test_executors_change_nothing_but_the_clock() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(4), np.array([-4.0, -3.0])
    alone = vi.learn(family, pairs, theta0, stop=vi.iterations(4))
    with ThreadPoolExecutor(2) as pool:
        threads = vi.learn(family, pairs, theta0, stop=vi.iterations(4), executor=pool)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        processes = vi.learn(family, pairs, theta0, stop=vi.iterations(1), executor=pool)
    assert threads.theta.tobytes() == alone.theta.tobytes()
    assert threads.certificate == alone.certificate
    assert processes.theta.tobytes() == vi.learn(family, pairs, theta0, stop=vi.iterations(1)).theta.tobytes()


class Futures:
    """A client whose map returns futures, as Dask's does."""

    def map(self, task: Any, items: Any) -> list[Any]:
        class Future:
            def __init__(self, value: Any) -> None:
                self.value = value

            def result(self) -> Any:
                return self.value

        return [Future(task(i)) for i in reversed(list(items))][::-1]


def test_futures_are_gathered() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(3), np.array([-4.0, -3.0])
    found = vi.learn(family, pairs, theta0, stop=vi.iterations(2), executor=Futures())
    assert found.theta.tobytes() == vi.learn(family, pairs, theta0, stop=vi.iterations(2)).theta.tobytes()
    with pytest.raises(TypeError, match="executor must have a method map"):
        checked(3)


def test_bad_input_says_what_came_and_what_to_do() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(2), np.array([-4.0, -3.0])
    blur = vi.Blur((7, 6), np.ones((3, 3)) / 9)

    def changing(theta: Any, y: Any) -> Any:
        rows = 7 if theta[0] == theta0[0] else 6
        return vi.L2Squared(np.zeros((rows, 6))) + vi.families.TV((rows, 6))(theta, np.zeros((rows, 6)))

    class Broken(vi.L2Squared):
        prox, prox_conj, grad, hvp = (getattr(vi.L2Squared, name) for name in ("prox", "prox_conj", "grad", "hvp"))
        smoothness, convexity = vi.L2Squared.smoothness, vi.L2Squared.convexity

        def __call__(self, z: Any) -> float:
            return math.nan

    def smooth_only(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y) + vi.TV((7, 6))

    for call, error, text in (
        (lambda: vi.learn(3, pairs, theta0), TypeError, r"family must be a callable family\(theta, y\), got 3"),
        (lambda: vi.learn(family, [], theta0), ValueError, "pairs is empty"),
        (lambda: vi.learn(family, pairs[0][0], theta0), TypeError, r"pairs must be a list of pairs \(y, x_true\)"),
        (lambda: vi.learn(family, [pairs[0][0]], theta0), TypeError, r"pairs\[0\] must be a pair"),
        (lambda: vi.learn(family, [pairs[0], images(1, (6, 6))[0]], theta0), ValueError,
         r"all pairs must have the shapes of the first, got data → truth \(6, 6\) → \(6, 6\) and \(7, 6\) → \(7, 6\)"),
        (lambda: vi.learn(family, [(pairs[0][0], np.ones((6, 7)))], theta0), ValueError,
         r"the unknown of .* has shape \(7, 6\), the truths \(6, 7\)"),
        (lambda: vi.learn(family, pairs, [[1.0, 2.0]]), ValueError, r"theta must have one axis, got shape \(1, 2\)"),
        (lambda: vi.learn(family, pairs, [np.nan, 1.0]), ValueError, "theta has 1 NaN or infinite of 2 values"),
        (lambda: vi.learn(family, pairs, [1.0]), ValueError, "TV has 2 parameters, got theta an array of shape"),
        (lambda: vi.learn(family, pairs, [800.0, 0.0]), ValueError, "TV: theta for weight is 800, a natural logarithm"),
        (lambda: family.theta(weight=0.0, smoothing=1.0), ValueError, "TV: weight must be greater than 0, got 0"),
        (lambda: family.theta(weight=1.0), TypeError, "TV.theta needs weight, smoothing, got weight"),
        (lambda: vi.learn(vi.families.TV((7, 6), blur), pairs, theta0), ValueError,
         r"strong convexity of .* is not known \(0\).*ridge.*pass mu="),
        (lambda: vi.learn(changing, pairs, theta0), ValueError,
         r"changed the shape of its unknown from \(7, 6\) to \(6, 6\)"),
        (lambda: vi.learn(family, pairs, theta0, loss=Broken), ValueError,
         r"the loss at theta0 is nan.*start from other"),
        (lambda: vi.learn(smooth_only, pairs, theta0), TypeError, r"the term L21\(1\) .* has no gradient or second"),
        (lambda: vi.learn(lambda t, y: 3, pairs, theta0), TypeError, "must return a Problem"),
        (lambda: vi.learn(family, pairs, theta0, vi.ChambollePock()), TypeError, "rule must be a learning rule"),
        (lambda: vi.learn(family, pairs, theta0, noise=0.1, loss=vi.L2Squared), TypeError, "either noise .* or loss"),
        (lambda: vi.learn(family, pairs, theta0, loss=lambda x: 3), TypeError,
         r"loss\(x_true\) must return a functional"),
        (lambda: vi.learn(lambda t, y: family(t, y), pairs, theta0, vi.MAID(certified=True)), ValueError,
         r"certified=True needs .*bounds\(theta, y, x\)"),
        (lambda: vi.MAID(shrink=1.5), ValueError, "MAID: shrink must lie between 0 and 1, got 1.5"),
        (lambda: vi.MAID(line_search="wolfe"), ValueError, 'line_search must be "maid" or "corrected", got'),
        (lambda: vi.MAID(epsilon=-1), ValueError, "MAID: epsilon must be greater than 0, got -1"),
        (lambda: vi.HOAG(schedule="linear"), ValueError, "schedule must be one of quadratic, cubic, geometric, fixed"),
        (lambda: vi.families.TV((7, 6), vi.Identity((6, 6))), ValueError,
         r"A takes images \(6, 6\), the gradient \(7, 6\)"),
        (lambda: vi.MAID().init(vi.L2Squared(0) @ vi.Identity((2,)), theta0), TypeError, r"call vi.learn\("),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()


def test_an_assumed_mu_is_an_assumption() -> None:
    blur = vi.Blur((7, 6), np.ones((3, 3)) / 9)
    pairs = [(blur(x) + 0.01 * y, x) for y, x in images(2)]
    learned = vi.learn(vi.families.TV((7, 6), blur), pairs, [-4.0, -3.0], mu=1e-2, stop=vi.iterations(3))
    assert (learned.certificate["certified"], learned.certificate["mu"]) == (False, "assumed 0.01")
    assert "with the assumed mu" in learned.summary()
    assert learned.apply(pairs[0][0], tol=1e-2).shape == (7, 6)
    with pytest.raises(ValueError, match=r"is solved to an error of .*, .* was asked for, after \d+ iterations"):
        learned.apply(pairs[0][0], tol=1e-18)
