"""The house: configurations compose, imports point one way, the wheel holds everything, files stay small."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from itertools import product

import pytest
import yaml
from conftest import ROOT

from cytostorm.inference.results.choices import outcomes_of
from cytostorm.scripts.cli import JOBS
from cytostorm.scripts.compare import wanted
from cytostorm.scripts.compose import build, check, composed
from cytostorm.scripts.forecast import problems_of
from cytostorm.scripts.problem import prepare

CONFIGS = ROOT / "configs"
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "__pycache__")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONFIGS / group).glob("*.yaml"))]
REQUIRED = {"model", "trigger", "treatment", "data", "prior", "noise", "variability", "solver", "sampler", "device"}
REQUIRED |= {"experiment", "debug", "outcome", "utility", "launcher"}
NOTHING = {("variability", "none")}  # options that stand for the absence of an object


def test_every_group_exists():
    assert set(GROUPS) == REQUIRED


WHOLE = [option for option in OPTIONS if option[0] in ("experiment", "debug")]
DECIDING = [option for option in OPTIONS if option[0] in ("outcome", "utility")]
LAUNCHERS = [option for option in OPTIONS if option[0] == "launcher"]
PAIRS = [("fit", option) for option in OPTIONS if option not in DECIDING + LAUNCHERS]
PAIRS += [("sweep", option) for option in LAUNCHERS]
PAIRS += list(
    product(sorted(set(JOBS) - {"fit", "phenomena", "predict", "compare", "forecast", "diff", "reproduce"}), WHOLE)
)
PAIRS += [("predict", option) for option in OPTIONS if option[0] in ("trigger", "treatment", "data", "device")]
PAIRS += [("compare", option) for option in OPTIONS if option[0] in ("trigger", "treatment", "prior", "model", "solver")]
PAIRS += [("compare", option) for option in DECIDING]
PAIRS += [("forecast", option) for option in OPTIONS if option[0] in ("data", "noise")]


TIDY = "subject,time_h,analyte,value,unit\nA,0,il6,1,pg/mL\n"
TABLES = {"csv": TIDY, "cohort": TIDY, "nonmem": "ID,TIME,DV,DVID\nA,0,1,il6\n"}
OWN = ["model=own", f"model.path={ROOT / 'tests' / 'own' / 'decay.py'}"]
# What an option needs besides itself.
NEEDED = {(group, "own"): OWN for group in ("prior", "noise")} | {("model", "own"): OWN[1:]}
NEEDED["experiment", "own"] = [OWN[1], f"data.path={ROOT / 'docs' / 'own_model' / 'pelts.csv'}"]


@pytest.mark.parametrize(("job", "option"), PAIRS, ids=lambda x: x if isinstance(x, str) else "=".join(x))
def test_every_config_composes(job, option, tmp_path):
    needed = [x for x in NEEDED.get(option, []) if job != "stability" or not x.startswith("model.")]  # its model is its own
    overrides = ["=".join(option), *needed] + ([f"data.path={tmp_path}"] if option[-1] in TABLES else [])
    check(job, overrides + (["fit=folder"] if job == "predict" else []))


PUBLISHED = {"published", "published_cohort", "endotoxemia_cohort", "endotoxemia_population"}  # needs the files
PUBLISHED |= {"cart_crs", "cart_crs_treated", "cart_forecast"}
BUILT = [o for o in OPTIONS if o[0] not in ("device", "experiment", "debug", "outcome", "utility") and o not in NOTHING]
# Whose configuration has an option, where it is not that of a fit.
JOB_OF = dict.fromkeys(LAUNCHERS, "sweep") | {("experiment", "cart_forecast"): "forecast"}


@pytest.mark.parametrize("option", BUILT, ids="=".join)
def test_every_option_builds_what_it_names(option, tmp_path, request):
    if option[0] == "data" and option[1] in PUBLISHED:
        request.getfixturevalue("shared")
    (tmp_path / "a.csv").write_text(TABLES.get(option[-1], ""))
    asked = ["=".join(option), *NEEDED.get(option, [])]
    cfg = composed(JOB_OF.get(option, "fit"), asked + ([f"data.path={tmp_path / 'a.csv'}"] if option[-1] in TABLES else []))
    assert type(build(cfg[option[0]])).__module__.startswith(("cytostorm.", "own_"))


@pytest.mark.parametrize("name", ["storm", "il6"])
def test_every_utility_weighs_the_outcomes_of_its_name(name):
    outcomes, utility = outcomes_of(wanted(composed("compare", [f"outcome={name}", f"utility={name}"])))
    assert set(utility.weights) < set(outcomes)


@pytest.mark.parametrize("name", [name for group, name in OPTIONS if group == "experiment"])
def test_every_experiment_is_a_problem(name, request):
    if name in PUBLISHED:
        request.getfixturevalue("shared")
    if JOB_OF.get(("experiment", name)) == "forecast":
        assert len(problems_of(composed("forecast", [f"experiment={name}"]), "il6")) == 22
        return
    own = [f"model.path={ROOT / 'docs' / 'own_model' / 'lotka.py'}", *NEEDED["experiment", "own"][1:]]
    problem, _, _ = prepare(composed("fit", [f"experiment={name}", *(own if name == "own" else [])]))
    assert len(problem.data) > 0


def numbers(node, path=""):
    """Every number of a configuration with its key."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, dict):
            yield from numbers(value, key)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield key, value


