"""One input file: its first bytes to recognise it by, bounded reading, and read-only databases. The user's file is never changed."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, cast

from workbench.outline import Outline, outline

HEAD_BYTES = 4096
BEGINNING_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_RATIO, MIN_UNPACKED_BYTES = 100, 64 * 1024 * 1024
"""How many times its own bytes a compressed file's document may hold, and how many it may in any case: traces pack to a tenth or a thirtieth."""
DAMAGED = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What reading a file can raise that is cut off or damaged under its compression."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_WINDOW_BYTES = 128 * 1024 * 1024
ZSTD_STEP_BYTES = 1024
"""How much is unpacked at a time: at the format's highest ratio, some 32 MiB."""


class _ZstdStream(io.RawIOBase):
    """Frames of zstd as one stream of what they hold, one after another; a damaged one is an OSError, a cut-off one an EOFError."""

    def __init__(self, path: Path) -> None:
        import zstandard  # noqa: PLC0415  # few files need it, and importing it takes a while

        self._file = path.open("rb")
        self._failure = zstandard.ZstdError
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        self._frame: Any = None  # the frame begun and not yet ended
        self._packed, self._ready = b"", memoryview(b"")
        self._given = 0

    def tell(self) -> int:
        """How many bytes of the content were given out."""
        return self._given

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as what is unpacked goes; 0 at the end."""
        while not self._ready and self._unpack():
            pass
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._given += count
        return count

    def _unpack(self) -> bool:
        """Unpack a little more, so little that a bomb stays small; False at the end of the file."""
        self._packed = self._packed or self._file.read(ZSTD_STEP_BYTES)
        if not self._packed:
            if self._frame is not None:
                raise EOFError("the file ends inside a compressed frame")
            return False
        self._frame = self._frame or self._unpacker.decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(self._packed))
        except self._failure as error:
            raise OSError(str(error)) from error
        ended = self._frame.eof
        self._packed = self._frame.unused_data if ended else b""
        self._frame = None if ended else self._frame
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def _open_zstd(path: Path, _mode: str) -> IO[bytes]:
    return io.BufferedReader(_ZstdStream(path))


OPENERS: dict[bytes, Callable[[Path, str], object]] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, ZSTD_MAGIC: _open_zstd}


ARCHIVES = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
TAR_MAGIC, TAR_AT = b"ustar", 257
"""Where a tar archive says that it is one (POSIX.1-1988, `tar.h`)."""


class SourceError(ValueError):
    """A file that can't be read as what it claims to be. The message names the file, the place and what would be right."""


