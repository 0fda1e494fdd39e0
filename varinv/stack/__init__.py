"""Stacks larger than memory: slabs of slices, a store that survives any death, runs on many workers."""
