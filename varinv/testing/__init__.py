"""Checks of operators, functionals and solvers of your own: what the library promises, each with a figure and a limit.

>>> import varinv as vi
>>> report = vi.testing.check_functional(vi.L1(0.5), (4, 5))
>>> report.ok
True
>>> print(report.raise_if_failed())
L1(0.5): ... tests passed...
"""

from varinv.testing.functionals import check_functional as check_functional
from varinv.testing.operators import check_operator as check_operator
from varinv.testing.report import Line as Line
from varinv.testing.report import Report as Report
from varinv.testing.solvers import check_solver as check_solver
