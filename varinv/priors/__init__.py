"""Priors that come from images: weights of total variation, graphs, networks."""
