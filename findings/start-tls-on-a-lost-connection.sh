#!/bin/bash
# loop.start_tls of asyncio (CPython 3.11) and of uvloop 0.23.0 never returns for a connection that was lost before, and
# ssl_handshake_timeout does not end it: its clock is started by a call that never comes. A server that awaits it after
# the reply to STARTTLS keeps a task for ever for each client that goes away just then, unless it looks whether the
# connection is still there, or sets a limit of its own. Ends with 1 if that changes. Wants python3.11 with venv, and a
# package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvloop==0.23.0 2>/dev/null
"$folder/venv/bin/python" - > "$folder/seen" <<'PYTHON'
import asyncio
import socket
import ssl

import uvloop


async def start_tls():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, protocol = await loop.connect_accepted_socket(asyncio.Protocol, ours)
    transport.abort()
    await asyncio.sleep(0.05)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    starting = loop.start_tls(transport, protocol, context, server_side=True, ssl_handshake_timeout=1.0)
    try:
        upgraded = await asyncio.wait_for(starting, 5.0)
        return f"returns {type(upgraded).__name__}"
    except TimeoutError:
        return "has not returned after five times ssl_handshake_timeout"
    finally:
        theirs.close()


for name, run in ("asyncio", asyncio.run), ("uvloop", uvloop.run):
    print(name, run(start_tls()))
PYTHON
cat "$folder/seen"
cat > "$folder/expected" <<'END'
asyncio has not returned after five times ssl_handshake_timeout
uvloop has not returned after five times ssl_handshake_timeout
END
diff "$folder/expected" "$folder/seen" && echo "As described."
