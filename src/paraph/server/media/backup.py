"""Copying people's files. They never change once they are there, so a copy made after that of the database has all."""

import contextlib
import os
import shutil
from pathlib import Path


def copy_files(source: Path, to: Path) -> int:
    """Copy every file below `source` that is not below `to` yet; how many. Thumbnails can be made again."""
    copied = 0
    for folder in sorted(source.iterdir()) if source.is_dir() else ():
        for file in sorted(folder.iterdir()):
            target = to / folder.name / file.name
            if "." in file.name or target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):  # an upload that broke off, and was removed meanwhile
                shutil.copyfile(file, target)
                target.chmod(0o600)
                copied += 1
    if copied:
        to.chmod(0o700)
        os.sync()
    return copied
