"""Files that are whole or not there: written under another name, flushed to the disk, then renamed."""

import os
from pathlib import Path


def write(path: Path, text: str, durable: bool = True) -> None:
    """Replace a file by one with this text; a reader sees the old one or the new one. Raises `OSError`.

    Without `durable` the disk may be late: what a crash of the machine may cost need not be waited for.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with hidden.open("w") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        hidden.replace(path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
