"""Planner 2D: beams in a section, for learning."""
