"""A file of arrays and numbers: an .npz archive without pickles, written in one go, with a checksum over all of it.

One member per array, a header in JSON that says how they belong together, and the checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from varinv import check
from varinv.backend import Array, is_array, like_kept, to_numpy
from varinv.files import Patient, replaced

FORMAT = "varinv checkpoint 1"
MARK = ".varinv-part"  # the end of the names of files that are being written


def write(path: Path, header: dict[str, Any], arrays: list[Any]) -> None:
    """The archive, atomically and flushed to the disk."""
    from varinv import __version__

    text = json.dumps({"format": FORMAT, "version": __version__, **header}).encode()
    members = {f"array{i}": a for i, a in enumerate(arrays)}
    path = path.resolve()
    part_name = f".{path.name}.{_here()}-{os.getpid()}-{uuid.uuid4().hex}{MARK}"  # says who writes, for `clear`
    with replaced(path, part_name) as part:
        with Patient(part) as disk:  # np.savez closes an archive twice after a write that failed
            np.savez(disk, checksum=_checksum(text, arrays), header=np.frombuffer(text, np.uint8), **members)
        disk.check()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:  # some network file systems have no such call; the move itself is done
        pass
    finally:
        os.close(folder)


def _here() -> str:
    """The name of this machine, where the numbers of its processes hold."""
    return re.sub(r"\W", "", platform.node())


def clear(path: Path) -> None:
    """Delete what a process of this machine that lives no more left when it was killed while it wrote `path`."""
    path = path.resolve()
    name = re.compile(re.escape(f".{path.name}.{_here()}-") + r"(\d+)-[0-9a-f]{32}" + re.escape(MARK))
    with suppress(OSError):
        for part in path.parent.iterdir():
            if (found := name.fullmatch(part.name)) and not _lives(int(found[1])):
                with suppress(OSError):
                    part.unlink()


def _lives(process: int) -> bool:
    if process == os.getpid() or os.name == "nt":  # another thread may be writing; Windows has no such question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # not ours to ask: it may be alive
        pass
    return True


def read(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """Header and arrays of an archive whose checksum fits; a ValueError says what is wrong with any other file."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            text = file["header"].tobytes()
            arrays = [file[f"array{i}"] for i in range(len(file.files) - 2)]
            intact = bool(np.array_equal(file["checksum"], _checksum(text, arrays)))
        header = json.loads(text) if intact else {}
    except PermissionError:
        raise
    except Exception as error:  # a damaged archive raises whatever its reader stumbles on
        raise ValueError(f"checkpoint: {path} is no checkpoint or is damaged ({error}); name another file") from None
    if not intact:
        raise ValueError(f"checkpoint: {path} is damaged: its checksum does not fit; delete it or name another file")
    if header["format"] != FORMAT:
        raise ValueError(
            f"checkpoint: {path} is a {header['format']} of varinv {header['version']}, this version reads {FORMAT}"
        )
    return header, arrays


def _checksum(text: bytes, arrays: list[Any]) -> Any:
    found = hashlib.sha256(text)
    for a in arrays:
        found.update(f"{a.dtype.str} {a.shape} {a.flags.c_contiguous}".encode())
        found.update(np.ascontiguousarray(a.T if a.flags.f_contiguous else a).reshape(-1).view(np.uint8).data)
    return np.frombuffer(found.digest(), np.uint8)


def pack(value: Any, arrays: list[Any], name: str) -> Any:
    """A value in JSON, its arrays moved to the list; NumPy's own numbers are arrays of no axis."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) or is_array(value):
        if (a := np.asarray(to_numpy(value))).dtype.kind in "biufc":
            arrays.append(a if a.flags.forc else np.ascontiguousarray(a))
            return {"number" if isinstance(value, np.generic) else "array": len(arrays) - 1}
    elif named(type(value)):
        fields = {key: pack(part, arrays, f"{name}.{key}") for key, part in value._asdict().items()}
        return {"named": type(value).__name__, "fields": fields}
    elif type(value) in (tuple, list):
        return {type(value).__name__: [pack(part, arrays, f"{name}[{i}]") for i, part in enumerate(value)]}
    elif type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: pack(part, arrays, f"{name}[{key!r}]") for key, part in value.items()}}
    raise TypeError(
        f"checkpoint: {name} is {check.describe(value)}; a checkpoint holds arrays, numbers, text, and tuples of these"
    )


class OtherClass(ValueError):
    """A file holds a class that is not there any more, or has other fields."""


def unpack(value: Any, arrays: list[Any], like: Array, classes: dict[str, Any]) -> Any:
    """The value that `pack` made; arrays in the library and on the device of `like`."""
    if not isinstance(value, dict):
        return value
    (kind, inside), *rest = value.items()
    if kind == "array":
        return like_kept(arrays[inside], like)
    if kind == "number":
        return arrays[inside][()]
    if kind == "dict":
        return {key: unpack(part, arrays, like, classes) for key, part in inside.items()}
    if kind in ("tuple", "list"):
        parts = [unpack(part, arrays, like, classes) for part in inside]
        return tuple(parts) if kind == "tuple" else parts
    fields = rest[0][1]
    if inside not in classes or set(classes[inside]._fields) != set(fields):
        raise OtherClass(f"no {inside} with the fields {', '.join(fields)}")
    return classes[inside](**{key: unpack(part, arrays, like, classes) for key, part in fields.items()})


def named(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def classes_in(value: Any, found: dict[str, Any]) -> None:
    """The NamedTuple classes inside a value, by name."""
    if named(type(value)):
        found[type(value).__name__] = type(value)
    if isinstance(value, (tuple, list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            classes_in(part, found)
