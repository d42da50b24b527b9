"""What Kubernetes takes as names, labels and amounts."""

from __future__ import annotations

import pytest

from autotuner.spec.cluster_names import (
    label_key_fault,
    label_value_fault,
    name_fault,
    namespace_fault,
    own_key_fault,
    quantity_fault,
    resource_fault,
)


@pytest.mark.parametrize("name", ["a", "a-b", "a.b-c.d0", "0a", "x" * 63])
def test_names_are_lower_case_words(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", "a/b", "a\n", "a.b" * 90])
def test_other_names_are_refused(name: str) -> None:
    assert "no name in Kubernetes" in str(name_fault(name))


def test_a_namespace_has_no_dots() -> None:
    assert namespace_fault("tuning-1") is None
    for name in ("a.b", "A", "x" * 64, "a\n"):
        assert "no namespace's name" in str(namespace_fault(name))


@pytest.mark.parametrize("key", ["a", "A.b_c", "example.com/team", "nvidia.com/gpu.product"])
def test_keys_of_labels_may_have_a_prefix(key: str) -> None:
    assert label_key_fault(key) is None
    assert own_key_fault(key) is None


@pytest.mark.parametrize("key", ["", "a b", "/a", "a/", "a/b/c", "Example.com/team", "x" * 64])
def test_other_keys_of_labels_are_refused(key: str) -> None:
    assert "no label's key" in str(label_key_fault(key))


@pytest.mark.parametrize("key", ["autotuner", "autotuner/attempt", "autotuner.example/x"])
def test_our_own_labels_cannot_be_set_but_selected(key: str) -> None:
    assert "autotuner's own" in str(own_key_fault(key))
    assert label_key_fault(key) is None


@pytest.mark.parametrize(("value", "right"), [("", True), ("a.B-9", True), ("a b", False)])
def test_values_of_labels_are_words(value: str, right: bool) -> None:
    assert (label_value_fault(value) is None) == right


def test_devices_have_a_vendor() -> None:
    assert resource_fault("amd.com/gpu") is None
    assert "nvidia.com/gpu" in str(resource_fault("gpu"))


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ("cpu", "8"),
        ("cpu", "0.5"),
        ("cpu", "500m"),
        ("memory", "64Gi"),
        ("memory", "1.5G"),
        ("memory", "64e9"),
        ("memory", "68719476736"),
        ("rdma/hca", "1"),
    ],
)
def test_amounts_are_spelled_as_in_kubernetes(resource: str, text: str) -> None:
    assert quantity_fault(resource, text) is None


@pytest.mark.parametrize(
    ("resource", "text", "words"),
    [
        ("cpu", "eight", "such as 8, 500m or 64Gi"),
        ("cpu", "-1", "such as 8"),
        ("cpu", "0", "above 0"),
        ("memory", "64GB", "64Gi"),
        ("memory", "64gb", "64Gi"),
        ("memory", "64 g", "64Gi"),
        ("memory", "64", "64 bytes; write the unit: 64Gi"),
        ("memory", "512m", "less than a byte; write 512Mi"),
    ],
)
def test_other_amounts_are_refused_with_what_was_probably_meant(
    resource: str, text: str, words: str
) -> None:
    assert words in str(quantity_fault(resource, text))
