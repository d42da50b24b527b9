"""WHAT: the values of a study. No processes, no network; the one file read is the study file."""
