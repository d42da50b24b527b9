"""Wrong keys at the top level of a study file that people are likely to write."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["KEY_HINTS"]

_IN_OBJECTIVE = "unknown key here; it belongs under `objective`"
_IN_SEARCH = "unknown key here; it belongs under `search`"
KEY_HINTS: Mapping[str, str] = {
    **dict.fromkeys(
        ("optimization", "searching", "tuning", "budget"),
        "unknown key; did you mean `search: {strategy: tpe, max_experiments: 40}`?",
    ),
    **dict.fromkeys(
        ("sampler", "algorithm", "optimizer", "method"),
        "unknown key; did you mean `search: {strategy: tpe}`?",
    ),
    **dict.fromkeys(
        ("n_trials", "max_trials", "trials", "num_trials", "max_iterations", "n_iterations"),
        "unknown key; did you mean `search: {max_experiments: 40}`?",
    ),
    **dict.fromkeys(
        (
            *("strategy", "max_experiments", "max_gpu_hours", "max_wall_time", "stop_when"),
            *("max_candidates", "estimator", "levels"),
        ),
        _IN_SEARCH,
    ),
    "slos": "unknown key; did you mean `slo`?",
    "slas": "unknown key; did you mean `slo`?",
    "request_slos": "unknown key; did you mean `goodput`?",
    **dict.fromkeys(
        ("price", "cost", "gpu_price", "price_per_gpu_hour", "usd_per_hour"),
        "unknown key; did you mean `usd_per_gpu_hour`?",
    ),
    **dict.fromkeys(
        ("min_effect", "minimum_effect", "effect", "tolerance"),
        "unknown key; did you mean `minimal_effect`?",
    ),
    **dict.fromkeys(("random_seed", "order_seed"), "unknown key; did you mean `seed`?"),
    **dict.fromkeys(("shuffle", "randomize"), "unknown key; did you mean `order: random`?"),
    **dict.fromkeys(
        ("repeat", "repetitions", "repeats_per_level", "runs"),
        "unknown key; did you mean `repeats`?",
    ),
    **dict.fromkeys(
        ("finalists", "servers", "confirm"), "unknown key; did you mean `finalist_servers`?"
    ),
    **dict.fromkeys(("weights", "over", "at", "statistic", "per_gpu"), _IN_OBJECTIVE),
    **dict.fromkeys(
        ("image", "version"), "unknown key here; write `engine: {name: ..., version: 0.11.0}`"
    ),
    **dict.fromkeys(("container", "docker_image"), "unknown key; did you mean `docker`?"),
    **dict.fromkeys(
        ("k8s", "pod", "namespace", "kubeconfig"),
        "unknown key here; did you mean `kubernetes: {namespace: ...}`?",
    ),
    **dict.fromkeys(
        ("workers", "num_workers"), "unknown key here; write `bench: {name: ..., workers: 4}`"
    ),
}
"""A wrong key of the top level that people are likely to write -> what to write instead."""
