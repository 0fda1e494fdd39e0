"""Learning: hypergradients, certificates, MAID, HOAG, `learn`, executors, and every bad input."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.learning import reference
from varinv.learning.executors import checked
from varinv.learning.losses import supervised
from varinv.learning.lower import convexity, hessian, minimise, smoothness, solve_adjoint
from varinv.learning.oracle import Bilevel

pytestmark = pytest.mark.usefixtures("one_thread")


def bilevel(family: Any, pairs: Any, theta0: Any, **options: Any) -> Bilevel:
    return Bilevel(family=family, cases=supervised(pairs, getattr(family, "loss", None)), theta0=theta0, **options)


def images(count: int, shape: tuple[int, ...] = (7, 6), seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    truths = [np.cumsum(rng.standard_normal(shape), axis=0) / 3 for _ in range(count)]
    return [(x + 0.1 * rng.standard_normal(shape), x) for x in truths]


# --------------------------------------------------------------------------------------------------- the lower level


def newton(problem: Any, x: np.ndarray) -> np.ndarray:
    """The minimiser by damped Newton steps on dense Hessians: an optimum that does not come from the solver."""
    for _ in range(60):
        H = np.stack([problem.hvp(x, e.reshape(x.shape)).ravel() for e in np.eye(x.size)])
        d, t = np.linalg.solve(H, problem.grad(x).ravel()).reshape(x.shape), 1.0
        while problem(x - t * d) > problem(x) and t > 1e-3:
            t /= 2
        x = x - t * d
    return x


def test_the_lower_level_keeps_its_certificate() -> None:
    """‖x − x̂‖ ≤ ‖∇h(x)‖/μ, x̂ by Newton's method, at every accuracy and start; the rate is that of acceleration."""
    family = vi.families.TV((7, 6), ridge=0.2)
    (y, _), *_ = images(1)
    for theta in (np.array([-2.0, -2.0]), np.array([0.0, -4.0])):
        problem = family(theta, y)
        mu, L = family.mu(theta), smoothness(problem)
        assert mu == 1.2 == convexity(problem)
        best = newton(problem, y)
        assert np.linalg.norm(problem.grad(best)) <= 1e-12
        for epsilon, x in itertools.product((1.0, 1e-2, 1e-5), (0 * y, y, 10 * y)):
            low = minimise(problem, x, mu, L, epsilon, 5000)
            assert low.reached
            assert low.error <= epsilon
            assert np.linalg.norm(low.x - best) <= low.error
            assert np.allclose(low.slope, problem.grad(low.x), atol=1e-13)
            # ‖x_k − x̂‖² ≤ (1 − √κ)^k (L/μ)(1 + √κ)‖x_0 − x̂‖², then ‖∇h‖ ≤ L‖x − x̂‖
            kappa, far = mu / L, np.linalg.norm(x - best)
            bound = (
                2 * math.log(max(L / mu * math.sqrt(L / mu * 2) * far / epsilon, 1)) / -math.log(1 - math.sqrt(kappa))
            )
            assert low.iterations <= bound + 2
        late = minimise(problem, 10 * y, mu, L, 1e-8, 7)
        assert (late.iterations, late.reached) == (7, False)
        assert np.linalg.norm(late.x - best) <= late.error  # valid although not reached


def test_rounding_ends_the_lower_level_early() -> None:
    family = vi.families.TV((7, 6))
    (y, _), *_ = images(1)
    problem = family(np.array([-2.0, -2.0]), y.astype("f4"))
    low = minimise(problem, 0 * y.astype("f4"), 1.0, smoothness(problem), 1e-12, 100000)
    assert not low.reached
    assert low.iterations < 1000  # 100 + 10/√κ after the last gain
    assert low.error < 1e-4  # and float32 has given what it has
    assert low.x.dtype == np.float32


