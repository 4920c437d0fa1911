"""What a person types: exit statuses, one clear message, the mark of simulated data."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.digits_run import PLUGIN, SUITE, command, environment, harness

SMALL = ["--strategies", "random_projection", "--tasks", "stroke"]


def run_all(folder: Path, *arguments: str, suite: str = str(SUITE)) -> subprocess.CompletedProcess[str]:
    return harness(*command(folder, *arguments, suite=suite)[3:])


def test_a_complete_run_exits_with_0_and_shows_its_table(tmp_path: Path) -> None:
    done = run_all(tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "Measuring a stroke: mean r² on test, higher is better" in done.stdout
    assert "Random projection" in done.stdout
    assert "mean (baseline)" in done.stdout
    assert f"complete: 7 trials in {tmp_path / 'run'}" in done.stdout
    assert "SIMULATED" not in done.stdout
    assert done.stderr == ""


def test_simulated_data_are_marked(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort.toml"
    cohort.write_text("[cohort]\npatients = 20\nnoise = 0.1\n")
    done = run_all(tmp_path, *SMALL, "--cohort", str(cohort))
    assert done.returncode == 0, done.stderr
    assert "SIMULATED DATA" in done.stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["cohort"]["simulated"] is True


def test_a_failed_trial_exits_with_1_and_says_what_failed(tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "from tests.domains.digits import RandomProjection\n"
        "from registry.contracts import strategy\n"
        "@strategy('broken', provides={'encoder'}, domain='digits')\n"
        "class Broken(RandomProjection):\n"
        "    def pretrain(self, context):\n"
        "        raise RuntimeError('my own bug')\n"
    )
    done = run_all(
        tmp_path, "--plugin", str(plugin), "--strategies", "random_projection,broken", "--tasks", "stroke"
    )
    assert done.returncode == 1, done.stderr
    assert "1 failed, 7 blocked" in done.stdout
    assert "pretrain broken: RuntimeError: my own bug" in done.stdout
    assert "missing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "quik"], ["suite 'quik' is not known", "did you mean 'quick'?"]),
        (
            ["--strategies", "random_projektion"],
            ["strategy 'random_projektion'", "did you mean 'random_projection'?"],
        ),
        (["--tasks", "strok"], ["task 'strok' is not known", "did you mean 'stroke'?"]),
        (["--plugin", "no_such.py"], ["no_such.py' does not exist", "--plugin"]),
        (["--cohort", "no_such.toml"], ["cohort file 'no_such.toml' does not exist"]),
        (["--strategies", "dxa_vae"], ["'dxa_vae' belongs to domain 'dxa'"]),
        (["--strategies", ""], ["strategies = ()"]),
    ],
)
def test_a_wrong_request_exits_with_2_one_line_and_nothing_written(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = run_all(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("budgett = 3\n", ["key 'budgett' is not known", "did you mean 'budget'?"]),
        ("[settings]\nfeaturs = 3\n", ["key 'settings.featurs' is not known", "did you mean 'features'?"]),
        ("[cohort]\npatiens = 3\n", ["key 'cohort.patiens' is not known", "did you mean 'patients'?"]),
    ],
)
def test_an_unknown_key_in_a_suite_file_exits_with_2(tmp_path: Path, text: str, words: list[str]) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text(
        'schema = 1\nname = "mine"\ndomain = "digits"\n'
        f'strategies = ["random_projection"]\ntasks = ["stroke"]\n{text}'
    )
    done = run_all(tmp_path, suite=str(suite))
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_unknown_commands_and_options_exit_with_2() -> None:
    done = harness("runall")
    assert (done.returncode, done.stderr) == (
        2,
        "error: command 'runall' is not known; did you mean 'run-all'?\n",
    )
    assert harness("run-all", "--sweet", "x").returncode == 2


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from harness.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "names = {'torch', 'ray', 'polars', 'numpy', 'pydantic', 'timm', 'rich'}\n"
        "heavy = names & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("run-all", "list", "plan", "report", "doctor"):
        assert name in done.stdout


@pytest.mark.parametrize("arguments", [["plan", "--suite", str(SUITE), "--plugin", str(PLUGIN)], ["list"]])
def test_planning_and_listing_import_neither_torch_nor_ray(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from harness.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'ray', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_list_shows_plug_ins_with_their_origin() -> None:
    found = json.loads(harness("list", "--plugin", str(PLUGIN), "--json").stdout)
    strategies = {entry["name"]: entry["origin"] for entry in found["strategies"]}
    assert strategies["random_projection"] == str(PLUGIN)
    assert strategies["dxa_vae"] == "built-in"
    assert {"quick", "smoke"} <= {suite["name"] for suite in found["suites"]}


def test_plan_prices_and_warns(tmp_path: Path) -> None:
    arguments = ["plan", "--suite", str(SUITE), "--plugin", str(PLUGIN), "--output", str(tmp_path / "run")]
    arguments += ["--cache", str(tmp_path / "cache")]
    shown = harness(*arguments)
    assert "price unknown for 28 trials" in shown.stdout
    assert "2 final seeds cannot be significant" in shown.stdout
    assert harness(*arguments, "--calibrate").stderr.count("calibrated") == 0
    priced = harness(*arguments, "--cluster", "cpus=64,gpus=8")
    assert "price of 28 of 28 trials" in priced.stdout
    assert "with 64 trials at once" in priced.stdout
    plan = json.loads(harness(*arguments, "--slots", "3", "--json").stdout)
    assert plan["price"]["slots"] == {"pretrain": 3, "tune": 3, "final": 3}
    assert {one["task"]: one["seeds_needed"] for one in plan["evidence"]} == {"stroke": 7, "redrawing": 6}
    assert len(plan["warnings"]) == 2
    assert "tuning_pretraining gives tuning weights of its own" in plan["caveats"][0]
    wrong = harness(*arguments, "--cluster", "many")
    assert wrong.returncode == 2
    assert "cpus=64,gpus=8" in wrong.stderr


def test_plan_shows_cells_with_reasons(tmp_path: Path) -> None:
    arguments = ["plan", "--suite", str(SUITE), "--plugin", str(PLUGIN), "--output", str(tmp_path / "run")]
    done = harness(*arguments, "--cache", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "N/A: Random projection has no generator" in done.stdout
    assert "28 trials: 0 done, 0 cached, 28 to run, 0 blocked" in done.stdout
    outlook = json.loads(harness(*arguments, "--cache", str(tmp_path / "cache"), "--json").stdout)
    assert outlook["counts"]["to run"] == 28
    assert {trial["state"] for trial in outlook["trials"]} == {"to run"}
    assert list(tmp_path.iterdir()) == []


def test_a_large_plan_is_lines_that_say_what_the_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["plan", "--suite", str(SUITE), "--plugin", str(PLUGIN), "--output", str(tmp_path / "run")]
    table = harness(*arguments, "--cache", str(tmp_path / "cache")).stdout
    monkeypatch.setattr("harness.cli.plan.MANY_CELLS", 1)
    lines = harness(*arguments, "--cache", str(tmp_path / "cache")).stdout
    assert "│" in table
    assert "│" not in lines
    assert "redrawing" in lines
    frame = str.maketrans("", "", "│┃┏┓┗┛┡┩└┘├┤┳╇┴━─")
    assert lines.split() == table.translate(frame).split()


def test_report_of_what_is_no_run_exits_with_2(tmp_path: Path) -> None:
    done = harness("report", str(tmp_path))
    assert done.returncode == 2
    assert "is no run folder" in done.stderr


def test_version() -> None:
    assert harness("--version").stdout.startswith("harness ")


SLEEPY = """
import time
from tests.domains.digits import RandomProjection
from registry.contracts import strategy

