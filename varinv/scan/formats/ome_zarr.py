"""OME-Zarr folders: frames are the finest level of the first image, its pixel size from the metadata."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from varinv.scan.errors import ScanError
from varinv.scan.formats.common import LARGEST
from varinv.scan.frames import Raw

UNITS = {"nanometer": 1e-6, "micrometer": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "meter": 1e3}


class Level(NamedTuple):
    """Where the finest level is, and its pitch along x in mm where the metadata states it."""

    name: str
    pitch: float | None

    def scaled(self, raw: Raw) -> Raw:
        """The same frames with this pitch."""
        raw = dataclasses.replace(raw, format="OME-Zarr")
        return raw if self.pitch is None else dataclasses.replace(raw, spacing=self.pitch, unit="mm")


def level(path: Path) -> Level | None:
    """The finest level of a multiscale image, or None where the folder is plain zarr."""
    scales = _multiscales(path)
    if not scales:
        return None
    try:
        first = scales[0]
        data = first["datasets"][0]
        axes = [a if isinstance(a, dict) else {"name": a} for a in first.get("axes", [])]
        steps = [t["scale"] for t in data.get("coordinateTransformations", []) if t.get("type") == "scale"]
        pitch = None
        if steps and axes and axes[-1].get("unit") in UNITS and len(steps[0]) == len(axes):
            pitch = float(steps[0][-1]) * UNITS[axes[-1]["unit"]]
        return Level(str(data["path"]), pitch if pitch and pitch > 0 else None)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ScanError(f"{path}: damaged OME-Zarr metadata: {type(error).__name__} {error}") from None


def _multiscales(path: Path) -> Any:
    """The list of images of version 0.5 (`zarr.json`) or older ones (`.zattrs`)."""
    said = attributes(path)
    said = said.get("ome", said)
    scales = said.get("multiscales") if isinstance(said, dict) else None
    return scales if isinstance(scales, list) else None


def attributes(path: Path) -> dict[str, Any]:
    """What a zarr folder says of itself, in either version of the format; nothing where it says nothing."""
    for name in ("zarr.json", ".zattrs"):
        place = path / name
        if place.is_file() and place.stat().st_size <= LARGEST:
            try:
                said = json.loads(place.read_text("utf-8"))
            except ValueError as error:
                raise ScanError(f"{path}: {name} is damaged ({error})") from None
            said = said.get("attributes", {}) if name == "zarr.json" and isinstance(said, dict) else said
            if isinstance(said, dict) and said:
                return said
    return {}
