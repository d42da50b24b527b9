"""The JSON form: complete, without secrets, without numbers that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from autotuner.engines.registry import load_engine
from autotuner.export.deployment import Deployment
from autotuner.export.json_record import json_record
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.score import EntryStatus

Make = Callable[..., Deployment]


def read(made: Deployment) -> dict[str, Any]:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    content = json.loads(json_record(made), parse_constant=refuse)
    assert isinstance(content, dict)
    return content


def test_it_holds_the_command_and_what_it_is_made_of(deployment: Make) -> None:
    made = deployment(environment={"OMP_NUM_THREADS": "4"})
    content = read(made)
    assert content["parameters"] == {"max-num-seqs": 64}
    server = content["server"]
    assert server["flags"] == {"max-num-seqs": 64, "enforce-eager": True}
    assert server["environment"]["OMP_NUM_THREADS"] == "4"
    assert server["command"] == load_engine("vllm").command(
        made.server, host="127.0.0.1", port=8000, served_name="Qwen/Qwen3-8B"
    )


def test_it_holds_the_numbers_with_their_bounds(deployment: Make) -> None:
    result = read(deployment())["result"]
    assert result["value"] == 1234.5
    assert result["level"] == "chat D(100,100) c=16"
    assert result["metrics"]["output_throughput_tok_s"] == {
        "value": 1234.5,
        "low": 1200.0,
        "high": 1270.0,
        "bounds": "servers",
    }


def test_it_says_how_sure_it_is(deployment: Make) -> None:
    sure = read(deployment())["verdict"]
    assert sure["is_winner"] is True
    assert sure["doubts"] == []
    assert sure["advantages"]["bbb2"] == {"estimate": 0.04, "low": 0.02, "high": 0.06}
    unsure = read(deployment(kind=VerdictKind.NOT_ENOUGH_EVIDENCE))["verdict"]
    assert unsure["is_winner"] is False
    assert unsure["repeats_needed"] == 3
    assert unsure["doubts"]


def test_what_has_no_number_has_null(deployment: Make) -> None:
    made = deployment(status=EntryStatus.INFEASIBLE, reason="out of memory")
    result = read(made)["result"]
    assert result["value"] is None
    assert result["reason"] == "out of memory"


def test_it_says_where_the_numbers_come_from(deployment: Make) -> None:
    provenance = read(deployment(versions=("0.10.1", "0.10.1")))["provenance"]
    assert provenance["study_id"] == "study1"
    assert provenance["attempts"] == ["aaa1-a1", "aaa1-a2"]
    assert provenance["engine_version"] == ["0.10.1"]
    assert provenance["created_at"] == "2025-03-01T12:00:00+00:00"


def test_secrets_are_named_and_not_told(deployment: Make) -> None:
    made = deployment(
        environment={"HF_TOKEN": "***", "OTHER_API_KEY": "sk-1"},
        flags={"api-key": "sk-2", "max-num-batched-tokens": 8},
        parameters={"api-key": "sk-2", "env.OTHER_API_KEY": "sk-1"},
    )
    text = json_record(made)
    assert "sk-1" not in text
    assert "sk-2" not in text
    server = read(made)["server"]
    assert server["secrets"] == ["HF_TOKEN", "OTHER_API_KEY", "API_KEY"]
    assert server["flags"] == {"api-key": "***", "max-num-batched-tokens": 8}
    assert server["command"][-4:] == ["--api-key", "***", "--max-num-batched-tokens", "8"]


def test_every_value_arrives_unchanged(
    hostile: str, hostile_deployment: Callable[[str], Deployment]
) -> None:
    made = hostile_deployment(hostile)
    content = read(made)
    assert content["parameters"] == {"speculative-config": hostile}
    assert content["server"]["environment"]["NOTE"] == hostile
    assert content["server"]["model"] == f"/models/{hostile}"
