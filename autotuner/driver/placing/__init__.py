"""What starts next and where, how long it takes, and what is said when nothing runs."""
