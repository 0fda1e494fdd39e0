"""What goes wrong with files: one error, one warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from varinv import check
from varinv.limits import memory_limit


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
    """Half of the memory that this process may use, in bytes: the machine's, its container's or what ulimit leaves."""
    return memory_limit() // 2


def afford(path: object, what: str, nbytes: int) -> None:
    """A ScanError, before anything is allocated, where an array would not fit into half the memory there is."""
    if nbytes > room():
        raise ScanError(
            f"{path}: {what} needs {nbytes / 2**30:.3g} GiB and half of the memory this process may use is "
            f"{room() / 2**30:.3g} GiB; if the shape in the file is true, read fewer rows or views at a time"
        )


def head(path: Path, n: int = 512) -> bytes:
    """The first `n` bytes, or a ScanError."""
    try:
        with path.open("rb") as file:
            return file.read(n)
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror or error})") from None
