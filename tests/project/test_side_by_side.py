"""The harness of `make benchmark` counts right; nothing is timed here."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from side_by_side import harness, install, machine, problems, report
from side_by_side.cases import ct_tv, denoising, graph, projectors
from side_by_side.harness import Counted, Finished, Iterative, Row, Run, Trace, Watch
from side_by_side.peers import plain

import varinv as vi


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by hand."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(harness.time, "sleep", lambda s: None)
    return now


def test_the_ratio_is_theirs_over_ours_and_the_verdict_follows_it():
    row = Row("c", "to 0.001", 2.0, "peer", 30.0, asked=15)
    assert row.ratio == 15
    assert report.verdict(row) is True
    assert report.verdict(Row("c", "", 2.1, "peer", 30.0, asked=15)) is False
    assert report.verdict(Row("c", "", 3.0, "peer", 30.0, least=True, asked=15)) is None  # stopped: not decided
    assert report.verdict(Row("c", "", 1.0, "peer", 30.0, least=True, asked=15)) is True
    assert report.verdict(Row("c", "import", 0.31, asked=0.3)) is False
    assert report.verdict(Row("c", "iteration", 61.0, unit="% of copy", asked=60.0)) is True  # a share: the least
    assert Row("c", "", None, "peer", 1.0).ratio is None


def test_a_line_of_the_table():
    row = Row("c", "to 0.001", 0.25, "peer", 30.0, least=True, note="reached 4.0e-02 in 30 s", asked=50)
    expected = "| to 0.001 | 250 ms | peer | > 30 s | ≥ 120 | ≥ 50 ✓ | reached 4.0e-02 in 30 s |"
    assert report.line(row) == expected
    assert report.line(Row("c", "", None, "peer", note="not installed")) == "|  | – | peer | – | – |  | not installed |"


def test_both_files_hold_every_row(tmp_path):
    rows = [Row("a", "x", 1.0, "p", 2.0), Row("b", "y", 0.1, asked=0.3)]
    report.write(rows, {"date": "today"}, tmp_path)
    text, table = (tmp_path / "results.md").read_text(), json.loads((tmp_path / "results.json").read_text())
    assert "## a" in text
    assert "| y | 100 ms |" in text
    assert [(r["ratio"], r["met"]) for r in table["rows"]] == [(2.0, None), (None, True)]


def test_the_clock_stands_still_while_the_objective_is_evaluated(clock):
    def gap(x):
        clock[0] += 1000.0
        return x

    watch = Watch(gap, (1e-1, 1e-2), 100.0)

    def work(watch):
        for k in range(1, 100):
            clock[0] += 0.5
            watch(0.5**k)

    with pytest.raises(Finished):
        work(watch)
    # 2^-4 is the first below 0.1, 2^-7 below 0.01; half a second each
    assert watch.trace.seconds == {1e-1: 2.0, 1e-2: 3.5}
    assert watch.trace.iterations == {1e-1: 4, 1e-2: 7}


def test_a_method_that_makes_several_iterations_at_once_is_timed_so_where_nobody_looks(clock):
    calls = []

    def work(watch):
        k = 0
        while True:
            made = min(watch.most, 3)
            k, clock[0] = k + made, clock[0] + 0.1  # a call costs the same, however many it makes
            calls.append(made)
            watch(0.5**k, made)

    trace = Iterative(work).run(lambda x: x, (1e-1, 1e-2), 60.0)
    assert calls == [1] * 7 + [3, 1, 3]  # with looks; then to 4 and on to 7
    assert trace.iterations == {1e-1: 4, 1e-2: 7}
    assert trace.seconds == pytest.approx({1e-1: 0.2, 1e-2: 0.3})


def test_a_method_that_does_not_get_there_is_stopped_and_says_how_far_it_came(clock):
    def work(watch):
        while True:
            clock[0] += 7.0
            watch(0.04)

    trace = Iterative(work).run(lambda x: x, (1e-2,), 60.0)
    assert not trace.seconds
    assert trace.note() == "reached 4.0e-02 in 63 s"


def test_the_number_of_iterations_of_a_method_without_callback_is_found(clock):
    def work(n):
        clock[0] += 0.01 * n
        return n

    trace = Counted(work).run(lambda n: 3.0 / n**2, (1e-2, 1e-4), 1000.0)
    # √300 = 17.3 and √30000 = 173.2; found to 5 %, never too small
    assert 18 <= trace.iterations[1e-2] <= 19
    assert 174 <= trace.iterations[1e-4] <= 183
    assert trace.seconds[1e-4] == pytest.approx(0.01 * trace.iterations[1e-4])


def test_the_clock_of_a_counted_method_does_not_hold_the_objective(clock):
    def work(n):
        clock[0] += 0.01 * n
        return n

    def gap(n):
        clock[0] += 1000.0
        return 3.0 / n**2

    trace = Counted(work).run(gap, (1e-2,), 100.0)
    assert trace.seconds[1e-2] == pytest.approx(0.01 * trace.iterations[1e-2])


def test_a_race_gives_each_side_its_own_seconds_to_each_target(clock):
    def paced(step):
        def work(watch):
            for k in range(1, 20):
                clock[0] += step
                watch(2.0**-k)

        return Iterative(work)

    def absent():
        raise ImportError("no module of this name")

    peers = {"slow": lambda: paced(0.75), "absent": absent}
    rows = harness.race("c", paced(0.25), peers, lambda x: x, (1e-1, 1e-2), 60.0, 3, {"slow": 2.5})
    # 2^-4 is the first below 0.1, 2^-7 below 0.01
    assert [(r.what, r.ours, r.theirs) for r in rows[:2]] == [("to 0.1", 1.0, 3.0), ("to 0.01", 1.75, 5.25)]
    assert [r.asked for r in rows[:2]] == [None, 2.5]  # what is asked belongs to the last target
    absence = "not installed: ImportError: no module of this name"
    assert [r.note for r in rows] == ["4 iterations", "7 iterations", absence]


def test_calls_in_turn_give_each_side_its_own_median(clock):
    def paced(steps):
        left = iter([99.0, *steps])  # the first call is unseen

        def work():
            clock[0] += next(left)

        return work

    assert harness.alternate(paced((1.0, 9.0, 2.0)), paced((30.0, 5.0, 4.0)), most=3, budget=100.0) == (2.0, 5.0)


def test_the_columns_stand_under_their_heads():
    row = Row("c", "to 0.001", 1.0, "peer", 2.0, note="7 iterations", asked=1.5)
    head = [cell.strip() for cell in report.HEAD.splitlines()[0].split("|")]
    cells = dict(zip(head, (cell.strip() for cell in report.line(row).split("|")), strict=True))
    assert cells == {
        "": "", "what": "to 0.001", "varinv": "1 s", "peer": "peer", "its figure": "2 s", "ratio": "2",
        "asked": "≥ 1.5 ✓", "remark": "7 iterations",
    }  # fmt: skip


def test_a_proved_gap_is_proved_and_one_that_is_not_says_so():
    case = problems.denoising((16, 16))
    optimum, first, last = problems.own(harness.Run(), "c", case, (1e-3, 1e-2), 10.0)
    assert optimum.what == f"P* = {case.optimum[0]:.8g}"
    assert [first.what, last.what] == ["gap of 0.01 proved", "gap of 0.001 proved"]
    for row, target in ((first, 1e-2), (last, 1e-3)):
        shown = dict(part.split(" ")[:2] for part in row.note.split(", ")[:2])
        assert float(shown["true"]) <= 1.05 * float(shown["proved"]) <= 1.05 * target  # two digits are shown
        assert row.ours > 0
    # float32 claims nothing below 1e-6
    _, row = problems.own(harness.Run(), "c", problems.deblurring(16), (1e-12, 1e-13), 0.05)
    assert not list(problems.own(harness.Run(only="a peer"), "c", case, (1e-2,), 1.0))  # in the process of a peer
    assert row.ours is None
    assert row.note.startswith("not in 0.05 s: proved")


def test_the_bandwidth_counts_no_more_than_what_is_moved(monkeypatch):
    def slow(a, b):
        now[0] += 1.0

    now = [0.0]
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(machine, "_add", slow)
    monkeypatch.setattr(machine, "_copy", slow)
    assert machine.bandwidth(1 << 16, 2) == 3 * (1 << 15)  # half of it is b; b += a moves a, b, and b again
    assert machine.last_cache() > 1 << 17  # no machine of today has less


def test_the_median_is_that_of_runs_that_all_arrived():
    traces = [Trace({0.1: s}) for s in (3.0, 1.0, 2.0)]
    assert harness.median(traces, 0.1) == 2.0
    assert harness.median([*traces, Trace()], 0.1) is None


def test_the_gap_is_that_of_the_objective_written_out():
    case = problems.ct_tv(8, 5)
    x = np.random.default_rng(3).standard_normal((8, 8)).astype(np.float32)
    z = np.maximum(x.astype(float), 0)
    A = np.stack([case.judge.coupled[0].K(e.reshape(8, 8)).ravel() for e in np.eye(64)], axis=1)
    d0, d1 = np.diff(z, axis=0, append=z[-1:]), np.diff(z, axis=1, append=z[:, -1:])
    value = 0.5 * np.sum((A @ z.ravel() - case.y.ravel()) ** 2) + 0.5 * np.hypot(d0, d1).sum()
    best = case.optimum[0]
    # the sinogram is rounded to float32 once more inside the test
    assert case.gap(x) == pytest.approx((value - best) / best, rel=1e-5)
    assert case.gap(np.zeros((8, 8))) > 0


def test_peers_that_are_not_installed_are_rows_that_say_so(monkeypatch):
    for name in ("astra", "skimage.restoration", "skimage.transform", "odl", "pylops", "pyproximal", "deepinv",
                 "scico", "svmbir", "mbirjax"):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, None)
    for name in [m for m in sys.modules if m.startswith("side_by_side.peers.")]:
        monkeypatch.delitem(sys.modules, name)
    for case in (projectors, denoising, ct_tv):
        rows = [row for row in case.rows(Run(quick=True, size=8)) if row.peer]
        assert rows
        assert all(row.note.startswith("not installed") and row.theirs is None for row in rows)


def test_what_is_written_for_numpy_and_scipy_is_the_same_problem():
    rng = np.random.default_rng(0)
    x, guide, kernel = rng.random((9, 8)), rng.random((9, 8)), rng.random((3, 5))
    L = graph.straightforward(guide)
    expected = vi.GraphLaplacian(guide, graph.RADIUS, graph.SCALE)(x).ravel()
    assert np.linalg.norm(L @ x.ravel() - expected) <= 1e-12 * np.linalg.norm(expected)  # float64
    B = vi.Blur((9, 8), kernel.astype(np.float32))
    forward, adjoint = plain.blur(kernel, (9, 8))
    for ours, theirs in ((B(x), forward(x)), (B.T(x), adjoint(x))):
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(ours)  # its symbol is of a float32 kernel
    D, p = vi.Gradient((9, 8)), rng.random((2, 9, 8))
    d, back = np.empty((2, 9, 8)), np.empty((9, 8))
    plain.gradient(x, d)
    plain.transpose(p, back)
    assert np.array_equal(d, D(x))
    assert np.allclose(back, D.T(p), rtol=0, atol=1e-14)


def test_a_reason_names_no_place_on_this_machine():
    words = harness.reason(OSError("cannot open /home/somebody/lib/thing.so now"))
    assert words == "does not run: OSError: cannot open … now"


def test_every_requirement_is_pinned_and_belongs_to_a_peer():
    found = install.peers(install.LIST.read_text())
    assert {"odl", "deepinv", "mbirjax"} <= {peer for peer, _, _ in found}
    assert all("==" in words for _, _, lines in found for words in lines)


def test_the_optima_of_the_table_are_proved():
    known = json.loads(problems.OPTIMA.read_text())
    assert known
    assert all(math.isfinite(o["value"]) for o in known.values())
    assert all(o["proved"] <= 1e-6 for name, o in known.items() if name.startswith(("ct-tv 256", "denoising")))
