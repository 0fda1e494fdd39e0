"""The folder of a stack: an OME-Zarr volume whose chunks are slabs, and beside them a marker for each that is done.

A chunk is written beside its place, flushed and renamed; then its marker.  What has a marker is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from varinv.files import replaced
from varinv.image_files import OME
from varinv.stack.plan import Slab

FORMAT = 1  # of the folder: another one is another run


@dataclass(frozen=True)
class Store:
    """Where a stack is written: path, shape (slices, rows, columns), dtype, slices in a slab."""

    path: Path
    shape: tuple[int, ...]
    dtype: str
    height: int

    @property
    def notes(self) -> Path:
        """The folder of the markers."""
        return self.path / ".varinv"

    def chunk(self, slab: Slab) -> Path:
        """The file of a slab."""
        return self.path.joinpath("0", str(slab.start // self.height), *("0" for _ in self.shape[1:]))

    def marker(self, slab: Slab) -> dict[str, Any] | None:
        """What is known about a slab that is done; None: it is not."""
        try:
            found: dict[str, Any] = json.loads((self.notes / f"{slab.start}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    def whole(self, slab: Slab) -> bool:
        """Whether the bytes of a slab are those that its marker names."""
        try:
            digest = hashlib.sha256(self.chunk(slab).read_bytes()).hexdigest()
        except OSError:
            return False
        return digest == (self.marker(slab) or {}).get("sha256")

    def forget(self, slab: Slab) -> None:
        """Take a marker away: the slab is to be made again."""
        (self.notes / f"{slab.start}.json").unlink(missing_ok=True)

    def write(self, slab: Slab, data: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a slab, then its marker."""
        height = slab.stop - slab.start
        if tuple(data.shape) != (height, *self.shape[1:]):
            raise ValueError(
                f"map_slabs: slices {slab.start} to {slab.stop - 1} must have shape {(height, *self.shape[1:])}, "
                f"got {tuple(data.shape)}"
            )
        whole = np.full(
            (self.height, *self.shape[1:]), _fill(self.dtype), self.dtype
        )  # zarr's chunks are all of one size
        whole[:height] = data
        place = self.chunk(slab)
        place.parent.mkdir(parents=True, exist_ok=True)
        put(place, whole.tobytes())
        marker = {**facts, "sha256": hashlib.sha256(whole.tobytes()).hexdigest()}
        put(self.notes / f"{slab.start}.json", json.dumps(marker).encode())
        return marker

    def open(
        self,
        fingerprint: Mapping[str, Any],
        attributes: Mapping[str, Any],
        sizes: tuple[float, ...],
        unit: str = "pixel",
    ) -> None:
        """Create the folder, or go on in it.

        Raises
        ------
        ValueError
            A folder that is no stack of ours, or one of another run: the message names what differs.
        """
        zarr = needed()
        kept = self.notes / "run.json"
        if not kept.exists():
            if self.path.exists() and not self.notes.is_dir() and any(self.path.iterdir()):
                raise ValueError(f"reconstruct: {self.path} exists and is no unfinished stack; name another folder")
            self.notes.mkdir(parents=True, exist_ok=True)
            root = zarr.open_group(str(self.path), mode="a", zarr_format=2)
            root.create_array(
                "0", shape=self.shape, dtype=self.dtype, chunks=(self.height, *self.shape[1:]), compressors=None,
                fill_value=_fill(self.dtype), chunk_key_encoding={"name": "v2", "separator": "/"}, overwrite=True,
            )  # fmt: skip
            known = {"unit": OME[unit]} if unit in OME else {}
            axes = [{"name": n, "type": "space", **known} for n in "zyx"[3 - len(self.shape) :]]
            levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(sizes)}]}]
            root.attrs["multiscales"] = [{"version": "0.4", "name": "image", "axes": axes, "datasets": levels}]
            root.attrs["varinv"] = dict(attributes)
            put(kept, json.dumps(fingerprint).encode())  # last: a folder without it is begun anew
        before, now = json.loads(kept.read_text(encoding="utf-8")), json.loads(json.dumps(fingerprint))
        if changed := [k for k in {**before, **now} if before.get(k) != now.get(k)]:
            words = "; ".join(f"{k} was {before.get(k)}, is {now.get(k)}" for k in changed[:4])
            raise ValueError(
                f"reconstruct: {self.path} belongs to another run: {words}. Pass what it was made with, name another "
                "folder, or delete this one"
            )
        for left in self.path.rglob("*.partial"):
            left.unlink(missing_ok=True)

    def volume(self) -> Any:
        """The volume, a zarr array that reads what is indexed."""
        return needed().open_array(str(self.path / "0"), mode="r")


def put(place: Path, content: bytes) -> None:
    """A file that is there whole or not at all; what a killed process leaves of it ends in .partial."""
    import secrets

    with replaced(place, f"{place.name}-{secrets.token_hex(4)}.partial") as part:
        part.write_bytes(content)


def needed() -> Any:
    """The package zarr, or an error that says how to install it."""
    try:
        import zarr
    except ImportError:
        raise ImportError("reconstruct: stacks need the package zarr: pip install 'varinv[volumes]'") from None
    return zarr


def _fill(dtype: str) -> float:
    return math.nan if np.dtype(dtype).kind == "f" else 0
