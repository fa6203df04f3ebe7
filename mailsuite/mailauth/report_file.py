"""Files that come with reports, opened without trusting them: gzip (RFC 1952), zip with one member, or plain.

What a file is shows from its first octets, since many senders name it otherwise. Everything is streamed: no step makes
more than CHUNK_OCTETS, whatever the file says of itself.
"""

import zlib
from collections.abc import Iterator

# A report address takes no larger mail. The reports of large providers about busy domains have some hundred kilobytes.
MAX_MAIL_OCTETS = 2 * 1024 * 1024
MAX_OCTETS = 16 * 1024 * 1024
# Reports shrink to a tenth or a thirtieth. A file that makes more of itself than this is a bomb (deflate can do 1032).
MAX_RATIO = 200
# Below this much nobody asks for the ratio.
FREE_OCTETS = 1024 * 1024
CHUNK_OCTETS = 64 * 1024
_PIECE_OCTETS = 16 * 1024

GZIP_MAGIC = b"\x1f\x8b\x08"
ZIP_MAGIC = b"PK\x03\x04"
_ZIP_ENTRY, _ZIP_END, _ZIP_DESCRIPTOR = b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08"
_STORED, _DEFLATED = 0, 8


class ReportError(Exception):
    """The report can't be read; the text says why, for people."""


def chunks(octets: bytes, *, max_octets: int = MAX_OCTETS) -> Iterator[bytes]:
    """The octets of the report inside the file, in pieces of up to CHUNK_OCTETS. Raises ReportError."""
    if octets.startswith(GZIP_MAGIC):
        return _limited(_inflated(octets, 0, zlib.MAX_WBITS | 16), len(octets), max_octets)
    if octets.startswith(ZIP_MAGIC):
        return _limited(_unzipped(octets), len(octets), max_octets)
    return _limited(_pieces(octets), len(octets), max_octets)


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


def _inflated(octets: bytes, start: int, window: int, crc: list[int] | None = None) -> Iterator[bytes]:
    """The deflated stream from `start` on; `crc` gets its checksum and where it ended."""
    # Fed in small pieces: the tail that zlib hands back is copied each time.
    inflater, at, checksum = zlib.decompressobj(window), start, 0
    while not inflater.eof:
        piece = inflater.unconsumed_tail or octets[at : at + _PIECE_OCTETS]
        if not piece:
            raise ReportError("the file is cut off")
        at += 0 if inflater.unconsumed_tail else len(piece)
        try:
            chunk = inflater.decompress(piece, CHUNK_OCTETS)
        except zlib.error:
            raise ReportError("the file is damaged") from None
        checksum = zlib.crc32(chunk, checksum)
        if chunk:
            yield chunk
    if crc is not None:
        crc[:] = [checksum, at - len(inflater.unused_data)]


def _unzipped(octets: bytes) -> Iterator[bytes]:
    """The one member of a zip file (APPNOTE 4.3): local header, data, at most a descriptor, then a directory of one."""
    flags, method = _number(octets, 6, 2), _number(octets, 8, 2)
    start = 30 + _number(octets, 26, 2) + _number(octets, 28, 2)
    if flags & 1:
        raise ReportError("the zip file is encrypted")
    end = [0, 0]
    if method == _DEFLATED:
        yield from _inflated(octets, start, -zlib.MAX_WBITS, end)
    elif method == _STORED and not flags & 8:
        size = _number(octets, 18, 4)
        if start + size > len(octets):
            raise ReportError("the file is cut off")
        for chunk in _pieces(octets[start : start + size]):
            end[0] = zlib.crc32(chunk, end[0])
            yield chunk
        end[1] = start + size
    else:
        raise ReportError("the zip file is packed in a way that reports are not")
    _check_directory(octets, end[1], end[0])


def _check_directory(octets: bytes, at: int, checksum: int) -> None:
    """Raises ReportError unless the directory at the offset names one member, with this checksum."""
    if octets[at : at + 4] == _ZIP_DESCRIPTOR:
        at += 16
    elif octets[at + 12 : at + 16] == _ZIP_ENTRY:  # a descriptor may come without its signature
        at += 12
    if octets[at : at + 4] != _ZIP_ENTRY:
        raise ReportError("the zip file holds more than one file, or is damaged")
    if _number(octets, at + 16, 4) != checksum:
        raise ReportError("the file is damaged")
    at += 46 + sum(_number(octets, at + offset, 2) for offset in (28, 30, 32))
    if octets[at : at + 4] != _ZIP_END:
        raise ReportError("the zip file holds more than one file, or is damaged")


def _number(octets: bytes, at: int, size: int) -> int:
    piece = octets[at : at + size]
    if len(piece) < size:
        raise ReportError("the file is cut off")
    return int.from_bytes(piece, "little")
