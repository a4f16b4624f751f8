"""Phantoms: patients made of analytic shapes, one file each."""

from dosegrad.patient.phantoms.library import PHANTOMS, phantom

__all__ = ["PHANTOMS", "phantom"]
