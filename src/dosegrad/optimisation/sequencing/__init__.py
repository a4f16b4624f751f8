"""Leaf sequencing: from fluence to apertures, one algorithm for each file."""
