"""Who ran where and when: one lane per device, one bar per phase of an attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from autotuner.report.charts.chart import COLORS, GREY, INK, Chart, axis, layout, plain
from autotuner.report.subject import Configuration
from autotuner.report.wording import counted, duration, percent
from autotuner.results.limits import finite

__all__ = ["Stay", "stays_of", "timeline_chart"]

_MS = 1000.0
_DEVICE_CHARS = 12
"""Of a device named by its UUID, enough to tell it from others."""
_BAR = 0.78
"""Height of a bar in lanes; what is left shows where one ends and the next begins."""


@dataclass(frozen=True, slots=True)
class _PhaseLook:
    name: str
    columns: tuple[str, ...]
    color: str
    pattern: str


_PHASES = (
    _PhaseLook(
        "start",
        ("seconds_actor_start", "seconds_preflight", "seconds_server_start"),
        COLORS[5],
        "/",
    ),
    _PhaseLook("warm-up", ("seconds_warmup",), COLORS[4], "x"),
    _PhaseLook("load", ("seconds_load", "seconds_bench_overhead"), COLORS[1], ""),
    _PhaseLook("stop", ("seconds_stop", "seconds_postflight"), GREY, "."),
)
_MARKS = {
    "failed": ("x", COLORS[0]),
    "cancelled": ("square-open", INK),
    "pruned": ("triangle-down", GREY),
    "retry": ("triangle-up", COLORS[4]),
    "repeat of a finalist": ("circle", "#ffffff"),
    "drift check": ("diamond", COLORS[3]),
}
_ENDED_EARLY = ("failed", "cancelled", "pruned")


@dataclass(frozen=True, slots=True)
class Stay:
    """One attempt on its node."""

    host: str
    devices: tuple[str, ...]
    """Ids of its devices; empty where the study takes none."""
    begin: pd.Timestamp
    end: pd.Timestamp
    seconds: Mapping[str, float]
    """Phase -> its seconds, in the order of the phases."""
    experiment_id: str
    attempt: int
    purpose: str
    outcome: str
    failure_kind: str | None

    @property
    def marks(self) -> tuple[str, ...]:
        """What is special about the attempt."""
        found = [self.outcome] if self.outcome in _ENDED_EARLY else []
        if self.purpose == "drift_check":
            found.append("drift check")
        elif self.purpose == "confirm":
            found.append("repeat of a finalist")
        elif self.attempt > 1:
            found.append("retry")
        return tuple(found)


def stays_of(attempts: pd.DataFrame) -> tuple[Stay, ...]:
    """Every attempt of which host, start and end are known, by start."""
    known = attempts.dropna(subset=["host", "started_at", "ended_at"])
    return tuple(_stay(row) for row in known.sort_values("started_at").to_dict("records"))


def _stay(row: Mapping[object, object]) -> Stay:
    seconds = {
        phase.name: sum(finite(row.get(column)) or 0.0 for column in phase.columns)
        for phase in _PHASES
    }
    # The row's start is that of the node; the slot was taken a little before.
    before = pd.Timedelta(seconds=finite(row.get("seconds_actor_start")) or 0.0)
    gpu_ids = row.get("gpu_ids")
    kind = row.get("failure_kind")
    return Stay(
        host=str(row["host"]),
        devices=tuple(map(str, gpu_ids)) if isinstance(gpu_ids, Iterable) else (),
        begin=pd.Timestamp(row["started_at"]) - before,  # type: ignore[arg-type]
        end=pd.Timestamp(row["ended_at"]),  # type: ignore[arg-type]
        seconds=seconds,
        experiment_id=str(row["experiment_id"]),
        attempt=int(str(row["attempt"])),
        purpose=str(row["purpose"]),
        outcome=str(row["outcome"]),
        failure_kind=kind if isinstance(kind, str) else None,
    )


def timeline_chart(
    stays: Sequence[Stay], configurations: Mapping[str, Configuration]
) -> Chart | None:
    """The lanes of all nodes, from the top down; None where nothing ran."""
    if not stays:
        return None
    lanes, places = _lanes(stays)
    bars = [_bars(look, stays, places, configurations) for look in _PHASES]
    marks = [
        _marks(name, stays, places, configurations)
        for name in _MARKS
        if any(name in stay.marks for stay in stays)
    ]
    return Chart(
        "timeline",
        "Who ran where and when",
        {
            "data": [*bars, *marks],
            "layout": layout(
                barmode="overlay",
                bargap=0,
                margin={"l": 70, "r": 20, "t": 60, "b": 60},
                xaxis=axis("time (UTC)", type="date"),
                yaxis=axis(
                    "",
                    tickvals=list(range(len(lanes))),
                    ticktext=[plain(lane) for lane in lanes],
                    range=[len(lanes) - 0.4, -0.6],
                    showgrid=False,
                ),
                shapes=_separators(lanes),
            ),
        },
        _description(stays, lanes),
        height_px=150 + max(24 * len(lanes), 90),
        has_rows=True,
    )


def _lanes(stays: Sequence[Stay]) -> tuple[list[str], list[tuple[tuple[float, float], ...]]]:
    """Names of the lanes, and of each stay the middle and height of its bars."""
    names: dict[tuple[str, str], str] = {}
    used: list[list[tuple[str, str]]] = []
    free: dict[tuple[str, str], pd.Timestamp] = {}
    for stay in stays:
        keys = [(stay.host, device) for device in stay.devices]
        if not keys:
            keys = [_free_slot(stay, free)]
            free[keys[0]] = stay.end
        for key in keys:
            names[key] = f"{key[0]} {'GPU' if stay.devices else 'slot'} {key[1][:_DEVICE_CHARS]}"
        used.append(keys)
    ordered = sorted(names, key=lambda key: (key[0], len(key[1]), key[1]))
    place = {key: number for number, key in enumerate(ordered)}
    return [names[key] for key in ordered], [
        _joined(sorted(place[key] for key in keys)) for keys in used
    ]


def _free_slot(stay: Stay, free: Mapping[tuple[str, str], pd.Timestamp]) -> tuple[str, str]:
    """Where there are no devices: the first lane of the host that is free again."""
    number = 1
    while (stay.host, str(number)) in free and free[stay.host, str(number)] > stay.begin:
        number += 1
    return stay.host, str(number)


def _joined(lanes: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """Neighbouring lanes as one bar: its middle and its height."""
    runs: list[list[int]] = []
    for lane in lanes:
        if runs and lane == runs[-1][-1] + 1:
            runs[-1].append(lane)
        else:
            runs.append([lane])
    return tuple(((run[0] + run[-1]) / 2, len(run) - 1 + _BAR) for run in runs)


def _bars(
    look: _PhaseLook,
    stays: Sequence[Stay],
    places: Sequence[tuple[tuple[float, float], ...]],
    configurations: Mapping[str, Configuration],
) -> dict[str, object]:
    rows = [
        (stay, begin, stay.seconds[look.name], middle, height)
        for stay, bars in zip(stays, places, strict=True)
        for begin in [stay.begin + pd.Timedelta(seconds=_before(stay, look.name))]
        for middle, height in bars
        if stay.seconds[look.name] > 0
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": look.name,
        "base": [_iso(begin) for _, begin, _, _, _ in rows],
        "x": [round(seconds * _MS) for _, _, seconds, _, _ in rows],
        "y": [middle for _, _, _, middle, _ in rows],
        "width": [round(height, 2) for _, _, _, _, height in rows],
        "marker": {
            "color": look.color,
            "line": {"width": 0.5, "color": "#ffffff"},
            "pattern": {
                "shape": look.pattern,
                "fillmode": "overlay",
                "fgcolor": "#ffffff",
                "size": 5,
                "solidity": 0.25,
            },
        },
        "hovertext": [
            f"{_again(stay)}{look.name}: {duration(seconds)}" for stay, _, seconds, _, _ in rows
        ],
        "hoverinfo": "text",
        "meta": {"experiments": [_index(stay, configurations) for stay, *_ in rows]},
    }


def _before(stay: Stay, phase: str) -> float:
    names = list(stay.seconds)
    return sum(stay.seconds[name] for name in names[: names.index(phase)])


def _marks(
    name: str,
    stays: Sequence[Stay],
    places: Sequence[tuple[tuple[float, float], ...]],
    configurations: Mapping[str, Configuration],
) -> dict[str, object]:
    symbol, color = _MARKS[name]
    rows = [
        (stay, bars[0][0]) for stay, bars in zip(stays, places, strict=True) if name in stay.marks
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        # A failure is where it ended, a second try where it began.
        "x": [_iso(s.end if name in _ENDED_EARLY else s.begin) for s, _ in rows],
        "y": [middle for _, middle in rows],
        "marker": {
            "symbol": symbol,
            "size": 9,
            "color": color,
            "line": {"width": 1, "color": INK},
        },
        "hovertext": [
            f"{_again(stay)}{name}"
            + (f": {plain(stay.failure_kind)}" if stay.failure_kind and name == "failed" else "")
            for stay, _ in rows
        ],
        "hoverinfo": "text",
        "meta": {"experiments": [_index(stay, configurations) for stay, _ in rows]},
    }


def _again(stay: Stay) -> str:
    return f"attempt {stay.attempt}, " if stay.attempt > 1 else ""


def _index(stay: Stay, configurations: Mapping[str, Configuration]) -> int:
    return configurations[stay.experiment_id].index


def _separators(lanes: Sequence[str]) -> list[dict[str, object]]:
    """A line between the nodes."""
    hosts = [lane.rsplit(" ", 2)[0] for lane in lanes]
    return [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": number - 0.5,
            "y1": number - 0.5,
            "line": {"color": GREY, "width": 1},
        }
        for number in range(1, len(hosts))
        if hosts[number] != hosts[number - 1]
    ]


def _description(stays: Sequence[Stay], lanes: Sequence[str]) -> str:
    span_s = (max(s.end for s in stays) - min(s.begin for s in stays)).total_seconds()
    busy_s = sum((s.end - s.begin).total_seconds() * max(1, len(s.devices)) for s in stays)
    kind = "GPU" if stays[0].devices else "slot"
    hosts = {stay.host for stay in stays}
    share = percent(min(1.0, busy_s / (span_s * len(lanes))) if span_s else None)
    return (
        f"Timeline of {counted(len(stays), 'attempt')} on {counted(len(lanes), kind)} of "
        f"{counted(len(hosts), 'node')} in {duration(span_s)}; the {kind}s were taken for {share} "
        "of that time and idle for the rest, which stays white."
    )


def _iso(moment: pd.Timestamp) -> str:
    return moment.tz_convert("UTC").strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
