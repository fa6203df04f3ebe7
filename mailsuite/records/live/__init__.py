"""What a record leads to, met as others meet it: ports, certificates, MTA-STS policy, files of mail programs."""

from mailsuite.records.live.look import look_live
from mailsuite.records.live.reach import Memory, Reach

__all__ = ["Memory", "Reach", "look_live"]
