"""The report's sections, one module each, as HTML."""
