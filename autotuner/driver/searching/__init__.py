"""A study whose experiments are chosen by a strategy while it runs."""
