"""What a solve returns: the image, why it stopped, the history; to look at, to save."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from varinv.backend import Array, to_numpy
from varinv.domains import missed
from varinv.fit import Fit, fits, hints
from varinv.image_files import save_image


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The outcome of `solve`: the image, why the solver stopped, and the course of the iterations.

    x : the image, in the library, dtype and device of the data.
    state : the solver's last state (``solver.states(problem, resume=state)`` goes on from there).
    why : why it stopped, in words.
    history : one dict per recorded iteration: k, seconds, memory, objective, change, what the rules read, what
        `observe` returned (varinv.solvers.watch.History).
    seconds : duration of the run, without compiling.
    solver, chosen : the solver, and why `solve` took it where none was named.
    notes : what the run has to say beside: ``proof``, what the certificate lacks; ``doubt``, where it did not converge
        on classes of your own; ``checkpoint``, one that could not be written.
    interrupted : whether Ctrl-C ended the run.
    finite : whether the last image was; where not, x is the last one known to be.
    compiling : seconds that this call waited for kernels to be compiled, or read from disk, beside `seconds`.
    """

    x: Array
    state: Any
    why: str
    history: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    problem: Any = None
    solver: Any = None
    notes: dict[str, Any] = field(default_factory=dict)
    chosen: str = ""
    interrupted: bool = False
    finite: bool = True
    compiling: float = 0.0

    @property
    def gap(self) -> float | None:
        """The last certified relative gap; None where none was evaluated."""
        return next((row["gap"] for row in reversed(self.history) if "gap" in row), None)

    @functools.cached_property
    def _fits(self) -> tuple[Fit, ...]:
        return fits(self.problem, self.x)

    @property
    def misfit(self) -> tuple[float, ...]:
        """How much of the data is left unexplained: ‖A x − y‖/‖y‖ for each term with data, in their order.

        Measurements of weight 0 are left out; for Poisson counts A x includes the background (varinv.fit).
        """
        return tuple(fit.misfit for fit in self._fits)

    def summary(self) -> str:
        """A few lines to read: problem, why it stopped, figures, constraints that are missed and by how much."""
        lines = [f"problem     {self.problem!r}", f"solver      {self.solver!r}"]
        lines += [f"chosen      {self.chosen}"] if self.chosen else []
        lines.append(f"stopped     {self.why}")
        lines += [f"{name:<11} {self.notes[name]}" for name in ("proof", "doubt") if name in self.notes]
        first = f", and {self.compiling:.1f} s for compiling kernels" if self.compiling > 0.1 else ""
        lines.append(f"iterations  {self.state.k} in {self.seconds:.2f} s{first}")
        figures = {name: value for row in self.history for name, value in row.items() if name not in ("k", "seconds")}
        lines += self._missed()
        memory = figures.pop("memory", None)
        lines += [f"{name:<11} {value:.6g}" for name, value in figures.items() if isinstance(value, (int, float))]
        lines += [f"memory      {memory / 1e6:.0f} MB, the most that this process had"] if memory else []
        lines += [f"misfit      {fit}" for fit in self._fits]
        lines += [f"look at     {hint}" for hint in hints(self._fits)]
        low, high = float(to_numpy(self.x).min()), float(to_numpy(self.x).max())
        lines.append(f"image       {'×'.join(map(str, self.x.shape))} {self.x.dtype}, {low:.4g} … {high:.4g}")
        return "\n".join(lines)

    def _missed(self) -> list[str]:
        """What makes the objective infinite: constraints on K x that x is outside of, and by how much."""
        found = () if self.problem is None else missed(self.problem, self.x)
        return [f"missed      {t.f} {words}" for t, words, _ in found]

    def save(self, path: str | os.PathLike[str], **metadata: Any) -> Path:
        """Write image, reason, history, settings and version to HDF5, TIFF or OME-Zarr, by the suffix.

        .h5, .hdf5, .tif, .tiff or .zarr.  The file is written beside its place and moved there in one go: a save that
        is interrupted, or meets a full disk, leaves no half file, and the older one intact; links are followed.
        Numbers, text, arrays and lists of text in `metadata` are stored with it; ``pixel_size`` (a number, or one an
        axis) and ``unit`` become the scale that ImageJ, napari and others read.  h5py reads it back: dataset ``image``,
        one dataset ``history/NAME`` a column, the rest as attributes (TIFF: JSON in ImageJ's "Info").

        >>> import h5py, os, tempfile
        >>> import varinv as vi
        >>> result = vi.solve(vi.L2Squared([1.0, 2.0]), stop=vi.iterations(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = result.save(os.path.join(folder, "image.h5"), weight=0.1)
        ...     with h5py.File(path) as file:
        ...         x, why, objective = file["image"][:], file.attrs["why"], file["history/objective"][:]
        >>> x.shape, why, objective.ndim
        ((2,), '3 iterations', 1)

        Raises ValueError for another suffix, OSError with the name and the reason where it cannot be written.
        """
        return save_image(path, self.x, {"why": self.why, **self.settings(), **metadata}, self.history)

    def settings(self) -> dict[str, Any]:
        """Problem, solver and version as text."""
        from varinv import __version__

        return {
            "problem": repr(self.problem),
            "solver": repr(self.solver),
            "iterations": self.state.k,
            "seconds": self.seconds,
            "varinv_version": __version__,
            **self.notes,
        }

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, truth: Array | None = None, unit: str | None = None
    ) -> Any:
        """The image and its convergence, or three planes of a volume, as a picture; see varinv.plot.result."""
        from varinv import plot

        return plot.result(self, path, truth=truth, unit=unit)

    def report(self, path: str | os.PathLike[str], **metadata: Any) -> Path:
        """Write a page to look at in a browser: image or three planes, data, convergence, proof and settings.

        One file; grey scale by sliders, scale bar, nothing loaded from elsewhere.  `metadata` as in `save`:
        ``pixel_size``, ``unit``, ``value_unit``, ``title``, ``checks`` (a list of doubts), ``command`` and whatever
        else is to be told.

        Raises ValueError for a name that does not end in .html, OSError where it cannot be written.
        """
        from varinv.page import of_result

        return of_result(self, metadata).save(path)

    def __repr__(self) -> str:
        return f"Result({tuple(self.x.shape)}, {self.state.k} iterations: {self.why})"
