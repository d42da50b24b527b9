"""ON THE NODE: one attempt from pre-flight to post-flight, without Ray."""
