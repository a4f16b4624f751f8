"""Deterministic proton transport."""
