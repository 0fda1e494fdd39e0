"""Regressions as lower levels: multinomial logistic and ridge, with learned penalties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, namespace, same_place
from varinv.functionals.base import Functional
from varinv.functionals.cross_entropy import CrossEntropy
from varinv.functionals.data import L2Squared
from varinv.learning.families.base import LARGEST, Family, entries
from varinv.operators.matrix import Matrix
from varinv.problem import Problem, as_problem


@dataclass(frozen=True, eq=False, repr=False)
class _Penalised(Family):
    """Loss of the training data + ½ Σ e^θ x²: what both regressions share."""

    features: Array
    validation: Array
    outputs: int
    per: str = "class"

    def __post_init__(self) -> None:
        who, put = type(self).__name__, object.__setattr__
        for name in ("features", "validation"):
            array = check.real_array(who, name, getattr(self, name))
            if array.ndim != 2:
                raise ValueError(f"{who}: {name} must have shape (samples, features), got {tuple(array.shape)}")
            put(self, name, array)
        if self.features.shape[1] != self.validation.shape[1]:
            raise ValueError(
                f"{who}: features has {self.features.shape[1]} columns, validation {self.validation.shape[1]}"
            )
        put(self, "outputs", check.integer(who, "outputs", self.outputs, low=1))
        if self.per not in ("all", "class", "coefficient"):
            raise ValueError(f'{who}: per must be "all", "class" or "coefficient", got {self.per!r}')
        put(self, "_train", Matrix(self.features, self.outputs))
        put(self, "_test", Matrix(self.validation, self.outputs))

    @property
    def parameters(self) -> int:
        n = int(self.features.shape[1])
        return {"all": 1, "class": self.outputs, "coefficient": n * self.outputs}[self.per]

    def weights(self, theta: Array) -> Array:
        """e^θ for each coefficient, shape (features, outputs)."""
        entries(self, theta, self.parameters)
        xp = namespace(theta)
        if not float(xp.max(abs(theta))) <= LARGEST:
            raise ValueError(f"{type(self).__name__}: theta must hold natural logarithms between ±{LARGEST:g}")
        n, c = int(self.features.shape[1]), self.outputs
        w = xp.reshape(xp.exp(theta), (n, c) if self.per == "coefficient" else (1, -1))
        return w + xp.zeros((n, c), dtype=w.dtype)

    def values(self, theta: Array) -> dict[str, float]:
        w, xp = self.weights(theta), namespace(theta)
        return {"least penalty": float(xp.min(w)), "largest penalty": float(xp.max(w))}

    def __call__(self, theta: Array, y: Array) -> Problem:
        w = same_place(type(self).__name__, "theta", self.weights(theta), self.features)
        return as_problem(self._fit(y) @ self._train + L2Squared(0.0, w))  # type: ignore[attr-defined, no-any-return]

    def mu(self, theta: Array) -> float:
        return float(namespace(theta).min(self.weights(theta)))

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> Array:
        xp = namespace(x)
        product = same_place(type(self).__name__, "theta", self.weights(theta), x) * x * q
        if self.per == "coefficient":
            return xp.reshape(product, (-1,))
        sums = xp.sum(product, axis=0)
        return sums if self.per == "class" else xp.reshape(xp.sum(sums), (1,))

    def loss(self, truth: Array) -> Any:
        """The same loss on the validation data."""
        return self._fit(truth) @ self._test  # type: ignore[attr-defined]

    def _fit(self, y: Array) -> Functional:
        raise NotImplementedError

    def predict(self, x: Array) -> Array:
        """Scores of the validation data for coefficients x."""
        return self._test(x)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        n, m = tuple(self.features.shape), int(self.validation.shape[0])
        return f"{type(self).__name__}({n} features, {m} to validate, {self.outputs} outputs, per={self.per!r})"


class Logistic(_Penalised):
    """Multinomial logistic regression: sort data into classes, with a ridge that is learned.

    CE(Z x, y) + ½ Σ e^θ x², x of shape (features, classes).

    A pair is (one-hot training labels, one-hot validation labels); the loss is the cross-entropy on the validation
    data (Pedregosa 2016; Salehi et al. 2024).

    Parameters
    ----------
    features, validation : Z of shape (samples, features) to train on, and to validate on.
    outputs : number of classes.
    per : one log-penalty for "all" coefficients, per "class", or per "coefficient".
    """

    def _fit(self, y: Array) -> Functional:
        return CrossEntropy(y)


class Ridge(_Penalised):
    """Ridge regression: predict numbers from features, with a ridge that is learned.

    ½‖Z x − y‖²/m + ½ Σ e^θ x², x of shape (features, outputs); parameters as in `Logistic`.
    """

    def _fit(self, y: Array) -> Functional:
        y = check.real_array("Ridge", "y", y)
        return L2Squared(y, 1.0 / max(int(y.shape[0]), 1))
