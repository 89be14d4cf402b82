"""The archive of a bundle: the same folder gives the same bytes."""

import tarfile
from pathlib import Path


def tar_path(folder: Path) -> Path:
    """Where the archive of a bundle folder stands: beside it."""
    return folder.with_name(folder.name + ".tar")


def write_tar(folder: Path, path: Path, name: str | None = None) -> None:
    """Archive a folder so that the same content gives the same bytes: sorted, no times, no owners, plain modes.

    Args:
        folder: what is archived.
        path: the archive, written in place.
        name: what the folder is called in it; by default as on the disk.
    """
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for source in [folder, *sorted(folder.rglob("*"))]:
            information = tarfile.TarInfo((Path(name or folder.name) / source.relative_to(folder)).as_posix())
            if source.is_dir():
                information.type, information.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(information)
                continue
            information.size, information.mode = source.stat().st_size, 0o644
            with source.open("rb") as stream:
                archive.addfile(information, stream)
