"""HOW A SERVER STARTS: command lines, readiness and log reading, one file per engine."""
