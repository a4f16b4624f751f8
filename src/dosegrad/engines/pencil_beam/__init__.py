"""Particle pencil beam: Gaussians in water, stretched by water-equivalent depth."""
