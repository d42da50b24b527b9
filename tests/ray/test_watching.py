"""What a running study shows to those who watch its cluster: metrics, logs, names."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faults.head import Head, ray_head

from autotuner.driver.study_metrics import METRICS
from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices

pytestmark = pytest.mark.ray

READY = "*** ready on http://127.0.0.1"
"""What a simulated server writes once it has come up; a log that is copied may end within it."""

DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana" / "autotuner.json"
HIDDEN = "simulated server"
"""A secret that the server says in its log, so that it is known to be there."""

# One after the other, so that what the first has shown is read before the last has ended. The last
# two have no server that starts: failures for one panel.
STUDY = f"""
study: watched
engine: {{name: sim, flags: {{time-scale: 0.5}}, environment: {{HF_TOKEN: {HIDDEN}}}}}
model: sim-model
parameters:
  max-num-seqs: [1, 8]
  fault-oom-at-start: [false, true]
workloads:
  - {{name: chat, scenario: "D(50,20)", concurrency: [1, 4], stop: {{seconds: 5}}}}
objective: {{name: maximize_throughput, at: {{concurrency: 4}}}}
baseline: false
finalist_servers: 1
order: plan
resources: {{gpus: 1, cpus: 2}}
bench: closed-loop
output: out
"""


@dataclass
class Seen:
    """What was to be seen from outside while the study ran."""

    series: set[str] = field(default_factory=set)
    """Lines of the metrics page, without values."""
    live_log: str = ""
    """Of a server, as it was while the server ran."""
    actors: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    output: str = ""
    ended_at: float = 0.0

    @property
    def names(self) -> set[str]:
        return {line.partition("{")[0] for line in self.series}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    gpus = tmp_path_factory.mktemp("gpus")
    make_devices(gpus, 2)
    # Both so that the test need not wait for what is 10 s apart by default.
    often = {SIM_GPUS_VARIABLE: str(gpus), "RAY_metrics_report_interval_ms": "1000"}
    with ray_head(words=["--num-gpus", "2"], more=often) as head:
        yield head


@pytest.fixture(scope="module")
def prometheus(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """Address of a Prometheus that Ray has configured, or None where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        yield None
        return
    folder = tmp_path_factory.mktemp("prometheus")
    config = (head.session / "metrics" / "prometheus" / "prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text(config.replace("10s", "1s"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    words = ["--config.file", str(folder / "prometheus.yml"), "--web.listen-address", address]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, *words, "--storage.tsdb.path", str(folder / "data")], stderr=log
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310, our own
        text: str = answer.read().decode()
    return text


def state(head: Head, what: str) -> list[dict[str, Any]]:
    """`ray list`, as a user types it."""
    ray = str(Path(sys.executable).with_name("ray"))
    address = f"http://127.0.0.1:{head.dashboard_port}"
    words = [ray, "list", what, "--address", address, "--format", "json", "--detail"]
    answer = subprocess.run(
        words, env=head.environment, capture_output=True, text=True, timeout=60, check=True
    )
    listed: list[dict[str, Any]] = json.loads(answer.stdout or "[]")
    return listed


def log_of(head: Head, name: str) -> str:
    """`ray logs`, as a user types it."""
    ray = str(Path(sys.executable).with_name("ray"))
    words = [ray, "logs", name, "--address", f"127.0.0.1:{head.port}", "--tail", "-1"]
    return subprocess.run(
        [*words, "--node-ip", host_of(head)],
        env=head.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def ready_log(head: Head) -> str | None:
    """Name of the log of a server that has come up."""
    logs = (head.session / "logs").glob("autotuner-*-server.log")
    return next((path.name for path in logs if READY in path.read_text()), None)


def host_of(head: Head) -> str:
    return metrics_pages(head)[0].partition("//")[2].partition(":")[0]


def metrics_pages(head: Head) -> list[str]:
    """Where Ray tells Prometheus to look."""
    found = json.loads((head.session / "prom_metrics_service_discovery.json").read_text())
    return [f"http://{target}/metrics" for part in found for target in part["targets"]]


def look(head: Head, seen: Seen) -> None:
    for url in metrics_pages(head):
        for line in fetched(url).splitlines():
            if line.startswith("ray_autotuner_"):
                seen.series.add(line.rpartition(" ")[0])


@pytest.fixture(scope="module")
def seen(head: Head, prometheus: str | None, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A whole study, watched until it has ended."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(STUDY)
    words = [sys.executable, "-m", "autotuner.cli.main", "run", str(folder / "study.yaml")]
    with (folder / "output").open("w") as output:
        driver = subprocess.Popen(
            [*words, "--address", f"127.0.0.1:{head.port}"],
            env=head.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    seen = Seen()
    try:
        while driver.poll() is None:
            look(head, seen)
            if not seen.actors and (ready := ready_log(head)):
                seen.actors, seen.tasks = state(head, "actors"), state(head, "tasks")
                seen.live_log = log_of(head, ready)
            time.sleep(0.2)
    finally:
        driver.kill()
        driver.wait()
    seen.ended_at = time.time()
    seen.output = (folder / "output").read_text()
    assert driver.returncode == 0, seen.output
    look(head, seen)
    return seen


def test_every_metric_is_on_the_page_that_prometheus_reads(seen: Seen) -> None:
    assert seen.names >= {f"ray_{metric.name}" for metric in METRICS}


def test_tags_are_those_of_the_study_and_few(seen: Seen) -> None:
    own = [line for line in seen.series if line.startswith("ray_autotuner_")]
    assert all('study="watched"' in line for line in own)
    assert len(own) < 40
    text = "\n".join(own)
    assert 'state="completed"' in text
    assert 'kind="out_of_memory_at_load"' in text
    assert {'share="start"', 'share="load"'} <= set(re.findall(r'share="\w+"', text))
    assert re.search(r'concurrency="4".*quantile="0.95"|quantile="0.95".*concurrency="4"', text)


def test_a_study_that_has_ended_is_no_longer_shown_as_running(
    head: Head, seen: Seen, wait_until: Callable[[Callable[[], object]], bool]
) -> None:
    def gone() -> bool:
        now = Seen()
        look(head, now)
        return "ray_autotuner_experiments" not in now.names

    assert wait_until(gone)


def test_servers_and_load_generators_logs_are_in_rays_log_view(head: Head, seen: Seen) -> None:
    assert READY in seen.live_log
    kept = [path.name for path in (head.session / "logs").glob("autotuner-*-server.log")]
    assert len(kept) == 4  # one of each attempt
    for name in kept:
        log = log_of(head, name)
        assert "*** ready" in log or "CUDA out of memory" in log


def test_no_secret_is_in_what_others_see(head: Head, seen: Seen) -> None:
    shown = [path.read_text(errors="replace") for path in (head.session / "logs").glob("a*.log")]
    assert shown
    assert HIDDEN not in "\n".join([*shown, *seen.series, str(seen.actors), str(seen.tasks)])


def test_actors_and_tasks_say_which_experiment_they_are(seen: Seen) -> None:
    names = {actor["name"] for actor in seen.actors}
    assert any("max-num-seqs=1" in name for name in names), names
    tasks = {task["name"] for task in seen.tasks}
    assert any(name.startswith("run max-num-seqs=1") for name in tasks), tasks


def panels() -> list[Any]:
    content = json.loads(DASHBOARD.read_text())
    return [
        pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
        for panel in content["panels"]
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("expression", panels())
def test_every_panel_of_the_dashboard_shows_something(
    seen: Seen, prometheus: str | None, expression: str
) -> None:
    if prometheus is None:
        pytest.skip("no prometheus is installed")
    query = {
        "query": expression.replace("$study", ".+"),
        "start": seen.ended_at - 120,
        "end": seen.ended_at + 5,
        "step": 1,
    }
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(query)}"
    answer = json.loads(fetched(url))
    assert answer["status"] == "success"
    assert answer["data"]["result"]
