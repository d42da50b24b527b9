"""How sure one can be of a ranking: noise between servers, verdicts, intervals, further repeats."""
