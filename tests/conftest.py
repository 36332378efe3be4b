"""Settings of the whole suite: double precision, shapes checked, no silent broadcasting, fits shared between tests."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("cytostorm.models", "checker.check")
install_import_hook("cytostorm.inference", "checker.check")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import matplotlib as mpl  # noqa: E402

from cytostorm.inference.tables import catalogue  # noqa: E402
from cytostorm.models import native  # noqa: E402

mpl.use("agg")
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

os.environ.setdefault("CYTOSTORM_CACHE", str(ROOT / ".cache"))
os.environ["CYTOSTORM_DATA"] = str(SHARED / "data")
catalogue.folder = SHARED / "data"
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax"))
native.folder = ROOT / ".cache" / "native"
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", choices=("cpu", "gpu"), help="where the suite runs")


def pytest_configure(config):
    if config.getoption("--device") == "cpu":
        jax.config.update("jax_platforms", "cpu")


@pytest.fixture
def strict_ranks():
    """Broadcasting between arrays of different rank is an error in what this test runs."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def shared():
    """The folder of given designs and data; tests that need it skip where it is absent."""
    if not (SHARED / "README.md").is_file():
        pytest.skip("the folder of given designs and data is not here")
    return SHARED


@pytest.fixture(scope="session")
def conjugate():
    """A problem whose posterior has a closed form."""
    from posteriors import conjugate

    return conjugate()


@pytest.fixture(scope="session")
def explosive():
    """A problem of which many solves fail."""
    from posteriors import explosive

    return explosive()


@pytest.fixture
def refused(tmp_path, capsys):
    """What is asserted of a job that is refused: exit code 2, a message, no traceback and no run folder."""
    from cytostorm.scripts.cli import run

    def check(message, job, *overrides):
        folder = tmp_path / "out"
        assert run([job, *overrides, f"hydra.run.dir={folder}"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
        assert not folder.exists()

    return check


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory, request):
    """One short fit of the shipped data through the command line, shared by many tests: its run folder."""
    from cytostorm.scripts.cli import run

    folder = tmp_path_factory.mktemp("fit") / "run"
    device = request.config.getoption("--device")
    assert run(["fit", "debug=quick", f"device={device}", f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; tests that need it skip where there is none."""
    from browser import Browser, found

    path = found()
    if path is None:
        pytest.skip("no Chromium is installed")
    opened = Browser(path)
    yield opened
    opened.close()
