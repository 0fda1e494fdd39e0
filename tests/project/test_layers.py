"""A module imports only from layers above it, lazily and for types included: no circle anywhere (DESIGN, section 2)."""

from __future__ import annotations

import ast
import fnmatch
from pathlib import Path

import pytest

import varinv

PACKAGE = Path(varinv.__file__).parent

# from the top: a module may import from its own layer and those above; patterns are matched in this order, so that what
# is named apart stands before its folder
LAYERS: list[tuple[str, ...]] = [
    ("varinv",),
    ("arrays", "pool", "memory", "limits", "threads", "first_use"),
    ("backend", "numba_tools", "cuda_tools", "progress", "files", "image_files", "views"),
    ("check", "capabilities", "returned", "linalg", "linalg_*", "roots"),
    ("forms",),
    ("operators.norms", "operators.krylov", "operators.frequencies", "operators.spectrum"),
    (
        "operators.degrees",
        "operators.toolboxes",
        "operators.views",
        "operators.geometry",
        "operators.cone",
        "operators.grid",
        "operators.fbp_weights",
        "operators.fbp",
        "operators.fbp_*",
    ),
    ("operators.pinv",),
    ("operators.traits",),
    ("operators.base",),
    ("operators.*",),
    ("fused", "fused.*"),
    ("joint", "certificate", "certificate_repair", "domains"),
    ("problem",),
    ("functionals", "functionals.*"),
    ("metrics", "plot", "page", "fit", "result"),
    ("solvers", "solvers.*"),
    ("phantom", "filters"),
    ("scan", "scan.*"),
    ("learning", "learning.*"),
    ("priors", "priors.*"),
    ("tomography", "tomography.*"),
    ("stack", "stack.*"),
    ("testing", "testing.*", "warming", "cli", "cli_*", "interrupts", "__main__"),
]


def modules() -> dict[str, Path]:
    """Dotted name below the package → file; the package itself is 'varinv'."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "varinv"] = path
    return found


MODULES = modules()


def layer(module: str) -> int:
    """The first layer with an exact name, else with a pattern, that fits."""
    for fits in (lambda p: p == module, lambda p: fnmatch.fnmatchcase(module, p)):
        for i, patterns in enumerate(LAYERS):
            if any(fits(p) for p in patterns):
                return i
    raise AssertionError(f"{module} stands in no layer: add it to LAYERS")


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, in function bodies and for types as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        else:
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: a relative import"
            continue
        for name in names:
            if name.split(".")[0] == "varinv":
                short = name.removeprefix("varinv").removeprefix(".") or "varinv"
                if short in MODULES:
                    found.add(short)
    return found


GRAPH = {name: imports(path) - {name} for name, path in MODULES.items()}


def packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arrows to a package of which the arrow also names a module, and to the root."""
    return {
        name: {m for m in targets if m != "varinv" and not any(o != m and o.startswith(f"{m}.") for o in targets)}
        for name, targets in graph.items()
    }


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_come_from_above(name: str) -> None:
    below = sorted(m for m in packages(GRAPH)[name] if layer(m) > layer(name))
    assert not below, f"{name} (layer {layer(name)}) imports {', '.join(f'{m} ({layer(m)})' for m in below)}"


def test_no_circles() -> None:
    """Strongly connected modules, by repeatedly taking away those that nothing left imports or that import nothing."""
    graph = packages(GRAPH)
    while True:
        leaves = {name for name, targets in graph.items() if not targets & set(graph)}
        if not leaves:
            break
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert not graph, f"circles among {sorted(graph)}"
