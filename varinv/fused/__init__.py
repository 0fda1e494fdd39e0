"""Fused steps: several formulas in one pass over memory; for forms of your own, register one (see `table`)."""

from varinv.fused import quadratic as quadratic
from varinv.fused import steps as steps
from varinv.fused import sweep as sweep
from varinv.fused import variation as variation
from varinv.fused.table import ascent as ascent
from varinv.fused.table import descent as descent
from varinv.fused.table import moved as moved
from varinv.fused.table import pull as pull
from varinv.fused.table import several as several
from varinv.fused.table import value as value
