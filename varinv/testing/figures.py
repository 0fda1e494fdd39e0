"""The figures that checks and the library's own contract tests judge: each is measured in one place, here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from varinv.backend import Array, to_numpy
from varinv.linalg import dot, norm

LIMIT = {"float64": 1e-12, "float32": 1e-6}  # rounding: about 1e-16 and 6e-8 a term, errors add like a random walk
KINDS = ("signed", "non-negative", "border")


def rand(xp: Any, shape: tuple[int, ...], seed: int, dtype: str = "float64", kind: str = "signed") -> Any:
    """A random image of `xp`: "signed" normal, "non-negative" uniform, or "border" (zero but for the outer ring)."""
    rng = np.random.default_rng([seed, *shape])
    values = rng.uniform(size=shape) if kind == "non-negative" else rng.standard_normal(shape)
    if kind == "border":
        inner = tuple(slice(1, -1) for _ in shape)
        values[inner] = 0
    return xp.asarray(values.astype(dtype), dtype=getattr(xp, dtype))


def points(f: Any, shape: Any, count: int = 4, scale: float = 2.0) -> list[Any]:
    """Random arguments of several sizes."""
    return [scale * 3.0 ** (i - 1) * rand(np, shape, i) for i in range(count)]


def dense(K: Any, adjoint: bool = False) -> Any:
    """The matrix of a small operator, column by column from `forward` or row by row from `adjoint`."""
    source = K.codomain if adjoint else K.domain
    eye = np.eye(int(np.prod(source))).reshape(-1, *source)
    apply = K.adjoint if adjoint else K.forward
    columns = np.stack([to_numpy(apply(e)).reshape(-1) for e in eye], axis=-1)
    return columns.T if adjoint else columns


# ------------------------------------------------------------------------------------------------------- of operators


def adjoint_error(K: Any, x: Array, y: Array) -> float:
    """|⟨Kx, y⟩ − ⟨x, Kᵀy⟩| / max(‖Kx‖‖y‖, ‖x‖‖Kᵀy‖), sums in float64; 0/0 counts as 0."""
    Kx, KTy = K(x), K.T(y)
    error = abs(dot(Kx, y) - dot(x, KTy))
    return error / max(norm(Kx) * norm(y), norm(x) * norm(KTy)) if error else 0.0


def linearity_error(K: Any, x: Array, z: Array) -> float:
    """‖K(3x − z/2) − 3Kx + Kz/2‖ over ‖K‖(‖x‖ + ‖z‖), the natural size where the result itself is small."""
    Kx, Kz = to_numpy(K(x)), to_numpy(K(z))
    left, right = to_numpy(K(3 * x - 0.5 * z)), 3 * Kx - 0.5 * Kz
    away = float(np.linalg.norm(left - right))
    size = max(K.norm() * (norm(x) + norm(z)), float(np.linalg.norm(Kx) + np.linalg.norm(Kz)))
    return away / size if away else 0.0


def largest_singular_value(K: Any, steps: int = 60) -> tuple[float, bool]:
    """(σ_max, True) from the dense matrix of a small operator, else (a lower bound by Lanczos on KᵀK, False)."""
    n = math.prod(K.domain)
    if n <= 1024 and n * math.prod(K.codomain) <= 2**22:
        return float(np.linalg.svd(dense(K), compute_uv=False)[0]), True
    v = rand(np, K.domain, 1)
    basis, alpha, beta = [v / np.linalg.norm(v)], [], []
    for _ in range(min(steps, n)):
        w = to_numpy(K.adjoint(K.forward(basis[-1].reshape(K.domain))))
        alpha.append(float(np.sum(w * basis[-1])))
        for _ in range(2):  # orthogonal to rounding
            for b in basis:
                w = w - np.sum(w * b) * b
        beta.append(float(np.linalg.norm(w)))
        if beta[-1] <= 1e-12 * max(alpha):
            break
        basis.append(w / beta[-1])
    T = np.diag(alpha) + np.diag(beta[: len(alpha) - 1], 1) + np.diag(beta[: len(alpha) - 1], -1)
    return math.sqrt(max(float(np.linalg.eigvalsh(T)[-1]), 0.0)), False


# ----------------------------------------------------------------------------------------------------- of functionals


def beaten(f: Any, x: Any, p: Any, step: Any, seed: int) -> float:
    """The largest decrease of f(z) + Σ (z − x)²/(2 step) below its value at p, over candidates other than p."""

    def cost(z: Any) -> float:
        return float(f(z)) + float(np.sum((z - x) ** 2 / (2 * step)))

    rng = np.random.default_rng(seed)
    scales = np.logspace(-5, 0, 6)
    tried = [np.zeros_like(x), x, *(p + scales[i % 6] * rng.standard_normal(x.shape) for i in range(200))]
    tried += [p + s * np.where(rng.uniform(size=x.shape) < 0.3, x - p, 0) for s in scales]  # stays in convex domains
    return (cost(p) - min(map(cost, tried))) / max(abs(cost(p)), 1.0)


def feasible(f: Any, q: Any) -> Any:
    """f.feasible(q); a functional that stays primal needs none, and the check that q is finite in f* remains."""
    return f.feasible(q) if hasattr(f, "feasible") else q


def fenchel_young_error(f: Any, p: Any, q: Any) -> float:
    """|f(p) + f*(q) − ⟨p, q⟩| over the largest of the three, at least 1: 0 where q is a subgradient at p."""
    value, conjugate, product = f(p), f.conj(q), float(np.sum(p * q))
    return float(abs(value + conjugate - product) / max(abs(value), abs(conjugate), abs(product), 1.0))


def fenchel_young_excess(f: Any, z: Any, q: Any) -> float:
    """⟨z, q⟩ − f(z) − f*(q) over max(|f*(q)|, 1): never positive."""
    conjugate = f.conj(q)
    value = f(z)
    if math.isinf(value) or math.isinf(conjugate):
        return -math.inf
    return float((float(np.sum(z * q)) - value - conjugate) / max(abs(conjugate), 1.0))


def expansion(f: Any, x: Any, z: Any, step: float) -> float:
    """(1 + tμ)‖p − q‖² − ⟨p − q, x − z⟩ over max(…, 1) for two prox points, μ the declared convexity: never > 0."""
    p, q = f.prox(x, step), f.prox(z, step)
    left, right = float(np.sum((p - q) * (x - z))), (1 + step * f.convexity) * float(np.sum((p - q) ** 2))
    return float((right - left) / max(right, 1.0))


def slope_error(f: Any, x: Any, d: Any, h: float = 1e-5) -> float:
    """|central difference of f along d − ⟨∇f(x), d⟩| over 1 + |⟨∇f(x), d⟩|."""
    slope, claimed = (f(x + h * d) - f(x - h * d)) / (2 * h), float(np.sum(f.grad(x) * d))
    return float(abs(slope - claimed) / (1 + abs(claimed)))


def bend_error(f: Any, x: Any, d: Any, h: float = 1e-5) -> float:
    """The largest |central difference of ∇f along d − ∇²f(x) d| over 1 + |∇²f(x) d|."""
    bend, claimed = (f.grad(x + h * d) - f.grad(x - h * d)) / (2 * h), f.hvp(x, d)
    return float(np.max(abs(bend - claimed) / (1 + abs(claimed))))


def gradient_ratios(f: Any, x: Any, z: Any) -> tuple[float, float]:
    """‖∇f(x) − ∇f(z)‖/‖x − z‖, at most `smoothness`, and ⟨∇f(x) − ∇f(z), x − z⟩/‖x − z‖², at least `convexity`."""
    g, d = f.grad(x) - f.grad(z), x - z
    squared = float(np.sum(d * d))
    return float(np.linalg.norm(g)) / math.sqrt(squared), float(np.sum(g * d)) / squared


def relative_difference(a: Any, b: Any) -> float:
    """max |a − b| / max |b|, 0/0 counts as 0."""
    away = float(np.max(np.abs(a - b), initial=0.0))
    return away / max(float(np.max(np.abs(b), initial=0.0)), 1e-300) if away else 0.0


def worst(figure: Callable[..., float], cases: Any) -> float:
    """The largest figure over some arguments; a NaN is the largest of all."""
    found = [figure(*case) for case in cases]
    return math.nan if any(math.isnan(v) for v in found) else max(found, default=-math.inf)
