#!/bin/bash
# dkimpy 1.1.8 takes s= of a DKIM key record for one word, where RFC 6376 section 3.6.1 has a list parted by colons: a
# key published for mail and something else (s=email:x, s=x:*) ends the verification of a valid signature with the error
# UnknownKeyTypeError; with s=email, s=* or without s= it passes. Who publishes such a key loses DKIM at hosts that use
# dkimpy. Ends with 1 if that changes. Wants python3 with venv, openssl, and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check dkimpy==1.1.8 dnspython==2.8.0 cryptography==46.0.3 2>/dev/null
openssl genrsa -traditional -out "$folder/key.pem" 2048 2>/dev/null
openssl rsa -in "$folder/key.pem" -pubout -outform DER -out "$folder/key.der" 2>/dev/null
"$folder/venv/bin/python" - "$folder" > "$folder/seen" <<'PYTHON'
import base64, importlib.metadata, sys
import dkim

key = open(f"{sys.argv[1]}/key.pem", "rb").read()
public = base64.b64encode(open(f"{sys.argv[1]}/key.der", "rb").read())
message = b"From: ann@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
signed = dkim.sign(message, b"s", b"example.org", key) + message
print("dkimpy", importlib.metadata.version("dkimpy"))
for types in (b"", b"s=*; ", b"s=email; ", b"s=email:x; ", b"s=x:email; ", b"s=x:*; "):
    record = b"v=DKIM1; k=rsa; " + types + b"p=" + public
    try:
        word = dkim.DKIM(signed).verify(dnsfunc=lambda name, timeout=5: record)
    except dkim.DKIMException as error:
        word = f"{type(error).__name__}: {error}"
    print(types.decode().strip("; ") or "(none)", "->", word)
PYTHON
cat "$folder/seen"
cat > "$folder/expected" <<'END'
dkimpy 1.1.8
(none) -> True
s=* -> True
s=email -> True
s=email:x -> UnknownKeyTypeError: None
s=x:email -> UnknownKeyTypeError: None
s=x:* -> UnknownKeyTypeError: None
END
diff "$folder/expected" "$folder/seen" && echo "As described."
