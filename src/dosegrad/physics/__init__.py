"""Materials and what protons do in them."""
