"""What a comparison is: alternating runs, medians, and time to an objective that one float64 function evaluates."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

NOBODY = "nobody"  # as `Run.only`: no peer
AGAIN = 2.0  # seconds below which a run is timed again without looks
REST = 0.002  # seconds before somebody is timed: the threads of who ran last spin for a while and would be in the way


@dataclass(frozen=True)
class Run:
    """How to measure: `quick` takes the small sizes once; peers to leave out, or (part of) the name of those to take.

    `size`: images of so many pixels along an edge instead (the tests use it).
    """

    quick: bool = False
    only: str = ""
    without: tuple[str, ...] = ()
    size: int = 0

    def wants(self, peer: str) -> bool:
        return self.only.lower() in peer.lower() and peer not in self.without


@dataclass
class Row:
    """One line of the table: what was measured, ours, theirs.

    `theirs` None: the peer has no figure, `note` says why.  `least`: theirs is a lower bound (it was stopped).
    `unit` "s" by default.  `asked` is the ratio asked for; without a peer, the largest value of
    `ours`, of shares ("% …") the smallest.
    """

    case: str
    what: str
    ours: float | None
    peer: str = ""
    theirs: float | None = None
    least: bool = False
    note: str = ""
    asked: float | None = None
    unit: str = "s"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Theirs over ours."""
        return None if self.ours is None or self.theirs is None or not self.ours else self.theirs / self.ours


@dataclass
class Trace:
    """What one run of one method showed: seconds to each target (missing: not reached), and where it ended."""

    seconds: dict[float, float] = field(default_factory=dict)
    iterations: dict[float, int] = field(default_factory=dict)
    elapsed: float = 0.0
    gap: float = math.inf

    def note(self) -> str:
        return f"reached {self.gap:.1e} in {self.elapsed:.0f} s"


class Finished(Exception):
    """The last target is reached, or the time is up."""


