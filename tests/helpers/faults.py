"""A catalogue of faults, planted into the raw numbers of right scans: what goes wrong between instrument and problem.

A fault takes what was measured and returns what a user would hand over; None where it does not apply to a scan.
`names` must be found in the warning, the refusal or the doubt: the fault is called by its name.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from varinv import phantom
from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.scan import ScanError, demo, read
from varinv.scan.checks import check

AIR, DARK = 20000.0, 100.0


@dataclass(frozen=True)
class Measured:
    """One detector row of a scan as raw numbers: views and references, and what is said of them."""

    data: Any  # (views, columns)
    angles: Any  # radians
    kind: str = "counts"
    flats: Any = None  # (n, columns)
    darks: Any = None
    axis: float | None = None
    spacing: float = 1.0
    distances: tuple[float, float] | None = None
    air: bool = False
    full: bool = False  # a full turn
    truth: float | None = None  # the axis, where the file does not state it
    allowed: str = "$^"  # what its README says is doubtful (a pattern)

    def but(self, **changes: Any) -> Measured:
        return dataclasses.replace(self, **changes)

    @property
    def fan(self) -> bool:
        return self.distances is not None

    @property
    def counts(self) -> bool:
        return self.kind == "counts"

    def lines(self) -> Any:
        """Line integrals."""
        if not self.counts:
            return np.asarray(self.data, float)
        dark = self.darks.mean(0)
        with np.errstate(all="ignore"):
            lines = -np.log((self.data - dark) / (self.flats.mean(0) - dark))
        return np.where(np.isfinite(lines), lines, 0.0)


# ------------------------------------------------------------------------------------------------------ right scans


def simulated(p: phantom.Phantom, fan: bool, seed: int, *, views: int = 180, columns: int = 180, axis: float = 92.3,
              noise: float = 0.01) -> Measured:  # fmt: skip
    """A phantom that fills most of the detector: counts, with noise of a hundredth of the largest line integral."""
    rng = np.random.default_rng(seed)
    turn = 2 * np.pi if fan else np.pi
    angles = np.arange(views) * turn / views
    distances = (400.0, 300.0) if fan else None
    spacing = 1.75 if fan else 1.0
    g = FanBeam(angles, columns, spacing, *distances, axis=axis) if fan else ParallelBeam(angles, columns, axis=axis)
    lines = p.line_integrals(g, rays_per_bin=3)
    lines *= 2 / lines.max()
    beam = AIR * (1 + 0.08 * np.cos(np.arange(columns) / 11.0) + 0.03 * rng.standard_normal(columns))
    counts = beam * np.exp(-lines - 2 * noise * rng.standard_normal(lines.shape)) + DARK
    flats = beam * (1 + 0.007 * rng.standard_normal((10, columns))) + DARK
    darks = DARK + 2 * rng.standard_normal((10, columns))
    whole = [a.round().astype(np.uint16) for a in (counts, flats, darks)]
    return Measured(whole[0], angles, "counts", whole[1], whole[2], axis, spacing, distances, full=fan)


def phantoms(first: int = 0) -> Iterator[tuple[str, Measured]]:
    """Three phantoms, each in a parallel and in a fan beam."""
    discs = phantom.disc(34.0, 1.0, 22.0, 12.0) + phantom.disc(11.0, 0.7, -44.0, 5.0)
    for name, p in (
        ("ellipses", phantom.random_ellipses(first + 3, 72.0)),
        ("head", phantom.shepp_logan(76.0)),
        ("discs", discs),
    ):
        for fan in (False, True):
            yield f"{name} {'fan' if fan else 'parallel'}", simulated(p, fan, first + fan)


def _raw(scan: Any, row: int, **more: Any) -> Measured:
    raw, part = scan.raw, slice(row, row + 1)
    read_all = lambda f: None if f is None else f.read(np.arange(f.shape[0]), part)[:, 0]  # noqa: E731
    data, flats, darks = read_all(raw.frames), read_all(raw.flats), read_all(raw.darks)
    return Measured(data, raw.angles, raw.kind, flats, darks, raw.axis, raw.spacing, raw.distances, **more)


def real(folder: Path) -> Iterator[tuple[str, Measured]]:
    """The right real scans in a folder of data, as far as they are there, and the embedded scan."""
    yield "demo", _raw(read(demo.path()), 1, truth=demo.AXIS)
    edges = r"^(air level|air drift|truncation)"
    for name, file, row, more in (
        ("tooth", "ct_tooth_parallel_h5/tooth.h5", 0, {"truth": 295.86}),
        (
            "i13",
            "ct_i13_tiff_and_nxtomo/i13_24737_assembled_nxtomo.nxs",
            67,
            {"truth": 85.7, "allowed": r"^(air level|truncation)|air is at 6\d"},
        ),
        ("htc", "ct_htc2022_fan_ta/htc2022_ta_sparse_example.mat", 0, {}),
        ("dendrites", "ct_dendrites_roi_mat/RealDataDend.mat", 0, {"axis": 629.53, "allowed": edges}),
    ):
        if (folder / file).exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield name, _raw(read(folder / file), row).but(**more)


# ----------------------------------------------------------------------------------------------------------- faults

Plant = Callable[[Measured, np.random.Generator], Measured | None]


@dataclass(frozen=True)
class Fault:
    """A fault, how it is planted and the words that name it."""

    name: str
    plant: Plant
    names: str


FAULTS: list[Fault] = []


def fault(name: str, names: str) -> Callable[[Plant], Plant]:
    """Puts a fault into the catalogue."""

    def keep(plant: Plant) -> Plant:
        FAULTS.append(Fault(name, plant, names))
        return plant

    return keep


def _axis(m: Measured) -> float:
    return next((a for a in (m.axis, m.truth) if a is not None), (m.data.shape[1] - 1) / 2)


def _wide(m: Measured) -> bool:
    """Do the views cover half a turn (a fan: a full one)?  A smaller arc leaves the geometry open."""
    return m.full or (not m.fan and np.ptp(m.angles) > 3)


AXIS = "wrong axis"
ORDER = r"shuffled|out of order"
ANGLES = r"degrees|angles (step|are|were)"
KIND = r"kind=|taken as|counts without flats"
LEVEL = r"beam (drifts|fades)|dip of the beam|another level than their neighbours"
MOVED = r"moved|jump"


@fault("axis three columns to the right", AXIS)
def _(m, rng):
    return m.but(axis=_axis(m) + 3) if _wide(m) else None


@fault("axis three columns to the left", AXIS)
def _(m, rng):
    return m.but(axis=_axis(m) - 3) if _wide(m) else None


@fault("axis taken in the middle of a half-acquisition", r"wrong axis|half-acquisition")
def _(m, rng):
    if not m.full:
        return None
    keep = slice(0, int(m.data.shape[1] * 0.72))  # the object over one edge, the axis not in the middle
    flats, darks = (None if f is None else f[:, keep] for f in (m.flats, m.darks))
    return m.but(data=m.data[:, keep], flats=flats, darks=darks, axis=(m.data[:, keep].shape[1] - 1) / 2)


@fault("degrees taken for radians", ANGLES)
def _(m, rng):
    return m.but(angles=np.rad2deg(m.angles))


@fault("radians turned into radians again", ANGLES)
def _(m, rng):
    return m.but(angles=np.deg2rad(m.angles)) if _wide(m) else None


@fault("angles of twice the step", ANGLES)
def _(m, rng):
    return m.but(angles=2 * m.angles) if _wide(m) else None


@fault("angles of half the step", ANGLES)
def _(m, rng):
    return m.but(angles=0.5 * m.angles) if _wide(m) else None


@fault("angles of a fan reversed", r"reversed|sense")
def _(m, rng):
    return m.but(angles=-m.angles) if m.fan and m.full else None


@fault("source to detector 10 % too long", r"distance")
def _(m, rng):
    return m.but(distances=(m.distances[0], m.distances[1] + 0.1 * sum(m.distances))) if m.fan and m.full else None


@fault("source to detector 10 % too short", r"distance")
def _(m, rng):
    return m.but(distances=(m.distances[0], m.distances[1] - 0.1 * sum(m.distances))) if m.fan and m.full else None


@fault("pixel pitch of a fan 20 % too large", r"pitch")
def _(m, rng):
    return m.but(spacing=1.2 * m.spacing) if m.fan and m.full else None


@fault("views shuffled", ORDER)
def _(m, rng):
    return m.but(data=m.data[rng.permutation(len(m.data))])


@fault("file names sorted as text", ORDER)
def _(m, rng):
    return m.but(data=m.data[sorted(range(len(m.data)), key=str)])


@fault("counts taken as line integrals", KIND)
def _(m, rng):
    counts = m.data if m.counts else AIR * np.exp(-m.lines() / np.percentile(m.lines(), 99))
    return m.but(data=counts.astype(np.float32), flats=None, darks=None, kind="line integrals")


@fault("transmissions taken as line integrals", KIND)
def _(m, rng):
    lines = m.lines()
    scale = 1.0 if m.counts else 2 / np.percentile(lines, 99)
    return m.but(data=np.exp(-scale * lines), flats=None, darks=None, kind="line integrals")


@fault("line integrals taken as transmissions", KIND)
def _(m, rng):
    return m.but(data=m.lines(), flats=np.ones_like(m.lines()[:1]), darks=None, kind="counts")


@fault("emissions taken as counts", KIND)
def _(m, rng):
    lines = m.lines()
    whole = (3000 * np.maximum(lines, 0) / np.percentile(lines, 99) + 40).astype(np.uint16)
    return m.but(data=whole, flats=whole.max() + np.zeros_like(whole[:1]), darks=None, kind="counts")


@fault("flats of another exposure", r"flats|exposure")
def _(m, rng):
    return m.but(flats=1.4 * m.flats.astype(float)) if m.counts else None


@fault("half of the flats of another exposure", r"flats")
def _(m, rng):
    if not m.counts or len(m.flats) < 4:
        return None
    flats = m.flats.astype(float)
    flats[::2] *= 0.7
    return m.but(flats=flats)


@fault("flats of another place of the detector", r"flats|rings")
def _(m, rng):
    return m.but(flats=np.roll(m.flats, 5, axis=1)) if m.counts else None


@fault("flats and darks swapped", r"flats")
def _(m, rng):
    return m.but(flats=m.darks, darks=m.flats) if m.counts else None


@fault("beam that fades by 25 %", LEVEL)
def _(m, rng):
    fade = np.linspace(1, 0.75, len(m.data))[:, None]
    if not m.counts:
        return m.but(data=m.data - np.log(fade) * _unit(m))
    dark = m.darks.mean(0)
    return m.but(data=(m.data - dark) * fade + dark)


def _unit(m: Measured) -> float:
    """What a line integral of 1 is in the numbers of the file."""
    return 1.0 if m.counts else max(float(np.percentile(m.data, 99)) / 2, 1e-30)


@fault("three dips of the beam by 10 %", LEVEL)
def _(m, rng):
    at = rng.choice(np.arange(10, len(m.data) - 10), 3, replace=False)
    data = m.data.astype(float)
    data[at] = data[at] * 0.9 if m.counts else data[at] + 0.105 * _unit(m)
    return m.but(data=data)


def _moved(m: Measured, columns: float, after: int) -> Measured:
    from scipy.ndimage import shift

    data = m.data.astype(float)
    gain = np.ones(data.shape[1]) if not m.counts else m.flats.mean(0) - m.darks.mean(0)
    dark = 0.0 if not m.counts else m.darks.mean(0)
    through = (data - dark) / np.where(gain > 0, gain, 1)
    through[after:] = shift(through[after:], (0, columns), order=3 if columns % 1 else 0, mode="nearest")
    return m.but(data=through * gain + dark)


@fault("sample jumps by seven columns", MOVED)
def _(m, rng):
    return _moved(m, 7.0, len(m.data) // 2)


@fault("detector moves by half a column after half of the scan", MOVED)
def _(m, rng):
    return _moved(m, 0.5, len(m.data) // 2)


@fault("zingers, one in a thousand", r"zinger|struck|outlier")
def _(m, rng):
    hit = rng.random(m.data.shape) < 1e-3
    data = m.data.astype(float)
    return m.but(data=np.where(hit, 3 * data.max() if m.counts else data - 1.0 * _unit(m), data))


@fault("saturated detector", r"saturat|clipped")
def _(m, rng):
    if not m.counts:
        return m.but(data=np.minimum(m.data, np.percentile(m.data, 90)))
    top = np.percentile(m.data, 70)
    return m.but(data=np.minimum(m.data, top))


@fault("object wider than the detector", r"truncat")
def _(m, rng):
    lines = m.lines()
    inside = np.flatnonzero(np.median(lines, 0) > 0.3 * np.percentile(lines, 99))
    middle, half = (inside[0] + inside[-1]) // 2, max(int(0.35 * (inside[-1] - inside[0])), 24)
    keep = slice(max(middle - half, 0), middle + half)
    flats, darks = (None if f is None else f[:, keep] for f in (m.flats, m.darks))
    return m.but(data=m.data[:, keep], flats=flats, darks=darks, axis=_axis(m) - keep.start)


@fault("three frames repeated", r"repeat the frame")
def _(m, rng):
    data = m.data.copy()
    for at in rng.choice(np.arange(10, len(data) - 10), 3, replace=False):
        data[at] = data[at - 1]
    return m.but(data=data)


@fault("a view dropped", r"missing \(dropped\)|views are missing|missing views")
def _(m, rng):
    at = len(m.data) // 2
    return m.but(data=np.delete(m.data, at, 0), angles=m.angles[:-1])


@fault("five views dropped", r"missing \(dropped\)|views are missing|missing views")
def _(m, rng):
    at = len(m.data) // 2 + np.arange(5)
    return m.but(data=np.delete(m.data, at, 0), angles=m.angles[:-5])


@fault("square sinogram on its side", r"transposed")
def _(m, rng):
    if m.fan:
        return None
    lines, side = m.lines(), min(m.data.shape)
    views = np.linspace(0, len(lines) - 1, side).round().astype(int)
    at = np.linspace(0, lines.shape[1] - 1, side)
    joined = np.stack([np.interp(at, np.arange(lines.shape[1]), v) for v in lines[views]])
    return m.but(data=joined.T, angles=m.angles[views], flats=None, darks=None, kind="line integrals", axis=None)


@fault("a block of NaN", r"are missing or dead|dead or missing")
def _(m, rng):
    data = m.data.astype(float)
    views, columns = data.shape
    data[views // 3 : views // 3 + 20, columns // 3 : columns // 2] = np.nan
    return m.but(data=data)


@fault("eight neighbouring columns dead", r"are missing or dead|dead or missing")
def _(m, rng):
    data = m.data.astype(float)
    at = data.shape[1] // 2 + np.arange(8)
    if not m.counts:
        data[:, at] = np.nan
        return m.but(data=data)
    flats, darks = m.flats.astype(float), m.darks.astype(float)
    data[:, at], flats[:, at], darks[:, at] = 3, 3, 3
    return m.but(data=data, flats=flats, darks=darks)


@fault("one view of another sample", r"out of order|another sample")
def _(m, rng):
    data = m.data.copy()
    at = len(data) // 3
    other = data[(at + len(data) // 2) % len(data)][::-1]
    data[at] = other
    return m.but(data=data)


# -------------------------------------------------------------------------------------------------- what is noticed


def told(m: Measured, folder: Path) -> list[str]:
    """Everything that is said against a scan: refusals, warnings, doubts, and what was repaired with its count."""
    given = {k: v for k, v in (("flats", m.flats), ("darks", m.darks)) if v is not None}
    if m.axis is not None:
        given["axis"] = np.float64(m.axis)
    data = m.data.astype(np.float32) if m.kind == "line integrals" else m.data
    file = folder / "scan.npz"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            np.savez(file, data=data, **given)
            scan = read(file, angles=m.angles, kind=m.kind, distances=m.distances, pixel_size=m.spacing)
            scan = scan.using(air=m.air)
            scan.sinogram(0)
        except (ScanError, ValueError) as error:
            return [f"refused: {error}"]
        checks = check(scan)
    found = [str(c) for c in checks.doubtful] + [f"repaired: {text}" for text in checks.repaired]
    return [str(w.message) for w in caught] + found


def alarms(said: list[str], allowed: str) -> list[str]:
    """What a right scan should not have been told: a repair is none, nor is what its README names."""
    return [t for t in said if not t.startswith("repaired: ") and not re.search(allowed, t)]


def caught(f: Fault, said: list[str], before: list[str]) -> bool | None:
    """Is the fault called by its name?  None: the right scan has it already, as its README says."""
    if any(re.search(f.names, text) for text in before):
        return None
    return any(re.search(f.names, text) for text in said)
