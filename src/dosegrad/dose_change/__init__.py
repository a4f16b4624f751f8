"""How dose changes when the patient does: the adjoint of the deterministic engine."""
