"""Which experiment next, and which of its levels."""
