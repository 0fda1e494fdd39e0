"""Is this the problem that the user has?  Consistency tests of a scan, each with figure, limit, verdict and remedy."""

from varinv.scan.checks.run import check, doubts
from varinv.scan.checks.table import Check, Checks

__all__ = ["Check", "Checks", "check", "doubts"]
