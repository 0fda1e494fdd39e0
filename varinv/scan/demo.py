"""The scan that comes with varinv: simulated, so that its truth is known, and written as a beamline writes it.

``python -m varinv.scan.demo FILE`` makes the file again: the same counts from the same seed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from varinv import check
from varinv.operators.geometry import ParallelBeam
from varinv.phantom import Phantom, random_ellipses

VIEWS, ROWS, COLUMNS = 180, 3, 256
AXIS = 131.37  # column of the rotation axis; the middle of the detector is 127.5
DEAD, HOT = 61, 188  # columns that answer 2 counts, and full scale, whatever falls on them
SEED, RADIUS, ATTENUATION = 20240, 115.0, 0.01  # pixels; per pixel where the phantom is 1
AIR, DARK = 48000.0, 96.0  # counts without object at the centre of the beam; counts without beam


def path() -> Path:
    """Where the file lies in the installed package."""
    return Path(__file__).parent.parent / "data" / "demo_scan.h5"


def phantom(row: int = 0) -> Phantom:
    """What the detector row saw, in attenuation per pixel: a body with 14 inserts that shrink from row to row."""
    row = check.integer("demo.phantom", "row", row, low=0)
    if row >= ROWS:
        raise ValueError(f"demo.phantom: row must be below {ROWS}, got {row}")
    body, *inserts = random_ellipses(SEED, RADIUS, count=14).ellipses
    shrink = 1 - 0.06 * row
    return ATTENUATION * Phantom((body, *(e._replace(a=e.a * shrink, b=e.b * shrink) for e in inserts)))


def truth(row: int = 0, shape: tuple[int, int] = (COLUMNS, COLUMNS), pixel_size: float = 1.0) -> NDArray[np.float64]:
    """The image a perfect reconstruction of this row gives: attenuation per detector pixel, axis at the centre."""
    image: NDArray[np.float64] = phantom(row).image(shape, pixel_size)
    return image


def simulate() -> dict[str, NDArray[Any]]:
    """Data Exchange arrays: data, data_white and data_dark in counts (frames, rows, columns), theta in degrees.

    Counts are Poisson distributed about (beam × gain × exp(−line integral) + dark): one uniform number per count,
    through the inverse distribution, so that they do not depend on the sampler of a NumPy version.
    """
    draw = np.random.Generator(np.random.PCG64(SEED))
    theta = np.arange(VIEWS) * (180.0 / VIEWS)
    geometry = ParallelBeam(np.deg2rad(theta), COLUMNS, axis=AXIS)
    integrals = np.stack([phantom(r).line_integrals(geometry, rays_per_bin=4) for r in range(ROWS)], axis=1)
    across, down = np.linspace(-1, 1, COLUMNS), np.linspace(-1, 1, ROWS)[:, None]
    beam = AIR * (1 - 0.12 * (across - 0.2) ** 2) * (1 - 0.05 * down**2)
    gain = 1 + 0.02 * (2 * draw.random((ROWS, COLUMNS)) - 1)
    level = DARK * (1 + 0.1 * (2 * draw.random((ROWS, COLUMNS)) - 1))

    def counts(expected: NDArray[np.float64]) -> NDArray[np.uint16]:
        from scipy.stats import poisson

        frames: NDArray[np.uint16] = np.clip(poisson.ppf(draw.random(expected.shape), expected), 0, 65535).astype(
            np.uint16
        )
        frames[..., DEAD], frames[..., HOT] = 2, 65535
        return frames

    ten = np.ones((10, 1, 1))
    return {
        "data": counts(beam * gain * np.exp(-integrals) + level),
        "data_white": counts(ten * (beam * gain + level)),
        "data_dark": counts(ten * level),
        "theta": theta,
    }


def write(file: str | Path) -> None:
    """Simulate the scan and write it as a Data Exchange HDF5 file."""
    with h5py.File(file, "w") as f:
        for name, values in simulate().items():
            many = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if values.ndim == 3 else {}
            made = f.create_dataset(f"exchange/{name}", data=values, **many)
            made.attrs["units"] = "degrees" if name == "theta" else "counts"
            if values.ndim == 3:
                made.attrs["axes"] = "theta:y:x"
        f.attrs["implements"] = "exchange"
        f["exchange/title"] = "Simulated scan of random ellipses, made by varinv.scan.demo; CC0"
        simulation = f.create_group("simulation")
        for name in ("AXIS", "DEAD", "HOT", "SEED", "RADIUS", "ATTENUATION"):
            simulation.attrs[name.lower()] = globals()[name]


if __name__ == "__main__":
    write(sys.argv[1])
