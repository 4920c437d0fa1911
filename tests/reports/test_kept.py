"""Results that are kept beside the documentation: complete, small, and checkable without the run."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from harness.cli.report import report
from harness.source import source_commit
from registry.contracts import InputError
from reports import RecordsError
from reports.build import build
from reports.contents import read_contents
from reports.kept import BEGIN, END, MANIFEST, check_kept, keep, listing
from reports.markdown import plain
from tests.reports.designs import DesignRecords, control_arms
from tests.reports.records import Records

RESULTS = Path(__file__).parents[2] / "docs" / "results"
WRITTEN = {"command": "harness report /elsewhere/run --keep docs/results/run", "commit": "0123456789abcdef"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Records(patients=20).write(tmp_path_factory.mktemp("kept") / "run")


@pytest.fixture(scope="module")
def results(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of kept results with the page that lists them."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "index.md").write_text(f"# Results\n{BEGIN}\nold\n{END}\nafter\n")
    keep(read_contents(run, 100), folder / "run", WRITTEN)
    return folder


def test_the_manifest_says_where_the_numbers_come_from(run: Path, results: Path) -> None:
    manifest = check_kept(results / "run")
    meta = json.loads((run / "run.json").read_text())
    assert manifest["simulated"] is True
    assert manifest["suite"]["name"] == meta["suite"]["name"]
    assert manifest["cohort"]["fingerprint"] == meta["cohort"]["fingerprint"]
    assert manifest["made"]["command"] == "harness run-all --suite quick"
    assert manifest["made"]["commit"] is None  # runs of earlier versions did not record it
    assert manifest["written"]["command"] == "harness report run --keep docs/results/run"
    trials = pl.read_parquet(run / "results" / "trials.parquet")
    own = trials.filter(~pl.col("cached"))
    assert manifest["trials"]["seconds"] == pytest.approx(own["wall_seconds"].sum(), abs=0.1)
    assert pl.read_parquet(results / "run" / "trials.parquet")["key"].to_list() == trials["key"].to_list()


def test_the_numbers_are_those_of_the_report(run: Path, results: Path) -> None:
    build(run, draws=100, formats=("json",))
    twin = json.loads((run / "report.json").read_text())
    with (results / "run" / "endpoints.csv").open() as stream:
        endpoints = {(row["task"], row["protocol"], row["entry"]): row for row in csv.DictReader(stream)}
    values = pl.read_parquet(results / "run" / "values.parquet")
    compared = 0
    for one in twin["comparisons"]:
        (line,) = one["endpoint"]["lines"]
        protocol = "+".join(one["protocols"])
        names = {column["key"]: column["name"] for column in one["columns"]}
        for key, cell in line["cells"].items():
            found = endpoints[one["task"], protocol, names[key]]
            if cell is not None:
                assert float(found["value"]) == cell["value"]
                assert int(found["patients"]) == line["patients"]
        for table, statistic in ((t, s) for t in one["tables"] for s in t["statistics"]):
            place = {"task": one["task"], "protocol": protocol, "table": table["key"]}
            part = values.filter(**place, statistic=statistic["name"]).filter(pl.col("kind") != "published")
            kept = {(row["row"], row["entry"]): row["value"] for row in part.iter_rows(named=True)}
            for row in statistic["lines"]:
                for key, cell in row["cells"].items():
                    found, expected = kept[row["key"], names[key]], None if cell is None else cell["value"]
                    assert found is None if expected is None else math.isclose(found, expected, rel_tol=1e-6)
                    compared += 1
    assert compared > 100
    between = pl.read_parquet(results / "run" / "differences.parquet")
    assert between.height
    assert not between["second"].str.starts_with("baseline:").any()


def test_every_table_says_how_many_people_and_by_which_convention(results: Path) -> None:
    pages = [path for path in (results / "run").glob("*.md") if path.name != "index.md"]
    assert len(pages) >= 2
    for page in pages:
        assert_tables_are_complete(page)


def assert_tables_are_complete(page: Path) -> None:
    """Every table of a kept page has n in each of its rows, and the words of its convention above it."""
    sections = re.split(r"^### ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert sections, page
    for section in sections:
        convention = section.split("\n\n")[1]
        assert convention.removeprefix("Mean over seeds with 95 % interval; published values in italics. ")
        heads, _, *rows = [line for line in section.split("\n\n")[2].splitlines() if line.startswith("|")]
        assert heads.endswith("| n |"), section[:200]
        assert rows
        assert all(re.search(r"\| \d+ \|$", row) for row in rows), section[:200]


def test_pages_link_to_nothing_that_is_not_there(results: Path) -> None:
    for page in (results / "run" / "index.md", results / "index.md"):
        links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        assert links
        assert all((page.parent / link).is_file() for link in links)


def test_the_page_beside_lists_what_is_kept(results: Path) -> None:
    text = (results / "index.md").read_text()
    assert text.startswith("# Results\n")
    assert text.endswith(f"{END}\nafter\n")
    assert listing(results) in text
    assert "(run/index.md)" in text
    assert "old" not in text


def test_controls_stand_with_the_answer(tmp_path: Path) -> None:
    records = DesignRecords(patients=20, derived=control_arms(), fractions=(), splits=1)
    contents = read_contents(records.write(tmp_path / "run"), 50)
    page = keep(contents, tmp_path / "kept", WRITTEN).read_text(encoding="utf-8")
    controls = page.partition("## Controls\n")[2].partition("\n## ")[0]
    assert len(contents.analyses.controls) >= 3
    assert controls.count("\n- ") == len(contents.analyses.controls)
    for one in contents.analyses.controls:
        assert plain(one.sentence) in controls


def test_keeping_again_gives_the_same_bytes(run: Path, results: Path) -> None:
    before = {path: path.read_bytes() for path in (results / "run").iterdir()}
    keep(read_contents(run, 100), results / "run", WRITTEN)
    assert {path: path.read_bytes() for path in (results / "run").iterdir()} == before


@pytest.mark.parametrize("damage", ["changed", "missing", "surplus", "manifest", "schema"])
def test_kept_results_that_were_touched_are_named(results: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(results / "run", folder)
    named = "endpoints.csv"
    if damage == "changed":
        path = folder / named
        path.write_text(path.read_text().replace("0", "1", 1))
    elif damage == "missing":
        (folder / named).unlink()
    elif damage == "surplus":
        named = "more.csv"
        (folder / named).write_text("a\n")
    elif damage == "manifest":
        named = MANIFEST
        (folder / named).write_text("{")
    else:
        named = MANIFEST
        (folder / named).write_text((folder / named).read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(RecordsError, match=named):
        check_kept(folder)


def test_a_folder_with_other_things_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RecordsError, match="something else"):
        keep(read_contents(run, 50), tmp_path, WRITTEN)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_results_too_large_for_a_repository_are_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.kept.LARGEST_BYTES", 1000)
    with pytest.raises(RecordsError, match="MB"):
        keep(read_contents(run, 50), tmp_path / "kept", WRITTEN)
    assert not (tmp_path / "kept").exists()


def test_the_command_line_keeps_or_reports(run: Path, tmp_path: Path) -> None:
    both = ["--keep", str(tmp_path / "kept"), "--format", "md"]
    with pytest.raises(InputError, match="formats of its own"):
        CliRunner().invoke(report, [str(run), *both], catch_exceptions=False)
    done = CliRunner().invoke(report, [str(run), *both[:2]], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert Path(done.output.strip()) == tmp_path / "kept" / "index.md"
    manifest = check_kept(tmp_path / "kept")
    assert manifest["written"]["commit"] == source_commit()


def test_the_commit_is_that_of_the_checkout_and_of_no_other(tmp_path: Path) -> None:
    assert source_commit.__wrapped__(tmp_path) is None
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c")
    (tmp_path / "file").write_text("one")
    for command in (("init", "-q"), ("add", "file"), ("commit", "-q", "-m", "one")):
        subprocess.run([*git, *command], check=True)
    commit = source_commit.__wrapped__(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    (tmp_path / "file").write_text("two")
    assert source_commit.__wrapped__(tmp_path) == f"{commit} with changes"
    inside = tmp_path / "environment"
    inside.mkdir()
    assert source_commit.__wrapped__(inside) is None


def test_the_results_of_this_repository_are_as_they_were_written() -> None:
    page = (RESULTS / "index.md").read_text(encoding="utf-8")
    listed = page.partition(f"{BEGIN}\n")[2].partition(END)[0]
    assert listed == listing(RESULTS)  # reads every manifest, and every file that it names
    for folder in (path.parent for path in RESULTS.glob(f"*/{MANIFEST}")):
        for table in folder.glob("*.md"):
            if table.name != "index.md":
                assert_tables_are_complete(table)
