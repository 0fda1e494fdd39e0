"""Which layout has this HDF5 file: Data Exchange, NeXus, MATLAB, a result of ours, or any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from varinv.scan import formats, saved
from varinv.scan.arrays import Want
from varinv.scan.frames import Raw


def read_hdf5(path: Path, want: Want, angles: Any, notes: list[str]) -> Raw | saved.SavedResult:
    """An HDF5 file by its layout; with `dataset` in any."""
    from varinv.scan import exchange, hdf5, mat, nexus, trees

    with hdf5.open_file(path) as file:
        matlab = path.suffix.lower() == ".mat" or any("MATLAB_class" in i.attrs for _, i in hdf5.walk(file))
        if not matlab:
            found = saved.open_hdf5(file, path) if want[0] is None else None
            if found is not None:
                return found
            if want[0] is None and hdf5.has(file, "exchange/data"):
                return exchange.read_exchange(file, path, angles, notes)
            layout = formats.layout_of(file) if want == (None, None) else None
            if layout is not None:
                return layout(file, path, angles, notes)
            if want[0] is None and nexus.is_nexus(file):
                return nexus.read_nexus(file, path, angles, notes)
            return trees.read_tree(trees.hdf5_tree(file, path), path, "HDF5", *want, angles, notes)
    return mat.read_mat73(path, want, angles, notes)
