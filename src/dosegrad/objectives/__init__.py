"""Differentiable planning objectives."""
