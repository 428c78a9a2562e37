"""Reading a whole file that may be anything."""

from pathlib import Path

from sldml.recordings.recording import RecordingError

LARGEST_FILE_BYTES = 32 * 2**20
"""Some ten times the largest recording of any source: what is larger is not one."""


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises RecordingError if it is missing, no ordinary file, too large or unreadable."""
    try:
        # A pipe or a device would be waited for without end.
        if not path.is_file():
            raise RecordingError(path, "is not a file" if path.exists() else "does not exist")
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise RecordingError(path, f"a recording has at most {LARGEST_FILE_BYTES} bytes, but this file has {size}")
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(path, f"cannot be read: {error.strerror or error}") from None
