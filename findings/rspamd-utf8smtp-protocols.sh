#!/bin/bash
# rspamd 3.4 (Debian 12) does not know the words that RFC 6531 section 4.3 gives to the WITH clause of a Received field
# for mail that came with SMTPUTF8: UTF8SMTP, UTF8SMTPA, UTF8SMTPS and UTF8SMTPSA are "unknown" to it, so that a
# submission by an authenticated user over TLS bears neither the flag `authenticated` nor `ssl`, which ESMTPSA does.
# Whoever writes Received fields that rspamd shall read as authenticated must know that. Ends with 1 if that changes.
# Wants Debian 12's apt and dpkg; downloads the packages into a folder of its own, installs nothing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in rspamd=3.4-1 libhyperscan5 libluajit-5.1-2 libsodium23 libunwind8 libicu72 libpcre2-8-0 libglib2.0-0 \
    libsqlite3-0 liblzma5; do
    apt-get download -qq "$package" 2>/dev/null
done
for file in *.deb; do dpkg -x "$file" tree; done
export LD_LIBRARY_PATH="$folder/tree/usr/lib/rspamd:$folder/tree/usr/lib/x86_64-linux-gnu:$folder/tree/lib/x86_64-linux-gnu"
share="$folder/tree/usr/share/rspamd"
export SHAREDIR="$share" RULESDIR="$share/rules" LUALIBDIR="$share/lualib" PLUGINSDIR="$share/plugins"

cat > words.lua <<'LUA'
local rspamd_task = require "rspamd_task"
for _, word in ipairs({"ESMTPSA", "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"}) do
  local _, task = rspamd_task.load_from_string(
    "Received: from laptop.example.org (laptop.example.org [192.0.2.7]) by mx.example.org with " .. word ..
    " id 1; Mon, 30 Nov 2026 10:00:00 +0000\r\nFrom: ann@example.org\r\nSubject: hello\r\n\r\nhello\r\n",
    rspamd_config)
  task:process_message()
  local field, flags = task:get_received_headers()[1], {}
  for name, is_set in pairs(field.flags or {}) do
    if is_set then table.insert(flags, name) end
  end
  table.sort(flags)
  print(word .. " -> " .. field.proto .. " [" .. table.concat(flags, " ") .. "]")
end
LUA
tree/usr/bin/rspamadm --version
tree/usr/bin/rspamadm lua -b words.lua | tee seen
cat > expected <<'END'
ESMTPSA -> esmtpsa [authenticated ssl]
UTF8SMTP -> unknown []
UTF8SMTPA -> unknown []
UTF8SMTPS -> unknown []
UTF8SMTPSA -> unknown []
END
diff expected seen && echo "As described."
