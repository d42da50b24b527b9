"""A study of mixed widths whose nodes are cut off, killed and joined while it runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from faults.lab import Lab, why_no_lab
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, Seen, eventually
from faults.studies import (
    FAULTY,
    MARK_PARAMETER,
    FaultStudy,
    command_line,
    output_of,
    workload,
    write_study,
)
from faults.verdict import judge_healthy, judge_processes, read_rows, row_faults

from autotuner.spec.experiment import FailureKind

pytestmark = [pytest.mark.ray, pytest.mark.slow_faults]

PATIENCE_S = 400.0
LEASE_S = 10.0
LEVEL_S = 12.0
CLEAR_S = 15.0
SPARE = 4


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if reason := why_no_lab():
        pytest.skip(reason)
    with Lab(SPARE, gpus=2, spare=1) as lab:
        yield lab


@pytest.fixture
def study(lab: Lab, watch: ProcessWatch) -> FaultStudy:
    folder = lab.folder / watch.mark
    folder.mkdir()
    widths = {FAULTY: 4, "pair-0": 2, "pair-1": 2, "one-0": 1, "one-1": 1}
    points = [
        {"tensor-parallel-size": width, MARK_PARAMETER: watch.label(name)}
        for name, width in widths.items()
    ]
    changes = {
        "parameters": {"case": {"type": "tied", "values": points}},
        "resources": {"gpus_per_node": 2, "gpus": None},
        "timeouts": {"lease_s": LEASE_S},
        "workloads": [workload((1, 2), seconds=LEVEL_S, requests=None)],
    }
    return write_study(folder, watch, faulty={}, changes=changes)


def under_load(watch: ProcessWatch, driver: subprocess.Popen[bytes], study: FaultStudy) -> Seen:
    """The server of the wide experiment's second rank, once it is under load."""
    found: list[Seen] = []

    def serves() -> bool:
        assert driver.poll() is None, output_of(study)
        found[:] = [
            seen
            for seen in watch.alive()
            if seen.is_server and seen.label == FAULTY and "--node-rank 1" in seen.command
        ]
        return bool(found)

    assert eventually(serves, PATIENCE_S), output_of(study)
    time.sleep(5.0)  # into its first level
    return found[0]


def narrow_server(watch: ProcessWatch) -> Seen | None:
    servers = [seen for seen in watch.alive() if seen.is_server and seen.label != FAULTY]
    return servers[0] if servers else None


@pytest.mark.parametrize("row", ["nodes cut, killed, joined (spanning)"], indirect=True)
def test_a_study_of_mixed_widths_outlives_the_loss_of_nodes(
    row: Row, lab: Lab, study: FaultStudy, watch: ProcessWatch
) -> None:
    words = command_line(study, "--address", lab.address)
    driver = lab.run(0, words, study.path.with_suffix(".out"))
    wide = under_load(watch, driver, study)
    cut = lab.node_of(wide.pid)
    lab.cut(cut)
    at = time.time()
    # Its own rank ends by the lease; rank 0 ends as soon as the cluster misses the node.
    cleared = watch.cleared(LEASE_S + CLEAR_S, wide.attempt)
    row.check(Column.NO_PROCESS, cleared, "ok", f"{watch.alive(wide.attempt)}")
    row.cleanup_s.append(max(0.0, (watch.last_seen(wide.attempt) or at) - at))
    lab.restore(cut)
    lab.power_off(cut)
    lab.join(cut)
    assert eventually(lambda: narrow_server(watch) or driver.poll() is not None, PATIENCE_S)
    narrow = narrow_server(watch)
    assert narrow is not None, output_of(study)
    killed = lab.node_of(narrow.pid)
    lab.power_off(killed)
    lab.join(SPARE)
    ended = eventually(lambda: driver.poll() is not None, PATIENCE_S)
    if not ended:
        driver.kill()
    status = driver.wait()
    took = f"{time.time() - at:.0f} s"
    row.check(Column.IN_TIME, ended, took, f"the driver still ran {took} after the cut")
    row.check(Column.WENT_ON, status == 0, "ok", f"exit status {status}: {output_of(study)}")
    judge_processes(row, watch)
    judge_rows(row, study)
    row.settle()


def judge_rows(row: Row, study: FaultStudy) -> None:
    stored = read_rows(study)
    judge_healthy(row, study, stored)
    faults = row_faults(stored)
    wide = stored.of_mark(study.faulty_mark)
    # It may be sent to the second node in the moment in which that is lost, which costs no try.
    false_start = wide["failure_message"].astype(str).str.contains("before the attempt began")
    tries = wide[~false_start]
    outcomes = [*tries["failure_kind"].dropna(), *tries["outcome"].tail(1)]
    wanted = [FailureKind.NODE_LOST.value, "completed"]
    row.check(Column.KIND, outcomes == wanted, ", ".join(wanted), f"{outcomes}")
    row.check(Column.TRIES, len(tries) == len(wanted), str(len(tries)))
    hosts = list(wide["hosts"])
    apart = all(len(set(each)) == 2 for each in hosts)
    row.check(Column.ROWS, not faults and apart, "ok", f"{faults}, {hosts}")
