"""Launchers for machines other than this one: a SLURM cluster, and Ray."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from ..faults import BadConfig
from . import status
from .launchers import Ended, Halt, at_least, extra
from .status import DONE, FAILED, QUEUED, RUNNING, STOPPED
from .work import work

TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")


class Task:
    """A job as SLURM runs it: out of time, it goes back into the queue, and then on from its last block.

    Where submitit gives up, because that was too often, it is stopped, and the same sweep goes on with it. submitit pickles
    it: into `folder` of the launcher, never into a run folder.
    """

    def __init__(self, place: str):
        self.place, self._out_of_time = place, False

    def __call__(self) -> str:
        state = work(self.place, entry())
        if self._out_of_time and state == FAILED:  # what goes back into the queue does not come here
            found = replace(status.read(Path(self.place)), state=(state := STOPPED))
            found.write(Path(self.place))
        return state

    def checkpoint(self) -> Any:
        """What goes back into the queue: the same."""
        import submitit

        from ..run import listeners

        listeners.clear()  # what is heard from now on is of no use
        folder = Path(self.place)
        replace(status.read(folder), state=QUEUED, reason="out of time or preempted, queued again").write(folder)
        self._out_of_time = True
        return submitit.helpers.DelayedSubmission(Task(self.place))


def entry() -> str:
    """The entry of the queue that this process belongs to, as squeue names it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def minutes(text: str | int) -> int:
    """A time limit as SLURM writes it, H:MM, H:MM:SS or D-H:MM, or a number of minutes.

    Raises `ValueError` for anything else.
    """
    if isinstance(text, int):
        return text
    if not (found := TIME.fullmatch(text)):
        raise ValueError(f"`time` of the launcher is {text!r}; give hours and minutes, as in 2:30, or 1-0:00 for a day")
    days, hours, mins, seconds = (int(part or 0) for part in found.groups())
    return days * 1440 + hours * 60 + mins + (seconds > 0)


@dataclass
class Slurm:
    """Arrays of jobs on a SLURM cluster, by submitit; jobs that run out of time are requeued, and go on.

    `time` is the limit of one stay on a node, `at_once` how many jobs of an array run side by side, `requeues` how often
    one may run out of time; `also` are further options of sbatch. `folder` holds submitit's files and must be seen by all
    nodes; it is the user's cache folder, unless one is given.
    """

    time: str | int = "2:00:00"
    cores: int = 2
    memory: str = "4GB"
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    at_once: int = 64
    requeues: int = 20
    largest: int = 1000
    setup: list[str] = field(default_factory=list)
    also: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None
    waits = False

    def __post_init__(self) -> None:
        at_least(self, cores=1, gpus=0, at_once=1, requeues=0, largest=1)
        minutes(self.time)

    def launch(self, folders: Sequence[Path], ended: Ended, halt: Halt) -> None:
        os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")  # else its import closes the logs of all others
        submitit = extra("submitit", "slurm")
        place = Path(self.folder or platformdirs.user_cache_dir("cytostorm")) / "submitit" / folders[0].parent.parent.name
        try:
            executor = submitit.SlurmExecutor(place.resolve(), max_num_timeout=self.requeues)
        except RuntimeError as error:
            raise BadConfig(f"launcher=slurm finds no SLURM here ({error}); give it on a node that has sbatch") from error
        gpus = {"gpus_per_node": self.gpus} if self.gpus else {}
        executor.update_parameters(
            job_name="cytostorm",
            time=minutes(self.time),
            cpus_per_task=self.cores,
            mem=self.memory,
            partition=self.partition,
            account=self.account,
            array_parallelism=self.at_once,
            setup=list(self.setup) or None,
            additional_parameters={"requeue": True, "open_mode": "append", **self.also},
            **gpus,
        )
        for start in range(0, len(folders), self.largest):
            part = folders[start : start + self.largest]
            try:
                with executor.batch():
                    jobs = [executor.submit(Task(str(folder.resolve()))) for folder in part]
            except (subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
                raise BadConfig(f"SLURM refuses the jobs: {error}") from error
            for folder, job in zip(part, jobs, strict=True):
                found = status.read(folder)
                if not found.where or found.state == QUEUED:
                    replace(found, where=job.job_id).write(folder)


@dataclass
class Ray:
    """Tasks on a Ray cluster, or, without an `address`, on one that lives here while the sweep does.

    A task whose worker is killed is begun again `retries` times, and goes on from its last block.
    """

    address: str | None = None
    cores: int = 1
    gpus: int = 0
    memory: str | None = None
    retries: int = 3
    waits = True

    def __post_init__(self) -> None:
        at_least(self, cores=1, gpus=0, retries=0)
        if self.memory:
            _bytes(self.memory)

    def launch(self, folders: Sequence[Path], ended: Ended, halt: Halt) -> None:
        ray = extra("ray", "ray")
        try:
            ray.init(address=self.address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except ConnectionError as error:
            raise BadConfig(f"no Ray cluster at `address` {self.address}; start one, or leave the address out") from error
        try:
            # Each task has a process of its own, whose GPU and memory are then free again.
            asked = {"num_cpus": self.cores, "num_gpus": self.gpus, "max_retries": self.retries, "max_calls": 1}
            if self.memory:
                asked["memory"] = _bytes(self.memory)
            run = ray.remote(**asked)(work)
            tasks = {run.remote(str(folder.resolve())): folder for folder in folders}
            while tasks and halt.asked is None:
                over, _ = ray.wait(list(tasks), timeout=0.5)
                for task in over:
                    folder = tasks.pop(task)
                    try:
                        ray.get(task)
                    except ray.exceptions.RayError as error:
                        _told(folder, str(error).splitlines()[0])
                    ended(folder)
            if halt.asked is not None:
                self._halted(ray, tasks)
        finally:
            ray.shutdown()

    def _halted(self, ray: Any, tasks: dict[Any, Path]) -> None:
        """Let no task begin any more, and those under way end."""
        for task in tasks:
            ray.cancel(task, force=False)
        until = time.monotonic() + 60
        while time.monotonic() < until and any(status.held(folder) for folder in tasks.values()):
            time.sleep(0.2)


def _told(folder: Path, reason: str) -> None:
    """Write down what Ray says of a task that ended otherwise than by returning."""
    found = status.read(folder)
    if found.state in (QUEUED, RUNNING) and status.look(folder).state != DONE:
        replace(found, state=STOPPED, remaining=None, reason=f"its worker was lost: {reason}").write(folder)


def _bytes(text: str) -> int:
    """An amount of memory such as 4GB, in bytes. Raises `ValueError` for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT])i?B?", text)
    if not found:
        raise ValueError(f"`memory` of the launcher is {text!r}; give a number and a unit, as in 4GB")
    return int(float(found[1]) * 1024 ** ("kMGT".index(found[2]) + 1))
