"""What a caller does with arrays, on data made by any function of NumPy's arrays: for tests of kinds of arrays."""

from __future__ import annotations

import numpy as np
from conftest import rand

import varinv as vi
from varinv import phantom

N = 64
A = vi.Radon((N, N), vi.ParallelBeam(np.arange(20) * np.pi / 20, 91))
IMAGE = np.maximum(phantom.shepp_logan(N / 2).image((N, N)), 0).astype("f4")
Y = (A(IMAGE) + 0.5 * rand(np, A.codomain, 0)).astype("f4")


PROBLEMS = {
    "tomography": lambda of: vi.L2Squared(of(Y)) @ A + 0.5 * vi.TV((N, N)) + vi.NonNegative(),
    "denoising": lambda of: vi.L2Squared(of(IMAGE)) + 0.1 * vi.TV((N, N)),
    "weights": lambda of: vi.L2Squared(of(Y), weight=of(1 + abs(Y))) @ A + 0.5 * vi.TV((N, N), weight=of(1 + IMAGE)),
    "counts": lambda of: vi.KullbackLeibler(of(abs(Y))) @ A + 0.5 * vi.TV((N, N)) + vi.NonNegative(),
}


CALLS = {
    "operator": lambda of: A(of(IMAGE)),
    "adjoint": lambda of: A.T(of(Y)),
    "diagonal": lambda of: vi.Diagonal(of(IMAGE))(of(IMAGE)),
    "pinv": lambda of: A.pinv(of(Y), tol=1e-2),
    "fbp": lambda of: vi.fbp(A, sinogram=of(Y)),
    "objective": lambda of: PROBLEMS["weights"](of)(of(IMAGE)),
    "term": lambda of: (vi.L2Squared(of(Y)) @ A)(of(IMAGE)),
    "gradient": lambda of: (vi.L2Squared(of(Y)) @ A).grad(of(IMAGE)),
    "start": lambda of: vi.solve(PROBLEMS["denoising"](np.array), x0=of(IMAGE), stop=vi.iterations(3)).x,
    "matrix": lambda of: vi.from_scipy(np.ones((3, N * N)), (N, N))(of(IMAGE)),
    "cosines": lambda of: vi.Sobolev((N, N), 1.0, boundary="reflect")(of(IMAGE)),
    "psnr": lambda of: vi.psnr(of(IMAGE), of(1.1 * IMAGE)),
    "weights": lambda of: vi.tv_weights(of(IMAGE)),
    "mask": lambda of: vi.Subsampling((N, N), of(IMAGE > 0))(of(IMAGE)),
    "bounds": lambda of: vi.solve(vi.L2Squared(of(IMAGE)) + vi.Box(of(0 * IMAGE), of(0.5 * IMAGE))).x,
}
