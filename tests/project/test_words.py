"""The first line of every public docstring is one plain sentence without formulas: editors show it first."""

import ast
import inspect
import re
import unicodedata
from pathlib import Path

import pytest

import varinv as vi
import varinv.plot

STUB = Path(vi.__file__).with_suffix(".pyi")
LENGTH = 120  # a line of this repository
SYMBOLS = "‖·½ᵀ⁺_^*{}"  # beside what Unicode calls Greek, a mathematical symbol or a superscript


def public():
    """(name, object) of every public name, and of every class and function of the public modules."""
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.name, getattr(vi, alias.name)) for alias in node.names)
    for module in (vi.families, vi.filters, vi.plot, vi.testing):
        for name, value in vars(module).items():
            if name[0] != "_" and getattr(value, "__module__", "").startswith(module.__name__):
                yield f"{module.__name__}.{name}", value


NAMES = {name: value for name, value in public() if not inspect.ismodule(value)}


def faults(line):
    """What is wrong with the first line of a docstring."""
    if not line:
        return ["there is no docstring"]
    found = []
    if not line.endswith("."):
        found.append("no full stop at the end")
    if len(line) > LENGTH:
        found.append(f"{len(line)} characters")
    if not (line[0].isupper() or line[0].isdigit()):
        found.append("does not begin with a capital letter or a digit")
    found += [f"`{code}` is no name" for code in re.findall(r"`+([^`]*)`+", line) if not re.fullmatch(r"[\w.]+", code)]
    words = re.sub(r"`[^`]*`", "", line)
    found += [f"the symbol {c}" for c in sorted(set(words)) if c in SYMBOLS or symbol(c)]
    return found


def symbol(c):
    """Whether c belongs in a formula; the category Sm holds +, =, <, |, → and ∇."""
    name = unicodedata.name(c, "")
    return unicodedata.category(c) == "Sm" or "GREEK" in name or "SUPERSCRIPT" in name or "SUBSCRIPT" in name


def test_the_names_are_found():
    assert {"TV", "solve", "Radon", "varinv.learning.families.TV", "varinv.plot.image"} <= set(NAMES)
    assert len(NAMES) > 150  # 186 when this was written: the stub is read, not skipped


@pytest.mark.parametrize("name", NAMES)
def test_first_line_is_a_plain_sentence(name):
    value = NAMES[name]
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__  # its own, not that of a parent
    assert faults(inspect.cleandoc(doc or "").partition("\n")[0]) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "there is no docstring"),
        ("Total variation", "no full stop at the end"),
        ("x of least norm.", "does not begin with a capital letter or a digit"),
        ("The value at `x + 1`.", "`x + 1` is no name"),
        ("The smallest value ≤ one.", "the symbol ≤"),
        ("The weight λ.", "the symbol λ"),
        ("The sum of x².", "the symbol ²"),
        ("A" * 120 + ".", "121 characters"),
    ],
)
def test_faults_are_seen(line, fault):
    assert faults(line) == [fault]
    assert faults("Half the squares of 3 images, as `vi.read` opens them (Chambolle–Pock, 2011).") == []
