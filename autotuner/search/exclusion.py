"""Which points of a space the study excludes, and why."""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.spec.server import Value, is_number, same_value
from autotuner.spec.study import Condition, Operator, ParameterRef, StudySpec

__all__ = ["excluded", "holds"]


def excluded(spec: StudySpec, parameters: Mapping[str, Value]) -> str | None:
    """Why a point of the space is not to be measured; None: it may be."""
    known = {**spec.engine.flags, **parameters}
    for exclusion in spec.exclusions:
        if all(holds(condition, known) for condition in exclusion.conditions):
            return exclusion.reason or " and ".join(str(c) for c in exclusion.conditions)
    return None


def holds(condition: Condition, parameters: Mapping[str, Value]) -> bool:
    """Whether a condition is true of a point; never, where a side is absent or not comparable."""
    operand = condition.operand
    if isinstance(operand, ParameterRef):
        operand = parameters.get(operand.name)
    value = parameters.get(condition.parameter)
    if value is None or operand is None:
        return False
    match condition.operator:
        case Operator.ONE_OF:
            return isinstance(operand, tuple) and any(same_value(value, one) for one in operand)
        case Operator.EQUALS:
            return not isinstance(operand, tuple) and same_value(value, operand)
        case Operator.NOT_EQUALS:
            return not isinstance(operand, tuple) and not same_value(value, operand)
    if not is_number(value) or not is_number(operand):
        return False
    order = {
        Operator.LESS_THAN: value < operand,
        Operator.AT_MOST: value <= operand,
        Operator.GREATER_THAN: value > operand,
        Operator.AT_LEAST: value >= operand,
    }
    return order[condition.operator]
