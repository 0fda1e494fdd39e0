"""Files that appear whole or not at all, whatever the disk does: full, read-only, over a quota, lost on the way."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replaced(path: Path, name: str | None = None) -> Iterator[Path]:
    """A file beside `path` to write to, moved there in one go at the end; after an error nothing is left of it.

    `name` of the file beside; None: a hidden one that is free.  A symbolic link is followed: the file it points to is
    replaced, the link stays.  A new file gets the permissions that the system gives to new files, a replaced one keeps
    those it had.

    Raises
    ------
    OSError
        What the system says (disk full, read-only, quota, permission), as one sentence with the name of the file and
        the reason, of the class that belongs to it; the file that was there is intact.
    """
    place = target(path)
    part = _named(place) if name is None else place.with_name(name)
    try:
        with told(path):
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            yield part
            _keep_mode(part, place)
            _flush(part)
            part.replace(place)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def target(path: Path) -> Path:
    """Where a file of this name would lie, links followed; an OSError where it cannot be written there."""
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    if place.is_symlink():
        raise OSError(f"{path}: a symbolic link that leads in a circle; name another file")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"save: the folder {place.parent} does not exist; create it first")
    if place.is_dir():
        raise IsADirectoryError(f"{path} cannot be written: it is a folder; name a file")
    if place.exists():
        if not stat.S_ISREG(place.stat().st_mode):
            raise OSError(f"{path} cannot be written: it is a pipe or device, no file; name another one")
        if not os.access(place, os.W_OK):
            raise PermissionError(f"{path} cannot be written: it is write-protected; name another file")
    return place


def _named(place: Path) -> Path:
    """A hidden name that is free, in the same folder: the move at the end stays on one disk."""
    return place.with_name(f".{place.stem[:200]}-{secrets.token_hex(4)}{place.suffix}")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system says about a file becomes one sentence, in an error of the same class and number."""
    try:
        yield
    except OSError as error:
        number = error.errno
        reason = error.strerror or str(error) or type(error).__name__
        if number == errno.EFBIG:
            reason += " (the limit on the size of files, ulimit -f)"
        kept = "; the one before it is intact" if os.path.lexists(path) else "; nothing was written"
        kind = type(OSError(number, "")) if number is not None else OSError
        words = kind(f"{path} cannot be written: {reason}{kept}")
        words.errno = number
        raise words from error


def _keep_mode(part: Path, place: Path) -> None:
    with suppress(OSError):
        if place.exists():
            part.chmod(stat.S_IMODE(place.stat().st_mode))


def _flush(part: Path) -> None:
    """To the disk: a quota on a network or blocks allocated late complain here, not after the old file is gone."""
    handle = os.open(part, os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without such a call
            raise
    finally:
        os.close(handle)


class Patient(io.RawIOBase):
    """A file that remembers its first error in place of raising it: for writers that do not survive one.

    HDF5's library ends the process when a write fails while it closes a file.  After the first failure all writes are
    taken and dropped; `check` raises what had happened.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("r+b", buffering=0)
        self.error: OSError | None = None
        self.place = self.end = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.end}[whence]
        return self.place

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._try(lambda: self._all(view))
        self.place += view.nbytes
        self.end = max(self.end, self.place)
        return view.nbytes

    def _all(self, view: memoryview) -> None:
        self.file.seek(self.place)
        done = 0
        while done < view.nbytes:
            done += self.file.write(view[done : done + (1 << 30)]) or 0

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(view.nbytes)
        self.file.seek(self.place)
        found = self.file.read(view.nbytes) or b""
        view[: len(found)] = found
        count = max(min(view.nbytes, self.end - self.place), 0)
        self.place += count
        return count

    def truncate(self, size: int | None = None) -> int:
        self.end = self.place if size is None else size
        self._try(lambda: self.file.truncate(self.end))
        return self.end

    def flush(self) -> None:
        pass

    def close(self) -> None:
        try:
            self.file.close()
        except OSError as error:
            self.error = self.error or error
        super().close()

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error

    def _try(self, act: Any) -> None:
        if self.error is None:
            try:
                act()
            except OSError as error:
                self.error = error
