from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from autotuner.errors import PlanError
from autotuner.results.parameter_columns import ParameterType, parameter_columns
from autotuner.results.schema import LEVELS, REQUESTS, experiments_schema, file_schema, table_of
from autotuner.spec.objective import METRICS, STATISTICS, column_of
from autotuner.spec.server import Value
from autotuner.spec.study import Axis


def axis(name: str, *values: Value) -> Axis:
    return Axis(name, tuple({name: value} for value in values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((True, False), ParameterType.BOOL),
        ((True, None), ParameterType.BOOL),
        ((1, 2), ParameterType.INT64),
        ((1, None, 2), ParameterType.INT64),
        ((0.8, 0.9), ParameterType.FLOAT64),
        ((1, 0.9), ParameterType.FLOAT64),
        (("auto", "fp8"), ParameterType.STRING),
        (("auto", 8), ParameterType.STRING),
        ((True, 8), ParameterType.STRING),
        ((None,), ParameterType.STRING),
        ((1, 2**63), ParameterType.STRING),
    ],
)
def test_parameter_type_fits_all_values_and_ignores_nulls(
    values: tuple[Value, ...], expected: ParameterType
) -> None:
    (column,) = parameter_columns([axis("x", *values)])
    assert column.type is expected
    rendered = [column.render(value) for value in values]
    assert pa.array(rendered, column.field.type).null_count == values.count(None)


def test_mixed_values_are_rendered_as_text() -> None:
    (column,) = parameter_columns([axis("mode", True, 8, 0.5, "auto", None)])
    assert [column.render(v) for v in (True, 8, 0.5, "auto", None)] == [
        "true",
        "8",
        "0.5",
        "auto",
        None,
    ]


def test_column_name_replaces_every_character_outside_ascii_words() -> None:
    (column,) = parameter_columns([axis("kv-cache.dtype é_1", "auto")])
    assert column.column == "param_kv_cache_dtype___1"


def test_tied_parameters_get_a_column_each() -> None:
    tied = Axis("size", ({"a": 1, "b": "x"}, {"a": 2}))
    assert [(c.parameter, c.type) for c in parameter_columns([tied])] == [
        ("a", ParameterType.INT64),
        ("b", ParameterType.STRING),
    ]


def test_colliding_parameter_columns_are_refused_with_both_names() -> None:
    with pytest.raises(PlanError, match=r"'max-seqs' and 'max\.seqs'.*param_max_seqs"):
        parameter_columns([axis("max-seqs", 1), axis("max.seqs", 1)])


def test_experiment_rows_end_with_the_parameters() -> None:
    columns = parameter_columns([axis("b", 1), axis("a", True)])
    schema = experiments_schema(columns)
    assert schema.names[-2:] == ["param_b", "param_a"]
    assert schema.field("param_a").type == pa.bool_()


def test_every_metric_an_objective_can_name_is_a_column_of_the_level_rows() -> None:
    for metric, takes_statistic in METRICS.items():
        for statistic in STATISTICS if takes_statistic else (None,):
            kind = pa.int32() if metric == "concurrency" else pa.float64()
            assert LEVELS.field(column_of(metric, statistic)).type == kind


def test_files_carry_schema_version_and_study_id() -> None:
    metadata = file_schema(REQUESTS, "abc").metadata
    assert metadata == {b"autotuner.schema_version": b"6", b"autotuner.study_id": b"abc"}


SMALL = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("many", pa.list_(pa.field("element", pa.float32()))),
    ]
)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"key": "a", "latency": 1.0}, "no such columns: latency"),
        ({"value": 1.0}, "'key' must not be null"),
        ({"key": "a", "value": float("inf")}, "'value' holds inf"),
        ({"key": "a", "value": float("nan")}, "'value' holds nan"),
        ({"key": "a", "many": [1.0, float("nan")]}, "'many' holds nan"),
        ({"key": "a", "at": datetime(2025, 1, 1)}, "without a zone"),
    ],
)
def test_rows_that_do_not_fit_the_schema_are_refused(row: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table_of([row], SMALL)


def test_absent_columns_become_null() -> None:
    absent = {"value": None, "at": None, "many": None}
    assert table_of([{"key": "a"}], SMALL).to_pylist() == [{"key": "a", **absent}]
