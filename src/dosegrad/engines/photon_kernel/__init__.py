"""Photon pencil kernels: bixels convolved with three depth components."""
