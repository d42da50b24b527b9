"""A study's report as one HTML file that needs neither network nor other files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from autotuner.errors import OutputError
from autotuner.report.charts.chart import COLORS, DASHES, SYMBOLS, Chart
from autotuner.report.drawing import (
    CURVES_AT_ONCE,
    Drawing,
    draw_effects,
    draw_latencies,
    draw_pareto,
    draw_timeline,
)
from autotuner.report.markup import Content, Markup, element, join, script_json
from autotuner.report.sections.configurations import configurations_section, filter_bar
from autotuner.report.sections.failures import failures_section
from autotuner.report.sections.provenance import provenance_section
from autotuner.report.sections.quality import quality_section
from autotuner.report.sections.verdict import simulated_banner, verdict_section
from autotuner.report.subject import Subject, load_subject
from autotuner.results.place import Place

__all__ = ["page", "write_report"]


def write_report(results_dir: Place, target: Place) -> None:
    """Read a study's folder and write its report.

    Raises:
        OutputError: when the folder cannot be read or the file cannot be written.
    """
    text = page(load_subject(results_dir))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
    except OSError as error:
        raise OutputError(f"the report {target} cannot be written: {error}") from error


def page(subject: Subject) -> str:
    """The whole file."""
    # Half a second, which no other command should pay.
    from plotly.offline import get_plotlyjs

    plotly, script = get_plotlyjs(), _asset("report.js")
    pareto, latencies = draw_pareto(subject), draw_latencies(subject)
    effects, timeline = draw_effects(subject), draw_timeline(subject)
    charts = [c for d in (pareto, latencies, effects, timeline) for c in d.charts]
    labels = {c.id: c.label for c in subject.configurations}
    top = [
        ("verdict", "Verdict", verdict_section(subject)),
        ("quality", "How far to trust the numbers", quality_section(subject.findings, labels)),
    ]
    filtered = [
        ("pareto", "Throughput against what users feel", _drawing(pareto)),
        ("latencies", "Latency against throughput", _drawing(latencies)),
        ("effects", "What the parameters do", _drawing(effects)),
        ("failures", "Failures", failures_section(subject)),
        ("timeline", "Timeline of the cluster", _drawing(timeline)),
        ("table", "All configurations", configurations_section(subject)),
        ("provenance", "Where the numbers come from", provenance_section(subject)),
    ]
    return Template(_asset("report.html")).substitute(
        policy=_policy(plotly, script),
        title=join([f"{subject.study.name}: autotuner report"]),
        style=_asset("report.css"),
        name=join([subject.study.name]),
        description=element("p", subject.study.description) if subject.study.description else "",
        banner=simulated_banner(subject),
        contents=_contents([*top, *filtered]),
        top=join(_section(*section) for section in top),
        filters=filter_bar(subject),
        filtered=join(_section(*section) for section in filtered),
        data=script_json(_data(subject, charts)),
        plotly=plotly,
        script=script,
    )


def _section(id_: str, heading: str, content: Markup) -> Markup:
    return element(
        "section",
        element("h2", heading, id=f"{id_}-heading"),
        content,
        id=id_,
        aria_labelledby=f"{id_}-heading",
    )


def _contents(sections: Sequence[tuple[str, str, Content]]) -> Markup:
    links = (element("li", element("a", heading, href=f"#{id_}")) for id_, heading, _ in sections)
    return element("nav", element("ul", *links), aria_label="Sections")


def _drawing(drawing: Drawing) -> Markup:
    legend = any(chart.selects for chart in drawing.charts)
    return join(
        [
            element("p", drawing.caption, class_="caption"),
            element("ul", class_="legend", id="curves-legend") if legend else None,
            element(
                "div",
                *(_figure(chart) for chart in drawing.charts),
                class_="charts pairs" if len(drawing.charts) > 1 and legend else "charts",
            ),
        ]
    )


def _figure(chart: Chart) -> Markup:
    return element(
        "figure",
        element("h3", chart.title),
        element(
            "div",
            id=chart.id,
            class_="chart",
            data_chart=chart.id,
            role="img",
            aria_label=chart.description,
            style=f"height:{chart.height_px}px",
        ),
        element(
            "details",
            element("summary", "in words"),
            element("p", chart.description),
            class_="words",
        ),
    )


def _data(subject: Subject, charts: Sequence[Chart]) -> dict[str, object]:
    """What the page's script works on."""
    values = {n: [subject.spelled(v) for v in vs] for n, vs in subject.varied.items()}
    statuses = list(dict.fromkeys(c.status_word for c in subject.configurations))
    return {
        "configurations": [
            {
                "label": c.name,
                "id": c.id,
                "status": statuses.index(c.status_word),
                "parameters": [
                    _place(vs, subject.value_text(c, name)) for name, vs in values.items()
                ],
                "baseline": c.is_baseline,
                "reason": c.entry.score.reason,
                "level": c.entry.score.level or "",
                "command": c.expected.launch_command,
            }
            for c in subject.configurations
        ],
        "charts": {
            c.id: {"figure": c.figure, "selects": c.selects, "rows": c.has_rows} for c in charts
        },
        "curves": CURVES_AT_ONCE,
        "simulated": subject.is_simulated,
        "look": {"colors": COLORS, "dashes": DASHES, "symbols": SYMBOLS[:8]},
    }


def _place(values: Sequence[str], value: str) -> int:
    """-1 for a baseline that is at no value of the study."""
    return values.index(value) if value in values else -1


def _policy(*scripts: str) -> str:
    """A Content-Security-Policy: these scripts and no other, and nothing from anywhere else."""
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    )
    allowed: Mapping[str, str] = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{hash_}'" for hash_ in hashes),
        # Plotly sets styles by script; a style can load nothing here.
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def _asset(name: str) -> str:
    return (files("autotuner.report") / "assets" / name).read_text(encoding="utf-8")
