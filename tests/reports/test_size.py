"""The page stays below its limit: it gives up declared pieces in a declared order, and says so."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import html5lib
import pytest

from reports.contents import Contents, read_contents
from reports.page import render
from reports.page.pieces import FEWER_TRIALS, LIMIT, PIECES
from tests.reports import declared, records
from tests.reports.records import NOISE, Records

ALWAYS = ("answer", "robustness", "trials", "provenance", "methods", "downloads")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    found = Records(patients=12, draws=70).write(tmp_path_factory.mktemp("runs") / "run")
    return read_contents(found, draws=50)


@pytest.fixture(scope="module")
def whole(contents: Contents) -> str:
    return render(contents)


@pytest.fixture(scope="module")
def least(contents: Contents) -> str:
    return render(contents, limit=1)


def said(page: str) -> list[str]:
    """The pieces that the page says it leaves out, in its order."""
    _, _, rest = page.partition("Left out, in a fixed order: ")
    sentence = html.unescape(rest.partition("</li>")[0])
    found = [piece.key for piece in PIECES if f"{piece.words} (<code>{piece.place}</code>)" in sentence]
    return sorted(found, key=lambda key: sentence.index(next(one.words for one in PIECES if one.key == key)))


def test_nothing_goes_before_it_must(contents: Contents, whole: str) -> None:
    size = len(whole.encode())
    assert said(whole) == []
    assert render(contents, size) == whole
    smaller = render(contents, size - 1)
    assert said(smaller) == ["files"]
    assert len(smaller.encode()) < size


def test_everything_goes_in_the_declared_order(least: str) -> None:
    assert said(least) == [piece.key for piece in PIECES]
    assert "It still is larger." in least
    assert all(f'<section id="{name}"' in least for name in ALWAYS)
    html5lib.HTMLParser(strict=True).parse(least)


def test_what_is_left_out_is_gone_and_named_in_its_place(whole: str, least: str) -> None:
    for mark in ('href="data:text', "<figcaption>In pairs", "Data behind: every pair, p values", "<img "):
        assert (mark in whole, mark in least) == (True, False), mark
    rows = [len(re.findall(r'<tr class="\w+" id="trial-', page)) for page in (whole, least)]
    assert rows[0] > rows[1] == FEWER_TRIALS
    for piece in PIECES:
        if piece.key not in ("files", "pairs", "trials"):
            assert f"Left out to keep this page below its limit: {piece.words}" in least
    assert "Left out to keep" not in whole


def test_pairs_without_the_reference_go_before_the_others(contents: Contents, whole: str) -> None:
    page = render(contents, limit=len(render(contents, len(whole.encode()) - 1).encode()) - 1)
    assert said(page) == ["files", "pairs"]
    table = r"<caption>DXA-VAE minus {}, r²:"
    assert [bool(re.search(table.format(name), page)) for name in ("ImageNet", "noDXA-VAE")] == [True, False]


def test_what_the_run_does_not_have_is_not_said_to_be_left_out(tmp_path: Path) -> None:
    run = Records(patients=12, exhibits=False, draws=1).write(tmp_path / "run")
    assert {"exhibits", "trials"}.isdisjoint(said(render(read_contents(run, draws=50), limit=1)))


@pytest.mark.slow
def test_ten_arms_and_fifteen_measures_stay_below_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (declared, records):
        monkeypatch.setattr(module, "MEASURES", tuple(f"Measure {i}" for i in range(15)))
    arms = {f"arm_{i}": f"Arm number {i}" for i in range(10)}
    noise = {**NOISE, **{name: 0.3 + 0.01 * i for i, name in enumerate(arms)}}
    folder = Records(patients=111, titles=arms, noise=noise, failures=False).write(tmp_path / "run")
    meta = json.loads((folder / "run.json").read_text())
    meta["suite"]["reference_arms"] = ["arm_0"]
    (folder / "run.json").write_text(json.dumps(meta))
    page = render(read_contents(folder, draws=50))
    assert len(page.encode()) <= LIMIT
    assert said(page)[:1] == ["files"]
