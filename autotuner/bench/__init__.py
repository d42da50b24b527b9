"""HOW IT IS LOADED: one file per load generator, Arrow tables out."""
