"""Influence matrices and dose maps."""
