"""What leaves the report: Markdown, LaTeX that compiles, figures as files; all of it marked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from harness.cli.report import report
from reports import FORMATS, RecordsError
from reports.build import FORMATS as WRITERS
from reports.build import build
from reports.drawings import pdf
from reports.latex import SPECIAL, latex
from reports.markdown import plain
from tests.reports.records import TITLES, Records

EVIL = r"\input{/etc/passwd} <b>|x|</b> 100 % $x^2_i$ & ~#{}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    titles = dict(TITLES, dxa_vae=EVIL, nodxa_vae="no\N{EN DASH}DXA \N{GREEK SMALL LETTER LAMDA} \u4e2d")
    made = Records(patients=12, titles=titles).write(tmp_path_factory.mktemp("formats") / "run")
    build(made, draws=100, formats=("md", "latex", "svg"))
    return made


def test_only_what_was_asked_for_is_written(folder: Path) -> None:
    assert tuple(sorted(FORMATS, key=list(FORMATS).index)) == FORMATS
    assert set(FORMATS) == set(WRITERS)
    assert (folder / "report.md").is_file()
    assert not (folder / "report.html").exists()
    assert not list((folder / "tables").glob("*.csv"))


def test_every_figure_is_a_picture_of_its_own_and_marked(folder: Path) -> None:
    files = sorted((folder / "figures").glob("*.svg"))
    assert len(files) > 10
    for path in files:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314  our own
        assert (root.get("width"), root.get("height")) == tuple(root.get("viewBox", "").split()[2:])
        words = [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert words[-1].startswith("SIMULATED DATA.")
        assert "href" not in path.read_text(encoding="utf-8")


def test_real_data_carry_no_mark(tmp_path: Path) -> None:
    made = Records(patients=12, simulated=False).write(tmp_path / "run")
    build(made, draws=50, formats=("svg", "md", "latex"))
    assert not [
        path
        for path in made.rglob("*")
        if path.suffix in (".svg", ".md", ".tex") and "SIMULATED" in path.read_text(encoding="utf-8")
    ]


def test_a_pdf_is_the_same_twice(folder: Path) -> None:
    pytest.importorskip("cairosvg", reason="needs the extra `figures`", exc_type=(ImportError, OSError))
    svg = next((folder / "figures").glob("forest-*.svg")).read_text(encoding="utf-8")
    made = pdf(svg)
    assert made.startswith(b"%PDF-")
    assert b"/CreationDate (D:20000101000000Z" in made
    assert made == pdf(svg)


def test_a_missing_converter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cairosvg", None)
    with pytest.raises(RecordsError, match=r"pretraining-harness\[figures\]"):
        pdf("<svg/>")


def test_markdown_holds_the_numbers_and_no_html(folder: Path) -> None:
    build(folder, draws=100, formats=("json",))
    twin = json.loads((folder / "report.json").read_text())
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "> **SIMULATED DATA.**" in text
    assert "<b>" not in text.replace(r"\<b", "")
    assert all(plain(warning) in text for warning in twin["warnings"])
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    lines = [
        line
        for comparison in twin["comparisons"]
        for table in comparison["tables"]
        for statistic in table["statistics"]
        for line in statistic["lines"]
    ]
    assert sum(row.startswith("| Hip |") for row in rows) >= sum(line["key"] == "Hip" for line in lines) > 0
    heads = [row for row in rows if row.endswith("| n |")]
    assert {len(re.findall(r"(?<!\\)\|", head)) for head in heads} == {7, 8, 9}  # no title broke a column


def test_no_command_survives_in_latex() -> None:
    text = latex(EVIL)
    commands = set(re.findall(r"\\[A-Za-z]+", text))
    assert commands <= set(re.findall(r"\\[A-Za-z]+", " ".join(SPECIAL.values())))
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert latex("\u4e2d\n") == "[U+4E2D] "
    assert all(latex(char) != char for char in SPECIAL)


def test_the_document_reads_every_table(folder: Path) -> None:
    document = (folder / "report.tex").read_text(encoding="utf-8")
    named = re.findall(r"\\input\{(tables/[^}]+)\}", document)
    assert sorted(named) == sorted(f"tables/{path.name}" for path in (folder / "tables").glob("*.tex"))
    for name in named:
        text = (folder / name).read_text(encoding="utf-8")
        begun, ended = re.findall(r"\\begin\{(\w+)\}", text), re.findall(r"\\end\{(\w+)\}", text)
        assert sorted(begun) == sorted(ended)
        for head, body in re.findall(r"\\begin\{tabular\}\{([lcr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
            lines = [one for one in body.splitlines() if one.endswith(r"\\") and "multicolumn" not in one]
            assert {len(re.findall(r"(?<!\\)&", one)) for one in lines} == {len(head) - 1}


@pytest.mark.slow
def test_the_tables_compile_as_they_are(folder: Path, tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if not compiler:
        pytest.skip("needs pdflatex: apt-get install texlive-latex-recommended")
    copy = shutil.copytree(folder, tmp_path / "copy")
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    log = (copy / "report.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-2000:]
    assert (copy / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_the_command_takes_formats_and_refuses_others(folder: Path) -> None:
    done = CliRunner().invoke(report, [str(folder), "--format", "md,csv"])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(folder / "report.md")
    assert list((folder / "tables").glob("*.csv"))
    refused = CliRunner().invoke(report, [str(folder), "--format", "docx"])
    assert refused.exit_code != 0
    assert "none of html, json, csv, latex, md, svg, pdf" in refused.output
