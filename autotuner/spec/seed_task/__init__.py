"""Task files of the first autotuner, read into a `StudySpec`."""
