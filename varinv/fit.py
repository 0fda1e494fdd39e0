"""How well an image explains its data: ‖K x − y‖/‖y‖ of each data term, and what to look at where it does not."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from varinv.backend import Array, double, is_array, namespace, same_place
from varinv.forms import Counts, Quadratic, form_of
from varinv.linalg import norm

LARGE = 0.2  # of the data left unexplained: more than noise in usual scans
BESIDE = 0.05  # of the data on rays that miss the image: more than the noise of air beside an object


class Fit(NamedTuple):
    """What one data term leaves: ‖K x − y‖/‖y‖, and how much of it the noise of counts explains (0: not known)."""

    term: Any
    misfit: float
    noise: float = 0.0

    def __str__(self) -> str:
        return f"‖A x − y‖ = {self.misfit:.4g} ‖y‖ in {self.term.f}"


def fits(problem: Any, x: Array) -> tuple[Fit, ...]:
    """One entry for each term with an array of data y, in their order; one application of its operator each.

    Where `form()` is a Quadratic: measurements of weight 0 are left out.  Counts: ‖K x + b − y‖/‖y‖.  Others that
    have a method `misfit(z)` give it themselves; those without say nothing.
    """
    found = []
    for term in getattr(problem, "terms", ()):
        form, own = form_of(term.f), hasattr(term.f, "misfit")
        if own or (isinstance(form, (Quadratic, Counts)) and is_array(form.y) and not getattr(form, "flat", False)):
            z = double(x) if term.K is None else term.K(double(x))
            found.append(Fit(term, term.f.misfit(z)) if own else Fit(term, *_of_form(form, z)))
    return tuple(found)


def _of_form(form: Any, z: Array) -> tuple[float, float]:
    y = double(same_place("misfit", "y", form.y, z))
    if isinstance(form, Counts):
        b = form.background
        b = same_place("misfit", "background", b, z) if is_array(b) else b
        return relative(z + b, y), math.sqrt(max(float(namespace(y).sum(y)), 0.0)) / (norm(y) or 1.0)
    weight = same_place("misfit", "weight", form.weight, z) if is_array(form.weight) else form.weight
    used = form._replace(weight=weight).used(z)
    return relative(z, y) if used is None else relative(used * z, used * y), 0.0


def relative(z: Array, y: Array) -> float:
    """‖z − y‖/‖y‖; 0 where both vanish, ∞ where y alone does."""
    distance, size = norm(z - y), norm(y)
    return distance / size if size else (math.inf if distance else 0.0)


def beside(K: Any, y: Array, used: Any = None) -> float:
    """‖y on rays that miss the image‖/‖y‖ of an X-ray transform without negative entries; one application of it."""
    xp = namespace(y)
    through = K(xp.ones(tuple(K.domain), dtype=y.dtype))
    missed = xp.where(through > 0, 0.0 * y, y) if used is None else xp.where(through > 0, 0.0 * y, used * y)
    return norm(missed) / (norm(y if used is None else used * y) or 1.0)


def hints(found: tuple[Fit, ...]) -> list[str]:
    """What to look at where a scan is not explained: a sentence a term, nothing where all is well."""
    said = []
    for fit in found:
        geometry = None if fit.term.K is None else fit.term.K.scan_geometry()
        if geometry is None:
            continue
        form = form_of(fit.term.f)
        if isinstance(form, Quadratic) and fit.term.K.absolute() is fit.term.K:
            share = beside(fit.term.K, double(form.y), form.used(form.y))
            if share > BESIDE:
                said.append(
                    f"{share:.0%} of the data lie on rays that miss the image: its grid is smaller than the object "
                    "(more pixels, or larger ones; scan.operator() covers the detector), or air is not 0 in the data"
                )
        if fit.misfit > max(LARGE, 2 * fit.noise):
            said.append(
                "more than 20 % of the data are explained by no image here: look at the axis, at what the numbers are "
                "(counts, transmission, line integrals), at pixel_size and distances, the sense of rotation and the "
                "order of views, a grid smaller than the object; or the data are noisy, or the run was too short"
            )
    return said
