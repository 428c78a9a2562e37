"""Reading untrusted files."""

from pathlib import Path

from sldml.recordings.recording import RecordingError

LARGEST_FILE_BYTES = 32 * 2**20
"""About ten times the largest recording of any source."""


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises RecordingError if it is missing, not a regular file, too large or unreadable."""
    try:
        # Reading a pipe or a device could block forever.
        if not path.is_file():
            raise RecordingError(path, "is not a file" if path.exists() else "does not exist")
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise RecordingError(path, f"a recording has at most {LARGEST_FILE_BYTES} bytes, but this file has {size}")
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(path, f"cannot be read: {error.strerror or error}") from None
