"""Cross-entropy: the multinomial log-loss of scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array, Shape, namespace, same_place
from varinv.functionals.base import Functional


@dataclass(frozen=True, eq=False, repr=False)
class CrossEntropy(Functional):
    """The data term of classification: how badly scores predict given classes.

    (1/m) Σ_i (log Σ_c exp z_ic − Σ_c b_ic z_ic): the multinomial log-loss of scores z, shape (m, classes).

    Gradient (softmax(z) − b)/m; the Hessian of each row is diag(p) − ppᵀ ≤ ½, so that smoothness is 1/(2m).

    Parameters
    ----------
    labels : b, one-hot rows (or probabilities that sum to 1), shape (m, classes).
    """

    labels: Array

    def __post_init__(self) -> None:
        b = check.weight("CrossEntropy", check.real_array("CrossEntropy", "labels", self.labels), name="labels")
        xp = namespace(b)
        if b.ndim != 2 or float(xp.max(abs(xp.sum(b, axis=1) - 1))) > 1e-6:
            raise ValueError(
                f"CrossEntropy: labels must be rows that sum to 1, shape (samples, classes), got shape {tuple(b.shape)}"
            )
        object.__setattr__(self, "labels", b)

    def _parts(self, z: Array) -> tuple[Array, Array, Array]:
        """(b, softmax(z), log Σ exp z) beside z."""
        self.fits(tuple(z.shape))
        xp = namespace(z)
        top = xp.max(z, axis=1, keepdims=True)
        e = xp.exp(z - top)
        total = xp.sum(e, axis=1, keepdims=True)
        return same_place("CrossEntropy", "labels", self.labels, z), e / total, top + xp.log(total)

    def __call__(self, z: Array) -> float:
        xp = namespace(z)
        z = xp.astype(z, xp.float64)
        b, _, log_total = self._parts(z)
        return float(xp.sum(log_total) - xp.sum(b * z)) / int(b.shape[0])

    def grad(self, z: Array) -> Array:
        b, p, _ = self._parts(z)
        return (p - b) / int(b.shape[0])

    def hvp(self, z: Array, v: Array) -> Array:
        b, p, _ = self._parts(z)
        return p * (v - namespace(z).sum(p * v, axis=1, keepdims=True)) / int(b.shape[0])

    @property
    def smoothness(self) -> float:
        return 0.5 / int(self.labels.shape[0])

    def fits(self, shape: Shape) -> None:
        check.same_shape("CrossEntropy", "labels", self.labels, shape)

    def data(self) -> Array | None:
        return self.labels

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), (3, 2)

    def __repr__(self) -> str:
        return f"CrossEntropy({tuple(self.labels.shape)} labels)"
