"""Grids, frames and rays."""
