"""The command line, killed by itself in the middle of a chosen write.

`python -m tests.harness.killed_writer KIND MOMENT COUNT run-all ...` runs `harness run-all ...` and sends
itself SIGKILL at the COUNT-th write of KIND: `half` (half of its bytes are written), `whole` (written, not
renamed yet) or `renamed` (in place, nothing told yet). Exit status 0 means that there was no such write.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

#: Kind of write to what its path contains.
KINDS = {
    "journal": "journal.jsonl",
    "request": "request.json",
    "layouts": "layouts.json",
    "run": "run.json",
    "tables": "/results/",
    "trial": "/trials/",
    "artifact": "/artifacts/",
    "pretraining": "/pretraining/",
}
MOMENTS = ("half", "whole", "renamed")


class Killer:
    """Counts the writes of one kind."""

    def __init__(self, kind: str, moment: str, count: int) -> None:
        self.mark, self.moment, self.left = KINDS[kind], moment, count

    def strike(self, path: str, moment: str) -> bool:
        """Whether this is the moment."""
        if self.mark not in path or moment != self.moment:
            return False
        self.left -= 1
        return self.left == 0

    @staticmethod
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def install(killer: Killer) -> None:
    """Stand in for the calls that every write goes through."""
    sync, write, rename, replace = os.fsync, os.write, Path.rename, Path.replace

    def path_of(handle: int) -> str:
        return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115

    def killing_sync(handle: int) -> None:
        path = path_of(handle)
        if Path(path).is_file() and killer.strike(path, "half"):
            os.truncate(path, os.path.getsize(path) // 2)  # noqa: PTH202
            killer.die()
        sync(handle)
        if Path(path).is_file() and "journal" in path and killer.strike(path, "renamed"):
            killer.die()

    def killing_write(handle: int, data: bytes) -> int:
        path = path_of(handle)
        if "journal" in path and killer.strike(path, "whole"):  # a torn line: half of it, not synced
            write(handle, data[: len(data) // 2])
            killer.die()
        return write(handle, data)

    def killing_move(move: Any) -> Any:
        def moving(self: Path, target: Any) -> Any:
            if killer.strike(str(target), "whole"):
                killer.die()
            moved = move(self, target)
            if killer.strike(str(target), "renamed"):
                killer.die()
            return moved

        return moving

    os.fsync, os.write = killing_sync, killing_write  # type: ignore[assignment]
    Path.rename, Path.replace = killing_move(rename), killing_move(replace)  # type: ignore[method-assign]


if __name__ == "__main__":
    kind, moment, count = sys.argv[1:4]
    from harness.cli import main

    install(Killer(kind, moment, int(count)))
    main(sys.argv[4:])
