"""Names of images, and the image of a release."""

from __future__ import annotations

import pytest

from autotuner.spec.images import has_images, image_fault, is_release, release_image


@pytest.mark.parametrize(
    "name",
    [
        "mine",
        "vllm/vllm-openai:v0.11.0",
        "localhost:5000/vllm",
        "registry.example:5000/team/vllm:custom",
        "my/registry/vllm:Tag_1.0-rc",
        "vllm@sha256:" + "a" * 64,
        "vllm:v1@sha256:" + "0" * 64,
        "10.0.0.1:5000/a__b/c-d",
    ],
)
def test_names_of_images_may_hold_registries_ports_tags_and_digests(name: str) -> None:
    assert image_fault(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "no image's name"),
        ("-v", "no image's name"),
        ("a b", "no image's name"),
        (" a", "without spaces"),
        ("a;b", "no image's name"),
        ("a\nb", "no image's name"),
        ("$(x)", "no image's name"),
        ("a:", "no image's name"),
        ("a:b:c", "no image's name"),
        ("a@sha256:12", "no image's name"),
        ("x" * 501, "no image's name"),
        ("team/vLLM:v1", "in lower case"),
        ("https://registry.example/vllm", "without `https://`"),
    ],
)
def test_what_is_no_name_of_an_image_is_explained(name: str, words: str) -> None:
    assert words in str(image_fault(name))


@pytest.mark.parametrize(
    ("engine", "version", "image"),
    [
        ("vllm", "0.11.0", "vllm/vllm-openai:v0.11.0"),
        ("vllm", "0.6.3.post1", "vllm/vllm-openai:v0.6.3.post1"),
        ("sglang", "0.5.2", "lmsysorg/sglang:v0.5.2"),
        ("vllm", "0.11", None),
        ("vllm", "0.11.0rc1", None),
        ("sim", "0.11.0", None),
    ],
)
def test_a_release_of_a_known_engine_has_an_image(
    engine: str, version: str, image: str | None
) -> None:
    assert release_image(engine, version) == image
    assert (has_images(engine) and is_release(version)) == (image is not None)
