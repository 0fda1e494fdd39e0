"""How much memory this process may use: what the machine has, its container allows and its user has set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc/self")


def memory_limit() -> int:
    """Bytes: the least of the machine's memory, the limits of all control groups above, and what ulimit leaves."""
    return min(_machine(), *_groups(), *_rlimits(), 1 << 62)


def memory_free() -> int:
    """Bytes this process may still take: what its limits leave beyond what it uses, at most what is free."""
    pages = _text(PROC / "statm").split()
    used = int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0
    lines = (line.split() for line in _text(PROC / "meminfo").splitlines())
    free = [int(words[1]) * 1024 for words in lines if words[:1] == ["MemAvailable:"]]
    return max(min(min(_machine(), *_groups(), 1 << 62) - used, *_rlimits(), *free, 1 << 62), 0)


def _machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 1 << 35


def _groups() -> Iterator[int]:
    """Limits of the control groups this process is in, and of those above them; versions 2 and 1 of Linux."""
    for line in _text(PROC / "cgroup").splitlines():
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        root, limit = (GROUPS / "memory", "memory.limit_in_bytes") if controllers else (GROUPS, "memory.max")
        place = root / name.lstrip("/")
        for folder in (place, *place.parents):
            text = _text(folder / limit).strip()
            if text.isdigit():  # else "max", or no such file
                yield int(text)
            if folder == root:
                break


def _rlimits() -> Iterator[int]:
    """What the limits on address space and data leave beyond what is in use (ulimit -v, ulimit -d)."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    pages = _text(PROC / "statm").split()
    for kind, field in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY:
            used = int(pages[field]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > field else 0
            yield max(soft - used, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
