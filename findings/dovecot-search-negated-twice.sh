#!/bin/bash
# Dovecot 2.3.19 (Debian 12) merges two negated search keys of one kind as if they were not negated: RFC 3501 section
# 6.4.4 has all keys hold at once, so that `NOT SINCE 15-Mar-2025 NOT SINCE 28-Feb-2025` is what is older than the earlier
# of the two days; Dovecot answers what is older than the later one. Dates and sizes alike. A message of 3 March 2025 is
# found by no key alone that would exclude it, and by both together. Whoever compares a server's SEARCH with Dovecot's, or
# composes searches of negated ranges for it, must know that. Ends with 1 if that changes.
# Wants Debian 12's apt and dpkg, and root, to run as nobody; downloads packages into a folder of its own, installs nothing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in dovecot-core dovecot-imapd; do
    apt-get download -qq "$package=1:2.3.19.1+dfsg1-2.1+deb12u7" 2>/dev/null
done
for file in *.deb; do dpkg -x "$file" tree; done
export LD_LIBRARY_PATH="$folder/tree/usr/lib/dovecot"

mkdir -p home/Maildir/{cur,new,tmp}
printf 'From: ann@example.org\nDate: Mon, 3 Mar 2025 12:00:00 +0000\nSubject: hello\n\nhello\n' >home/Maildir/cur/1.1.host:2,
touch -d '2025-03-03 12:00:00Z' home/Maildir/cur/*
cat >dovecot.conf <<CONF
base_dir = $folder/run
log_path = $folder/log
mail_location = maildir:$folder/home/Maildir
first_valid_uid = 1
mail_uid = 65534
mail_gid = 65534
mail_plugin_dir = $folder/none
ssl = no
CONF
chmod 755 "$folder"; chown -R 65534:65534 home

tree/usr/sbin/dovecot --version
printf '%s\r\n' 'a SELECT INBOX' \
    'b SEARCH NOT SINCE 28-Feb-2025' \
    'c SEARCH NOT SINCE 15-Mar-2025 NOT SINCE 28-Feb-2025' \
    'd SEARCH NOT SENTSINCE 28-Feb-2025' \
    'e SEARCH NOT SENTSINCE 28-Feb-2025 NOT SENTSINCE 15-Mar-2025' \
    'f SEARCH NOT LARGER 10' \
    'g SEARCH NOT LARGER 10 NOT LARGER 100000' \
    'h LOGOUT' |
    HOME="$folder/home" USER=nobody timeout 20 tree/usr/lib/dovecot/imap -c dovecot.conf |
    tr -d '\r' | grep '^\* SEARCH' | tee seen
cat >expected <<'END'
* SEARCH
* SEARCH 1
* SEARCH
* SEARCH 1
* SEARCH
* SEARCH 1
END
diff expected seen && echo "As described."
