"""CT, structures, calibration, media and phantoms."""
