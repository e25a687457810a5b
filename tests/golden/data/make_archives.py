"""Makes gnu.tar, pax.tar and ustar.tar with Python's tarfile: the same members in three formats. Needs the standard library
only."""

import io
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
LONG = "folder/" + "long-name-" * 9 + "/" + "x" * 60 + ".txt"  # fits ustar's prefix and name


def add(archive, name, size, **fields):
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in fields.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(bytes((i * 7 + size) % 256 for i in range(size))) if size else None)


for name, form in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT), ("ustar", tarfile.USTAR_FORMAT)):
    with tarfile.open(HERE / f"{name}.tar", "w", format=form) as archive:
        add(archive, "folder", 0, type=tarfile.DIRTYPE)
        add(archive, "folder/empty.txt", 0)
        add(archive, "folder/one.txt", 1)
        add(archive, "folder/block.jpg", 512)
        add(archive, "folder/link.txt", 0, type=tarfile.SYMTYPE, linkname="one.txt")
        add(archive, "folder/hard.txt", 0, type=tarfile.LNKTYPE, linkname="folder/one.txt")
        add(archive, LONG, 513)
        if name != "ustar":
            add(archive, "deep/" * 60 + "file.json", 30)
            add(archive, "folder/größe.txt", 5)
        add(archive, "last.txt", 700)
