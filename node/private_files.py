"""Files that only their owner may read: keys, passwords, journals, addresses that carry a credential."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from consensus.errors import Reason, Refused

PRIVATE_FILE_MODE: Final = 0o600


def require_private(path: Path) -> None:
    """Raise `Refused` (FILE_EXPOSED) unless only the owner may read and write the file."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~PRIVATE_FILE_MODE:
        raise Refused(
            Reason.FILE_EXPOSED,
            f"{path} has mode {mode:04o}, expected {PRIVATE_FILE_MODE:04o}; run `chmod 600 {path}`",
        )
