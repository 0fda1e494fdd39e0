"""The constants that bounds of hypergradients rest on: never violated, and attained somewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")

STEP = 1e-30  # of complex-step derivatives: no difference is taken, so that they are exact to rounding


class Dense:
    """∇ₓh of smoothed total variation from the matrix of D, in plain NumPy, and its derivatives by complex steps."""

    def __init__(self, family: Any) -> None:
        self.shape, self.isotropic = family.gradient.domain, family.isotropic
        units = np.eye(int(np.prod(self.shape)))
        columns = [family.gradient.forward(e.reshape(self.shape)) for e in units]
        self.groups = columns[0].shape[0]
        self.D = np.stack([c.ravel() for c in columns], axis=1)

    def slope(self, theta: Any, x: Any) -> Any:
        """At x or at its columns, θ = (ln λ, ln ν, ln ξ); without the data term, linear in x and free of θ."""
        weight, nu, ridge = np.exp(theta)
        z = self.D @ x
        squares = z * z
        if self.isotropic:
            squares = np.tile(
                squares.reshape(self.groups, -1, *x.shape[1:]).sum(axis=0), (self.groups,) + (1,) * (x.ndim - 1)
            )
        return weight * self.D.T @ (z / np.sqrt(squares + nu**2)) + ridge * x

    def jacobian(self, theta: Any, x: Any) -> Any:
        return np.stack([self.slope(theta + 1j * STEP * e, x).imag / STEP for e in np.eye(3)], axis=1)

    def hessian(self, theta: Any, x: Any) -> Any:
        return self.slope(theta, x[:, None] + 1j * STEP * np.eye(x.size)).imag / STEP

    def change(self, of: str, theta: Any, x: Any, direction: Any, far: float) -> float:
        """‖J(x') − J(x)‖/‖x' − x‖ (or of the Hessian), spectral norms, x' = x + far·direction/‖direction‖."""
        at = getattr(self, of)
        there = x + far * direction / np.linalg.norm(direction)
        return float(np.linalg.norm(at(theta, there) - at(theta, x), 2)) / far


PLAIN = 3.0 * vi.Identity((2, 3))  # a D whose norm 3 is its norm in every direction: nothing is lost by ‖D‖
THETA = np.log([0.3, 0.2, 0.1])  # λ, ν, ξ


def family(gradient: Any, isotropic: bool) -> vi.families.TV:
    return vi.families.TV(gradient, ridge=None, isotropic=isotropic)


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("gradient", [(3, 2), vi.Gradient((2, 4), axes=(1,)), PLAIN, 0.2 * PLAIN], ids=repr)
def test_constants_are_never_violated(gradient: Any, isotropic: bool) -> None:
    """‖J‖, L_J, L_H at random points and distances, |Dx| from ν/30 to 30 ν, and at the worst ones a search finds."""
    tv = family(gradient, isotropic)
    dense, rng = Dense(tv), np.random.default_rng(0)
    n, d = dense.D.shape[1], tv.gradient.norm()
    largest = {"columns": 0.0, "jacobian": 0.0, "hessian": 0.0}
    for _ in range(60):
        theta = THETA + rng.standard_normal(3)
        direction, unit = rng.standard_normal(n), np.exp(theta[1]) / d
        x, far = unit * rng.standard_normal(n) * 10 ** rng.uniform(-1.5, 1.5), unit * 10 ** rng.uniform(-4, 0)
        J, L_J, L_H = tv.bounds(theta, np.zeros(dense.shape), x.reshape(dense.shape))
        largest["columns"] = max(largest["columns"], np.linalg.norm(dense.jacobian(theta, x), 2) / J)
        for of, bound in (("jacobian", L_J), ("hessian", L_H)):
            largest[of] = max(largest[of], dense.change(of, theta, x, direction, far) / bound)
    _, *constants = tv.bounds(THETA, np.zeros(dense.shape), np.zeros(dense.shape))
    near = 1e-6 * np.exp(THETA[1]) / d  # differences of matrices that are exact to 1e-15: good to 1e-9
    for of, bound in zip(("jacobian", "hessian"), constants, strict=True):
        found = minimize(
            lambda v, of=of, bound=bound: -dense.change(of, THETA, v[:n] / d, v[n:], near) / bound,
            np.concatenate([0.1 * rng.standard_normal(n), rng.standard_normal(n)]),
            method="L-BFGS-B", options={"maxiter": 10},
        )  # fmt: skip
        assert -found.fun > 0.05  # it looks where the constants are of the right size
        largest[of] = max(largest[of], -found.fun)
    assert max(largest.values()) <= 1 + 1e-8
    assert largest["columns"] >= 0.6  # of three columns, 1/√3 is the least that the Frobenius norm can lose


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.2])
@pytest.mark.parametrize("nu", [0.05, 0.2, 1.5])
def test_constants_are_attained(isotropic: bool, scale: float, nu: float) -> None:
    """Where D stretches all directions alike: L_J at x = 0, where all columns turn together, L_H at |Dx| = ν/2.

    So no constant can be smaller; at two scales of D and three of ν, so that no power of them is wrong.
    """
    tv, d, theta = family(scale * PLAIN, isotropic), 3 * scale, np.log([0.3, nu, 0.1])
    dense, along = Dense(tv), np.zeros((2, 3))
    along[:, 0] = (0.6, 0.8) if isotropic else (1.0, 0.0)
    J, L_J, L_H = tv.bounds(theta, along, 0 * along)
    assert J == 0.0  # at x = 0
    near = 1e-4 * nu / d
    # differences of step h lose h² near these points, where the next derivative vanishes
    assert dense.change("jacobian", theta, np.zeros(6), along.ravel(), near) >= 0.999999 * L_J
    assert dense.change("hessian", theta, nu / (2 * d) * along.ravel(), along.ravel(), near) >= 0.999999 * L_H
    alone = vi.families.TV(scale * PLAIN, smoothing=nu, isotropic=isotropic)  # one parameter: J is its only column
    assert alone.bounds(theta[:1], along, 7 * along)[1] == pytest.approx(0.3 * d**2 / nu)
    assert np.linalg.norm(dense.jacobian(theta, 7 * along.ravel())[:, 0]) == pytest.approx(
        alone.bounds(theta[:1], along, 7 * along)[0], rel=1e-12
    )


def test_for_images_the_constants_are_within_reach() -> None:
    """Total variation of 8×6: L_J within its own loss of ‖D‖ (closed form against dense), L_H within a factor of 12."""
    tv = family((8, 6), False)
    dense = Dense(tv)
    _, stretch, directions = np.linalg.svd(dense.D)
    _, L_J, L_H = tv.bounds(THETA, np.zeros((8, 6)), np.zeros((8, 6)))
    by_jacobian = dense.change("jacobian", THETA, np.zeros(48), directions[0], 1e-6)
    assert by_jacobian >= 0.999 * (stretch[0] / tv.gradient.norm()) ** 2 * L_J
    edge = np.zeros(48)
    edge[20], edge[21] = -1.0, 1.0  # neighbours: |Dx| = ν on their edge, ν/2 on those around
    assert dense.change("hessian", THETA, 0.1 * edge, edge, 1e-6) >= L_H / 12
