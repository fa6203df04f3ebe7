"""Files of ours outside the blob store: keys, certificates."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` at `path` whole, readable by the owner alone: no reader ever sees half a file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
