"""A cluster that is the double, as the product's own client sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes_double.double import KubernetesDouble

from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.connection import Access, connected

PATIENCE_S = 30.0
"""An upper bound on what comes by itself; no test takes it."""


@pytest.fixture
def access(kubernetes_double: KubernetesDouble, tmp_path: Path) -> Access:
    return Access(str(kubernetes_double.kubeconfig(tmp_path / "kubeconfig")))


@pytest.fixture
def cluster(access: Access) -> Iterator[Cluster]:
    with connected(access, patience_s=5.0) as cluster:
        yield cluster


@pytest.fixture
def comes() -> Callable[[Callable[[], object]], bool]:
    """Whether something becomes true."""

    def comes(happened: Callable[[], object]) -> bool:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    return comes