def test_the_adjoint_is_zero_where_nothing_is_asked() -> None:
    family = vi.families.TV((7, 6))
    (y, x), *_ = images(1)
    problem = family(np.array([-2.0, -2.0]), y)
    b = x - y
    H = hessian(problem, y)
    found = solve_adjoint(problem, y, b, 5 * y, 1.01 * np.linalg.norm(b), 100)  # the start must not come back
    assert found.iterations == 0
    assert not found.q.any()
    assert found.residual == pytest.approx(np.linalg.norm(b))
    found = solve_adjoint(problem, y, b, None, 1e-9, 1000)
    assert np.linalg.norm(H(found.q) - b) <= 1e-9
    assert solve_adjoint(problem, y, b, found.q, 1e-9, 1000).iterations == 0  # warm


# ------------------------------------------------------------------------------------------------------- the oracle


def test_bounds_enclose_the_loss_and_omega_the_error() -> None:
    """U_low ≤ f ≤ U_up, |f − f̂| ≤ slack + bend, ‖z − ∇f‖ ≤ ω on 200 draws of (θ, ε, δ) in A (§13-2) and D."""
    tv = vi.families.TV(vi.Gradient((5, 30), axes=(1,)), smoothing=0.05, ridge=None, isotropic=False)
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.uniform(size=(5, 6)), 5, axis=1)
    family, pairs, theta0, _ = reference.problem_d()
    tightest: dict[str, list[float]] = {"omega": [], "corrected": []}
    for problem, centre in (
        (bilevel(tv, [(truth + 0.1 * rng.standard_normal(truth.shape), truth)], np.zeros(2)), np.array([-1.0, -1.0])),
        (bilevel(family, pairs, theta0), theta0),
    ):
        for _ in range(100):
            theta = centre + rng.standard_normal(centre.shape)
            exact = problem.evaluate(theta, 1e-10, 1e-10)
            epsilon, delta = 10 ** rng.uniform(-4, 0, 2)
            rough = problem.evaluate(theta, epsilon, delta)
            rounding = 1e-9 * exact.value
            assert rough.lower <= exact.value + rounding
            assert rough.upper >= exact.value - rounding
            assert abs(rough.corrected - exact.value) <= rough.slack + rough.bend + rounding
            error = np.linalg.norm(rough.slope - exact.slope)
            assert error <= rough.omega + 1e-7
            tightest["omega"].append(error / rough.omega)
            tightest["corrected"].append(abs(rough.corrected - exact.value) / (rough.slack + rough.bend))
    assert max(tightest["omega"]) >= 1e-3  # bounds that something comes near; the paper's own are 10 to 1e4 above
    assert max(tightest["corrected"]) >= 1e-3


def test_central_differences_in_theta_up_to_16_parameters() -> None:
    tv = vi.families.TV((7, 6))
    pairs = images(2)
    theta = np.array([-2.0, -2.5])
    by_hand = bilevel(tv, pairs, theta).grad(theta)
    assert np.allclose(bilevel(lambda t, y: tv(t, y), pairs, theta).grad(theta), by_hand, rtol=1e-6)

    def many(t: Any, y: Any) -> Any:
        return tv(t[:2], y)

    assert np.allclose(bilevel(many, pairs, np.full(16, -2.0)).grad(np.full(16, -2.0))[2:], 0, atol=1e-12)
    with pytest.raises(TypeError, match=r"has 17 parameters; above 16 it needs a method sensitivity\(theta, y, x, q\)"):
        bilevel(many, pairs, np.full(17, -2.0)).grad(np.full(17, -2.0))


def test_a_penalty_on_theta_is_added() -> None:
    theta = np.array([-2.0, -2.5])
    plain = bilevel(vi.families.TV((7, 6)), images(1), theta)
    added = bilevel(vi.families.TV((7, 6)), images(1), theta, penalty=vi.L2Squared(np.array([-1.0, 0.0]), 0.3))
    assert added(theta) == pytest.approx(plain(theta) + 0.15 * (1 + 6.25))
    assert np.allclose(added.grad(theta), plain.grad(theta) + 0.3 * np.array([-1.0, -2.5]))


# --------------------------------------------------------------------------------------------------------- the rules


RULES = [vi.MAID(), vi.MAID(line_search="maid"), vi.HOAG()]


