"""Networks in the null space: exact data stay exact, whatever the network does."""

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.backend import to_numpy

MASK = vi.Subsampling((6, 8), np.random.default_rng(0).random((6, 8)) < 0.5)
OPERATORS = {
    "mask": lambda xp: MASK,
    "means": lambda xp: vi.Downsampling((6, 8), 2),
    "matrix": lambda xp: vi.Matrix(xp.asarray(rand(np, (5, 9), 1))),
}


def wild(x):
    return x**3 - 2.0


@pytest.mark.parametrize("name", OPERATORS)
def test_the_formula_and_the_data(name, xp):
    A = OPERATORS[name](xp)
    y = xp.asarray(rand(np, A.codomain, 2))
    x = vi.NullspaceNetwork(A, wild)(y)
    M = dense(OPERATORS[name](np))
    inverse = np.linalg.pinv(M)
    first = inverse @ to_numpy(y).reshape(-1)
    expected = first + (np.eye(M.shape[1]) - inverse @ M) @ wild(first)
    assert np.abs(to_numpy(x).reshape(-1) - expected).max() <= 1e-8  # pinv by conjugate gradients: 1e-10, condition 1e2
    assert np.abs(to_numpy(A(x) - y)).max() <= 1e-8
    consistent = vi.DataConsistent(A, y, lambda x, sigma: wild(x) + sigma)
    found = consistent(xp.asarray(rand(np, A.domain, 3)), 0.3)
    assert np.abs(to_numpy(A(found) - y)).max() <= 1e-8


def test_a_consistent_denoiser_in_an_iteration():
    A = MASK
    y = A(rand(np, (6, 8), 4))
    D = vi.DataConsistent(A, y, lambda x, sigma: x / (1 + sigma**2))
    result = vi.restore(A, y, D, 0.05, "pnp", steps=5)
    assert np.abs(A(result.x) - y).max() <= 1e-12


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda A: vi.NullspaceNetwork(3, wild), TypeError, "NullspaceNetwork: A must be a LinearOperator, got 3"),
        (lambda A: vi.NullspaceNetwork(A, 3), TypeError, r"network must be callable as network\(x\), got 3"),
        (lambda A: vi.NullspaceNetwork(A, wild)(np.ones(4)), ValueError, r"must have shape \(3, 4\), got \(4,\)"),
        (lambda A: vi.NullspaceNetwork(A, lambda x: x[1:])(np.ones((3, 4))), ValueError, "network maps shape"),
        (lambda A: vi.NullspaceNetwork(A, lambda x: x * np.nan)(np.ones((3, 4))), ValueError, "network returned NaN"),
        (lambda A: vi.DataConsistent(A, np.ones((3, 4)), 3), TypeError, r"callable as denoiser\(x, sigma\), got 3"),
        (lambda A: vi.DataConsistent(A, np.ones(3), wild), ValueError, r"y must have shape \(3, 4\), got \(3,\)"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call(vi.Downsampling((6, 8), 2))
