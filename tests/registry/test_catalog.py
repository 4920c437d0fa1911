"""Names resolve lazily, plug-ins say where they come from, and what is wrong is named."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from registry.catalog import BUILT_IN_STRATEGIES, Catalogue, Entry, suite_files, unknown_name
from registry.contracts import InputError

PLUGIN = """
from registry.contracts import Domain, Strategy, Task, strategy

class Base(Strategy):  # no card of its own: not an entry
    def pretrain(self, context):
        return None

@strategy("mine", provides={"encoder"}, domain="toy")
class Mine(Base):
    pass
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def test_loading_the_catalogue_imports_no_domain() -> None:
    script = (
        "import sys\nfrom registry.catalog import Catalogue\nCatalogue.load()\n"
        "found = [n for n in sys.modules if n.startswith(('registry.dxa', 'torch', 'ray'))]\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plug_in_file_registers_what_it_declares_with_origin_and_digest(plugin: Path) -> None:
    catalogue = Catalogue.load([str(plugin)])
    assert set(catalogue.strategies) - set(BUILT_IN_STRATEGIES) == {"mine"}
    entry = catalogue.strategies["mine"]
    assert entry.origin == str(plugin)
    assert len(entry.digest) == 64
    assert catalogue.strategy("mine").card.provides == {"encoder"}
    plugin.write_text(PLUGIN + "# another text\n")
    assert Catalogue.load([str(plugin)]).strategies["mine"].digest != entry.digest


def test_a_plug_in_module_resolves_by_name(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(plugin.parent))
    catalogue = Catalogue.load(["mine"])
    assert catalogue.strategies["mine"].origin == "mine"
    assert len(catalogue.strategies["mine"].digest) == 64


def test_an_entry_point_registers(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(plugin.parent))
    point = importlib.metadata.EntryPoint("extra", "mine", "harness.plugins")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    assert Catalogue.load().strategies["mine"].origin == "entry point extra"


def test_a_name_declared_twice_is_an_error_that_names_both(plugin: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.py"
    second.write_text(PLUGIN)
    with pytest.raises(
        InputError, match=r"strategy 'mine' is declared twice: by .*mine\.py and .*second\.py"
    ):
        Catalogue.load([str(plugin), str(second)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "declares nothing"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError"),
        ("def broken(:\n", "cannot be imported: SyntaxError"),
        (
            PLUGIN.replace('{"encoder"}', '{"encoder"}, changes={"a": 1}'),
            "cannot be imported: ValueError.*changes",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        Catalogue.load([str(path)])
    if "cannot be imported" in words:
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert f"harness_plugin_bad_{digest[:8]}" not in sys.modules


def test_an_absent_plug_in_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.py' does not exist"):
        Catalogue.load([str(tmp_path / "absent.py")])
    with pytest.raises(InputError, match="'no_such_module' cannot be imported"):
        Catalogue.load(["no_such_module"])


def test_unknown_names_get_the_nearest_or_the_list() -> None:
    catalogue = Catalogue.built_in()
    with pytest.raises(InputError, match=r"strategy 'dxa_vea' is not known; did you mean 'dxa_vae'\?"):
        catalogue.strategy("dxa_vea")
    known = "anthropometry, anthropometry_probe, pseudo_dxa, reconstruction"
    with pytest.raises(InputError, match=f"task 'zzz' is not known; known: {known}"):
        catalogue.task("zzz")
    assert str(unknown_name("arm", "x", [])) == "arm 'x' is not known; known: none"


def test_an_entry_of_the_wrong_kind_is_an_error() -> None:
    catalogue = Catalogue(strategies={"odd": Entry("odd", "pathlib:Path", "somewhere")})
    with pytest.raises(InputError, match="'odd' from somewhere is no Strategy; derive it from Strategy"):
        catalogue.strategy("odd")


def test_shipped_suites_are_found_by_name() -> None:
    assert {"quick", "smoke"} <= set(suite_files())


def test_a_frozen_catalogue_takes_nothing_more(plugin: Path) -> None:
    catalogue = Catalogue.load([str(plugin)])
    frozen = catalogue.frozen()
    catalogue.strategies = {}
    assert "mine" in frozen.strategies
    with pytest.raises(TypeError):
        frozen.strategies["other"] = frozen.strategies["mine"]  # type: ignore[index]
