"""Families of problems, theta ↦ problem, whose derivatives in theta are written by hand.

All take natural logarithms of what must be positive: ``family.theta(weight=0.1, smoothing=0.01)`` makes them, and
``family.values(theta)`` says what a theta means.
"""

from varinv.learning.families.quadratic import Quadratic as Quadratic
from varinv.learning.families.tv import TV as TV
