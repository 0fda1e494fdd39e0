"""Fields of experts: learned filters, their weights and their smoothing."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, namespace, to_numpy
from varinv.functionals.charbonnier import Charbonnier
from varinv.learning.families.base import Family, data_term, entries, exponential, operator
from varinv.linalg import dot
from varinv.operators.base import LinearOperator
from varinv.operators.blur import Blur
from varinv.problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class FieldOfExperts(Family):
    r"""Least squares with learned filters as the regulariser.

    ½‖A x − y‖² + e^{θ₀} Σ_k e^{w_k} Σ √((c_k ∗ x)² + e^{2s_k}) + ½ ξ‖x‖², circular convolutions.

    Roth & Black (2009) with a convex potential.  θ = (θ₀, w_1 … w_K, s_1 … s_K, taps of c_1, …, taps of c_K).
    Smoothness: ‖A‖² + ξ + max_ω Σ_k e^{θ₀+w_k−s_k}|ĉ_k(ω)|², exact for the filters together.

    Parameters
    ----------
    shape : image shape; filters act on its last axes, the first ones are a stack.
    filters : (K, *size): how many filters, of which size.
    A : forward operator; None: denoising.
    ridge : ξ ≥ 0; positive for other A.
    start_from_data : lower levels start from y, not from 0 (denoising).

    Raises
    ------
    TypeError, ValueError
        Filters of more axes than the image, an operator of other images.

    Examples
    --------
    >>> family = FieldOfExperts((32, 32), (6, 3, 3))
    >>> family.parameters
    67
    """

    shape: Shape
    filters: tuple[int, ...]
    A: LinearOperator | None = None
    ridge: float = 0.0
    start_from_data: bool = False

    def __post_init__(self) -> None:
        who, put = "FieldOfExperts", object.__setattr__
        put(self, "shape", check.shape(who, self.shape))
        put(self, "filters", check.shape(who, self.filters, name="filters"))
        if not 2 <= len(self.filters) <= len(self.shape) + 1:
            raise ValueError(f"{who}: filters must be (K, *size) for images {self.shape}, got {self.filters}")
        operator(who, self.A)
        if self.A is not None and tuple(self.A.domain) != self.shape:
            raise ValueError(f"{who}: A takes images {tuple(self.A.domain)}, the experts see {self.shape}")
        check.number(who, "ridge", self.ridge, low=0.0)

    @property
    def parameters(self) -> int:
        return 1 + 2 * self.filters[0] + math.prod(self.filters)

    def theta0(self, taps: Array, weight: float = math.exp(-2), smoothing: float = 0.03) -> Array:
        """theta from filters (K, *size), with e^{θ₀} = e^{w_k} = √weight and e^{s_k} = smoothing."""
        K = self.filters[0]
        taps = check.real_array("FieldOfExperts", "taps", taps)
        check.same_shape("FieldOfExperts", "taps", taps, self.filters)
        w = 0.5 * math.log(check.number("FieldOfExperts", "weight", weight, low=0.0, strict=True))
        s = math.log(check.number("FieldOfExperts", "smoothing", smoothing, low=0.0, strict=True))
        xp = namespace(taps)
        return xp.concat([xp.asarray([w] * (1 + K) + [s] * K), xp.reshape(xp.astype(taps, xp.float64), (-1,))])

    def experts(self, theta: Array) -> list[tuple[float, float, Array]]:
        """(weight e^{θ₀+w_k}, smoothing e^{s_k}, taps of c_k on the host) for each expert."""
        entries(self, theta, self.parameters)
        values, K = to_numpy(theta), self.filters[0]
        taps = host.reshape(host.asarray(values[1 + 2 * K :]), self.filters)
        return [
            (
                exponential(self, f"the weight of filter {k}", values[0] + values[1 + k]),
                exponential(self, f"the smoothing of filter {k}", values[1 + K + k]),
                taps[k],
            )
            for k in range(K)
        ]

    def values(self, theta: Array) -> dict[str, float]:
        found = self.experts(theta)
        named = {f"weight {k}": w for k, (w, _, _) in enumerate(found)}
        return named | {f"smoothing {k}": s for k, (_, s, _) in enumerate(found)}

    def __call__(self, theta: Array, y: Array) -> Problem:
        terms = (Charbonnier(s, w) @ Blur(self.shape, c) for w, s, c in self.experts(theta))
        return functools.reduce(lambda problem, term: problem + term, terms, data_term(y, self.A, self.ridge))

    def start(self, y: Array) -> Array:
        """Where the first lower level starts."""
        return y if self.start_from_data and self.A is None else namespace(y).zeros(self.shape, dtype=y.dtype)

    def mu(self, theta: Array) -> float:
        return (1.0 if self.A is None else 0.0) + self.ridge

    def smoothness(self, theta: Array) -> float:
        grid, axes = self.shape[-(len(self.filters) - 1) :], tuple(range(len(self.filters) - 1))
        total = sum(w / s * abs(_spectrum(c, grid, axes)) ** 2 for w, s, c in self.experts(theta))
        first = 1.0 if self.A is None else self.A.norm() ** 2
        return first + self.ridge + float(host.max(total)) * (1 + 1e-12)

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> Array:
        xp, size = namespace(x), self.filters[1:]
        axes = tuple(range(-len(size), 0))
        weights, smoothings, taps = [], [], []
        shifts = [  # (c ∗ x)[i] = Σ_j c[j] x[i + size//2 − j]
            (xp.roll(x, move, axis=axes), xp.roll(q, move, axis=axes))
            for j in itertools.product(*map(range, size))
            for move in [tuple(b - s // 2 for b, s in zip(j, size, strict=True))]
        ]
        for w, s, c in self.experts(theta):
            K = Blur(self.shape, c)
            z, Kq = K.forward(x), K.forward(q)
            phi = xp.sqrt(z * z + s * s)
            slope, bend = w * z / phi, w * s * s / phi**3 * Kq
            weights.append(dot(slope, Kq))
            smoothings.append(-dot(bend, z))
            taps += [dot(slope, moved_q) + dot(bend, moved_x) for moved_x, moved_q in shifts]
        return xp.asarray([math.fsum(weights), *weights, *smoothings, *taps], dtype=xp.float64)

    def __repr__(self) -> str:
        return f"FieldOfExperts({self.shape}, {self.filters}{'' if self.A is None else f', A={self.A}'})"


def _spectrum(taps: Array, grid: Shape, axes: tuple[int, ...]) -> Array:
    """The Fourier transform of a filter on a periodic grid, which folds what is larger than the grid."""
    full = host.zeros(grid)
    for j in itertools.product(*map(range, taps.shape)):
        full[tuple(b % n for b, n in zip(j, grid, strict=True))] += float(taps[j])
    return host.fft.fftn(full, axes=axes)
