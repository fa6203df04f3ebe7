"""Files that come with reports, opened without trusting them: gzip (RFC 1952), zip, or plain.

What a file is shows from its first octets, since many senders name it otherwise. Everything is streamed: no step makes
more than CHUNK_OCTETS, whatever the file says of itself.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator

# A report address takes no larger mail. The reports of large providers about busy domains have some hundred kilobytes.
MAX_MAIL_OCTETS = 2 * 1024 * 1024
MAX_OCTETS = 16 * 1024 * 1024
# Reports shrink to a tenth or a thirtieth. A file that makes more of itself than this is a bomb (deflate can do 1032).
MAX_RATIO = 200
# Below this much nobody asks for the ratio.
FREE_OCTETS = 1024 * 1024
CHUNK_OCTETS = 64 * 1024
_PIECE_OCTETS = 16 * 1024
# Members of a gzip file and files in a zip file that are looked into, and entries of any kind in the zip's directory.
MAX_MEMBERS = 20
MAX_ENTRIES = 1000

GZIP_MAGIC = b"\x1f\x8b\x08"
ZIP_MAGIC = b"PK\x03\x04"
_ZIP_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 1
# What zipfile raises for files that are none, or not what they say.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class ReportError(Exception):
    """The report can't be read; the text says why, for people."""


class Malformed(ReportError):
    """It is written in a way that another reading may make sense of."""


def chunks(octets: bytes, member: int = 0, *, max_octets: int = MAX_OCTETS) -> Iterator[bytes]:
    """The octets of the file, or of that file in it (see `member_count`), in pieces of up to CHUNK_OCTETS. Raises
    ReportError."""
    if octets.startswith(GZIP_MAGIC):
        return _limited(_inflated(octets), len(octets), max_octets)
    if octets.startswith(ZIP_MAGIC):
        return _limited(_unzipped(octets, member), len(octets), max_octets)
    return _limited(_pieces(octets), len(octets), max_octets)


def member_count(octets: bytes) -> int:
    """How many files there are in the file, folders and what an archiver adds for itself left out: 1 unless it is a zip
    file. Raises ReportError."""
    return len(_members(octets)) if octets.startswith(ZIP_MAGIC) else 1


def is_packed(octets: bytes) -> bool:
    """Whether the file is one of the kinds that are unpacked here."""
    return octets.startswith((GZIP_MAGIC, ZIP_MAGIC))


def _limited(found: Iterator[bytes], packed: int, max_octets: int) -> Iterator[bytes]:
    total = 0
    for chunk in found:
        total += len(chunk)
        if total > max_octets:
            raise ReportError(f"the file unpacks to more than {max_octets // (1024 * 1024)} MB")
        if total > max(FREE_OCTETS, packed * MAX_RATIO):
            raise ReportError(f"the file unpacks to more than {MAX_RATIO} times its size")
        yield chunk


def _pieces(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), CHUNK_OCTETS):
        yield octets[start : start + CHUNK_OCTETS]


def _inflated(octets: bytes) -> Iterator[bytes]:
    """The members one after the other (RFC 1952 §2.2); what follows them and is none is passed over."""
    at = 0
    for _ in range(MAX_MEMBERS):
        at = yield from _inflated_member(octets, at)
        if not octets.startswith(GZIP_MAGIC, at):
            return


def _inflated_member(octets: bytes, at: int) -> Generator[bytes, None, int]:
    """The octets of the member that begins there; returns where it ends."""
    # Fed in small pieces: the tail that zlib hands back is copied each time.
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while not inflater.eof:
        piece = inflater.unconsumed_tail or octets[at : at + _PIECE_OCTETS]
        if not piece:
            raise ReportError("the file is cut off")
        at += 0 if inflater.unconsumed_tail else len(piece)
        try:
            chunk = inflater.decompress(piece, CHUNK_OCTETS)
        except zlib.error:
            raise ReportError("the file is damaged") from None
        if chunk:
            yield chunk
    return at - len(inflater.unused_data)


def _members(octets: bytes) -> list[zipfile.ZipInfo]:
    if octets.count(_ZIP_ENTRY) > MAX_ENTRIES:
        raise ReportError(f"the zip file has more than {MAX_ENTRIES} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as file:
            entries = file.infolist()
    except _ZIP_ERRORS:
        raise ReportError("the zip file is cut off or damaged") from None
    found = [one for one in entries if not one.filename.endswith("/") and not one.filename.startswith("__MACOSX/")]
    if not found:
        raise ReportError("the zip file is empty")
    return found[:MAX_MEMBERS]


def _unzipped(octets: bytes, member: int) -> Iterator[bytes]:
    """One file of a zip file. Its checksum is compared at the end."""
    info = _members(octets)[member]
    if info.flag_bits & _ENCRYPTED:
        raise ReportError("the zip file is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ReportError("the zip file is packed in a way that reports are not")
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as file, file.open(info) as unpacked:
            while chunk := unpacked.read(CHUNK_OCTETS):
                yield chunk
    except _ZIP_ERRORS:
        raise ReportError("the file is damaged") from None