@pytest.mark.parametrize("option", [o for o in OPTIONS if o[0] in ("trigger", "treatment", "prior")], ids="=".join)
def test_quantities_are_written_as_real_numbers(option):
    """A default that is a whole number takes whole numbers only: right for a count, wrong for a dose."""
    text = yaml.safe_load((CONFIGS / option[0] / f"{option[1]}.yaml").read_text())
    assert all(isinstance(value, float) != (key == "number") for key, value in numbers(text)), option


# Who may import what of ours; inside inference the order is that of the list, later may import earlier.
MAY_IMPORT = {"models": set(), "inference": {"models"}, "scripts": {"models", "inference"}, "configs": set(), "data": set()}
ORDER = {
    "inference": [
        *("keys", "analyte", "cells", "covariates", "observations", "cohort", "tables", "prior", "site", "noise"),
        *("gradient", "problem", "synthetic", "assay", "variability", "panel", "arguments", "population"),
        *("samplers", "predictive", "population_tree", "quantities"),
        *("summary", "posterior", "verdict", "style", "figures", "prediction"),
        *(
            "decisions",
            "warning",
            "identifiability",
            "calibration",
            "selection",
            "checking",
            "population_figures",
            "checks",
            "report",
            "results",
        ),
    ],
    "inference/tables": [
        *("table", "catalogue", "converters", "published", "form", "nonmem", "export", "account", "tidy"),
        *("stories", "records"),
    ],
    "inference/samplers": [
        *("settings", "blocks", "books", "lanes", "density", "each", "starts", "draws", "metric", "weights", "mixture"),
        *("places", "jumps", "nuts", "chees", "smc", "approximation", "pathfinder", "walkers", "independence"),
    ],
    "inference/prediction": [
        *("importance", "rivals", "leave_out", "refit", "redraw", "forecast", "forecast_tree", "npde", "forecast_figure"),
    ],
}
ORDER["inference/decisions"] = [
    *("options", "outcomes", "patients", "counterfactual", "utility", "decide", "information", "optimum"),
    *("comparison_tree", "decision_figures"),
]
ORDER["inference/warning"] = ["arriving", "alarm", "rivals", "scores", "replay", "warning_figures"]
ORDER["inference/identifiability"] = [
    *("information", "shared", "directions", "profile", "marginal", "scaling", "design", "findings"),
    "identifiability_figures",
]
ORDER["inference/calibration"] = ["replicates", "ranks", "fits", "findings", "calibration_figures"]
ORDER["inference/report"] = [
    *("page", "curves", "draws", "fit_report", "decision_report", "warning_report", "forecast_report"),
]
ORDER["inference/checking"] = ["residuals", "readings", "priors", "findings", "checking_figures"]
ORDER["inference/selection"] = ["left_out", "common", "weights", "replicas", "selection_figures"]
ORDER["inference/results"] = [
    *("construct", "configured", "finished", "page", "bands", "pictures", "predicted", "choices", "compared", "foreseen"),
    "posterior",
]
HYDRA = {"hydra", "omegaconf"}
FORBIDDEN = {"models": {"numpyro", "pandas", "arviz", "xarray", *HYDRA}, "inference": HYDRA}