def test_states_resume_bit_for_bit_and_count_their_work() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(3), np.array([-4.0, -3.0])
    for rule in RULES:
        problem = bilevel(family, pairs, theta0)
        straight = next(itertools.islice(rule.states(problem, theta0), 9, None))
        halfway = pickle.loads(pickle.dumps(next(itertools.islice(rule.states(problem, theta0), 4, None))))
        resumed = next(itertools.islice(rule.states(problem, resume=halfway), 5, None))
        assert (resumed.k, resumed.x.tobytes(), resumed.work) == (9, straight.x.tobytes(), straight.work)
        assert resumed.now.value == straight.now.value
        assert straight.work.total == straight.work.lower + straight.work.adjoint > 9
        assert json.loads(json.dumps(straight.row()))["work"] == straight.work.total


def test_maid_descends_on_the_true_loss() -> None:
    shape = (7, 6)
    grid = [(a, b) for a in np.linspace(-3, -1, 9) for b in np.linspace(-6, 0, 7)]
    problem = bilevel(vi.families.TV(shape), images(2), np.zeros(2))
    best = min(problem.evaluate(np.array(point), 1e-4).value for point in grid)
    for line_search, start in itertools.product(("maid", "corrected"), ([-6.0, -4.0], [1.0, -1.0])):
        rule = vi.MAID(line_search=line_search, budget=2000)
        previous, exact = math.inf, None
        for state in rule.states(problem, np.array(start)):
            exact = problem.evaluate(state.x, 1e-8, None, exact)
            assert exact.lower <= previous
            previous = exact.upper
            if state.why:
                break
        assert state.why.split(":")[0] in ("stationary", "accuracy_floor", "budget")
        # the smoothing is hardly determined, and the plain search stalls along it
        assert previous <= (1.01 if line_search == "maid" else 1.001) * best


def test_stop_reasons() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(1), np.array([-2.0, -2.0])
    why = {name: vi.learn(family, pairs, theta0, rule).why for name, rule in {
        "stationary": vi.MAID(tol=1e-2), "budget": vi.MAID(budget=50), "fixed": vi.MAID(epsilon=1.0, adaptive=False),
        "floor": vi.MAID(tol=0.0, line_search="maid", floor=1e-6)}.items()}  # fmt: skip
    assert why["stationary"].startswith("stationary: hypergradient")
    assert why["budget"].startswith("budget: ")
    assert why["fixed"] == "fixed accuracy: no step is certified with epsilon=1"
    assert why["floor"].startswith("accuracy_floor: no step is certified")
    single = [tuple(a.astype("f4") for a in pair) for pair in pairs]
    found = vi.learn(family, single, theta0, vi.MAID(tol=0.0, floor=0.0))
    assert found.why.startswith("accuracy_floor: the lower level or its adjoint stays at errors of")
    assert abs(found.loss - vi.learn(family, pairs, theta0).loss) <= 1e-4 * found.loss
    assert vi.learn(family, pairs, theta0, stop=vi.iterations(2)).why == "2 iterations"


def test_a_huge_delta_gives_no_direction_and_is_handled() -> None:
    """δ > ‖∇g‖: q = 0 and z = 0, which is no stationary point; a huge α is capped (§13-11)."""
    family, pairs, theta0 = vi.families.TV((7, 6)), images(1), np.array([-5.0, -3.0])
    reference_loss = vi.learn(family, pairs, theta0).loss
    for rule in (vi.MAID(delta=1e6), vi.MAID(alpha=1e9), vi.MAID(epsilon=1e4, delta=1e4, line_search="maid")):
        learned = vi.learn(family, pairs, theta0, rule, stop=vi.iterations(200))  # the smoothing drifts for ever
        assert learned.loss <= 1.01 * reference_loss
    steps = [row["alpha"] for row in vi.learn(family, pairs, theta0, vi.MAID(alpha=1e9)).history]
    assert steps[1] < 1e9  # the cap replaced it


def test_hoag_returns_its_best_iterate() -> None:
    family, pairs, theta0, optimum = reference.problem_b()
    learned = vi.learn(family, pairs, theta0, vi.HOAG(0.1, "fixed"), stop=vi.iterations(60))
    losses = [row["loss"] for row in learned.history[1:]]
    assert losses[-1] > 1.01 * min(losses)  # not monotone: that is known of it
    assert learned.loss == min(losses) <= 1.001 * optimum.loss
    for schedule, ratio in (("quadratic", 1 / 16), ("cubic", 1 / 64), ("geometric", 0.9**3), ("fixed", 1.0)):
        rows = vi.learn(family, pairs, theta0, vi.HOAG(0.1, schedule), stop=vi.iterations(4)).history
        rejections = rows[4]["rejected"]
        assert rows[4]["epsilon"] == pytest.approx(0.1 * ratio / 2**rejections)


