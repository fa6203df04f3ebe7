"""SPF (RFC 7208): whether a domain lets a host send in its name. `check_host` is all that others need."""

from mailsuite.mailauth.spf.evaluation import SpfOutcome, check_host

__all__ = ["SpfOutcome", "check_host"]
