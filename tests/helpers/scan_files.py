"""Small scans with a known truth, written to disk in every format that `varinv.scan` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

VIEWS, ROWS, COLUMNS, AXIS = 24, 3, 40, 17.3


def blobs(angles: Any, columns: int, axis: float, spots: Any = ((6.0, -4.0, 3.0), (-5.0, 7.0, 2.0))) -> np.ndarray:
    """Line integrals of Gaussian blobs (x, y, width): exact at the middle of each column."""
    u = np.arange(columns) - axis
    total = np.zeros((len(angles), columns))
    for x, y, width in spots:
        centre = x * np.cos(angles) + y * np.sin(angles)
        total += np.exp(-((u[None] - centre[:, None]) ** 2) / (2 * width**2))
    return total


@dataclass
class Made:
    """Counts with flats and darks, and the line integrals they stand for, (views, rows, columns)."""

    angles: np.ndarray
    data: np.ndarray
    flats: np.ndarray
    darks: np.ndarray
    lines: np.ndarray


def made(views: int = VIEWS, rows: int = ROWS, columns: int = COLUMNS, axis: float = AXIS, turn: float = np.pi) -> Made:
    """A noise-free scan: the flat differs from column to column, the dark from row to row; rows differ by a factor."""
    angles = np.linspace(0, turn, views, endpoint=False)
    lines = blobs(angles, columns, axis)[:, None, :] * (1 + np.arange(rows))[None, :, None] / 2
    dark = 100.0 + 3 * np.arange(rows)[:, None] + np.zeros(columns)
    gain = 20000.0 + 50 * np.arange(columns)[None, :] + 20 * np.arange(rows)[:, None]
    data = gain * np.exp(-lines) + dark
    return Made(angles, data, np.stack([dark + gain] * 3), np.stack([dark] * 2), lines)


def exchange(path: Path, m: Made, units: str | None = "degrees", axes: str | None = "theta:y:x", **extra: Any) -> Path:
    """A Data Exchange file; `extra` replaces or, with None, leaves out datasets."""
    import h5py

    theta = np.rad2deg(m.angles) if units != "radians" else m.angles
    content = {"data": m.data, "data_white": m.flats, "data_dark": m.darks, "theta": theta, **extra}
    with h5py.File(path, "w") as file:
        group = file.create_group("exchange")
        for name, values in content.items():
            if values is not None:
                group[name] = values
        if axes is not None:
            group["data"].attrs["axes"] = axes
        if units is not None and "theta" in group:
            group["theta"].attrs["units"] = units
    return path


def blocks(m: Made) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames as an NXtomo detector sees them (a flat, a dark, half of the views, a bad frame, …), keys, angles."""
    half = len(m.data) // 2
    order = [m.flats[:1], m.darks[:1], m.data[:half], m.data[:1] * 0, m.data[half:], m.flats[1:], m.darks[1:]]
    keys = [1, 2, 0, 3, 0, 1, 2]
    theta = np.rad2deg(m.angles)
    at = [theta[:1], theta[:1], theta[:half], theta[:1], theta[half:], theta[-1:].repeat(2), theta[-1:]]
    return (
        np.concatenate(order),
        np.concatenate([[k] * len(o) for k, o in zip(keys, order, strict=True)]),
        np.concatenate(at),
    )


def nxtomo(path: Path, m: Made, how: str = "here", pixel: float | None = None) -> Path:
    """An NXtomo file whose frames lie in it ("here"), behind an external link, or are a virtual dataset."""
    import h5py

    frames, keys, theta = blocks(m)
    target = path.with_name(path.stem + "_frames.h5")
    if how != "here":
        with h5py.File(target, "w") as file:
            file["raw/data"] = frames
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["definition"] = "NXtomo"
        detector = entry.create_group("instrument/detector")
        if how == "here":
            detector["data"] = frames
        elif how == "external":
            detector["data"] = h5py.ExternalLink(target.name, "/raw/data")
        else:
            layout = h5py.VirtualLayout(frames.shape, frames.dtype)
            layout[:] = h5py.VirtualSource(target.name, "/raw/data", frames.shape)
            detector.create_virtual_dataset("data", layout)
        detector["image_key"] = keys
        entry["sample/rotation_angle"] = theta
        entry["sample/rotation_angle"].attrs["units"] = "degree"
        entry["useless"] = h5py.ExternalLink("nowhere.h5", "/nothing")
        if pixel is not None:
            entry["sample/x_pixel_size"] = pixel
            entry["sample/x_pixel_size"].attrs["units"] = "um"
        entry["data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        entry["data"].attrs["NX_class"] = "NXdata"
    return path


def tiffs(folder: Path, m: Made, start: int = 0, dtype: Any = "float32", **options: Any) -> Path:
    """A folder of frames without zero padding (frame_10 sorts before frame_2), flats, darks and angles.txt."""
    import tifffile

    folder.mkdir()
    for name, frames in (("frame", m.data), ("flat", m.flats), ("dark", m.darks)):
        for k, frame in enumerate(frames):
            tifffile.imwrite(folder / f"{name}_{start + k}.tif", frame.astype(dtype), **options)
    (folder / "angles.txt").write_text("# degrees\n" + "\n".join(f"{a:.12g}" for a in np.rad2deg(m.angles)))
    return folder


def helsinki(path: Path, version: str = "v5", **changes: Any) -> tuple[Path, np.ndarray]:
    """The Helsinki 2022 layout, fan beam of 7 views and 12 detectors, as MATLAB v5 or v7.3; returns the sinogram."""
    sinogram = np.arange(84.0).reshape(7, 12) / 84
    parameters: dict[str, Any] = {
        "distanceSourceOrigin": 410.0, "distanceSourceDetector": 550.0, "distanceUnit": "mm", "pixelSizePost": 0.2,
        "angles": 5.0 * np.arange(7.0)[None], **changes,
    }  # fmt: skip
    if version == "v5":
        import scipy.io

        scipy.io.savemat(path, {"CtDataLimited": {"type": "2D", "sinogram": sinogram, "parameters": parameters}})
        return path, sinogram
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("CtDataLimited")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        content = {"sinogram": sinogram, **{f"parameters/{k}": v for k, v in parameters.items()}}
        for name, value in content.items():
            text = isinstance(value, str)
            stored = np.array([[ord(c)] for c in value], np.uint16) if text else np.atleast_2d(value).T
            group[name] = stored
            group[name].attrs["MATLAB_class"] = np.bytes_("char" if text else "double")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(128))
    return path, sinogram
