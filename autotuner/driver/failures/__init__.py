"""What a failure means: for its experiment, its node and the study; and what to mend."""
