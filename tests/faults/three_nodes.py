"""A Ray of three nodes on this machine, until standard input ends. Prints its address."""

from __future__ import annotations

import sys
from typing import Any

from ray.cluster_utils import Cluster

__all__: list[str] = []


def main() -> None:
    node: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 80_000_000}
    cluster: Any = Cluster(
        initialize_head=True, head_node_args={**node, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(**node)
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
