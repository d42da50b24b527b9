"""The public way to run a study: `run`. The command line uses nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

from autotuner.driver.flag_checking import check_flags
from autotuner.driver.loop import StudyDriver
from autotuner.driver.preparing import prepare_nodes
from autotuner.driver.progress import ResultsNote, StudyEvent
from autotuner.driver.resume import Past, close_torn_attempts, past_of
from autotuner.driver.searching.searched import check_search
from autotuner.driver.study_metrics import StudyMetrics, metrics_watcher
from autotuner.execution.base import Executor
from autotuner.launchers.registry import load_launcher
from autotuner.planning import Plan, plan
from autotuner.results.job_copy import refuse_job_copy
from autotuner.results.load import StudyResults, load_results
from autotuner.results.lock import sole_writer
from autotuner.results.place import Place, place_of
from autotuner.results.score import Ranking
from autotuner.results.stop_request import stop_requests
from autotuner.results.store import ResultStore
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.study import StudySpec
from autotuner.version import __version__

__all__ = ["detail_of", "record_of", "run"]


def run(
    study: StudySpec | Plan,
    *,
    output: str | Place | None = None,
    address: str | None = None,
    executor: Executor | None = None,
    on_event: Callable[[StudyEvent], None] = lambda event: None,
    interrupt: threading.Event | None = None,
    resume_changed: bool = False,
    retry_failed: bool = False,
) -> StudyResults:
    """Measure every experiment of a study and return its results.

    Experiments that the results folder already holds complete are not measured again, nor are
    those that failed for a reason in their configuration.

    Args:
        study: A study, or the plan of one.
        output: Results folder, or ``s3://BUCKET/PREFIX``; default: the study's own.
        address: Ray cluster to use, e.g. ``auto``; None: what RAY_ADDRESS says, else a Ray is
            started on this machine.
        executor: Where to run instead of Ray; it is left open.
        on_event: Called with everything that happens, in the calling thread.
        interrupt: Set it from elsewhere to stop: running attempts are cancelled, results kept.
        resume_changed: Go on in a folder whose study had other experiments; without it, such a
            folder is refused with what would be used again.
        retry_failed: Try again what failed in an earlier run, whatever the reason.

    Raises:
        UserError: PlanError, OutputError or ClusterError, each with the fix.
    """
    planned = plan(study) if isinstance(study, StudySpec) else study
    load_launcher(planned.spec.launcher)  # before anything is written
    check_search(planned.spec)
    folder = place_of(planned.spec.output if output is None else output)
    refuse_job_copy(folder)

    def note(text: str) -> None:
        on_event(ResultsNote(text))

    with sole_writer(folder, note) as writing:
        store = ResultStore.create(
            writing.place,
            record_of(planned),
            resume_changed=resume_changed,
            detail=detail_of(planned),
        )
        close_torn_attempts(planned, store)
        past = past_of(planned, store, retry_failed=retry_failed)
        interrupt = interrupt or threading.Event()
        with (
            stop_requests(store.paths) as asked,
            _opened(executor, address, _quotas(planned)) as place,
        ):
            tell = _with_metrics(on_event, planned, folder, past, place)

            def wanted() -> bool:
                for text in writing.look():
                    note(text)
                return asked()

            if past.to_do or not planned.spec.searching.measures_everything:
                for prepare in (prepare_nodes, check_flags):
                    prepare(planned, place, tell, given_up=lambda: interrupt.is_set() or wanted())
            StudyDriver(
                planned,
                store,
                place,
                past,
                on_event=tell,
                interrupt=interrupt,
                stop_requested=wanted,
            ).run()
        return load_results(writing.place)


def _with_metrics(
    on_event: Callable[[StudyEvent], None],
    planned: Plan,
    folder: Place,
    past: Past,
    place: Executor,
) -> Callable[[StudyEvent], None]:
    """Tells the caller of each event, and then whoever draws metrics."""

    def earlier() -> Ranking | None:
        return load_results(folder).ranking() if past.reused else None

    measured = metrics_watcher(lambda: StudyMetrics(planned, earlier()), place.publish)

    def tell(event: StudyEvent) -> None:
        on_event(event)
        measured(event)

    return tell


def _opened(
    executor: Executor | None, address: str | None, quotas: Mapping[str, int]
) -> AbstractContextManager[Executor]:
    """The caller's executor, which stays open, or a Ray that is left at the end."""
    if executor is not None:
        return nullcontext(executor)
    from autotuner.execution.on_ray import RayExecutor

    return RayExecutor(address, quotas=quotas)


def _quotas(planned: Plan) -> dict[str, int]:
    """Of a Ray that is started here: nobody has said how much there is, so one server at a time."""
    quotas: dict[str, int] = {}
    for footprint in (experiment.footprint for experiment in planned.experiments):
        if footprint.quota is not None:
            most = max(quotas.get(footprint.quota, 0), footprint.quota_share)
            quotas[footprint.quota] = most
    return quotas


def record_of(planned: Plan) -> StudyRecord:
    """What the results folder will say about the study.

    Of a search the commands are left out, see `detail_of`: it may have thousands of candidates.
    """
    known = planned.experiments if planned.spec.searching.measures_everything else ()
    return StudyRecord.of(
        planned.spec,
        planned.experiments,
        launch_commands={e.id: planned.launch_command(e) for e in known},
        servers={e.id: planned.shown_server(e) for e in known},
        study_id=planned.study_id,
        created_at=datetime.now(UTC),
        autotuner_version=__version__,
        combinations=planned.combinations if planned.is_drawn else 0,
    )


def detail_of(planned: Plan) -> Callable[[ExpectedExperiment], ExpectedExperiment]:
    """Fills in what `record_of` leaves out of a candidate."""
    by_id = {experiment.id: experiment for experiment in planned.experiments}

    def detail(expected: ExpectedExperiment) -> ExpectedExperiment:
        experiment = by_id[expected.id]
        return replace(
            expected,
            launch_command=planned.launch_command(experiment),
            server=planned.shown_server(experiment),
        )

    return detail
