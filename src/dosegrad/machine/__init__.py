"""Base data of treatment machines."""
