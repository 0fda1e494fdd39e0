"""Buffers that are used again: a long run allocates nothing, and no array that anybody holds is written over."""

from __future__ import annotations

import contextlib
import math
import sys
import sysconfig
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np


class _Pool:
    """Buffers that are handed out again once nobody can see them any more.

    States are immutable and a long run still allocates nothing: a buffer returns to use only when its reference
    count shows that neither it nor a view of it is held.  Any shape and dtype that fits takes the smallest idle buffer,
    unless a fifth of it would lie idle.  Idle ones not asked for in 256 requests are dropped.
    """

    small = 1 << 14  # bytes; below, the allocator is as fast

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # [request it was last handed out for, bytes, first request], the smallest first
        self.buffers: list[list[Any]] = []
        self.limit = math.inf  # bytes that idle buffers may fill up beside those in use
        self.requests = 0
        self.made = 0  # buffers allocated so far: the tests watch it
        probe = [0, np.empty(1)]
        self.unseen = sys.getrefcount(probe[1])
        self.enabled = not sysconfig.get_config_var("Py_GIL_DISABLED")

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        size = math.prod(shape) * dtype.itemsize
        if not self.enabled or size < self.small:
            return np.empty(shape, dtype)
        with self.lock:
            self.requests += 1
            for b in self.buffers:
                if 4 * b[1].size > 5 * size:
                    break
                if b[1].size >= size and sys.getrefcount(b[1]) == self.unseen:
                    b[0] = self.requests
                    return np.ndarray(shape, dtype, b[1])
            self.drop(256, limit=self.limit - size)
            self.made += 1
            new: list[Any] = [self.requests, _aligned(size), self.requests]
            self.buffers = sorted([*self.buffers, new], key=lambda b: b[1].size)
            return np.ndarray(shape, dtype, new[1])

    def held(self) -> int:
        """Bytes of all buffers."""
        return sum(b[1].size for b in self.buffers)

    def drop(self, age: int, since: float = math.inf, limit: float = math.inf) -> None:
        """Forget idle buffers: those not asked for in `age` requests, made after `since`, any while above `limit`."""
        idle = [b for b in self.buffers if sys.getrefcount(b[1]) == self.unseen]
        held = self.held()
        for b in sorted(idle, key=lambda b: int(b[0])):
            if self.requests - b[0] >= age or b[2] > since or held > limit:
                held -= b[1].size
                self.buffers = [kept for kept in self.buffers if kept is not b]

    @contextlib.contextmanager
    def guest(self) -> Iterator[None]:
        """Inside, new buffers take the place of idle ones; at the end they are forgotten."""
        with self.lock:
            before, self.limit, began = self.limit, min(self.limit, self.held()), self.requests
        try:
            yield
        finally:
            with self.lock:
                self.drop(256, since=began)
                self.limit = before


def _aligned(size: int) -> np.ndarray[Any, Any]:
    """Bytes that start at a multiple of 64: what JAX asks of memory that it shares."""
    owner = np.empty(size + 63, np.uint8)
    start = -owner.ctypes.data % 64
    # through a memoryview: of a view of a view NumPy holds the first owner, and the count that is looked at is ours
    return np.frombuffer(memoryview(owner)[start : start + size], np.uint8)  # type: ignore[arg-type]


POOL = _Pool()
