"""Dose-volume histograms, indices, clinical goals and reports."""
