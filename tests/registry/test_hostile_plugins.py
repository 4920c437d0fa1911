"""What a plug-in does wrong before it runs is one clear message; its names never become paths or markup."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog import NAME, Catalogue
from registry.contracts import InputError

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
