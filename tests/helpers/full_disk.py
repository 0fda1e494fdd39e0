"""A process that writes files of one kind while the disk is full at random sizes; it prints what happened as JSON.

``python full_disk.py KIND FOLDER limit|disk TRIES``: "limit" sets the system's limit on the size of files, "disk" fills
the file system of FOLDER, which must be a small one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import varinv as vi
from varinv import image_files

SMALL = vi.L2Squared(np.random.default_rng(0).random((64, 64))) + 0.1 * vi.TV((64, 64))
LONGER = itertools.count(4)  # each run goes on a little further from the checkpoint of the one before


def bytes_of(path: Path) -> str:
    """A fingerprint of a file or folder with all names and contents."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def writers(result):
    """Kind → (name, function that writes the file)."""
    return {
        "h5": ("x.h5", result.save),
        "large h5": ("x.h5", result.save),
        "tif": ("x.tif", result.save),
        "zarr": ("x.ome.zarr", result.save),
        "png": ("x.png", result.plot),
        "html": ("x.html", lambda path: result.report(path)),
        "npz": ("x.npz", lambda path: vi.solve(SMALL, stop=vi.iterations(next(LONGER)), checkpoint=path)),
    }


@contextmanager
def no_more_than(size: int, folder: Path, how: str):
    """Files of at most `size` bytes, or so many bytes left on the disk."""
    if how == "limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    fill = folder / "fill"
    import shutil

    fill.write_bytes(bytes(max(shutil.disk_usage(folder).free - size, 0)))
    try:
        yield
    finally:
        fill.unlink()


def main(kind: str, folder: Path, how: str, tries: int) -> None:
    random.seed(kind + how)
    image_files.IN_MEMORY = 0 if kind == "large h5" else image_files.IN_MEMORY
    result = vi.solve(SMALL, stop=vi.iterations(3))
    before = np.array(result.x)
    name, write = writers(result)[kind]
    path = folder / name
    write(path)  # the older file
    size = sum(p.stat().st_size for p in path.rglob("*")) if path.is_dir() else path.stat().st_size
    old = bytes_of(path)
    told, wrong = 0, []
    for _ in range(tries):
        # the largest member of a folder decides under a limit on the size of a file
        free = random.randrange(int(1.1 * size)) if how == "disk" or not path.is_dir() else random.randrange(200)
        try:
            with no_more_than(free, folder, how):
                write(path)
            old = bytes_of(path)
        except OSError as error:
            told += 1
            if name not in str(error) or not any(w in str(error) for w in ("No space left", "File too large")):
                wrong.append(f"{free}: {error}")
        except BaseException as error:
            wrong.append(f"{free}: {type(error).__name__} {error}")
        if bytes_of(path) != old:
            wrong.append(f"{free}: another file")
        if (names := [p.name for p in folder.iterdir() if p.name != "fill"]) != [name]:
            wrong.append(f"{free}: {names}")
        if not np.array_equal(result.x, before):
            wrong.append(f"{free}: the image changed")
    print(json.dumps({"tries": tries, "told": told, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
