"""The table as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from side_by_side.harness import Row

HEAD = "| what | varinv | peer | its figure | ratio | asked | remark |\n|---|---|---|---|---|---|---|"


def figure(value: float | None, unit: str = "s") -> str:
    """A number with its unit, three digits."""
    if value is None:
        return "–"
    if unit != "s":
        return f"{value:.3g} {unit}".strip()
    return f"{1e3 * value:.3g} ms" if value < 0.9995 else f"{value:.3g} s"


def line(row: Row) -> str:
    """A row of the table."""
    ratio = "–" if row.ratio is None else ("≥ " if row.least else "") + f"{row.ratio:.3g}"
    theirs = ("> " if row.least else "") + figure(row.theirs, row.unit)
    largest = not row.peer and not row.unit.startswith("%")
    asked = "" if row.asked is None else f"≤ {figure(row.asked, row.unit)}" if largest else f"≥ {row.asked:g}"
    if row.asked is not None and (met := verdict(row)) is not None:
        asked += " ✓" if met else " ✗"
    return f"| {row.what} | {figure(row.ours, row.unit)} | {row.peer} | {theirs} | {ratio} | {asked} | {row.note} |"


def verdict(row: Row) -> bool | None:
    """Whether what was asked is met; None: nothing was asked, or it is not decided."""
    if row.asked is None or row.ours is None:
        return None
    if not row.peer:
        return row.ours >= row.asked if row.unit.startswith("%") else row.ours <= row.asked
    if row.ratio is None or (row.least and row.ratio < row.asked):
        return None
    return row.ratio >= row.asked


def markdown(rows: Sequence[Row], machine: dict[str, Any]) -> str:
    """The whole table, one section a case."""
    parts = ["# Side by side", ""]
    parts += [f"- {name}: {value}" for name, value in machine.items()]
    for case in dict.fromkeys(row.case for row in rows):
        parts += ["", f"## {case}", "", HEAD, *(line(row) for row in rows if row.case == case)]
    return "\n".join(parts) + "\n"


def write(rows: Sequence[Row], machine: dict[str, Any], out: Path) -> None:
    """results.md and results.json in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text(markdown(rows, machine))
    table = [dataclasses.asdict(row) | {"ratio": row.ratio, "met": verdict(row)} for row in rows]
    (out / "results.json").write_text(json.dumps({"machine": machine, "rows": table}, indent=1, ensure_ascii=False))
