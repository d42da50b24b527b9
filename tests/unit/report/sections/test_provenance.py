"""Software, machines and dates of a study."""

from __future__ import annotations

from dataclasses import replace

from autotuner.report.sections.provenance import provenance_section
from autotuner.report.subject import Subject
from autotuner.spec.workload import Level


def test_it_names_study_versions_nodes_and_dates(subject: Subject) -> None:
    text = provenance_section(subject)
    for words in (
        "big-study",
        "sim 1.0",
        "closed-loop 0",
        "/models/large",
        "2026-03-02 08:00:0",
        "chat D(512,128) c=128",
        "gpu-node-c",
        "Imaginary 80GB",
    ):
        assert words in text


def test_a_version_that_nobody_knows_is_called_unknown(subject: Subject) -> None:
    attempts = subject.attempts.assign(engine_version=None)
    text = provenance_section(Subject(replace(subject.results, attempts=attempts), ()))
    assert "sim (version unknown)" in text


def test_images_of_containers_are_named_with_what_they_were(subject: Subject) -> None:
    attempts = subject.attempts.assign(image="vllm:v1", image_id="sha256:12ab")
    text = provenance_section(Subject(replace(subject.results, attempts=attempts), ()))
    assert "vllm:v1 sha256:12ab" in text


def test_a_study_without_containers_has_no_word_of_images(subject: Subject) -> None:
    assert "image" not in provenance_section(subject)


def test_the_presets_of_a_space_are_named_with_their_versions(subject: Subject) -> None:
    assert "<dt>space</dt>" not in provenance_section(subject)
    study = replace(subject.study, presets=("vllm/latency@1", "vllm/throughput@2"))
    text = provenance_section(Subject(replace(subject.results, study=study), ()))
    assert "preset vllm/latency@1, vllm/throughput@2" in text


def test_a_load_that_was_to_be_found_is_told_by_its_range(subject: Subject) -> None:
    steps = tuple(Level("found", "D(5,5)", concurrency) for concurrency in (1, 2, 4, 8))
    experiments = tuple(
        replace(e, levels=(*e.levels, *steps), found=("found",)) for e in subject.study.experiments
    )
    study = replace(subject.study, experiments=experiments)
    page = provenance_section(replace(subject, results=replace(subject.results, study=study)))
    assert "found D(5,5): the load was found between 1 and 8" in page
    assert "found D(5,5) c=4" not in page
