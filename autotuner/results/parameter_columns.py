"""The columns of the search parameters in the experiment rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from autotuner.errors import PlanError
from autotuner.spec.server import Value, spelled
from autotuner.spec.study import Axis

__all__ = ["ParameterColumn", "ParameterType", "parameter_columns"]


class ParameterType(StrEnum):
    """Type of a parameter's column, chosen from all its values in the search space."""

    BOOL = "bool"
    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"


_ARROW_TYPES = {
    ParameterType.BOOL: pa.bool_(),
    ParameterType.INT64: pa.int64(),
    ParameterType.FLOAT64: pa.float64(),
    ParameterType.STRING: pa.string(),
}


@dataclass(frozen=True, slots=True)
class ParameterColumn:
    """Column of one search parameter in the experiment rows."""

    parameter: str
    column: str
    type: ParameterType

    @property
    def field(self) -> pa.Field:
        return pa.field(self.column, _ARROW_TYPES[self.type])

    def render(self, value: Value) -> Value:
        """The value as the column stores it; in a string column, numbers and bools as text."""
        if value is None:
            return None
        match self.type:
            case ParameterType.STRING:
                return spelled(value)
            case ParameterType.FLOAT64:
                return float(value)
            case _:
                return value


def parameter_columns(axes: Sequence[Axis]) -> tuple[ParameterColumn, ...]:
    """Columns of all parameters, in the order of the axes.

    Raises:
        PlanError: where two parameters would share a column.
    """
    values: dict[str, list[Value]] = {}
    for axis in axes:
        for name in axis.parameters:
            values.setdefault(name, []).extend(point.get(name) for point in axis.points)
    columns: dict[str, ParameterColumn] = {}
    for name, seen in values.items():
        column = _column_name(name)
        if column in columns:
            raise PlanError(
                f"parameters {columns[column].parameter!r} and {name!r} would share the result "
                f"column {column!r}; rename one of them"
            )
        columns[column] = ParameterColumn(name, column, _type_of(seen))
    return tuple(columns.values())


def _column_name(parameter: str) -> str:
    safe = (c if c.isascii() and c.isalnum() else "_" for c in parameter)
    return "param_" + "".join(safe)


def _type_of(values: Iterable[Value]) -> ParameterType:
    known = [value for value in values if value is not None]
    types = {type(value) for value in known}
    if types == {bool}:
        return ParameterType.BOOL
    if types == {int} and all(-(2**63) <= int(value) < 2**63 for value in known):
        return ParameterType.INT64
    if types in ({float}, {int, float}):
        return ParameterType.FLOAT64
    return ParameterType.STRING
