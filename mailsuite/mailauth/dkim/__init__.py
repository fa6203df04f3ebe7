"""DKIM (RFC 6376, 8301, 8463, 8616): signatures verified strictly, and ours made.

    header = HeaderFields(Header.parse(header_block))
    signatures = find_signatures(header, author_domain)
    hashes = BodyHashes(signatures)
    for chunk in body: hashes.update(chunk)
    outcomes = await verify(signatures, header, hashes, resolver, now)

`key_names(signatures)` says what verify will ask the resolver, so that a caller may ask for all at once beforehand.
"""

from mailsuite.mailauth.dkim.body import BodyHashes, RelaxedBodyHash
from mailsuite.mailauth.dkim.header import HeaderFields
from mailsuite.mailauth.dkim.message import MAX_SIGNATURES, Signature, find_signatures
from mailsuite.mailauth.dkim.verify import DkimOutcome, key_names, verify

__all__ = [
    "MAX_SIGNATURES",
    "BodyHashes",
    "DkimOutcome",
    "HeaderFields",
    "RelaxedBodyHash",
    "Signature",
    "find_signatures",
    "key_names",
    "verify",
]
