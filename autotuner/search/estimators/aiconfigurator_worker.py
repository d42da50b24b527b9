"""Runs in an environment that has AIConfigurator: a question per line in, an answer per line out.

A question is a JSON object of arguments for ``cli_estimate``; an answer has ``ttft_ms``,
``tpot_ms`` and ``output_tok_s``, or ``error``. It ends with its standard input, so that none is
left behind. Imports nothing of autotuner.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import sys
from pathlib import Path

_WEIGHTS, _EXPERTS = "gemm_quant_mode", "moe_quant_mode"


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Whatever the library prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def answer(question: dict[str, object]) -> dict[str, object]:
    """What the library says; anything that it raises is its way to say that it cannot tell."""
    model = str(question["model_path"])
    if not Path(model).is_dir():
        config = bundled(model)
        if config is None:
            where = "neither on this machine nor bundled"
            return {"error": f"{model} is {where}, so it would download it"}
        if is_its_own(str(question.get(_WEIGHTS, "")), config):
            # The library knows better than we which variant of the format that is.
            question = {k: v for k, v in question.items() if k not in (_WEIGHTS, _EXPERTS)}
    try:
        from aiconfigurator.cli.api import cli_estimate

        found = cli_estimate(**question)
        return {
            "ttft_ms": float(found.ttft),
            "tpot_ms": float(found.tpot),
            "output_tok_s": float(found.tokens_per_second),
        }
    except (Exception, SystemExit) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def bundled(model: str) -> dict[str, object] | None:
    """The model's configuration, if the library brings it along."""
    configs = importlib.resources.files("aiconfigurator_core") / "model_configs"
    path = configs / f"{model.replace('/', '--')}_config.json"
    config = json.loads(path.read_text()) if path.is_file() else None
    return config if isinstance(config, dict) else None


def is_its_own(mode: str, config: dict[str, object]) -> bool:
    """Whether a quantization is the one that the model is stored with."""
    said = json.dumps(config.get("quantization_config") or {}).lower()
    return any(mark in mode and mark in said for mark in ("fp8", "fp4", "int4", "int8"))


if __name__ == "__main__":
    main()
