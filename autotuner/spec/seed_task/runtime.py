"""Which engine and which model a task file means: ``base_runtime`` and ``model``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autotuner.spec.seed_task.notes import NOT_APPLICABLE, Notes
from autotuner.spec.seed_task.sections import ModelSection
from autotuner.spec.server import Model
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_paths import StudyPaths

__all__ = ["ENGINES", "TOKEN_VARIABLE", "read_engine", "read_model"]

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - a name, no secret
ENGINES = ("sglang", "vllm")
_MODEL_FOLDER = "/mnt/data/models"

# Flags that only one of the engines has, in the spelling with dashes.
_TELLING = {
    "sglang": frozenset(
        {
            "mem-frac",
            "mem-fraction-static",
            "schedule-policy",
            "max-total-tokens",
            "max-running-requests",
            "chunked-prefill-size",
            "max-prefill-tokens",
            "attention-backend",
            "cuda-graph-max-bs",
            "num-continuous-decode-steps",
        }
    ),
    "vllm": frozenset(
        {
            "gpu-memory-utilization",
            "max-num-seqs",
            "max-num-batched-tokens",
            "max-model-len",
            "enforce-eager",
            "block-size",
        }
    ),
}


def read_engine(task: Mapping[str, object], notes: Notes) -> str | None:
    """The engine's name; None where it cannot be told."""
    loc: Loc = ("base_runtime",)
    runtime = task.get("base_runtime")
    if not isinstance(runtime, str):
        if runtime is not None:
            notes.problems.add(loc, "write this as text: base_runtime: sglang")
        return None
    folded = runtime.lower()
    if folded in ENGINES:
        return folded
    parameters = task.get("parameters")
    names = {n.replace("_", "-") for n in parameters} if isinstance(parameters, dict) else set()
    for engine in (e for e in ENGINES if folded.startswith(e)):
        return _of_runtime(runtime, engine, "its name begins so", notes)
    named = [engine for engine in ENGINES if engine in re.split(r"[^a-z0-9]+", folded)]
    if len(named) == 1:
        return _of_runtime(runtime, named[0], "its name says so", notes)
    telling = {engine: sorted(names & flags) for engine, flags in _TELLING.items()}
    found = [engine for engine in ENGINES if telling[engine]]
    if len(found) == 1 and not re.match(r"tensorrt|trt", folded):
        why = f"parameters such as {telling[found[0]][0]} belong to it"
        return _of_runtime(runtime, found[0], why, notes)
    if re.match(r"tensorrt|trt", folded):
        fix = "the engine TensorRT-LLM is not supported; write sglang or vllm"
    else:
        fix = (
            "this name does not tell the engine; write `base_runtime: sglang` or "
            "`base_runtime: vllm`"
        )
    notes.problems.add(loc, fix)
    return None


def _of_runtime(runtime: str, engine: str, why: str, notes: Notes) -> str:
    notes.warn(
        ("base_runtime",),
        f"{runtime} is read as the engine {engine}, as {why}; what this serving runtime sets "
        "besides is not known here",
    )
    return engine


def read_model(
    content: object, tokenizer: str | None, launcher: str, notes: Notes, paths: StudyPaths
) -> tuple[Model, Mapping[str, str]] | None:
    """The model and the variables its download needs; None where it cannot be read."""
    section = notes.problems.validated(ModelSection, content, ("model",))
    if section is None:
        return None
    if section.namespace is not None and launcher not in ("kubernetes", "ome"):
        notes.warn(("model", "namespace"), f"{NOT_APPLICABLE}: there is no Kubernetes namespace")
    key = "name" if section.id_or_path is None else "id_or_path"
    given = section.id_or_path or section.name
    if given is None:
        fix = "say which model: id_or_path: meta-llama/Llama-3.2-1B-Instruct"
        notes.problems.add(("model", "id_or_path"), fix, show=False)
        return None
    if section.name is not None and section.name != given:
        fix = f"this is another model than id_or_path: {given}; keep one of them"
        notes.problems.add(("model", "name"), fix)
    path = _model_path(given, ("model", key), launcher, notes, paths)
    counted_by = path
    if tokenizer is not None:
        counted_by = paths.path_or_hub_id(tokenizer, ("benchmark", "model_tokenizer"))
    token = section.hf_token
    return Model(path, counted_by), {TOKEN_VARIABLE: token} if token is not None else {}


def _model_path(given: str, loc: Loc, launcher: str, notes: Notes, paths: StudyPaths) -> str:
    path = paths.path_or_hub_id(given, loc)
    if "/" in path or launcher == "ome":
        return path
    if launcher == "docker":
        folder = f"{_MODEL_FOLDER}/{path}"
        notes.warn(loc, f"read as the folder {folder} of the nodes, as in the first autotuner")
        return folder
    notes.warn(
        loc,
        f"{path} was a folder of {_MODEL_FOLDER} or a model registered with OME; the engine "
        "now gets it as it is: write the folder in full, or a hub id such as org/model",
    )
    return path
