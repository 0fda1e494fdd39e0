"""Kernels that do several steps of a formula in one pass over memory."""
