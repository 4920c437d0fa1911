"""Margins of equivalence are about rows and statistics that a table has, in positive numbers."""

from __future__ import annotations

import pytest

from registry.catalog import Catalogue

CATALOGUE = Catalogue.built_in()


@pytest.mark.parametrize("name", sorted(CATALOGUE.tasks))
def test_margins_name_what_the_table_shows(name: str) -> None:
    for layout in CATALOGUE.task(name).layouts():
        statistics = {one.name for one in layout.statistics}
        rows = {row.key for row in layout.rows}
        for key, value in layout.margins.items():
            statistic, _, row = key.partition(".")
            assert statistic in statistics
            assert not row or row in rows
            assert value > 0


def test_r2_has_the_margin_that_was_declared() -> None:
    tables = [layout for name in CATALOGUE.tasks for layout in CATALOGUE.task(name).layouts()]
    shown = [one for one in tables if "r2" in {statistic.name for statistic in one.statistics}]
    assert shown
    assert {one.margins["r2"] for one in shown} == {0.01}


def test_least_significant_changes_come_from_the_same_repeat_scans_as_the_margins() -> None:
    tables = [layout for name in CATALOGUE.tasks for layout in CATALOGUE.task(name).layouts()]
    shown = [layout for layout in tables if layout.least_significant_changes]
    assert {"composition", "true_composition"} <= {layout.key for layout in shown}
    for layout in shown:
        assert set(layout.least_significant_changes) == {row.key for row in layout.rows}
        for row, change in layout.least_significant_changes.items():
            assert change == pytest.approx(2.77 * layout.margins[f"rmse.{row}"])
