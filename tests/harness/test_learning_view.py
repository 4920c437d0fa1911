"""Learning workers get no path, handle or index of test records; every opening is on the ledger."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from harness import trial as trials
from harness.executors.inline import InlineExecutor
from harness.learning_view import learning_view
from harness.openings import FILE, openings_of, record_opening
from harness.outlook import look_ahead
from harness.progress import SilentDisplay
from harness.run import prepare, run_suite
from tests.domains.digits import Digits
from tests.harness.digits_run import digits_request, journal, run_inline

BURGLAR = """
from pathlib import Path
from tests.domains.digits import PrincipalComponents
from registry.contracts import strategy

def reachable(thing, depth=4):
    '''Everything that can be had from what a trial is given.'''
    yield thing
    if depth == 0:
        return
    if isinstance(thing, dict):
        inner = list(thing.values())
    elif isinstance(thing, (list, tuple, set)):
        inner = list(thing)
    else:
        cells = [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
        inner = cells + list(getattr(thing, "__dict__", {}).values()) + [getattr(thing, "__self__", None)]
    for one in inner:
        yield from reachable(one, depth - 1)

@strategy("burglar", provides={"encoder", "generator"}, domain="digits", factors={"whiten": False})
class Burglar(PrincipalComponents):
    def pretrain(self, context):
        folders = [one for one in reachable(context) if isinstance(one, Path) and one.is_dir()]
        files = [path for folder in folders for path in folder.rglob("*")]
        assert any("train" in path.name for path in files), "it looked in the wrong place"
        assert not [path for path in files if "test" in path.name], files
        return super().pretrain(context)
"""


def test_what_a_trial_is_given_leads_to_no_test_file(tmp_path: Path) -> None:
    plugin = tmp_path / "burglar.py"
    plugin.write_text(BURGLAR)
    request = digits_request(tmp_path, plugins=(plugin,), strategies=["burglar"], tasks=["stroke"])
    assert run_inline(request).complete


class Listens(InlineExecutor):
    """Keeps what workers are told."""

    def __init__(self) -> None:
        super().__init__()
        self.payloads: list[Any] = []

    def submit(self, payload: Any) -> None:
        self.payloads.append(payload)
        super().submit(payload)


def test_only_final_trials_are_told_where_the_test_split_is(tmp_path: Path) -> None:
    executor = Listens()
    request = digits_request(tmp_path)
    run_suite(request, executor, SilentDisplay())
    whole = prepare(request).folder(0)
    stages = {payload["spec"]["stage"] for payload in executor.payloads}
    assert stages == {"pretrain", "tune", "final"}
    for payload in executor.payloads:
        view = Path(payload["cohort_folder"])
        assert not [path for path in view.rglob("*") if "test" in path.name]
        assert (payload["test_folder"] == str(whole)) is (payload["spec"]["stage"] == "final")
        if payload["spec"]["stage"] != "final":
            assert str(whole) not in json.dumps(payload)


def test_a_final_trial_without_a_way_to_the_test_split_fails(tmp_path: Path) -> None:
    executor = Listens()
    run_suite(digits_request(tmp_path), executor, SilentDisplay())
    payload = next(one for one in executor.payloads if one["spec"]["baseline"])
    outcome = trials.execute({**payload, "run": str(tmp_path / "elsewhere"), "test_folder": None})
    assert outcome["status"] == "failed"
    assert "no way to the test split" in outcome["error"]


def made(tmp_path: Path) -> Path:
    cohort = tmp_path / "cohort"
    for name in ("part-train.npz", "part-test.npz", "index.json", "part/validation/a.npy", "part/test/a.npy"):
        (cohort / name).parent.mkdir(parents=True, exist_ok=True)
        (cohort / name).write_text(name)
    return cohort


class Indexed(Digits):
    def learning_files(self, folder: Path) -> Any:
        return {**super().learning_files(folder), "index.json": b"train alone"}


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_view_has_links_and_its_own_index(tmp_path: Path) -> None:
    cohort = made(tmp_path)
    view = learning_view(Indexed(), cohort, fingerprint="f" * 64, cache=tmp_path)
    assert names(view) == ["index.json", "part-train.npz", "part/validation/a.npy"]
    assert (view / "index.json").read_bytes() == b"train alone"
    assert (view / "part-train.npz").samefile(cohort / "part-train.npz")
    assert (cohort / "index.json").read_text() == "index.json"


def test_the_view_follows_its_cohort(tmp_path: Path) -> None:
    cohort = made(tmp_path)
    view = learning_view(Indexed(), cohort, fingerprint="f" * 64, cache=tmp_path)
    before = view.stat().st_ino
    assert learning_view(Indexed(), cohort, fingerprint="f" * 64, cache=tmp_path).stat().st_ino == before
    (cohort / "part-train.npz").unlink()
    (cohort / "part-train.npz").write_text("made anew")
    (view / "part-test.npz").write_text("slipped in")
    learning_view(Indexed(), cohort, fingerprint="f" * 64, cache=tmp_path)
    assert names(view) == ["index.json", "part-train.npz", "part/validation/a.npy"]
    assert (view / "part-train.npz").read_text() == "made anew"


def test_without_links_the_view_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    cohort = made(tmp_path)
    view = learning_view(Indexed(), cohort, fingerprint="f" * 64, cache=tmp_path)
    assert not (view / "part-train.npz").samefile(cohort / "part-train.npz")
    before = view.stat().st_ino
    assert learning_view(Indexed(), cohort, fingerprint="f" * 64, cache=tmp_path).stat().st_ino == before


def test_openings_are_counted_across_runs_and_before_they_happen(tmp_path: Path) -> None:
    first = run_inline(digits_request(tmp_path))
    finals = json.loads((first.run.root / "run.json").read_text())["provenance"]["test_openings"]
    run_inline(digits_request(tmp_path, output="second", tasks=["stroke"]))
    described = json.loads((tmp_path / "second" / "run.json").read_text())
    of_second = described["provenance"]["test_openings"]
    assert described["provenance"]["test_openings_of_cohort"] == {
        "openings": finals + of_second,
        "trials": finals,  # the second run repeats trials of the first
        "runs": 2,
    }
    outlook = look_ahead(digits_request(tmp_path, output="third"))
    assert outlook.test_openings.openings == finals + of_second
    other = look_ahead(digits_request(tmp_path, output="third", cohort={"patients": 24}))
    assert other.test_openings.openings == 0


def test_an_opening_counts_although_its_trial_fails(tmp_path: Path) -> None:
    plugin = tmp_path / "failing.py"
    plugin.write_text(
        "from tests.domains.digits import Stroke\nfrom registry.contracts import PrimaryEndpoint, task\n"
        "@task('failing', needs={'encoder'}, domain='digits', part='labelled',\n"
        "      primary=PrimaryEndpoint('mean_r2', 'r2', 'max', 'r2', ('ink',)))\n"
        "class Failing(Stroke):\n"
        "    def predict(self, context, model, split):\n        raise RuntimeError('it saw the test split')\n"
    )
    request = digits_request(tmp_path, plugins=(plugin,), strategies=["random_projection"], tasks=["failing"])
    assert not run_inline(request).complete
    finals = [e for e in journal(request.output) if e["event"] == "failed"]
    assert openings_of(request.cache, prepare(request).cohort.fingerprint).openings == len(finals) > 0


def test_many_processes_may_write_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for index in range(20):
            record_opening(tmp_path, cohort="c", part="p", key=f"{number}-{index}", run=tmp_path)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with (tmp_path / FILE).open("a") as file:
        file.write('{"cohort": "c", "ke')
    found = openings_of(tmp_path, "c")
    assert (found.openings, found.trials, found.runs) == (80, 80, 1)
    assert openings_of(tmp_path, "other").openings == 0
