"""Beams, spots and steering."""
