"""Gives genai-bench, in the pod of a BenchmarkJob, the arguments that OME's controller does not.

Lies there as ``sitecustomize.py``, which Python imports before the program that it was started
for. Standard library only, and any Python that genai-bench runs with.

AUTOTUNER_ARGUMENTS: a JSON list of words to append. Where a flag is given twice, its last value
counts. HUGGINGFACE_API_KEY: the hub's token as OME's secrets name it; the hub's own client looks
for HF_TOKEN.
"""

import json
import os
import sys

if sys.argv[1:2] == ["benchmark"]:
    sys.argv += json.loads(os.environ.get("AUTOTUNER_ARGUMENTS", "[]"))
if "HUGGINGFACE_API_KEY" in os.environ:
    os.environ.setdefault("HF_TOKEN", os.environ["HUGGINGFACE_API_KEY"])
