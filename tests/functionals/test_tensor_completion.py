"""Sequences of low tubal rank from a part of their entries, with the tensor nuclear norm."""

from __future__ import annotations

import numpy as np
import pytest

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("solver", [vi.ADMM(), vi.FISTA()], ids=["admm", "fista"])
def test_half_of_the_entries_give_a_sequence_of_tubal_rank_two(solver: object) -> None:
    """X = U * V with tubes along the frames: frontal slices of the Fourier transform of rank 2.

    Of 5·20·20 entries 55 % are seen; the tensors of this rank have 5·2·(20 + 20 − 2) = 380 degrees of freedom, a third
    of the 1100 seen, which the convex relaxation recovers up to the bias of λ (Lu et al. 2020).
    """
    rng = np.random.default_rng(0)
    U, V = (np.fft.fft(rng.standard_normal(s), axis=0) for s in ((5, 20, 2), (5, 2, 20)))
    X = np.fft.ifft(U @ V, axis=0).real
    X /= X.std()
    seen = vi.Subsampling(X.shape, rng.uniform(size=X.shape) < 0.55)
    y = seen(X)
    problem = vi.L2Squared(y) @ seen + 0.02 * vi.TensorNuclear()
    result = vi.solve(problem, solver, stop=vi.residual(1e-5) | vi.iterations(2000))
    assert vi.relative_error(seen.T(y), X) >= 0.6  # zero-filled
    assert vi.relative_error(result.x, X) <= 0.02
    singular = np.linalg.svd(np.fft.fft(result.x, axis=0), compute_uv=False)
    assert (singular[:, 2] <= 0.02 * singular[:, 1]).all()  # every slice is of rank 2
