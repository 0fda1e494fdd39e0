"""Choosing and learning the parameters of a problem."""
