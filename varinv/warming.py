"""`varinv warm`: compile ahead what would otherwise be compiled when it is first used."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import varinv
from varinv.first_use import NOTICE, compile_seconds

# what a scan meets on its way to an image: modules whose twins on the CPU are compiled
PARTS = {
    "tomography": (
        "varinv.linalg",
        "varinv.operators.gradient",
        "varinv.operators.radon",
        "varinv.operators.radon_fan",
        "varinv.operators.fbp",
        "varinv.fused.looks",
        "varinv.fused.quadratic",
        "varinv.fused.steps",
        "varinv.fused.variation",
    ),
    "all": ("varinv",),
}


class Warmed(NamedTuple):
    """What `warm` did: kernels are counted once for each dtype."""

    ready: int
    compiled: int
    seconds: float


def warm(what: str = "all", *, say: Callable[[str, float], Any] = lambda name, done: None) -> Warmed:
    """Compile the fast kernels ahead of time, so that the first run need not wait.

    For float32 and float64; what is on disk is kept.

    Kernels lie where numba keeps its cache: the folder ``__pycache__`` beside the package, or that of the user where
    this is read-only, or NUMBA_CACHE_DIR.  A machine of another kind compiles its own.

    Parameters
    ----------
    what : "tomography": from a scan to an image of total variation; "all".
    say : called before each kernel with its name and the share done, for a progress line.

    Raises
    ------
    ValueError
        Another name.
    """
    if what not in PARTS:
        raise ValueError(f"warm: what must be one of {', '.join(PARTS)}, got {what!r}")
    twins = [m.name for m in pkgutil.walk_packages(varinv.__path__, "varinv.") if m.name.endswith("_cpu")]
    parts = PARTS[what]
    for name in twins:
        if any(name.startswith((f"{part}_cpu", f"{part}.")) for part in parts):
            importlib.import_module(name)
    from varinv.numba_tools import KERNELS

    chosen = [k for k in KERNELS if any(k.__module__.startswith((f"{part}_cpu", f"{part}.")) for part in parts)]
    forms = [(kernel, key) for kernel in chosen for key in kernel.kinds]
    waited, compiled = compile_seconds(), 0
    for n, (kernel, key) in enumerate(forms):
        say(f"{kernel.__module__.removeprefix('varinv.')}.{kernel.__name__} for {key[0]}", n / len(forms))
        spent = NOTICE.spent
        kernel.ready(key)
        compiled += NOTICE.spent > spent
    return Warmed(len(forms), compiled, compile_seconds() - waited)
