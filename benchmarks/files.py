"""Writing a file whole or not at all."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one step, folders included: a crash, a full disk or a kill leaves the old file.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
    """
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
