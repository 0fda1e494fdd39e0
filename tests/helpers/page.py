"""The contributor page as a module: its Python blocks, run in order, so that tests use the classes that readers see."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
import types
from pathlib import Path

import varinv as vi

PAGE = Path(__file__).parents[2] / "docs" / "contributing.md"


@functools.cache
def page() -> types.ModuleType:
    """All blocks in one module, `printed` what they print; the classes leave the registries of the contract tests."""
    module = types.ModuleType("contributing_page")
    sys.modules[module.__name__] = module
    text = PAGE.read_text()
    registered = [list(c.kinds) for c in (vi.LinearOperator, vi.Functional)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in re.finditer(r"^```python\n(.*?)^```$", text, re.S | re.M):
            line = text[: block.start(1)].count("\n")
            exec(compile("\n" * line + block[1], str(PAGE), "exec"), module.__dict__)
    for c, kinds in zip((vi.LinearOperator, vi.Functional), registered, strict=True):
        c.kinds[:] = kinds
    module.printed = printed.getvalue()  # type: ignore[attr-defined]
    return module
