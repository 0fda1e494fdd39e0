"""The forecast of memory: within a tenth of the traced peak for every solver; runs that do not fit are refused."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.backend import POOL
from varinv.solvers import watch

SHAPES = [(20, 24, 32), (40, 32, 32)]
ROWS = {
    "default": None,
    "gap": None,
    "ChambollePock": vi.ChambollePock(),
    "SPDHG": vi.SPDHG(subsets=6),
    "SIRT": vi.SIRT(),
    "CGLS": vi.CGLS(),
    "denoising": None,
}


def run(name, shape):
    if name == "denoising":
        return vi.L2Squared(rand(np, shape, 1).astype(np.float32)) + 0.1 * vi.TV(shape), vi.iterations(12)
    A = vi.Radon(shape, vi.ParallelBeam(np.arange(12) * np.pi / 12, 48))
    data = vi.L2Squared(A(rand(np, shape, 1, kind="non-negative").astype(np.float32))) @ A
    rule = vi.gap(1e-9) | vi.iterations(12) if name == "gap" else vi.iterations(12)
    return (data if name in ("SIRT", "CGLS") else data + vi.TV(shape) + vi.NonNegative()), rule


def traced(problem, solver, stop):
    vi.solve(problem, solver, stop=stop)
    POOL.drop(0)
    tracemalloc.start()
    try:
        vi.solve(problem, solver, stop=stop)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "shape"), [*((n, SHAPES[0]) for n in ROWS), ("default", SHAPES[1])])
def test_it_is_within_a_tenth_of_the_peak(name, shape, monkeypatch):
    monkeypatch.setattr(watch, "VOXELS", 1)
    monkeypatch.setattr(forecast_module(), "VOXELS", 1)
    problem, stop = run(name, shape)
    found = vi.forecast(problem, ROWS[name], stop)
    assert abs(found.bytes / traced(problem, ROWS[name], stop) - 1) < 0.1
    assert found.fits
    assert found.parts["slices"] == shape[0]


def cone(slices, views):
    g = vi.ConeBeam(np.arange(views) * 2 * np.pi / views, (40, 44), 1.5, 400.0, 200.0)
    shape = (slices, 32, 32)
    A = vi.Radon(shape, g, 1.0)
    return vi.L2Squared(A(np.ones(shape, np.float32))) @ A + vi.TV(shape) + vi.NonNegative()


def test_a_cone_beam_as_well(monkeypatch):
    """Its projections are those of the whole scan, whatever the number of slices."""
    monkeypatch.setattr(watch, "VOXELS", 1)
    monkeypatch.setattr(forecast_module(), "VOXELS", 1)
    problem, stop = cone(24, 16), vi.iterations(12)
    assert abs(vi.forecast(problem, None, stop).bytes / traced(problem, None, stop) - 1) < 0.1
    with pytest.raises(ValueError, match="cannot be cut into slices"):
        vi.forecast(cone(24, 24))


def forecast_module():
    import sys

    return sys.modules["varinv.solvers.rehearsal"]


def test_the_default_rule_is_forecast_with_its_looks():
    problem, _ = run("default", SHAPES[0])
    usual = vi.gap(1e-9) | vi.residual(1e-12) | vi.iterations(50)
    assert abs(vi.forecast(problem).bytes / traced(problem, None, usual) - 1) < 0.15  # which look is met counts


def test_what_does_not_fit_is_refused_with_its_numbers(monkeypatch):
    problem, stop = run("denoising", SHAPES[0])
    needs = vi.forecast(problem, stop=stop).bytes
    monkeypatch.setattr(forecast_module(), "SMALLEST", 1)
    assert vi.solve(problem, stop=stop).state.k == 12  # it fits
    monkeypatch.setattr(forecast_module(), "memory_free", lambda: needs // 2)
    assert not vi.forecast(problem, stop=stop).fits
    with pytest.raises(MemoryError, match=r"needs .* GB .* are free, enough for \d+ of the 20 slices; .*ignore"):
        vi.solve(problem, stop=stop)
    assert vi.solve(problem, stop=stop, memory="ignore").state.k == 12


def test_small_problems_and_images_are_not_rehearsed(monkeypatch):
    monkeypatch.setattr(forecast_module(), "memory_free", lambda: 0)
    problem, stop = run("denoising", SHAPES[0])
    assert vi.solve(problem, stop=stop).state.k == 12
    with pytest.raises(ValueError, match="image of slices"):
        vi.forecast(vi.L2Squared(np.ones((4, 5))) + vi.TV((4, 5)))
    with pytest.raises(TypeError, match="must be a Problem"):
        vi.forecast(3)


def test_memory_takes_two_values():
    problem, _ = run("denoising", SHAPES[0])
    with pytest.raises(ValueError, match="memory must be None"):
        vi.solve(problem, memory="all")


def test_weights_and_starts_are_cut_too():
    shape = (12, 16, 20)
    weight = 1 + rand(np, shape, 4, kind="non-negative")
    problem = vi.L2Squared(rand(np, shape, 1), weight) + vi.TV(shape, weight=weight)
    assert math.isfinite(vi.forecast(problem).bytes)
