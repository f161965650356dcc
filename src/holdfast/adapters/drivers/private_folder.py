"""Folders of ours are their owner's alone, and so is each parent that had to be made for them."""

from pathlib import Path

MODE = 0o700


def make_private_folder(folder: Path) -> None:
    """Nothing changes where it is there already. Raises OSError."""
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(mode=MODE, exist_ok=True)  # Somebody else may make it meanwhile.
