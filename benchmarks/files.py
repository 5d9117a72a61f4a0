"""Files that are written whole or not at all."""

import contextlib
import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one step, folders included: a crash, a full disk or a kill leaves the old file.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
    """
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None  # what was to be written, not the temporary file
        raise
    finally:
        with contextlib.suppress(OSError):  # its folder is a file, or there is none
            temporary.unlink()
