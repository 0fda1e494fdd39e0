"""What families share: logarithms of named parameters, data terms, checks."""

from __future__ import annotations

import math
from typing import Any

from varinv import check
from varinv.backend import Array, is_array
from varinv.functionals.data import L2Squared
from varinv.operators.base import LinearOperator
from varinv.problem import Problem, as_problem

LARGEST = 700.0  # exp(709) overflows


class Family:
    """A callable ``family(theta, y) -> Problem`` with named parameters."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of theta are the logarithms of; (): they have no names one by one."""
        return ()

    def theta(self, **values: float) -> Array:
        """The logarithms of the named positive numbers, as theta.

        Raises ValueError for a number that is not positive, TypeError for a name that is missing or unknown.
        """
        import array_api_compat.numpy as xp

        who = type(self).__name__
        if set(values) != set(self.names):
            raise TypeError(f"{who}.theta needs {', '.join(self.names)}, got {', '.join(values) or 'nothing'}")
        return xp.asarray([math.log(check.number(who, n, values[n], low=0.0, strict=True)) for n in self.names])

    def values(self, theta: Array) -> dict[str, float]:
        """What theta means: name → exp of its entry."""
        entries(self, theta, len(self.names))
        return {name: exponential(self, name, theta[i]) for i, name in enumerate(self.names)}

    def __repr__(self) -> str:
        return type(self).__name__


def entries(family: Any, theta: Array, p: int) -> None:
    """Raise a ValueError where theta does not have p entries."""
    if not is_array(theta) or tuple(theta.shape) != (p,):
        raise ValueError(f"{type(family).__name__} has {p} parameters, got theta {check.describe(theta)}")


def exponential(family: Any, name: str, value: Any) -> float:
    """exp(value) as a Python float; a ValueError that names the parameter where it would be 0 or infinite."""
    value = float(value)
    if not abs(value) <= LARGEST:
        raise ValueError(
            f"{type(family).__name__}: theta for {name} is {value:g}, a natural logarithm between ±{LARGEST:g} is "
            "expected; pass theta(name=value) to take logarithms"
        )
    return math.exp(value)


def operator(who: str, A: Any) -> LinearOperator | None:
    if A is not None and not isinstance(A, LinearOperator):
        raise TypeError(f"{who}: A must be a LinearOperator or None for the identity, got {check.describe(A)}")
    return A


def data_term(y: Array, A: LinearOperator | None, ridge: float = 0.0) -> Problem:
    """½‖A x − y‖² + ½ ridge ‖x‖²."""
    problem: Problem = as_problem(L2Squared(y) if A is None else L2Squared(y) @ A)
    return problem + L2Squared(0.0, ridge) if ridge > 0 else problem
