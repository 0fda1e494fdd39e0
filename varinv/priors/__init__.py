"""Priors that come from an image or a network: weights, graphs, denoisers, restoration."""