def imports(path):
    """The modules that a file imports, absolute, and its relative imports: how many folders up, and the first name."""
    absolute, relative = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            absolute |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            relative |= {(node.level, name.split(".")[0]) for name in names}
        elif isinstance(node, ast.ImportFrom):
            absolute.add(node.module)
    return absolute, relative


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        absolute, _ = imports(path)
        ours = {name.split(".")[1] for name in absolute if name.startswith("cytostorm.")}
        assert ours <= MAY_IMPORT[package], path
        assert not {name.split(".")[0] for name in absolute} & FORBIDDEN.get(package, set()), path


@pytest.mark.parametrize("folder", ORDER)
def test_inside_inference_imports_follow_the_order(folder):
    """Also those of a folder: its modules may import what comes before the folder."""
    order, outer = ORDER[folder], ORDER["inference"]
    files = {path.stem: path for path in (ROOT / folder).glob("*.py") if path.stem != "__init__"}
    assert set(files) == set(order) - {name.split("/")[-1] for name in ORDER}
    for name, path in files.items():
        for level, other in imports(path)[1]:
            known, here = (order, name) if level == 1 else (outer, path.parent.name)
            assert known.index(other) < known.index(here), f"{path} imports {other}"


def test_no_module_reads_the_environment_but_scripts():
    """And the native solver, which must find a C compiler and run it."""
    for package in ("models", "inference"):
        for path in (ROOT / package).rglob("*.py"):
            if path.parent.name != "native":
                assert not imports(path)[0] & {"datetime", "subprocess"}, path
                assert not re.search(r"\b(environ|getenv)\b", path.read_text()), path


def test_arviz_may_be_imported_first():
    program = "import arviz, cytostorm.inference, numpyro.distributions as d; assert d.distribution"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_files_stay_small():
    for package in (*MAY_IMPORT, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 300, path


def test_the_lock_is_hashed_and_names_no_registry():
    lock = (ROOT / "requirements.lock").read_text()
    assert "http" not in lock
    pins = [line for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert len(pins) > 50
    assert lock.count("--hash=sha256:") > len(pins)


def test_the_peer_is_pinned_and_names_no_registry():
    lines = (ROOT / "benchmarks" / "stan-requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"\w+==[\d.]+", line) for line in lines if not line.startswith("#"))


def test_the_peer_knows_nothing_of_ours():
    assert not {name for name in imports(ROOT / "benchmarks" / "peer.py")[0] if name.startswith(("cytostorm", "export"))}


def tracked(*packages):
    """The files of these folders that belong to the package: tracked by git, or, outside a checkout, all."""
    found = subprocess.run(["git", "ls-files", *packages], cwd=ROOT, capture_output=True, text=True)
    if found.returncode == 0 and found.stdout:
        return found.stdout.split()
    kinds = (".py", ".yaml", ".csv", ".md", ".html", ".css", ".js")
    return [str(path.relative_to(ROOT)) for name in packages for path in (ROOT / name).rglob("*") if path.suffix in kinds]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    ours = {f"cytostorm/{name}" for name in tracked(*MAY_IMPORT)}
    assert ours <= held
    assert {name for name in held if name.startswith("cytostorm/")} <= ours


@pytest.mark.slow
def test_the_wheel_fits_outside_the_repository(wheel, tmp_path):
    """In a folder of its own, with the checkout not on the path: configs and bundled data come from the wheel."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = f"""
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
sys.path.insert(0, {str(site)!r})
import cytostorm.scripts.cli as cli
assert cli.__file__.startswith({str(site)!r}), cli.__file__
short = ["sampler.num_warmup=20", "sampler.num_draws=20"]
sys.exit(cli.run(["fit", "debug=quick", "report=false", *short, "hydra.run.dir=out"]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "posterior.nc").exists()
