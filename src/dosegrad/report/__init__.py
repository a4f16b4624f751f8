"""Reports on plans and checks: one self-contained page for people, JSON for programs."""