@strategy("sleepy", provides={"encoder"}, domain="digits")
class Sleepy(RandomProjection):
    def pretrain(self, context):
        (context.scratch / "asleep").touch()
        time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_exits_with_130_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    plugin = tmp_path / "sleepy.py"
    plugin.write_text(SLEEPY)
    process = subprocess.Popen(
        command(tmp_path, "--plugin", str(plugin), "--strategies", "sleepy", "--tasks", "stroke"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    scratch = tmp_path / "run" / "scratch"
    deadline = time.monotonic() + 30
    # not before: an interrupt of an import that makes a data class ends in Python's own exit by the signal
    while not any(scratch.glob("*/asleep")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "give the same command again to go on" in errors
    assert "Traceback" not in errors


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    plugin = tmp_path / "sleepy.py"
    plugin.write_text(SLEEPY)
    arguments = ["--plugin", str(plugin), "--strategies", "sleepy", "--tasks", "stroke"]
    first = subprocess.Popen(
        command(tmp_path, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "run" / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        done = run_all(tmp_path, *arguments)
    finally:
        first.kill()
        first.wait()
    assert done.returncode == 2
    assert f"in use by process {first.pid}" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to the superuser")
def test_a_read_only_place_exits_with_2(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = run_all(tmp_path, *SMALL)
    tmp_path.chmod(0o700)
    assert done.returncode == 2


def test_a_real_limit_on_file_size_is_one_message(tmp_path: Path) -> None:
    """A quota on file sizes is the nearest thing to a full disk that needs no privileges."""
    done = subprocess.run(
        command(tmp_path, *SMALL),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
