"""Estimates from stated throughput: added up by hand, named as what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.plan import plan
from harness.outlook import look_ahead
from harness.price.throughput import read_throughput
from registry.contracts import InputError
from tests.harness.digits_run import digits_request, run_inline

STATED = """
source = "a machine elsewhere"
[[kind]]
match = "pretrain *"
steps = 7200
steps_per_second = 2.0
[[kind]]
match = "tune * / stroke"
seconds = 1800
"""


@pytest.fixture
def stated(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere.toml"
    path.write_text(STATED)
    return path


def test_an_estimate_adds_up_what_is_stated_and_names_the_rest(tmp_path: Path, stated: Path) -> None:
    request = digits_request(tmp_path)
    plain = look_ahead(request)
    assert plain.estimate is None
    outlook = look_ahead(request, throughput=read_throughput(stated), slots=1)
    assert outlook.price == look_ahead(request, slots=1).price  # a price is not touched
    found = outlook.estimate
    assert found is not None
    assert found.source == "a machine elsewhere"
    labels = [trial.label for trial in outlook.trials]
    pretraining = sum(label.startswith("pretrain ") for label in labels)
    tuning = sum(label.startswith("tune ") and "/ stroke" in label for label in labels)
    assert pretraining
    assert tuning
    assert found.price.priced == pretraining + tuning
    assert found.price.cpu_hours == pytest.approx(pretraining * 1.0 + tuning * 0.5)
    assert found.price.measured == 0
    assert found.price.unknown
    assert all(what.startswith("final ") for what in found.price.unknown)


def test_what_was_timed_here_needs_no_estimate(tmp_path: Path, stated: Path) -> None:
    run_inline(digits_request(tmp_path))
    again = digits_request(tmp_path, output="another", seeds={"final": [5, 6, 7]})
    outlook = look_ahead(again, throughput=read_throughput(stated))
    assert outlook.price.measured
    assert outlook.estimate is not None
    assert outlook.estimate.price.trials == 0


def test_the_plan_says_that_an_estimate_is_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "gpu.toml"
    path.write_text('source = "our log"\n[[kind]]\nmatch = "pretrain *vae*"\nseconds = 3600\n')
    arguments = ["--suite", "paper", "--cluster", "cpus=8,gpus=2", "--cache", str(tmp_path)]
    without = CliRunner().invoke(plan, arguments, catch_exceptions=False).output
    assert "price unknown for 426 trials" in without
    assert "estimate" not in without
    found = CliRunner().invoke(plan, [*arguments, "--throughput", str(path)], catch_exceptions=False).output
    assert "price unknown for 426 trials" in found
    assert "price of" not in found
    # three autoencoders; four settings to tune on, and the chosen one of either protocol with five seeds
    assert "estimate for 42 of these trials, not measured here: 168.00 CPU hours, 42.00 GPU hours" in found
    assert "from stated throughput, our log" in found
    assert "nothing stated for 384 trials" in found
    told = CliRunner().invoke(plan, [*arguments, "--throughput", str(path), "--json"], catch_exceptions=False)
    assert json.loads(told.output)["estimate"]["price"]["gpu_hours"] == pytest.approx(42.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[kind]]\nmatch = "*"\nseconds = 1\n', "source"),
        ('source = ""\n[[kind]]\nmatch = "*"\nseconds = 1\n', "source"),
        ('source = "s"\n', "kind"),
        ('source = "s"\n[[kind]]\nmatch = "*"\n', "either seconds"),
        ('source = "s"\n[[kind]]\nmatch = "*"\nseconds = 1\nsteps = 3\n', "either seconds"),
        ('source = "s"\n[[kind]]\nmatch = "*"\nsteps = 3\n', "either seconds"),
        ('source = "s"\n[[kind]]\nmatch = "*"\nseconds = 0\n', "kind.0.seconds"),
        ('source = "s"\n[[kind]]\nmatch = "*"\nseconds = inf\n', "kind.0.seconds"),
        ('source = "s"\n[[kind]]\nmatch = "*"\nsecond = 1\n', "kind.0.second"),
        ("source = ", "valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"wrong\.toml") as caught:
        read_throughput(path)
    assert named in str(caught.value)


def test_kinds_that_are_in_no_plan_are_an_error_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('source = "s"\n[[kind]]\nmatch = "pretraining *"\nseconds = 1\n')
    with pytest.raises(InputError, match="no stated kind matches") as caught:
        look_ahead(digits_request(tmp_path), throughput=read_throughput(path))
    assert "pretrain " in caught.value.mend
    with pytest.raises(InputError, match="does not exist"):
        read_throughput(tmp_path / "absent.toml")
