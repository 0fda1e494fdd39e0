"""The README's script runs as printed, on the embedded scan."""

import re
from pathlib import Path

from varinv.scan import demo

ROOT = Path(__file__).resolve().parents[2]


def test_readme_script_runs_as_printed(tmp_path, monkeypatch, capsys):
    scan = demo.path()
    script = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert 'vi.read("scan.h5")' in script
    monkeypatch.chdir(tmp_path)
    script = script.replace('"scan.h5"', repr(str(scan))).replace("(512, 512)", "(128, 128)")
    exec(compile(script, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "stopped" in out
    assert (tmp_path / "reconstruction.h5").exists()
    assert (tmp_path / "reconstruction.png").exists()


def test_every_path_of_the_readme_exists():
    for link in re.findall(r"\]\((docs/[^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
