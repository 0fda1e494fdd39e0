"""Which solver accepts which problem, and after how many iterations its objective is within 1e-6 of the optimum.

Markdown, over the thirty problems and fourteen of consistent data that the tests use; needs cvxpy.

    python benchmarks/solver_table.py [SOLVER …]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "helpers", "core"))
from proof import TOL, table, words

outcomes = table(names=set(sys.argv[1:]) or None)
print(words(outcomes))
accepted = [o for o in outcomes if o.refused is None]
reached = sum(o.solved for o in accepted)
fewest = min(sum(o.solver == name for o in accepted) for name in {o.solver for o in outcomes})
print(f"{reached} of {len(accepted)} pairs reach {TOL:g} (all asked); every solver accepts {fewest} or more (5 asked)")
