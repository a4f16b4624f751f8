"""Jobs that compute again what somebody else computed or delivered, and compare."""
