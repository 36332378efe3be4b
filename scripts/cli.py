"""`cytostorm <job> [hydra overrides]`: pick a job, check its configuration, run it, and say how it ended."""

import gc
import importlib
import importlib.metadata
import sys
import traceback
from collections.abc import Callable, Sequence

# A job is a module of this package with a function `main(cfg, folder) -> int`.
JOBS = {
    "fit": "readings in, posterior out",
    "simulate": "trajectories of a scenario; synthetic data with synthetic=true",
    "compare": "treatments, starts and doses: which is best, by how much, how sure",
    "forecast": "readings as they arrive: the chance of a storm after each",
    "predict": "a finished fit in another scenario, for new subjects, or for subjects with a few readings",
    "diff": "several fits of the same readings: which predicts what was left out",
    "identify": "what the readings tell of each parameter, and which would tell most next",
    "calibrate": "is the inference right? truths are drawn and looked for in the posteriors of readings drawn for each",
    "phenomena": "what a model of storms must show, expected and obtained",
    "stability": "equilibria and the fold of the network, and what moves it",
    "certify": "are the gradients of a problem right, over its whole prior?",
    "benchmark": "time and accuracy of solves and gradients",
}

# What has verbs instead of a configuration, and makes no run folder: a module with a function `main(argv) -> int`.
COMMANDS = {
    "data": "published data sets and your own tables: list, show, fetch, check",
    "doctor": "what works on this machine, and whether a fit of a configuration can: a tick or a cross each",
}

USAGE = """\
usage: cytostorm <job> [overrides]

jobs:
{jobs}

no runs:
{commands}

overrides are Hydra's, `key=value`:
  cytostorm fit                                        the data that ships
  cytostorm fit data=csv data.path=readings.csv        your own table
  cytostorm fit experiment=synthetic_storm             a synthetic patient with known truth
  cytostorm fit model.k_r=0.2 sampler.num_draws=2000   any value of the configuration
  cytostorm fit --help                                 groups, options and keys of a job
  cytostorm doctor data=csv data.path=readings.csv     can this be fitted, and how long will it take?

  cytostorm --version
  cytostorm --completion bash                          a script for the shell (or zsh): jobs, options and keys by Tab

Each job writes one folder, runs/<job>/<time>, or hydra.run.dir=FOLDER; `data` and `doctor` write none.
exit codes: 0 done, 2 bad input or configuration, 1 anything else"""


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point of the `cytostorm` command."""
    gc.disable()  # what is imported stays: to look for garbage among it costs a sixth of the imports
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run one job and return its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        jobs, commands = ("\n".join(f"  {job:<10} {text}" for job, text in each.items()) for each in (JOBS, COMMANDS))
        print(USAGE.format(jobs=jobs, commands=commands))
        return 0
    if argv[0] == "--version":
        print(importlib.metadata.version("cytostorm"))
        return 0
    if argv[0] == "--completion":
        return _complete(argv[1:])
    job, overrides = argv[0], argv[1:]
    if job in COMMANDS:
        return _commanded(job, overrides)
    if job not in JOBS:
        return _refuse(f"no job `{job}`; jobs: {', '.join(JOBS | COMMANDS)}")
    if {"-h", "--help"} & set(overrides):
        from .manual import manual

        print(manual(job))
        return 0
    from .compose import BadConfig, check

    try:
        check(job, overrides)
    except BadConfig as error:
        return _refuse(str(error))
    return _hydra(job, overrides)


def _complete(shells: list[str]) -> int:
    """Print the completion script of a shell."""
    from .completion import SHELLS, script

    if len(shells) != 1 or shells[0] not in SHELLS:
        return _refuse(f"--completion takes one shell: {' or '.join(SHELLS)}; came: {' '.join(shells) or 'none'}")
    from .data import VERBS

    print(script(shells[0], {job: job for job in JOBS} | {"doctor": "fit"}, {"data": " ".join(VERBS)}))
    return 0


def _commanded(command: str, argv: list[str]) -> int:
    """Run a command that has verbs; what it cannot do with its arguments is a message with an exit code."""
    from .compose import BadConfig

    try:
        return importlib.import_module(f".{command}", __package__).main(argv)
    except BadConfig as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("\ncytostorm: interrupted", file=sys.stderr)
        return 1


def _hydra(job: str, overrides: list[str]) -> int:
    import hydra
    from omegaconf import DictConfig

    codes = []

    def task(cfg: DictConfig) -> None:
        main = importlib.import_module(f".{job}", __package__).main
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        codes.append(_guarded(main, cfg))

    sys.argv = [f"cytostorm {job}", *overrides]
    hydra.main(version_base="1.3", config_path="pkg://cytostorm.configs", config_name=job)(task)()
    return max(codes, default=0)


def _guarded(job: Callable, cfg) -> int:
    """Run a job: bad input and impossible starts are messages with an exit code, not tracebacks."""
    from .compose import BadConfig
    from .data import place
    from .run import run_folder

    place()
    folder = run_folder()
    try:
        return job(cfg, folder)
    except BadConfig as error:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("\ncytostorm: interrupted; the run folder has no manifest.json and is not finished", file=sys.stderr)
        return 1
    except RuntimeError as error:
        from cytostorm.inference import Interrupted, Stuck

        if isinstance(error, Interrupted):
            error = f"{error}; the same command with hydra.run.dir={folder} continues"
        elif not isinstance(error, Stuck):
            traceback.print_exc()
        print(f"cytostorm: {error}", file=sys.stderr)
        return 1


def _refuse(message: str) -> int:
    print(f"cytostorm: {message}", file=sys.stderr)
    return 2
