"""Stored levels under the study's limits and price as they are now."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from autotuner.results.counting import level_of
from autotuner.results.files import ResultPaths, read_files
from autotuner.results.goodput import (
    GOODPUT_COLUMNS,
    REQUEST_COLUMNS,
    goodput,
    slos_text,
    tokens_per_usd,
)
from autotuner.results.schema import LEVELS, REQUESTS, file_schema
from autotuner.results.study_record import StudyRecord

__all__ = ["rejudged"]


def rejudged(levels: pa.Table, study: StudyRecord, paths: ResultPaths) -> pa.Table:
    """The level rows with goodput and tokens per dollar as the study counts them now.

    Request rows are read only of levels that were stored under other limits.

    Raises:
        OutputError: when a file cannot be read.
    """
    slos, price = study.judging.request_slos, study.judging.usd_per_gpu_hour
    usd = [tokens_per_usd(v, price) for v in levels["output_throughput_tok_s_per_gpu"].to_pylist()]
    levels = _with_column(levels, "output_tokens_per_usd", usd)
    text = slos_text(slos)
    if all(stored == text for stored in levels["request_slos"].to_pylist()):
        return levels
    schema = file_schema(REQUESTS, study.study_id)
    places = {
        experiment.id: {level: index for index, level in enumerate(experiment.levels)}
        for experiment in study.experiments
    }
    rows = []
    for row in levels.to_pylist():
        if row["request_slos"] != text:
            index = places[row["experiment_id"]][level_of(row)]
            files = [paths.requests_file(row["attempt_id"], index)] if slos else []
            row |= goodput(row, read_files(files, schema, columns=list(REQUEST_COLUMNS)), slos)
        rows.append({name: row[name] for name in GOODPUT_COLUMNS})
    for name in GOODPUT_COLUMNS:
        levels = _with_column(levels, name, [row[name] for row in rows])
    return levels


def _with_column(table: pa.Table, name: str, values: Sequence[object]) -> pa.Table:
    field = LEVELS.field(name)
    return table.set_column(
        table.schema.get_field_index(name), field, [pa.array(values, field.type)]
    )
