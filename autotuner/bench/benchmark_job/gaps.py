"""What a BenchmarkJob cannot do of what a study may ask for."""

from __future__ import annotations

import re

from autotuner.spec.workload import Workload

__all__ = ["API_KEY_GAP", "gaps"]

API_KEY_GAP = (
    "genai-bench writes its API key into its log and its results, which a BenchmarkJob leaves in "
    "the cluster; serve without a key, or use the load generator "
    "genai-bench"
)
_SCENARIO = re.compile(r"[DU]\(\d+,\d+\)|[NU]\(\d+,\d+\)/\(\d+,\d+\)")
"""What both OME's webhook and genai-bench accept of text."""


def gaps(workload: Workload) -> list[str]:
    """Why OME's BenchmarkJob cannot load this workload, one sentence each with the way out.

    Read from OME 0.1.5, whose controller gives genai-bench fewer arguments than a BenchmarkJob
    has fields, and genai-bench 0.0.5.
    """
    found = []
    if workload.task != "text-to-text":
        found.append(f"a BenchmarkJob is made for text-to-text here, not for {workload.task}")
    if workload.dataset is not None:
        found.append(
            "OME's controller does not pass `dataset` on to genai-bench; use a scenario, or the "
            "load generator genai-bench"
        )
    elif _SCENARIO.fullmatch(workload.scenario) is None:
        found.append(
            f"OME refuses the scenario {workload.scenario}; write one such as D(100,100), "
            "N(480,240)/(300,150) or U(50,100)/(200,250), without spaces"
        )
    if workload.stop.seconds % 60:
        found.append(
            f"OME's BenchmarkJob counts in minutes, and a level of {workload.stop.seconds:g} s "
            "cannot be had; write a multiple of 60"
        )
    return found