class Watch:
    """Called by a method with each iterate (`most` = 1); the clock stands still while the objective is evaluated.

    Looks at every iterate up to the 50th, then at every 50th part: a target is dated at most 2 % late, for everybody.
    """

    def __init__(self, gap: Callable[[Any], float], targets: Sequence[float], limit: float) -> None:
        self.gap, self.targets, self.limit = gap, sorted(targets, reverse=True), limit
        self.trace, self.k, self.next, self.most = Trace(), 0, 1, 1
        self.began = time.perf_counter()

    def __call__(self, x: Any, made: int = 1) -> None:
        now = time.perf_counter()
        self.trace.elapsed += now - self.began
        self.k += made
        if self.k >= self.next or self.trace.elapsed > self.limit:
            self.next = self.k + max(1, self.k // 50)
            self.look(x)
        self.began = time.perf_counter()

    def look(self, x: Any) -> None:
        trace = self.trace
        trace.gap = self.gap(x)
        time.sleep(REST)
        for target in self.targets:
            if trace.gap <= target and target not in trace.seconds:
                trace.seconds[target], trace.iterations[target] = trace.elapsed, self.k
        if len(trace.seconds) == len(self.targets) or trace.elapsed > self.limit:
            raise Finished


class Stamps:
    """Called by a method with its iterates, at least with those of the given iterations: only the time at these."""

    def __init__(self, iterations: dict[float, int]) -> None:
        self.iterations, self.seconds = iterations, dict[float, float]()
        self.k, self.most, self.began = 0, min(iterations.values()), time.perf_counter()

    def __call__(self, x: Any, made: int = 1) -> None:
        self.k, now = self.k + made, time.perf_counter() - self.began
        self.seconds |= {target: now for target, k in self.iterations.items() if k == self.k}
        left = [k - self.k for k in self.iterations.values() if k > self.k]
        if not left:
            raise Finished
        self.most = min(left)


@dataclass(frozen=True)
class Iterative:
    """A method that shows its iterates: ``work(watch)`` calls ``watch(x)`` after each iteration, from scratch.

    Several at once, at most ``watch.most``: ``watch(x, made)``.  Where all took less than 2 s it is run again without
    a look, which would leave caches cold and threads asleep: it counts where iterations take less than a millisecond.
    """

    work: Callable[[Callable[[Any], None]], Any]

    def run(self, gap: Callable[[Any], float], targets: Sequence[float], limit: float) -> Trace:
        watch = Watch(gap, targets, limit)
        with contextlib.suppress(Finished):
            self.work(watch)
        trace = watch.trace
        if trace.elapsed < AGAIN and trace.iterations:
            stamps = Stamps(trace.iterations)
            with contextlib.suppress(Finished):
                self.work(stamps)
            trace.seconds = stamps.seconds
        return trace


@dataclass(frozen=True)
class Counted:
    """A method that only takes a number of iterations: ``work(n)`` returns x.

    The number is doubled until the target is reached, then interpolated (log gap over log n) to 5 %; what counts is the
    time of the call with the smallest number found.  Nothing is charged for the search.
    """

    work: Callable[[int], Any]
    first: int = 4

    def run(self, gap: Callable[[Any], float], targets: Sequence[float], limit: float) -> Trace:
        tried: dict[int, tuple[float, float]] = {}  # n -> gap, seconds

        def look(n: int) -> float:
            if n not in tried:
                began = time.perf_counter()
                x = self.work(n)
                spent = time.perf_counter() - began
                tried[n] = (gap(x), spent)
            return tried[n][0]

        trace = Trace()
        for target in sorted(targets, reverse=True):
            n = max(tried, default=self.first)
            while look(n) > target and tried[n][1] < limit / 2:
                n *= 2
            trace.gap, trace.elapsed = tried[n]
            if look(n) > target:
                break
            for _ in range(4):
                low = max((m for m in tried if tried[m][0] > target), default=0)
                high = min(m for m in tried if tried[m][0] <= target)
                if not low or high <= max(low + 1, 1.05 * low):
                    break
                a, b = math.log(tried[low][0] / target), math.log(target / max(tried[high][0], 1e-16))
                guess = math.exp((math.log(low) * b + math.log(high) * a) / (a + b)) if a + b > 0 else low
                look(min(max(math.ceil(1.02 * guess), low + 1), high - 1))
            n = min(m for m in tried if tried[m][0] <= target)
            trace.seconds[target], trace.iterations[target] = tried[n][1], n
        return trace


Method = Iterative | Counted


@dataclass(frozen=True)
class Pair:
    """A projector pair on the arrays of its package: what turns ours into them does not count.

    `show` turns its sinogram into ours.
    """

    forward: Callable[[Any], Any]
    adjoint: Callable[[Any], Any]
    image: Callable[[Any], Any] = lambda x: x
    sinogram: Callable[[Any], Any] = lambda y: y
    show: Callable[[Any], Any] = lambda y: y


def repeats(first: float, most: int) -> int:
    """How often more: short runs often, long ones once."""
    return most if first < 1 else min(most, 3) if first < 5 else 1


def race(
    case: str,
    ours: Method,
    peers: dict[str, Any],
    gap: Callable[[Any], float],
    targets: Sequence[float],
    limit: float = 60.0,
    most: int = 5,
    asked: dict[str, float] | None = None,
    limits: dict[str, float] | None = None,
) -> list[Row]:
    """Rows of time to each target, ours and theirs in turn; the ratio asked for belongs to one peer's last target.

    `peers`: name -> function that makes the method; what it raises becomes the row's note.  Each is run once unseen
    (compilation, caches) as far as the first target.  `limits`: seconds of some peers, where `limit` would tell less.
    """
    rows: list[Row] = []
    ours.run(gap, targets[:1], limit)  # unseen
    for name, make in peers.items():
        try:
            theirs = make()
            theirs.run(gap, [max(targets)], min(limit / 10, 5.0))
        except Exception as error:
            rows.append(Row(case, "", None, name, note=reason(error)))
            continue
        most_seconds = (limits or {}).get(name, limit)
        mine, other = [ours.run(gap, targets, limit)], [theirs.run(gap, targets, most_seconds)]
        for _ in range(repeats(other[0].elapsed, most) - 1):
            mine.append(ours.run(gap, targets, limit))
            other.append(theirs.run(gap, targets, most_seconds))
        for target in targets:
            a, b = median(mine, target), median(other, target)
            last = other[0]
            note = (f"{last.iterations[target]} iterations" if b is not None else last.note()) if last else ""
            wanted = (asked or {}).get(name) if target == (asked or {}).get("at", min(targets)) else None
            count = mine[0].iterations.get(target)
            rows.append(
                Row(case, f"to {target:g}", a, name, last.elapsed if b is None else b, b is None, note, wanted,
                    more={"iterations": count})
            )  # fmt: skip
    return rows


def median(traces: Sequence[Trace], target: float) -> float | None:
    """The median of the runs that reached the target; None where one did not."""
    values = [t.seconds.get(target) for t in traces]
    return None if None in values else statistics.median(v for v in values if v is not None)


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], most: int = 9, budget: float = 6.0) -> Any:
    """Medians of the seconds of two functions called in turn, a rest before each, after one unseen call of each."""
    ours(), theirs()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < most and (len(pairs) < 3 or sum(map(sum, pairs)) < budget):
        pairs.append((seconds(ours), seconds(theirs)))
        if sum(map(sum, pairs)) > 3 * budget:
            break
    return tuple(statistics.median(p[side] for p in pairs) for side in (0, 1))


def seconds(work: Callable[[], Any]) -> float:
    time.sleep(REST)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most memory that Python and NumPy hold at once during `work`, beyond what they held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def reason(error: BaseException) -> str:
    """One line for the table; where things lie on this machine is nobody's business."""
    import re

    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    words = re.sub(r"(/[\w.\-+]+){2,}", "…", words)
    kind = "not installed" if isinstance(error, ImportError) else "does not run"
    return f"{kind}: {type(error).__name__}: {words[:120]}"
