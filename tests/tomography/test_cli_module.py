"""The command line as a module: `python -m varinv`."""

from __future__ import annotations

import runpy
import sys

import pytest

import varinv as vi


@pytest.mark.parametrize("module", ["varinv", "varinv.cli"])
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_the_command_is_python_m_as_well(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"varinv {vi.__version__}\n"