@dataclass(frozen=True)
class Source:
    """A file someone asked us to ingest. Compression (gzip, xz, zstd) is seen through by its magic bytes, whatever the file is called."""

    path: Path

    @cached_property
    def head(self) -> bytes:
        """The first 4096 bytes after decompression; empty for an empty file. Raises SourceError when they can't be decompressed."""
        with self.open() as stream:
            try:
                return stream.read(HEAD_BYTES)
            except DAMAGED as error:
                raise SourceError(f"{self.path}: cut off or damaged: {error}") from error

    @cached_property
    def outline(self) -> Outline:
        """The keys of the JSON document it begins with and where they stand, as far as its first mebibyte shows them; empty for what is no JSON."""
        return outline(self._beginning()) if self.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["} else frozenset()

    def _beginning(self) -> bytes:
        """The first mebibyte, or as much of it as can be decompressed."""
        found = bytearray()
        with self.open() as stream:
            while len(found) < BEGINNING_BYTES:
                try:
                    block = stream.read(HEAD_BYTES)
                except DAMAGED:
                    break  # whoever reads the file says so, with the place
                if not block:
                    break
                found += block
        return bytes(found)

    @cached_property
    def compressed(self) -> bool:
        """Whether the file starts with the magic bytes of gzip, xz or zstd."""
        with self.path.open("rb") as stream:
            return stream.read(6).startswith(tuple(OPENERS))

    @cached_property
    def archive(self) -> str | None:
        """What kind of archive of several files it is, "zip" or "tar" for one; None for any other file. None is ever unpacked here."""
        if self.head[TAR_AT:].startswith(TAR_MAGIC):
            return "tar"
        return next((kind for magic, kind in ARCHIVES.items() if self.head.startswith(magic)), None)

    def open(self) -> IO[bytes]:
        """The content as a binary stream, decompressed."""
        with self.path.open("rb") as stream:
            magic = stream.read(6)
        opener = next((opener for prefix, opener in OPENERS.items() if magic.startswith(prefix)), None)
        content = cast("IO[bytes]", opener(self.path, "rb") if opener else self.path.open("rb"))
        self.__dict__["_opened"] = content  # for `position` alone, past the frozen fields as a cached property is
        return content

    @property
    def position(self) -> int:
        """How far whoever opened it last has read, in bytes of its content; 0 before anyone has."""
        content = self.__dict__.get("_opened")
        return 0 if content is None or content.closed else int(content.tell())

    @cached_property
    def _most_bytes(self) -> int:
        """How large a document in it may be: memory has to hold it, and a bomb of some kilobytes unpacks to gigabytes."""
        return min(MAX_FILE_BYTES, max(MIN_UNPACKED_BYTES, MAX_RATIO * self.path.stat().st_size)) if self.compressed else MAX_FILE_BYTES

    def _too_large(self) -> str:
        most = self._most_bytes
        if most == MAX_FILE_BYTES:
            return f"more than {most:,} bytes in one document; split it, or export it as JSON lines"
        return f"its {self.path.stat().st_size:,} bytes unpack to more than {most:,} in one document, as no trace's do; unpack it to see what it holds"

    def read(self) -> bytes:
        """The whole content. SourceError past one gibibyte, or what a compressed file of that size could well hold: that belongs in a line-by-line format."""
        with self.open() as stream:
            try:
                content = stream.read(self._most_bytes + 1)
            except DAMAGED as error:
                raise SourceError(f"{self.path}: cut off or damaged: {error}") from error
        if len(content) > self._most_bytes:
            raise SourceError(f"{self.path}: {self._too_large()}")
        return content

    def lines(self) -> Iterator[tuple[int, bytes | SourceError]]:
        """Each line with its number from 1, without its end; blank lines are passed over.

        A line over 64 MiB comes as a SourceError in its place, and so does the point where a compressed file breaks off, or where a line of one goes on
        past all that a document in it may hold: the lines before it stand.
        """
        with self.open() as stream:
            number = 0
            while True:
                number += 1
                try:
                    line = stream.readline(MAX_LINE_BYTES + 1)
                    ended = len(line) <= MAX_LINE_BYTES or self._passed_over(stream)
                except DAMAGED as error:
                    yield number, SourceError(f"{self.path}:{number}: cut off or damaged: {error}")
                    return
                if not line:
                    return
                if len(line) > MAX_LINE_BYTES:
                    yield number, SourceError(f"{self.path}:{number}: a line of more than {MAX_LINE_BYTES:,} bytes")
                    if not ended:
                        yield number, SourceError(f"{self.path}:{number}: {self._too_large()}")
                        return
                    continue
                if line.strip():
                    yield number, line.rstrip(b"\r\n")

    def _passed_over(self, stream: IO[bytes]) -> bool:
        """Read on to the end of a line that is too long; whether that came before the bound of a compressed document."""
        passed = MAX_LINE_BYTES
        while not self.compressed or passed <= self._most_bytes:
            line = stream.readline(MAX_LINE_BYTES)
            if not line or line.endswith(b"\n"):
                return True
            passed += len(line)
        return False


@dataclass(frozen=True)
class Body(Source):
    """Bytes that came otherwise than in a file, already decompressed. `path` only names where from."""

    content: bytes

    @property
    def compressed(self) -> bool:
        """Never: what unpacked it bounded its size."""
        return False

    def open(self) -> IO[bytes]:
        """The content as a binary stream."""
        return io.BytesIO(self.content)


def unpacked(data: bytes, limit: int) -> bytes:
    """What one message compressed with zstd holds, up to a limit; anything else as it is. OSError or EOFError for a damaged or cut-off one."""
    if not data.startswith(ZSTD_MAGIC):
        return data
    import zstandard  # noqa: PLC0415  # few files need it, and importing it takes a while

    try:
        found: bytes = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).stream_reader(data).read(limit)
    except zstandard.ZstdError as error:
        raise OSError(str(error)) from error
    return found


@contextlib.contextmanager
def readonly(path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite database opened so that neither it nor its folder changes, even when it is in write-ahead mode.

    Opened immutable where nothing is being written; where a journal lies beside it, a private copy (with its journal) is read instead.
    SourceError for a file shorter than it says: SQLite would read the missing pages as zeros, and rows out of them that never were.
    """
    journals = [path.with_name(path.name + ending) for ending in ("-wal", "-journal")]
    live = [journal for journal in journals if journal.exists() and journal.stat().st_size]
    with contextlib.ExitStack() as stack:
        if live:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workbench-")))
            for part in (path, *live):
                shutil.copyfile(part, folder / part.name)
            uri = f"{(folder / path.name).as_uri()}"
        else:
            _check_whole(path)
            uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        connection = stack.enter_context(contextlib.closing(sqlite3.connect(uri, uri=True)))
        connection.execute("PRAGMA query_only = 1")
        yield connection


def _check_whole(path: Path) -> None:
    """Compare a database's size with the page count in its header, where that is valid (https://www.sqlite.org/fileformat.html, 1.3.7)."""
    with path.open("rb") as stream:
        header = stream.read(100)
    number = partial(int.from_bytes, byteorder="big")
    page, pages = number(header[16:18]) or 1, number(header[28:32])
    wanted = (65536 if page == 1 else page) * pages
    if header[24:28] == header[92:96] and path.stat().st_size < wanted:
        raise SourceError(f"{path}: cut off: a database of {wanted:,} bytes by its header, found {path.stat().st_size:,}")
