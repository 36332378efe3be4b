"""What is at fault where a job cannot be done: the configuration or the input, the disk, or the memory."""

import errno

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_ACCESS = (errno.EROFS, errno.EACCES, errno.EPERM)


class BadConfig(ValueError):
    """The configuration or the input is at fault; the message names the value and the remedy."""


def of_disk(error: OSError, folder: object) -> tuple[int, str] | None:
    """The exit code and the message for a disk that is full or may not be written; None for any other error."""
    what = error.filename or folder
    if error.errno in NO_SPACE or "No space left on device" in str(error):
        return 1, (
            f"{what} cannot be written, for the disk is full; what was finished before is whole: make room, and the same"
            f" command with hydra.run.dir={folder} continues"
        )
    if error.errno in NO_ACCESS:
        return 2, f"{what} cannot be written ({error.strerror}); give a `hydra.run.dir` that can"
    return None


def of_memory(error: BaseException) -> str | None:
    """The message for an error that says that memory is out; None for any other."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error):
        return "out of memory; give the job more, or ask for less: fewer chains, draws or subjects, or a `thin` above 1"
    return None