# --------------------------------------------------------------------------------------------------------- learn


def test_learn_apply_save_and_load(tmp_path: Any) -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(3), np.array([-4.0, -3.0])
    learned = vi.learn(family, pairs, theta0, observe=lambda s: {"first": float(s.x[0])})
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
    family, theta0 = vi.families.TV((16, 16)), np.array([-4.0, -3.0])
    data = [y for y, _ in pairs]
    blind = vi.learn(family, data, theta0, vi.MAID(budget=3000), noise=0.1)
    oracle = vi.learn(family, pairs, theta0, vi.MAID(budget=1000))
    supervised_loss = bilevel(family, pairs, theta0)
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


def test_futures_are_gathered_and_forks_refused() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(3), np.array([-4.0, -3.0])
    found = vi.learn(family, pairs, theta0, stop=vi.iterations(2), executor=Futures())
    assert found.theta.tobytes() == vi.learn(family, pairs, theta0, stop=vi.iterations(2)).theta.tobytes()
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))  # nothing runs in it
    with pytest.raises(ValueError, match=r"starts by fork dies .*mp_context=multiprocessing.get_context..spawn..\)"):
        vi.learn(family, pairs, theta0, executor=pool)
    pool.shutdown()
    with pytest.raises(TypeError, match="executor must have a method map"):
        checked(3)


# ------------------------------------------------------------------------------------------------------- bad input


def test_bad_input_says_what_came_and_what_to_do() -> None:
    family, pairs, theta0 = vi.families.TV((7, 6)), images(2), np.array([-4.0, -3.0])
    blur = vi.Blur((7, 6), np.ones((3, 3)) / 9)

    def changing(theta: Any, y: Any) -> Any:
        rows = 7 if theta[0] == theta0[0] else 6
        return vi.L2Squared(np.zeros((rows, 6))) + vi.families.TV((rows, 6))(theta, np.zeros((rows, 6)))

    class Broken(vi.L2Squared):
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


def test_stochastic_descent_resumes_and_gets_near() -> None:
    """ISGD: batches of 3 of 9 examples; a resumed run draws the same ones; MAID from its θ ends where MAID does."""
    family, pairs, theta0 = vi.families.TV((7, 6)), images(9), np.array([-5.0, -3.0])
    rule = vi.ISGD(batch=3, passes=8)
    rough = vi.learn(family, pairs, theta0, rule)
    assert rough.why == "8 passes over 9 examples"
    assert rough.state.k == 24
    part = vi.learn(family, pairs, theta0, rule, stop=vi.iterations(10))
    assert vi.learn(family, pairs, theta0, rule, resume=part.state).theta.tobytes() == rough.theta.tobytes()
    problem = bilevel(family, pairs, theta0)
    best = vi.learn(family, pairs, theta0, vi.MAID(budget=6000))
    assert problem.evaluate(rough.theta, 1e-4).value <= 1.05 * best.loss
    polished = vi.learn(family, pairs, rough.theta, vi.MAID(budget=3000))
    assert polished.loss <= 1.01 * best.loss
    with pytest.raises(ValueError, match="ISGD: batch must be at least 1, got 0"):
        vi.ISGD(batch=0)


def test_every_rule_solves_its_examples() -> None:
    """The contract of solvers, for those that are loaded on first use."""
    for kind in (vi.MAID, vi.HOAG, vi.ISGD):
        kind()
        for rule, problem in kind.examples():
            x = vi.solve(problem, rule, stop=vi.iterations(1200)).x
            rng = np.random.default_rng(0)
            for scale in np.logspace(-4, 0, 20):  # nothing nearby is better
                assert problem(x) <= problem(x + scale * rng.standard_normal(x.shape)) * (1 + 1e-9)
