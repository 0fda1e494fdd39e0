"""Other files that an HDF5 file takes its numbers from: those in the scan's own folder, unless `links="any"`."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from varinv.scan.errors import ScanError

WHERE = ("folder", "any")
_roots: ContextVar[tuple[Path, ...] | None] = ContextVar("roots", default=None)  # None: anywhere


@contextmanager
def within(path: Path, links: str) -> Iterator[None]:
    """While a scan is opened: which folders its parts may lie in, links to folders followed to their end."""
    folders = (path.parent.resolve(), path.resolve().parent)
    token = _roots.set(None if links == "any" else folders)
    try:
        yield
    finally:
        _roots.reset(token)


def allowed(path: Path, name: str, place: Path, target: str) -> None:
    """A ScanError where `name` of the file at `path` takes its numbers from a file elsewhere, or from no file."""
    roots = _roots.get()
    end = place.resolve()
    if roots is not None and not any(end.is_relative_to(root) for root in roots):
        raise ScanError(
            f"{path}: {name} lies in another file, {target}, outside the folder of the scan; a file from a stranger "
            "may name any file of this machine: pass links='any' to read if you trust it"
        )
    regular(place, path)


def regular(place: Path, path: Path | None = None) -> None:
    """A ScanError for what would block or never end: pipes, sockets, devices."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return  # missing: whoever opens it says so
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kinds = {stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
        what = next((word for test, word in kinds.items() if test(mode)), "no file")
        raise ScanError(f"{path or place}: {f'{place} ' if path else ''}is {what}, not a file or folder")
