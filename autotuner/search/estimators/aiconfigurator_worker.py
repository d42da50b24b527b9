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


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Whatever the library prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def answer(question: dict[str, object]) -> dict[str, object]:
    """What the library says; anything that it raises is its way to say that it cannot tell."""
    model = str(question["model_path"])
    if not (Path(model).is_dir() or bundled(model)):
        return {"error": f"{model} is neither on this machine nor bundled, so it would download it"}
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


def bundled(model: str) -> bool:
    """Whether the library brings the model's configuration along."""
    configs = importlib.resources.files("aiconfigurator_core") / "model_configs"
    return (configs / f"{model.replace('/', '--')}_config.json").is_file()


if __name__ == "__main__":
    main()
