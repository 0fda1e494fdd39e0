"""Choosing and learning the parameters of a problem."""

from varinv.learning import families as families
