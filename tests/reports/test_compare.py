"""Runs of different people in one report: who is who, what is refused, what a reader is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.compare import compare as command
from reports import RecordsError
from reports.compare import join_runs
from reports.frame import read_run
from reports.joined import joined
from reports.tables import compare
from tests.reports.records import Records

SIZES = {"patients": 25, "exhibits": False, "failures": False}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ann ran the shipped arms, Bob ImageNet and one of his own."""
    root = tmp_path_factory.mktemp("people")
    own = Records(**SIZES, titles={"imagenet": "ImageNet", "mine": "Mine"}, draws=5)
    own.noise["mine"] = 0.1
    return Records(**SIZES).write(root / "ann" / "quick"), own.write(root / "bob" / "quick")


def edited(folder: Path, target: Path, change: dict[str, object]) -> Path:
    """A folder with the same results and other fields in its run.json; dotted names."""
    target.mkdir()
    for name in ("results", "layouts.json"):
        (target / name).symlink_to(folder / name)
    meta = json.loads((folder / "run.json").read_text())
    for path, value in change.items():
        *place, last = path.split(".")
        inner = meta
        for part in place:
            inner = inner[int(part)] if part.isdigit() else inner[part]
        inner[last] = value
    (target / "run.json").write_text(json.dumps(meta))
    return target


def test_arms_stand_side_by_side_and_shared_names_are_told_apart(people: tuple[Path, Path]) -> None:
    run, _ = join_runs(people)
    assert list(run.arms) == [
        "imagenet@ann/quick",
        "nodxa_vae",
        "dxa_vae",
        "imagenet@bob/quick",
        "mine",
    ]
    assert run.arms["imagenet@bob/quick"]["title"] == "ImageNet (bob/quick)"
    one = next(one for one in compare(run, 100) if one.protocols == ("matched",))
    assert [column.name for column in one.columns if column.done] == [
        "mean",
        "pca_ridge",
        *run.arms,
    ]
    assert {column.done for column in one.columns if column.baseline} == {1}


def test_values_are_those_of_each_run_and_differences_are_paired(people: tuple[Path, Path]) -> None:
    joined = compare(join_runs(people)[0], 100)
    alone = {
        label: compare(read_run(folder), 100) for label, folder in zip(("ann", "bob"), people, strict=True)
    }

    def value(comparisons: object, column: str) -> float | None:
        one = next(c for c in comparisons if c.protocols == ("matched",))  # type: ignore[attr-defined]
        cell = one.endpoint.lines[0].cells[column]
        return cell.value

    assert value(joined, "arm:mine") == pytest.approx(value(alone["bob"], "arm:mine"))
    assert value(joined, "arm:dxa_vae") == pytest.approx(value(alone["ann"], "arm:dxa_vae"))
    one = next(c for c in joined if c.protocols == ("matched",))
    contrast = next(c for c in one.endpoint.contrasts if {c.first, c.second} == {"arm:mine", "arm:dxa_vae"})
    assert contrast.pairing == "same patients and the same 2 final seeds"


def test_what_an_arm_was_derived_from_and_where_it_ran_stay_with_it(people: tuple[Path, Path]) -> None:
    runs = {label: read_run(folder) for label, folder in zip(("ann", "bob"), people, strict=True)}
    run_of = {"design": "dose", "base": "imagenet", "changes": {"size": 2}, "order": 1}
    runs["bob"].meta["arms"][1] |= {"ablations": [run_of], "ablation": run_of, "parent": "imagenet"}
    both = joined(runs)
    mine = both.arms["mine"]
    assert mine["ablation"]["base"] == mine["ablations"][0]["base"] == mine["parent"] == "imagenet@bob"
    assert both.meta["provenance"]["test_openings"] == 22
    assert set(both.meta["provenance"]["runs"]) == {"ann", "bob"}


def test_a_reader_is_told_what_was_not_the_same(people: tuple[Path, Path]) -> None:
    _, cautions = join_runs(people)
    assert "under the tuned protocol" in cautions[0]
    assert any(
        "tuning budgets" in one and "ann/quick: 4" in one and "bob/quick: 5" in one for one in cautions
    )
    assert not any("settings of the domain" in one for one in cautions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cohort.fingerprint": "cd" * 32}, "different cohort fingerprints"),
        ({"domain.name": "other"}, "different domains"),
        ({"tasks.1.version": "2"}, "judge task 'anthropometry' differently: version 1 and 2"),
    ],
)
def test_unlike_runs_are_refused(
    people: tuple[Path, Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    other = edited(people[1], tmp_path / "other", change)
    with pytest.raises(RecordsError, match=message):
        join_runs([people[0], other])


def test_one_run_is_nothing_to_compare(people: tuple[Path, Path]) -> None:
    with pytest.raises(RecordsError, match="one run"):
        join_runs([people[0], people[0]])


def test_the_command_writes_the_whole_report(people: tuple[Path, Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(
        command, [*map(str, people), "--output", str(tmp_path / "ours")], catch_exceptions=False
    )
    assert result.exit_code == 0
    page = (tmp_path / "ours" / "report.html").read_text()
    assert "ImageNet (bob/quick)" in page
    assert "several runs joined afterwards" in page
    twin = json.loads((tmp_path / "ours" / "report.json").read_text())
    assert twin["simulated"] is True
    assert twin["suite"] == "quick"
