"""HOW A PROCESS IS KEPT: nothing it starts outlives the one who asked for it."""
