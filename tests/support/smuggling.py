"""Octets that some server somewhere takes for the end of a message, or for a line end (CVE-2023-51764 and kin)."""

SMUGGLED = [
    b"a\n.\n",
    b"a\n.\r\n",
    b"a\r\n.\n",
    b"a\r.\r",
    b"a\r.\r\n",
    b"a\r\n.\r",
    b"a\n\n.\r\n",
    b"a\r\r\n.\r\r\n",
    b"a\r\n\r.\r\n",
    b"a\n..\n",
    b"a\r\0\n.\r\0\n",
    b".\n",
    b".\r",
    b"\n.\r\n",
    b"\r.\r\n",
]
