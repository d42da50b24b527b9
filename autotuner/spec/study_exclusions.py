"""Combinations that a study file drops: ``exclude``."""

from __future__ import annotations

from autotuner.spec.server import Value, is_number, same_value
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import Condition, Exclusion, Operator, ParameterRef
from autotuner.spec.study_parameters import SearchSpace, literal
from autotuner.spec.study_problems import Problems, flow_text, unknown_name

__all__ = ["read_exclusions"]

_ORDERED = {Operator.LESS_THAN, Operator.AT_MOST, Operator.GREATER_THAN, Operator.AT_LEAST}
_KEYS = ("when", "reason")


def read_exclusions(
    content: object, problems: Problems, space: SearchSpace
) -> tuple[Exclusion, ...]:
    """The exclusions of the file's ``exclude``; what is wrong goes to ``problems``."""
    if content is None:
        return ()
    if not isinstance(content, list):
        problems.add(("exclude",), "write a list: each item begins with `- when: {...}`")
        return ()
    reader = _ExclusionReader(problems, space)
    found = [reader.exclusion(item, ("exclude", index)) for index, item in enumerate(content)]
    return tuple(exclusion for exclusion in found if exclusion is not None)


class _ExclusionReader:
    def __init__(self, problems: Problems, space: SearchSpace) -> None:
        self._problems = problems
        self._space = space

    def exclusion(self, item: object, loc: Loc) -> Exclusion | None:
        if not isinstance(item, dict):
            self._problems.add(loc, "write `when: {parameter: value}`")
            return None
        for key in item:
            if key not in _KEYS:
                self._problems.add((*loc, key), unknown_name(key, _KEYS))
        when, reason = item.get("when"), item.get("reason")
        if reason is not None and not isinstance(reason, str):
            self._problems.add((*loc, "reason"), "write this as text, in quotes")
        if not isinstance(when, dict) or not when:
            fix = "say which combination to drop: `when: {parameter: value}`"
            self._problems.add((*loc, "when"), fix, show="when" in item)
            return None
        conditions: list[Condition] = []
        for name, test in when.items():
            conditions += self._conditions(name, test, (*loc, "when", name))
        spelled = " and ".join(str(condition) for condition in conditions)
        return Exclusion(tuple(conditions), str(reason or spelled))

    def _conditions(self, name: str, test: object, loc: Loc) -> list[Condition]:
        if not self._known(name, loc):
            return []
        if isinstance(test, list):
            test = {Operator.ONE_OF.value: test}
        elif not isinstance(test, dict):
            test = {Operator.EQUALS.value: test}
        elif not test:
            self._problems.add(loc, "write a value, or a comparison such as {less_than: 512}")
        elif test.keys() == {"parameter"}:
            self._problems.add(loc, f"write {{equals: {flow_text(test)}}}")
            return []
        conditions: list[Condition] = []
        for word, operand in test.items():
            if word not in set(Operator):
                fix = unknown_name(word, list(Operator), "comparison")
                self._problems.add((*loc, word), fix)
                continue
            place = self._place(loc, word)
            value = self._operand(name, Operator(word), operand, place)
            if value is not None:
                conditions.append(Condition(name, Operator(word), value))
        return conditions

    def _place(self, loc: Loc, word: str) -> Loc:
        inner = (*loc, word)
        return inner if inner in self._problems.source.lines else loc

    def _known(self, name: str, loc: Loc) -> bool:
        if name in self._space.values:
            return True
        if name in self._space.tied:
            inner = ", ".join(self._space.tied[name])
            fix = f"this is the name of tied parameters; use one of theirs: {inner}"
        elif self._space.values:
            fix = unknown_name(name, self._space.values, "parameter")
        else:
            fix = "unknown parameter; the study has no parameters and no fixed flags"
        self._problems.add(loc, fix, show=False)
        return False

    def _operand(
        self, name: str, operator: Operator, operand: object, loc: Loc
    ) -> Value | tuple[Value, ...] | ParameterRef:
        """The operand, or None where there is a problem with it."""
        if isinstance(operand, dict):
            return self._reference(operator, operand, loc)
        if operator is Operator.ONE_OF:
            if not isinstance(operand, list) or not operand:
                self._problems.add(loc, "one_of takes a list of at least one value")
                return None
            values = [self._literal(name, v, (*loc, i)) for i, v in enumerate(operand)]
            chosen = tuple(value for value in values if value is not None)
            self._can_hold(name, chosen, len(chosen) == len(values), loc)
            return chosen
        if isinstance(operand, list):
            self._problems.add(loc, f"{operator} takes a single value; for a list use one_of")
            return None
        if operator in _ORDERED and not is_number(operand):
            fix = f"{operator} takes a number, or {{parameter: name}}"
            self._problems.add(loc, fix)
            return None
        value = self._literal(name, operand, loc)
        if operator is Operator.EQUALS and value is not None:
            self._can_hold(name, (value,), True, loc)
        return value

    def _literal(self, name: str, value: object, loc: Loc) -> Value:
        if isinstance(value, bool | int | float | str):
            return literal(self._problems.source, loc, name, value)
        if value is None:
            fix = "a condition on a flag that is left out never holds; write a value"
        else:
            fix = "write a value: text, a number, true or false"
        self._problems.add(loc, fix)
        return None

    def _can_hold(self, name: str, chosen: tuple[Value, ...], complete: bool, loc: Loc) -> None:
        values = self._space.values[name]
        if values is None or not complete:
            return
        if not any(same_value(value, wanted) for value in values for wanted in chosen):
            known = flow_text(list(dict.fromkeys(values)))
            fix = f"this never holds; the values of `{name}` are {known}"
            self._problems.add(loc, fix)

    def _reference(
        self, operator: Operator, operand: dict[str, object], loc: Loc
    ) -> ParameterRef | None:
        other = operand.get("parameter")
        if operand.keys() != {"parameter"} or not isinstance(other, str):
            self._problems.add(loc, "to compare with another parameter write {parameter: name}")
        elif operator is Operator.ONE_OF:
            self._problems.add(loc, "one_of takes a list of values, not another parameter")
        elif self._known(other, (*loc, "parameter")):
            return ParameterRef(other)
        return None
