"""What policies of IAM allow, as far as skipper's use them; anything else in one is refused where it is put in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Context = dict[str, str | list[str]]


@dataclass(frozen=True)
class Demand:
    """One permission that a call needs: the action, on what, and what is known of both."""

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)


class NotUnderstood(Exception):
    """A policy says something that the lab cannot judge."""


def matches(pattern: str, text: str) -> bool:
    """`*` stands for anything, `?` for one character."""
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
}
# It holds where a key is not known, too.
NOT_EQUALS = "StringNotEquals"
ALL_VALUES = "ForAllValues:"
KEYS = {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def check(policy: dict[str, Any]) -> None:
    """Raises NotUnderstood where a policy has more than the lab can judge."""
    for statement in policy["Statement"]:
        if unknown := set(statement) - KEYS:
            raise NotUnderstood(f"the lab knows no {', '.join(sorted(unknown))} of a statement")
        for operator in statement.get("Condition", {}):
            if operator.removeprefix(ALL_VALUES) not in {*OPERATORS, NOT_EQUALS}:
                raise NotUnderstood(f"the lab knows no condition {operator}")


def _holds(condition: dict[str, dict[str, Any]], context: Context) -> bool:
    """Every key of every operator must hold; a key that is not known of the call does not, but for all of its no values."""
    known = {key.lower(): value for key, value in context.items()}

    def one(operator: str, key: str, wanted: list[str]) -> bool:
        found = known.get(key.lower())
        if operator == NOT_EQUALS:
            return not set(wanted) & set(_list(found or []))
        compare = OPERATORS[operator.removeprefix(ALL_VALUES)]
        if operator.startswith(ALL_VALUES):
            return all(any(compare(value, text) for value in wanted) for text in _list(found or []))
        return found is not None and any(compare(value, text) for value in wanted for text in _list(found))

    return all(
        one(operator, key, _list(wanted)) for operator, keys in condition.items() for key, wanted in keys.items()
    )


def _applies(statement: dict[str, Any], demand: Demand) -> bool:
    actions, resources = _list(statement["Action"]), _list(statement.get("Resource", "*"))
    return (
        any(matches(action.lower(), demand.action.lower()) for action in actions)
        and any(matches(resource, demand.resource) for resource in resources)
        and _holds(statement.get("Condition", {}), demand.context)
    )


def verdict(policies: Iterable[dict[str, Any]], demand: Demand) -> str:
    """`Allow`, `Deny` where a statement forbids it, or nothing where none speaks of it."""
    statements = [statement for policy in policies for statement in policy["Statement"]]
    found = {statement["Effect"] for statement in statements if _applies(statement, demand)}
    return "Deny" if "Deny" in found else "Allow" if "Allow" in found else ""
