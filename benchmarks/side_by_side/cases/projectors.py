"""Forward and adjoint X-ray transform: seconds a call, arrays in and out."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import varinv as vi
from side_by_side.harness import Row, Run, alternate, reason

PEERS = {
    "ASTRA CPU": "astra_toolbox",
    "scikit-image": "skimage_",
    "SCICO": "scico_",
    "svmbir": "svmbir_",
    "mbirjax": "mbirjax_",
}

# the largest edge at which a peer is taken: none of them is the fastest, SCICO takes ten seconds a call at 1024², and
# svmbir minutes to make its matrix at 512²
LARGEST = {"scikit-image": 512, "SCICO": 512, "svmbir": 256}

SIZES = ((256, 60, None), (512, 180, (8.0, 5.0)), (1024, 360, (6.0, 5.0)))  # the ratios asked of ASTRA, of the others


def scans(run: Run) -> Iterator[tuple[str, tuple[int, ...], Any, tuple[float, float] | None]]:
    """(title, image shape, geometry, the ratio to ASTRA asked for, the ratio to the others)."""
    for n, views, asked in [(run.size, 8, None)] if run.size else SIZES[1:2] if run.quick else SIZES:
        half_turn = np.arange(views) * np.pi / views
        yield f"parallel {n}² × {views}", (n, n), vi.ParallelBeam(half_turn, round(n * 725 / 512)), asked
    if run.quick:
        return
    turn = np.arange(180) * 2 * np.pi / 180
    yield "fan 512² × 180", (512, 512), vi.FanBeam(turn, 725, 1.5, 1024.0, 512.0), None
    half_turn = np.arange(60) * np.pi / 60
    yield "stack of 32, 256² × 60", (32, 256, 256), vi.ParallelBeam(half_turn, 363), None


def rows(run: Run) -> Iterator[Row]:
    for title, shape, geometry, asked in scans(run):
        A = vi.Radon(shape, geometry)
        x = np.random.default_rng(0).random(shape, dtype=np.float32)
        y = A(x)
        for name, module in PEERS.items():
            if not run.wants(name) or shape[-1] > LARGEST.get(name, shape[-1]):
                continue
            case = f"projector, {title}, float32"
            try:
                peer = importlib.import_module(f"side_by_side.peers.{module}")
                pair = peer.projector(geometry, shape)
                image, sinogram = pair.image(x), pair.sinogram(y)
                note = difference(np.asarray(pair.show(pair.forward(image))), y)
                wanted = (asked[0] if "ASTRA" in name else asked[1]) if asked else None
                for what, ours, other in (
                    ("forward", lambda: A.forward(x), lambda: pair.forward(image)),  # noqa: B023
                    ("adjoint", lambda: A.adjoint(y), lambda: pair.adjoint(sinogram)),  # noqa: B023
                ):
                    a, b = alternate(ours, other, 5 if run.quick else 9, 2.0)
                    yield Row(case, what, a, name, b, note=note if what == "forward" else "", asked=wanted)
            except Exception as error:
                yield Row(case, "", None, name, note=reason(error))


def difference(theirs: Any, ours: Any) -> str:
    """How far the sinograms are apart, where they have one shape: another model of the integral is no error."""
    if theirs.shape != ours.shape:
        return f"its sinogram has shape {theirs.shape}"
    apart = min(np.linalg.norm(c - ours) for c in (theirs, theirs[..., ::-1]))
    return f"sinograms differ by {apart / np.linalg.norm(ours):.1e}"
