"""Scripts that make the generic machines."""
