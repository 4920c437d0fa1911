"""Time limits end what reacts and what does not; what trials print is kept."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.watchdog import TimeLimitReachedError, killed_by_time_limit, time_limit

STUBBORN = """
import sys
from pathlib import Path
from harness.watchdog import time_limit

def never_lets_go():
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue

with time_limit(0.1, last_words=Path(sys.argv[1]), grace_seconds=0.1):
    never_lets_go()
"""
#: Holds the interpreter's lock in C: no Python code of any thread can run.
FROZEN = STUBBORN.replace(
    "with time", "from itertools import repeat\ndef frozen():\n    sum(repeat(0))\n\nwith time"
).replace("    never_lets_go()\n", "    frozen()\n")


def test_code_that_reacts_gets_an_exception(tmp_path: Path) -> None:
    last_words = tmp_path / "words"
    message = r"time limit of 0\.05 s reached"
    with pytest.raises(TimeLimitReachedError, match=message), time_limit(0.05, last_words=last_words):
        time.sleep(30)
    assert killed_by_time_limit(last_words) is None


def test_a_plugin_does_not_catch_it_unawares() -> None:
    def careless() -> None:
        try:
            time.sleep(30)
        except Exception:
            time.sleep(30)

    with pytest.raises(TimeLimitReachedError), time_limit(0.05, last_words=None):
        careless()


def test_nothing_happens_afterwards(tmp_path: Path) -> None:
    with time_limit(0.05, last_words=tmp_path / "words", grace_seconds=0.01):
        pass
    time.sleep(0.1)
    assert not (tmp_path / "words").exists()


@pytest.mark.parametrize(("script", "where"), [(STUBBORN, "never_lets_go"), (FROZEN, "frozen")])
def test_code_that_does_not_react_is_ended_and_leaves_its_stack(
    tmp_path: Path, script: str, where: str
) -> None:
    last_words = tmp_path / "scratch" / "words"
    done = subprocess.run([sys.executable, "-c", script, str(last_words)], check=False, timeout=60)
    assert done.returncode == 1
    assert where in str(killed_by_time_limit(last_words))


PRINTING = """
import subprocess, sys
from pathlib import Path
from harness.watchdog import printed_to

for number in range(2):
    print("outside")
    with printed_to(Path(sys.argv[1]), f"attempt {number}"):
        print("from Python")
        subprocess.run(["sh", "-c", "echo from a library; echo from stderr >&2"], check=True)
"""


def test_what_is_printed_anywhere_is_kept_attempt_after_attempt(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    script = [sys.executable, "-c", PRINTING, str(log)]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    assert done.stdout == "outside\n" * 2
    lines = [line.split(",")[0] for line in log.read_text().splitlines()]
    attempt = ["from Python", "from a library", "from stderr"]
    assert lines[0] == "=== attempt 0"
    assert lines[4] == "=== attempt 1"
    assert sorted(lines[1:4]) == sorted(lines[5:]) == sorted(attempt)
