"""A suite that extends another: what it takes over, what it says itself, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.suite import load_suite
from registry.contracts import InputError
from tests.harness.digits_run import SUITE, harness


def write(folder: Path, name: str, text: str) -> str:
    file = folder / f"{name}.toml"
    file.write_text(f'schema = 1\nname = "{name}"\n{text}')
    return str(file)


def test_tables_are_taken_over_key_by_key_and_lists_as_a_whole(tmp_path: Path) -> None:
    base = load_suite("quick")
    suite = load_suite(
        write(
            tmp_path,
            "mine",
            'extends = "quick"\nwithout = ["reference_arms"]\nstrategies = ["dxa_vae"]\n'
            "[seeds]\nfinal = [5]\n",
        )
    )
    assert suite.name == "mine"
    assert (suite.title, suite.description) == ("", "")
    assert suite.strategies == ("dxa_vae",)
    assert suite.seeds.final == (5,)
    assert suite.seeds.draws == base.seeds.draws
    assert suite.cohort == base.cohort
    assert suite.references == ("dxa_vae",)


def test_a_cohort_is_taken_over_or_replaced_as_a_whole(tmp_path: Path) -> None:
    suite = load_suite(
        write(tmp_path, "mine", 'extends = "quick"\n[cohort]\nkind = "imported"\npath = "x"\n')
    )
    assert suite.cohort == {"kind": "imported", "path": "x"}


def test_files_extend_files_from_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "below"
    folder.mkdir()
    write(tmp_path, "first", f'extends = "{SUITE}"\n[budget]\ndraws = 7\n')
    second = write(folder, "second", 'extends = "../first.toml"\n[settings]\nfeatures = 3\n')
    suite = load_suite(second)
    assert (suite.budget.draws, suite.settings, suite.domain) == (7, {"features": 3}, "digits")


def test_what_is_shown_is_what_runs_and_extends_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, "mine", 'extends = "smoke"\n[controls]\naa = ["dxa_vae"]\n')
    shown = harness("suite", "show", file).stdout
    assert "extends" not in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert load_suite(str(again)) == load_suite(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('extends = "quik"', "suite 'quik' is not known; did you mean 'quick'?"),
        ('extends = "no.toml"', "no.toml' does not exist"),
        ('extends = "mine.toml"', "extends = 'mine.toml' leads back to suite file"),
        ("extends = 3", "extends = 3 cannot be used"),
        ('extends = "quick"\nwithout = ["contrls"]', "without names 'contrls', which suite file"),
        ('without = ["controls"]', "without is for a suite that extends another"),
        ('extnds = "quick"', "did you mean 'extends'?"),
        ('extends = "quick"\nstratgies = []', "did you mean 'strategies'?"),
        ('extends = "quick"\nstrategies = ["dxa_vae"]', "reference_arms names 'imagenet'"),
    ],
)
def test_wrong_links_name_file_value_and_mend(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_suite(write(tmp_path, "mine", text))
    assert words in str(caught.value)


def test_circles_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", 'extends = "b.toml"')
    with pytest.raises(InputError, match="leads back to"):
        load_suite(write(tmp_path, "b", 'extends = "a.toml"'))


def test_diff_shows_what_differs_and_says_so_in_its_status(tmp_path: Path) -> None:
    file = write(tmp_path, "mine", f'extends = "{SUITE}"\n[budget]\ndraws = 7\n')
    found = harness("suite", "diff", str(SUITE), file)
    assert found.returncode == 1
    assert f"budget.draws\n  {SUITE}: 3\n  {file}: 7" in found.stdout
    assert "seeds" not in found.stdout
    same = harness("suite", "diff", file, file)
    assert (same.returncode, same.stdout) == (0, "")
