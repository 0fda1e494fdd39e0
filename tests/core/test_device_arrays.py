"""The package on a stand-in for CuPy: nothing leaves the device in silence, and no solver waits for it without need."""

from __future__ import annotations

import cuda_shim
import numpy as np
import pytest
import standin
from conftest import rand, solver_kinds
from kernel_cases import CASES, Maker, equal
from test_cuda_kernels import TWINS
from test_functionals import pytestmark as _one_thread  # noqa: F401
from test_gpu import fetched, moved
from test_operators import TINY

import varinv as vi
from varinv import cuda_tools
from varinv.functionals.base import Functional


@pytest.fixture(autouse=True)
def on_the_host(monkeypatch):
    if cuda_shim.COMPILER is None:
        pytest.skip("no C++ compiler (g++, clang++ or c++): the CUDA sources cannot run on the host")
    monkeypatch.setattr(cuda_tools, "run", cuda_shim.run)


def _examples(kind):
    try:
        return list(kind.examples()) if kind.__module__.startswith("varinv.") else []
    except NotImplementedError:
        return []


def there(a):
    return standin.xp.asarray(a, copy=True)


@pytest.mark.parametrize("kernel", TWINS, ids=lambda k: k.__name__)
def test_arrays_of_a_device_find_the_cuda_twins(kernel, monkeypatch):
    started = []
    monkeypatch.setattr(cuda_tools, "run", lambda *args: (started.append(args), cuda_shim.run(*args)))
    for args in CASES[kernel.__name__]((5, 7), Maker(np.float32, "plain")):
        there = moved(kernel, args, standin.xp.asarray)
        before = [a.values.tobytes() for a in there if isinstance(a, standin.ndarray)]
        got = kernel(*there)
        equal(got if isinstance(got, float) else fetched(got), kernel.reference(*args), np.float32)
        assert [a.values.tobytes() for a in there if isinstance(a, standin.ndarray)] == before
    assert started, "the array code ran instead"


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_operators_stay_on_the_device(K):
    on_numpy, K = K, standin.placed(K)
    for apply, other, shape in ((K.forward, on_numpy.forward, K.domain), (K.adjoint, on_numpy.adjoint, K.codomain)):
        for dtype in ("float64", "float32"):
            x = rand(np, shape, 3, dtype)
            apply(there(x))
            standin.reads.clear()
            got = apply(there(x))
            assert type(got) is standin.ndarray
            assert not standin.reads, "an application waits for the device"
            expected, limit = other(x), 1e-12 if dtype == "float64" else 1e-6
            scale = np.linalg.norm(expected) + np.linalg.norm(x) * on_numpy.norm()
            assert np.linalg.norm(got.values - expected) <= limit * scale


FUNCTIONALS = [(f, shape) for c in Functional.kinds for f, shape in _examples(c)]


# these need numbers: prox by iteration until it is exact (one a round), a ball's radius against a length, a quotient of
# inner products
NUMBERS = ("roots", *(f"functionals/{name}" for name in ("charbonnier", "simplex", "constraints", "cauchy_schwarz")))


@pytest.mark.parametrize(("f", "shape"), FUNCTIONALS, ids=lambda v: repr(v) if isinstance(v, Functional) else "")
def test_functionals_stay_on_the_device(f, shape):
    """Values are Python numbers as on NumPy; images stay, and making one needs nothing from the device."""
    on_numpy, f, x = f, standin.placed(f), 0.7 + 0.2 * rand(np, shape, 1)
    if callable(f):
        value = f(there(x))
        assert isinstance(value, float)
        assert value == pytest.approx(on_numpy(x), rel=1e-12, abs=1e-12)
    for name, args in (("prox", (0.6,)), ("prox_conj", (0.6,)), ("grad", ()), ("hvp", (x,)), ("feasible", ())):
        if not hasattr(f, name):
            continue
        expected = getattr(on_numpy, name)(x, *args)
        args = [there(a) if isinstance(a, np.ndarray) else a for a in args]
        getattr(f, name)(there(x), *args)  # what is kept for the next calls is made and checked here
        standin.reads.clear()
        got = getattr(f, name)(there(x), *args)
        assert type(got) is standin.ndarray, name
        waits = [r for r in standin.reads if not r.startswith(NUMBERS)]
        assert name == "feasible" or not waits, f"{name} waits for the device"
        np.testing.assert_allclose(got.values, expected, rtol=0, atol=1e-12 * (1 + np.abs(expected).max()))


# solvers that need numbers of the image to choose their next step, and how many an iteration at most in the examples
WAITS = {
    "ADMM": (8, "conjugate gradients inside, or the size of the residual"),
    "AdaptiveChambollePock": (1, "residuals, to balance the steps"),
    "CG": (3, "inner products are its steps"),
    "CGLS": (4, "inner products are its steps"),
    "FISTA": (10, "the restart test, 1; backtracking, the objective"),
    "HadamardGradient": (2, "its step follows the largest entries"),
    "HybridLSQR": (12, "lengths of the Lanczos vectors"),
    "LBFGS": (42, "inner products and a line search"),
    "LSQR": (2, "lengths of the Lanczos vectors"),
    "MMGKS": (34, "the projected problem is solved on the host"),
    "ProximalGradient": (6, "backtracking only"),
    "RestartedChambollePock": (2, "the length of the step, to know when to restart"),
}
RUNS = [(solver, problem) for kind in solver_kinds() for solver, problem in kind.examples()]


