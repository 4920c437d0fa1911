"""An arm that draws empty scans of some people: the report counts them, and fills them in both ways.

The same twice: as the built-in analyser saw it, and as measured by other software.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from registry.dxa.bodycomp import MEASURES
from tests.test_end_to_end import harness
from tests.test_measured_by_other_software import measure_elsewhere

# The generator follows the latent that varies most: at its median the mean scan, half a deviation above
# nothing but air, below the same person over and over.
PLUGIN = """
import torch
from registry.contracts import strategy
from registry.dxa.models.vae import ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.strategies.vae import NoDxaVae
from registry.dxa.training.scans import load_scans


@strategy(
    "vanishing", title="Vanishing VAE", provides={"encoder", "generator"}, domain="dxa", version="1",
    trained_jointly=frozenset({"encoder", "generator"}), factors=FACTORS, summary="Loses people.",
)
class Vanishing(NoDxaVae):
    def pretrain(self, context):
        artifact = super().pretrain(context)
        vae = ScanVae.from_artifact(artifact).eval()
        reduction = DxaSettings(**context.settings).scan_reduction
        scans = torch.from_numpy(load_scans(context.open_split("pretraining", "train"), reduction))
        with torch.no_grad():
            latents = vae.encode(scans)[0]
            which = int(latents.std(0).argmax())
            slope = 2.0 / float(latents[:, which].std())
            air = (200.0 - vae.generator.channel_mean) / vae.generator.channel_scale
            away = (air - vae.generator.mean_scan)[None]
            size = vae.generator.sizes[1]
            pattern = torch.nn.functional.interpolate(away, size, mode="bilinear").flatten()
            linear = vae.generator.linear
            linear.weight.zero_()
            linear.weight[:, which] = slope * pattern
            linear.bias.copy_(-slope * float(latents[:, which].median()) * pattern)
            vae.generator.last.weight.zero_()
            vae.generator.last.bias.zero_()
        return type(artifact)(parts=vae.parts(), metadata=artifact.metadata)
"""


def filled_table(run: Path, key: str) -> dict[str, Any]:
    """Of one table of the reconstruction task: counts by column, and RMSE of total mass by filling."""
    twin = json.loads((run / "report.json").read_text())
    (found,) = (one for one in twin["analyses"]["fillings"] if one["table"] == key)
    lines = {}
    for table in found["tables"]:
        statistic = next(one for one in table["statistics"] if one["name"] == "rmse")
        line = next(one for one in statistic["lines"] if one["key"].endswith("total_mass_kg"))
        lines[table["method"]] = {name: cell["value"] for name, cell in line["cells"].items() if cell}
    counts = {one["column"]: (one["analysable"], one["scans"]) for one in found["analysable"]}
    return {"counts": counts, "rmse": lines, "heading": found["heading"]}


def rows_of_total_mass(run: Path, table: pl.DataFrame, measure: str) -> dict[str, pl.DataFrame]:
    """Rows of final trials by column, as the report names columns."""
    trials = pl.read_parquet(run / "results" / "trials.parquet").filter(pl.col("stage") == "final")
    named = trials.select(
        "key",
        column=pl.coalesce("baseline:" + pl.col("baseline"), "arm:" + pl.col("strategy")),
    )
    own = table.filter(pl.col("measure") == measure).join(named, on="key")
    return {str(name): rows.sort("scan") for (name,), rows in own.group_by("column")}


def expected_rmse(rows: dict[str, pl.DataFrame], method: str) -> dict[str, float]:
    """What the definitions say, from the records alone."""
    errors = pl.concat([one["prediction"] - one["target"] for one in rows.values()]).drop_nulls()
    worst = errors[int(errors.abs().arg_max() or 0)]
    found = {}
    for name, one in rows.items():
        gap = one["fallback"] if method == "training mean" else one["target"] + worst
        filled = one["prediction"].fill_null(gap)
        found[name] = float(np.sqrt(((filled - one["target"]) ** 2).mean()))  # type: ignore[arg-type]
    return found


@pytest.mark.slow
def test_scans_that_could_not_be_analysed_are_counted_and_filled(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "for the clinic"
    from registry.dxa.strategies.vae import NoDxaVae  # noqa: PLC0415 - its factors are the plug-in's

    plugin = tmp_path / "vanishing.py"
    plugin.write_text(f"FACTORS = {dict(NoDxaVae.card.factors)!r}\n{PLUGIN}")
    suite = tmp_path / "vanish.toml"
    suite.write_text(
        'schema = 1\nname = "vanish"\ntitle = "Vanish"\ndescription = "Some scans show nobody."\n'
        'extends = "smoke"\nstrategies = ["nodxa_vae", "vanishing"]\ntasks = ["reconstruction"]\n'
        "[settings]\nanalysed_scans = 8\n"
    )
    common = ("--suite", str(suite), "--plugin", str(plugin), "--cache", str(tmp_path / "cache"))
    made = harness(
        "run-all", *common, "--output", str(run), "--keep-models", "--executor", "inline", cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    exported = harness("bodycomp", "export", str(folder), "--run", str(run), cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    unmeasured = measure_elsewhere(folder, tmp_path / "back.csv")
    software = ("--run", str(run), "--software", "Straight Line")
    imported = harness("bodycomp", "import", str(tmp_path / "back.csv"), *software, cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert f"0, {unmeasured} and 0 could not be measured" in imported.stdout
    assert harness("report", str(run), cwd=tmp_path).returncode == 0
    page = (run / "report.html").read_text()

    (parquet,) = run.glob("measured/*/*.parquet")
    measurements = {
        "composition": (run / "results" / "predictions.parquet", "total_mass_kg"),
        "measured.straight-line.composition": (parquet, "measured.straight-line.total_mass_kg"),
    }
    for key, (path, measure) in measurements.items():
        records = pl.read_parquet(path)
        rows = rows_of_total_mass(run, records, measure)
        failed = rows["arm:vanishing"]["prediction"].null_count()
        assert 0 < failed < 8, "the arm has to lose some people and keep others"
        shown = filled_table(run, key)
        assert shown["counts"]["arm:vanishing"] == (8 - failed, 8)
        assert shown["counts"]["arm:nodxa_vae"] == (8, 8)
        assert set(shown["rmse"]) == {"training mean", "worst error"}
        for method, by_column in shown["rmse"].items():
            assert by_column == pytest.approx(expected_rmse(rows, method), rel=1e-6), (key, method)
        lost = records.filter(
            pl.col("key") == rows["arm:vanishing"]["key"][0], pl.col("prediction").is_null()
        )
        assert {name.rpartition(".")[2] for name in lost["measure"]} >= set(MEASURES)
        # the main table is of complete cases, and says how many scans it leaves out
        assert f"{failed} scan{'s' if failed > 1 else ''} left out" in page
        assert f"<h4>Scan reconstruction, matched = tuned: {shown['heading']}</h4>" in page
    # baselines were analysed, but nothing of theirs was handed over: no column
    twin = json.loads((run / "report.json").read_text())
    absent = {
        one["key"]: one["absent"]
        for one in twin["comparisons"][0]["tables"]
        if one["source"] == "predictions"
    }
    assert absent["composition"] == []
    assert absent["measured.straight-line.composition"] == [
        f"baseline:{name}" for name in ("mean", "pca_16", "pca_64", "pca")
    ]
    assert f"could not measure 0, {unmeasured} and 0 of them" in page
