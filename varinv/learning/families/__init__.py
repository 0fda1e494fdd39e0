"""Families of problems, theta ↦ problem, whose derivatives in theta are written by hand.

All take natural logarithms of what must be positive: ``family.theta(weight=0.1, smoothing=0.01)`` makes them, and
``family.values(theta)`` says what a theta means.
"""

from varinv.learning.families.experts import FieldOfExperts as FieldOfExperts
from varinv.learning.families.graph import Graph as Graph
from varinv.learning.families.quadratic import Quadratic as Quadratic
from varinv.learning.families.regression import Logistic as Logistic
from varinv.learning.families.regression import Ridge as Ridge
from varinv.learning.families.sobolev import Sobolev as Sobolev
from varinv.learning.families.tv import TV as TV
from varinv.learning.families.tv import HuberTV as HuberTV
from varinv.learning.families.weight_map import WeightMap as WeightMap
