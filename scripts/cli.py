"""`cytostorm <job> [hydra overrides]`: pick a job, check its configuration, run it, and say how it ended."""

import gc
import importlib
import importlib.metadata
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

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
    "reproduce": "a finished run once more: are its draws the same to the bit?",
}

# What has verbs instead of a configuration, and makes no run folder: a module with a function `main(argv) -> int`.
COMMANDS = {
    "data": "published data sets and your own tables: list, show, fetch, check",
    "sweep": "many jobs, here or on a cluster: sweep JOB [overrides], sweep status DIR, sweep collect DIR",
    "doctor": "what works on this machine, and whether a fit of a configuration can: a tick or a cross each",
}
INTERRUPTED = 128 + signal.SIGINT

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
  cytostorm sweep fit 'seed=range(0,20)'               twenty fits; again: only those that are left

  cytostorm --version
  cytostorm --completion bash                          a script for the shell (or zsh): jobs, options and keys by Tab

Each job writes one folder, runs/<job>/<time>, or hydra.run.dir=FOLDER; `data` and `doctor` write none.
exit codes: 0 done, 2 bad input or configuration, 130 interrupted, 1 anything else"""


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point of the `cytostorm` command."""
    gc.disable()  # what is imported stays: to look for garbage among it costs a sixth of the imports
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # chains and fits run side by side: theirs would contend with those
    try:
        sys.exit(run(list(sys.argv[1:] if argv is None else argv)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def said(message: str) -> None:
    """Say on the standard error why a job did not do what it was asked."""
    print(f"cytostorm: {message}", file=sys.stderr)


def run(argv: list[str], say: Callable[[str], None] = said) -> int:
    """Run one job and return its exit code; `say` hears why, where it is not done."""
    if not argv or argv[0] in ("-h", "--help"):
        jobs, commands = ("\n".join(f"  {job:<10} {text}" for job, text in each.items()) for each in (JOBS, COMMANDS))
        print(USAGE.format(jobs=jobs, commands=commands))
        return 0
    if argv[0] == "--version":
        print(importlib.metadata.version("cytostorm"))
        return 0
    if argv[0] == "--completion":
        return _complete(argv[1:], say)
    job, overrides = argv[0], argv[1:]
    if job in JOBS and {"-m", "--multirun"} & {*overrides}:
        job, overrides = "sweep", [job, *(x for x in overrides if x not in ("-m", "--multirun"))]
    if job in COMMANDS:
        return _commanded(job, overrides, say)
    if job not in JOBS:
        say(f"no job `{job}`; jobs: {', '.join(JOBS | COMMANDS)}")
        return 2
    if {"-h", "--help"} & set(overrides):
        from .manual import manual

        print(manual(job))
        return 0
    from .compose import BadConfig, check, quoted

    if job == "reproduce" and overrides and "=" not in overrides[0] and not overrides[0].startswith("-"):
        overrides[0] = f"run={quoted(overrides[0])}"
    try:
        check(job, overrides)
    except BadConfig as error:
        say(str(error))
        return 2
    return _hydra(job, overrides, say)


def _complete(shells: list[str], say: Callable[[str], None]) -> int:
    """Print the completion script of a shell."""
    from .completion import SHELLS, script

    if len(shells) != 1 or shells[0] not in SHELLS:
        say(f"--completion takes one shell: {' or '.join(SHELLS)}; came: {' '.join(shells) or 'none'}")
        return 2
    from .data import VERBS

    print(script(shells[0], {job: job for job in JOBS} | {"doctor": "fit"}, {"data": " ".join(VERBS)}))
    return 0


def _commanded(command: str, argv: list[str], say: Callable[[str], None]) -> int:
    """Run a command that has verbs; what it cannot do with its arguments is a message with an exit code."""
    from . import faults

    try:
        return importlib.import_module(f".{command}", __package__).main(argv)
    except faults.BadConfig as error:
        say(str(error))
        return 2
    except OSError as error:
        return _of_disk(error, error.filename, say)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def _hydra(job: str, overrides: list[str], say: Callable[[str], None]) -> int:
    import hydra
    from omegaconf import DictConfig

    codes = []

    def task(cfg: DictConfig) -> None:
        main = importlib.import_module(f".{job}", __package__).main
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        codes.append(_guarded(main, cfg, say))

    sys.argv = [f"cytostorm {job}", *overrides]
    begin = hydra.main(version_base="1.3", config_path="pkg://cytostorm.configs", config_name=job)(task)
    if any(word.startswith("-") for word in overrides):
        begin()
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # what fails is told here, not by Hydra
    try:
        begin()
    except OSError as error:  # the run folder cannot be made
        return _of_disk(error, error.filename, say)
    return max(codes, default=0)


def _guarded(job: Callable, cfg, say: Callable[[str], None]) -> int:
    """Run a job: bad input, impossible starts, full disks and lack of memory are messages with an exit code."""
    from .compose import BadConfig
    from .data import place
    from .run import release, run_folder

    place()
    folder = run_folder()
    try:
        return job(cfg, folder)
    except BadConfig as error:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say(f"interrupted; {folder} has no manifest.json and is not finished")
        return INTERRUPTED
    except OSError as error:
        return _of_disk(error, folder, say)
    except (RuntimeError, MemoryError) as error:
        return _stuck(error, folder, say)
    finally:
        release(folder)


def _stuck(error: Exception, folder: Path, say: Callable[[str], None]) -> int:
    """Tell of a job that cannot go on, and what would help where that is known."""
    from cytostorm.inference import Interrupted, Stuck

    from .faults import of_memory
    from .interruption import exit_code

    if isinstance(error, Interrupted):
        say(f"{error}; the same command with hydra.run.dir={folder} continues")
        return exit_code()
    if message := of_memory(error):
        say(message)
        return 1
    if not isinstance(error, Stuck):
        traceback.print_exc()
    say(str(error))
    return 1


def _of_disk(error: OSError, folder: object, say: Callable[[str], None]) -> int:
    """Tell of a disk that is full or may not be written; any other error is a fault of ours, and is raised."""
    from .faults import of_disk

    found = of_disk(error, folder)
    if found is None:
        raise error
    code, message = found
    say(message)
    return code