@pytest.mark.parametrize(("solver", "problem"), RUNS, ids=lambda v: type(v).__name__)
def test_solvers_stay_on_the_device_and_do_not_wait(solver, problem):
    """The same iterates as on NumPy, and between two checks of a rule no iteration reads a number of the device."""
    there = standin.placed(problem)
    state, ours = solver.init(there, there.zeros()), solver.init(problem, problem.zeros())
    for _ in range(3):  # norms, symbols and tables are made in the first ones
        state, ours = solver.step(there, state), solver.step(problem, ours)
    standin.reads.clear()
    for _ in range(5):
        state, ours = solver.step(there, state), solver.step(problem, ours)
    most, why = WAITS.get(type(solver).__name__, (0, "no reason is known"))
    assert len(standin.reads) <= 5 * most, f"{why}: {sorted(set(standin.reads))}"
    assert type(state.x) is standin.ndarray
    # eight steps; a line search or a Krylov space of these sizes multiplies rounding by up to some 1e4
    np.testing.assert_allclose(state.x.values, ours.x, rtol=0, atol=1e-11 * (1 + np.abs(ours.x).max()))


def test_a_solve_with_rules_on_the_device():
    """The default stop with its certificate, from data to result."""
    y = rand(np, (9, 7), 2)
    problem = vi.L2Squared(y) + 0.3 * vi.TV(y.shape)
    expected = vi.solve(problem, stop=vi.gap(1e-5))
    standin.reads.clear()
    result = vi.solve(standin.placed(problem), stop=vi.gap(1e-5))
    assert type(result.x) is standin.ndarray
    assert result.why == expected.why
    np.testing.assert_allclose(result.x.values, expected.x, rtol=0, atol=1e-10)


IMAGE = np.pad(np.ones((5, 4)), ((2, 4), (3, 3)))
NOISY = IMAGE + 0.1 * rand(np, IMAGE.shape, 4)
SCAN = vi.Radon(IMAGE.shape, vi.ParallelBeam(np.arange(8) * np.pi / 8, 16))
SHIFTS = vi.Blur(IMAGE.shape, np.ones((3, 3)) / 9)
FAMILY = vi.families.TV(IMAGE.shape)


def smoothed(x, sigma):
    return x - 0.2 * vi.Gradient(IMAGE.shape).T(vi.Gradient(IMAGE.shape)(x))


def saved(there, folder):
    """A run with a checkpoint, resumed, and its files."""
    problem, file = vi.L2Squared(there(NOISY)) + 0.1 * vi.TV(IMAGE.shape), folder / f"{there.__name__}.npz"
    vi.solve(problem, stop=vi.iterations(5), checkpoint=file)
    result = vi.solve(problem, stop=vi.iterations(12), checkpoint=file)
    result.save(folder / "image.h5")
    return result.x


ENTRIES = {
    "fbp": lambda there, _: vi.fbp(SCAN, there(SCAN(IMAGE))),
    "graph_la": lambda there, _: (
        vi.graph_la(SCAN, there(SCAN(IMAGE)), lambda y: vi.fbp(SCAN, y), lam=1.0, stop=vi.iterations(5)).x
    ),
    "weights": lambda there, _: (
        vi.solve(
            vi.L2Squared(there(NOISY)) + 0.1 * vi.TV(IMAGE.shape, weight=vi.tv_weights(there(IMAGE))),
            stop=vi.iterations(9),
        ).x
    ),
    "restore hqs": lambda there, _: vi.restore(SHIFTS, there(SHIFTS(IMAGE)), smoothed, 0.02, "hqs", steps=3).x,
    "restore ddnm": lambda there, _: vi.restore(SHIFTS, there(SHIFTS(IMAGE)), smoothed, 0.0, "ddnm", steps=3).x,
    "choose": lambda there, _: (
        vi.choose(
            vi.families.TV(IMAGE.shape, smoothing=0.05), there(NOISY), vi.Discrepancy(noise=0.1), bounds=(-4, 0)
        ).x
    ),
    "learn": lambda there, _: vi.learn(
        FAMILY, [(there(NOISY), there(IMAGE))], FAMILY.theta(weight=0.05, smoothing=0.05), stop=vi.iterations(2)
    ).apply(there(NOISY)),
    "save and checkpoint": saved,
}


# the last system (AᵀA + ρ)u = b, ρ = 0.23, is left at a residual of 1e-6: wrong by up to (1 + ρ)/ρ = 5.3 times as much,
# and as much again for what the systems before leave behind
LOOSER = {"restore hqs": 1e-5}


@pytest.mark.parametrize("name", ENTRIES)
def test_whole_programs_stay_on_the_device(name, tmp_path):
    """What users call, from data on the device to an image there: NumPy's to the accuracy of inner iterations."""
    entry = ENTRIES[name]
    got, expected = entry(there, tmp_path), entry(np.asarray, tmp_path)
    assert type(got) is standin.ndarray
    assert np.linalg.norm(got.values - expected) <= LOOSER.get(name, 1e-6) * np.linalg.norm(expected)


def test_the_stand_in_refuses_what_cupy_refuses():
    a = standin.xp.asarray(np.arange(3.0))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(a)
    with pytest.raises(TypeError, match="Unsupported type"):
        a + np.arange(3.0)
    standin.reads.clear()
    assert (float(standin.xp.sum(a)), len(a[a > 1.0]), bool(a[0] == 0)) == (3.0, 1, True)
    assert [r.split()[-1] for r in standin.reads] == ["__float__", "mask", "__bool__"]
