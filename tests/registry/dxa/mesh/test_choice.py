"""Which backend is used. Fake distributions prove the selection, nothing about kaolin itself."""

import sys

import pytest

from registry.contracts import InputError
from registry.dxa.domain import DxaDomain
from registry.dxa.mesh.backend import choose_backend, describe, probe_kaolin


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Put a distribution called kaolin on the path."""

    def put(version, code):
        for name in [name for name in sys.modules if name.split(".")[0] == "kaolin"]:
            monkeypatch.delitem(sys.modules, name)
        (tmp_path / "kaolin").mkdir()
        (tmp_path / "kaolin" / "__init__.py").write_text(code)
        metadata = tmp_path / f"kaolin-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kaolin\nVersion: {version}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path / "kaolin"

    yield put
    for name in [name for name in sys.modules if name.split(".")[0] == "kaolin"]:
        del sys.modules[name]


needs_no_kaolin = pytest.mark.skipif(probe_kaolin().status != "absent", reason=str(probe_kaolin()))


@needs_no_kaolin
def test_the_placeholder_is_recognised_without_importing_it(distribution):
    distribution("0.1", "raise RuntimeError('this package is a placeholder')")
    state = probe_kaolin()
    assert (state.status, state.version) == ("placeholder", "0.1")
    assert choose_backend("auto").name == "torch"
    assert "placeholder" in describe()
    with pytest.raises(InputError, match="placeholder") as error:
        choose_backend("kaolin")
    assert "nvidia-kaolin" in error.value.mend


@needs_no_kaolin
def test_a_kaolin_that_cannot_be_imported_is_broken(distribution):
    distribution("0.18.0", "raise ImportError('libcudart.so.12: cannot open shared object file')")
    state = probe_kaolin()
    assert state.status == "broken"
    assert "libcudart" in str(state)
    assert choose_backend("auto").name == "torch"


@needs_no_kaolin
def test_a_kaolin_without_its_compiled_part_is_broken(distribution):
    distribution("0.17.0", "__version__ = '0.17.0'")
    assert probe_kaolin().status == "broken"


@needs_no_kaolin
def test_auto_takes_a_usable_kaolin(distribution):
    folder = distribution("0.18.0", "__version__ = '0.18.0'")
    (folder / "_C.py").write_text("")
    assert choose_backend("auto").name == choose_backend("kaolin").name == "kaolin"
    assert choose_backend("auto").version == "0.18.0"
    assert choose_backend("torch").name == "torch"


@needs_no_kaolin
def test_without_kaolin_auto_is_torch_and_asking_for_it_an_error():
    assert choose_backend().name == "torch"
    with pytest.raises(InputError, match="not installed"):
        choose_backend("kaolin")


def test_doctor_says_what_computes_on_meshes():
    (line,) = [check for check in DxaDomain().doctor() if check[0] == "meshes"]
    assert line[1]
    assert "not run with real kaolin" in line[2]


def test_another_backend_is_refused_in_a_suite():
    with pytest.raises(InputError, match="mesh_backend"):
        DxaDomain().check_settings({"mesh_backend": "open3d"})
