"""What `choose` returns: the parameter, how it was found, whether to trust it; to look at, to save."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varinv.backend import Array, to_numpy
from varinv.learning.rules_base import OK, Point

FORMAT = 1  # of the files


@dataclass(frozen=True, eq=False, repr=False)
class Chosen:
    """The outcome of `choose`: the parameters, the image, and whether the rule worked.

    theta : the parameters chosen, 1-D float64.
    value : the criterion there.
    status : "ok", or what went wrong: "at the end of the bounds", "no root", "no corner", "search did not converge",
        "the criterion does not depend on theta", "lower solve did not converge".  theta is then the best there was.
    why : the same in a sentence.
    x, problem : the solution at theta, and the problem it solves.
    curve : every theta that was tried, in increasing order (several parameters: in order of trial), with criterion,
        residual ‖A x − y‖, degrees of freedom (NaN: not formed), and whether its solves converged.
    values : what theta means, where the family says; else exp(theta).
    noise : the standard deviation used, given or estimated; None: the rule needs none.
    """

    theta: Array
    value: float
    status: str
    why: str
    x: Array
    problem: Any
    curve: tuple[Point, ...]
    values: dict[str, float]
    rule: str
    criterion: str
    noise: float | None
    solves: int
    iterations: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the rule found what it looks for."""
        return self.status == OK

    def summary(self) -> str:
        """A few lines to read: parameters, criterion and whether the rule worked."""
        values = ", ".join(f"{name} {value:.6g}" for name, value in self.values.items())
        lines = [
            f"rule        {self.rule}",
            f"status      {self.status}: {self.why}",
            f"chosen      {values}",
            f"{'criterion':<11} {self.value:.6g}  ({self.criterion})",
        ]
        lines += [f"noise       {self.noise:.4g}"] if self.noise is not None else []
        lines.append(f"work        {self.solves} solves, {self.iterations} iterations in {self.seconds:.1f} s")
        return "\n".join(lines)

    def report(self) -> dict[str, Any]:
        """Everything but the image and the problem, as plain JSON; None stands for what was not computed."""

        def plain(value: float) -> float | None:
            return float(value) if math.isfinite(value) else None

        rows = []
        for p in self.curve:
            theta = list(p.theta) if isinstance(p.theta, tuple) else p.theta
            rows.append(
                {
                    "theta": theta,
                    "criterion": plain(p.criterion),
                    "residual": plain(p.residual),
                    "df": plain(p.df),
                    "reached": bool(p.reached),
                }
            )
        words = ("status", "why", "rule", "criterion", "noise", "solves", "iterations", "seconds", "values")
        return {
            "format": FORMAT,
            "theta": to_numpy(self.theta).tolist(),
            "value": plain(self.value),
            **{name: getattr(self, name) for name in words},
            "problem": repr(self.problem),
            "curve": rows,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as JSON, or the image with the report beside it (.h5, .tif, .zarr), atomically.

        Raises ValueError for another suffix.
        """
        from varinv.files import replaced
        from varinv.image_files import SUFFIXES, save_image

        path = Path(path)
        if path.suffix.lower() == ".json":
            with replaced(path) as part:
                part.write_text(json.dumps(self.report(), indent=1))
            return path
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"save: the file name must end in .json, {', '.join(SUFFIXES)}, got {path.name!r}")
        return save_image(path, self.x, {"choice": json.dumps(self.report())})

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The criterion, residual and degrees of freedom over theta, and the image; see varinv.plot.choice."""
        from varinv.plot import choice

        return choice(self, path)

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        return f"Chosen({values} by {self.rule}: {self.status})"
