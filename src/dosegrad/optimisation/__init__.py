"""From influence and objectives to a plan."""
