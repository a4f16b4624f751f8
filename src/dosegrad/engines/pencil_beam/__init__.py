"""Pencil beams of protons and ions."""
