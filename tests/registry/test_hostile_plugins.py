"""What a plug-in does wrong before it runs is one clear message; its names never become paths or markup."""

from __future__ import annotations

import importlib.metadata
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog import NAME, Catalogue
from registry.contracts import InputError
from registry.import_limit import IMPORT_SECONDS_VARIABLE
from tests.harness.digits_run import harness

DECLARED = """
from registry.contracts import Strategy, strategy

@strategy({name!r}, title={name!r}, provides={{"encoder"}}, domain="dxa")
class Mine(Strategy):
    def pretrain(self, context):
        return None
"""


def plugin(folder: Path, text: str) -> str:
    path = folder / "hostile.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "name",
    [
        "<script>",
        "../../x",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "",
        "a\nb",
        "x" * 101,
        "ä",
        "a b",
        "C:x",
        None,
        3,
    ],
)
def test_a_name_that_is_no_plain_word_is_refused(tmp_path: Path, name: object) -> None:
    with pytest.raises(InputError, match=r"hostile\.py declares the strategy .*begin with a letter"):
        Catalogue.load([plugin(tmp_path, DECLARED.format(name=name))])


@given(st.text(max_size=8))
def test_a_name_stays_inside_the_folder_that_it_is_appended_to(name: str) -> None:
    folder = Path("/run/trials")
    if NAME.fullmatch(name):
        assert (folder / name).resolve().parent == folder
        assert not set(name) & set("<>&\"'/\\\n")


def test_a_baselines_name_is_checked_too(tmp_path: Path) -> None:
    text = (
        "from registry.contracts import PrimaryEndpoint, Task, task\n"
        "@task('mine', needs={'encoder'}, domain='dxa', part='paired', baselines=('../x',),\n"
        "      primary=PrimaryEndpoint('m', 'm', 'max', 'mean'))\n"
        "class Mine(Task):\n    pass\n"
    )
    with pytest.raises(InputError, match=r"declares the baseline '\.\./x'"):
        Catalogue.load([plugin(tmp_path, text)])


def test_a_taken_name_is_refused_and_both_origins_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'dxa_vae' is declared twice: by built-in and .*hostile\.py"):
        Catalogue.load([plugin(tmp_path, DECLARED.format(name="dxa_vae"))])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("raise RuntimeError('no')\n", "RuntimeError: no"),
        ("import sys\ndel sys.modules[__name__]\n1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_raising_or_leaving_at_import_is_one_message(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=f"cannot be imported: {words}"):
        Catalogue.load([plugin(tmp_path, text)])


def test_an_installed_plug_in_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, "raise RuntimeError('no')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = importlib.metadata.EntryPoint("extra", "hostile", "harness.plugins")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    with pytest.raises(InputError, match="'hostile' of entry point 'extra' cannot be imported: RuntimeError"):
        Catalogue.load()


# Hanging at import ------------------------------------------------------------------------------------

HANGING = """
import time
try:
    time.sleep(60)
except Exception:
    pass
"""
STUBBORN = """
import time
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        time.sleep(60)
    except BaseException:
        if "again" in globals():
            raise
        again = True
"""


@pytest.mark.parametrize("text", [HANGING, STUBBORN])
def test_hanging_at_import_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(IMPORT_SECONDS_VARIABLE, "0.1")
    with pytest.raises(InputError, match=r"hostile\.py' cannot be imported: it took longer than 0\.1 s"):
        Catalogue.load([plugin(tmp_path, text)])
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_module_that_hangs_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging_module.py").write_text(HANGING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(IMPORT_SECONDS_VARIABLE, "0.1")
    with pytest.raises(InputError, match="'hanging_module' cannot be imported: it took longer than"):
        Catalogue.load(["hanging_module"])


def test_a_command_with_a_hanging_plug_in_ends_with_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMPORT_SECONDS_VARIABLE, "0.1")
    done = harness("list", "--plugin", plugin(tmp_path, HANGING))
    assert done.returncode == 2
    assert "it took longer than 0.1 s ($HARNESS_IMPORT_SECONDS)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_import_leaves_no_timer_and_the_earlier_answer(tmp_path: Path) -> None:
    def answer(number: int, frame: Any) -> None: ...

    before = signal.signal(signal.SIGALRM, answer)
    try:
        Catalogue.load([plugin(tmp_path, DECLARED.format(name="mine"))])
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGALRM) is answer
        signal.setitimer(signal.ITIMER_REAL, 1000, 7)
        Catalogue.load([plugin(tmp_path, DECLARED.format(name="another"))])
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left < 1000
        assert interval == 7
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_there_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IMPORT_SECONDS_VARIABLE, "0.01")
    text = "import time\ntime.sleep(0.1)\n" + DECLARED.format(name="mine")
    with ThreadPoolExecutor(1) as pool:
        catalogue = pool.submit(Catalogue.load, [plugin(tmp_path, text)]).result()
    assert "mine" in catalogue.strategies


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_no_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(IMPORT_SECONDS_VARIABLE, text)
    with pytest.raises(InputError, match=f"HARNESS_IMPORT_SECONDS = '{text}' is no time"):
        Catalogue.load([plugin(tmp_path, DECLARED.format(name="mine"))])
