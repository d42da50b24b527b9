"""What is said of the nodes while they are prepared for a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape

from autotuner.driver.progress import (
    EnginesAsked,
    FlagsRefused,
    NodeNotReady,
    NodesPrepared,
    NodesPreparing,
)

__all__ = ["duration", "preparation_lines"]

_MOST_HOSTS = 4


def preparation_lines(
    event: NodesPreparing | NodeNotReady | NodesPrepared | EnginesAsked | FlagsRefused,
) -> Iterator[str]:
    match event:
        case NodesPreparing(launcher=launcher, hosts=hosts):
            yield f"preparing {escape(_some(hosts))} for {launcher}; an image may take a while"
        case NodeNotReady(host=host, reasons=reasons):
            yield f"[yellow]{host} is not ready[/]: {escape(_flat('; '.join(reasons)))}"
        case NodesPrepared(hosts=hosts, seconds=seconds, warnings=warnings):
            yield f"ready after {duration(seconds)}: {escape(_some(hosts))}"
            for warning in warnings:
                yield f"[yellow]warning[/]: {escape(_flat(warning))}"
        case EnginesAsked(engine=engine, hosts=hosts):
            yield f"asking {engine} which flags it knows, on {escape(_some(hosts))}"
        case FlagsRefused(hosts=hosts, engine=engine, reasons=reasons):
            said = escape(_flat("; ".join(reasons)))
            yield (
                f"[yellow]warning[/]: {escape(engine)} on {escape(', '.join(hosts))} {said}; "
                "not so on every node: use one version of the engine"
            )


def _some(hosts: Sequence[str]) -> str:
    """The names, or of many how many they are."""
    return ", ".join(hosts) if len(hosts) <= _MOST_HOSTS else f"{len(hosts)} nodes"


def _flat(text: str) -> str:
    return " ".join(text.split())


def duration(seconds: float) -> str:
    """Minutes, or seconds where there are few."""
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
