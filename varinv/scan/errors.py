"""What goes wrong with files: one error, one warning."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from varinv import check


class ScanError(ValueError):
    """A file cannot be read as a scan; the message names the file and the fault."""


class ScanWarning(UserWarning):
    """A file was read, but says something implausible; the same text is in the report of the scan.

    That is `Scan.report`.
    """


def shown(text: object) -> str:
    """Text from a file as it may stand in a terminal: control characters are escaped."""
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in str(text))


@contextmanager
def guarded(path: object) -> Iterator[None]:
    """Whatever the libraries that read files raise inside becomes one ScanError with the name of the file."""
    try:
        yield
    except ScanError as error:
        text = shown(error)
        if text != str(error):
            raise ScanError(text) from None
        raise
    except (MemoryError, ScanWarning):
        raise
    except Exception as error:
        raise ScanError(shown(f"{path}: damaged or not what its name says ({type(error).__name__}: {error})")) from None


def warn(path: object, text: str, notes: list[str]) -> None:
    """Issue a ScanWarning and put the same text on record."""
    path, text = shown(path), shown(text)
    notes.append(text)
    warnings.warn(f"{path}: {text}", ScanWarning, stacklevel=check.outside())


def room() -> int:
    """Half of the memory of this machine, in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 1 << 34


def afford(path: object, what: str, nbytes: int) -> None:
    """A ScanError, before anything is allocated, where an array would not fit into half the memory of the machine."""
    if nbytes > room():
        raise ScanError(
            f"{path}: {what} needs {nbytes / 2**30:.3g} GiB and half of this machine's memory is "
            f"{room() / 2**30:.3g} GiB; if the shape in the file is true, read fewer rows or views at a time"
        )


def head(path: Path, n: int = 512) -> bytes:
    """The first `n` bytes, or a ScanError."""
    try:
        with path.open("rb") as file:
            return file.read(n)
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror or error})") from None
