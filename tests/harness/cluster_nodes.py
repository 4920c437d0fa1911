"""A Ray cluster of several nodes on this machine, in a process of its own, for the tests of clusters.

`python -m tests.harness.cluster_nodes '[{"num_cpus": 2, "num_gpus": 1, "env_vars": {}}, ...]'` prints the
address and then obeys lines on its standard input: `lose N` kills the N-th node, `end` ends the cluster.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.digits_run import environment

READY = "cluster at "


class TestCluster:
    """The outside of such a process."""

    __test__ = False

    def __init__(self, process: subprocess.Popen[str], address: str, folder: str) -> None:
        self._process = process
        self.address = address
        #: For processes that join.
        self.environment = cluster_environment(folder)

    def lose(self, number: int) -> None:
        """Kill a node."""
        self.say(f"lose {number}")

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def cluster_environment(folder: str) -> dict[str, str]:
    """Short sockets, a token of its own, nothing sent anywhere."""
    token = Path(folder) / "token"
    if not token.exists():
        token.write_text("0" * 64)
    return {
        **environment(),
        "RAY_TMPDIR": folder,
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }


@contextmanager
def cluster_of(nodes: list[Mapping[str, Any]], **variables: str) -> Iterator[TestCluster]:
    """A cluster with these nodes besides its head, which has no processors."""
    folder = tempfile.mkdtemp(prefix="hc-", dir="/tmp")
    log = (Path(folder) / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.cluster_nodes", json.dumps(nodes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=cluster_environment(folder) | variables,
    )
    try:
        assert process.stdout is not None
        line = ""
        while not line.startswith(READY):
            line = process.stdout.readline()
            assert line, (Path(folder) / "log").read_text()
        yield TestCluster(process, line.removeprefix(READY).strip(), folder)
    finally:
        process.communicate("end\n", timeout=60)
        log.close()


def main() -> None:
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(**node) for node in json.loads(sys.argv[1])]
    cluster.wait_for_nodes()
    sys.stdout.write(f"{READY}{cluster.address}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command, _, number = line.strip().partition(" ")
        if command == "lose":
            cluster.remove_node(nodes[int(number)], allow_graceful=False)
        if command == "end":
            break
    cluster.shutdown()


if __name__ == "__main__":
    main()
