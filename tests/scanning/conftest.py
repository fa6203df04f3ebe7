import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from running_suite import free_port

CONFIGURATION = """
options {{
    pidfile = "{folder}/rspamd.pid";
    filters = "chartable,dkim,regexp";
    cache_file = "{folder}/symbols.cache";
    url_tld = "{folder}/domains";
    tempdir = "{folder}";
    control_socket = "{folder}/control.sock mode=0600";
    history_rows = 1;
    dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.2s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; mime = true; }}
actions {{ reject = 15; "add header" = 6; greylist = 4; }}
lua = "{folder}/rules.lua";
"""
# What was told of the envelope becomes symbols, so that a test can see it.
RULES = """
rspamd_config:register_symbol({name = "JUNK_SUBJECT", score = 7.0, callback = function(task)
  local subject = task:get_header("Subject")
  return subject ~= nil and subject:find("certainly junk", 1, true) ~= nil
end})
rspamd_config:register_symbol({name = "ENVELOPE", score = 0.5, callback = function(task)
  local from = (task:get_from("smtp") or {{}})[1]
  local recipients = task:get_recipients("smtp") or {}
  return from.addr == "ann@sender.example" and #recipients == 2 and tostring(task:get_ip()) == "192.0.2.1"
    and task:get_helo() == "client.example" and task:get_queue_id() == "QUEUE1"
end})
rspamd_config:register_symbol({name = "LONG", score = 0.25, callback = function(task)
  return task:get_size() > 3000000
end})
"""


@pytest.fixture(scope="session")
def rspamd_port(require_program, tmp_path_factory):
    """The port of a real rspamd with a few rules of ours, which asks nobody."""
    program, folder, port = require_program("rspamd"), tmp_path_factory.mktemp("rspamd"), free_port()
    (folder / "rspamd.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    (folder / "rules.lua").write_text(RULES)
    (folder / "domains").write_text("com\nexample\norg\n")
    log = Path(folder / "log")
    # Its workers may be root's here: the tests run as root in CI.
    command = [program, "-f", *(["-i"] if os.getuid() == 0 else []), "-c", str(folder / "rspamd.conf")]
    with open(log, "ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    deadline = time.monotonic() + 60
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"rspamd did not start:\n{log.read_text()}")
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(20)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
