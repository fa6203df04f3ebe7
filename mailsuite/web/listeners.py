"""Where the listeners of this host are reached, as others must be told: host name and port."""

from django.conf import settings

from mailsuite.configuration import PRODUCTION_PORTS
from mailsuite.server.suite_state import read_state
from mailsuite.web import hosts


def port_of(listener: str) -> int | None:
    """The port at which a listener is reached; None when it is off."""
    place = place_of(listener)
    return place[1] if place else None


def place_of(listener: str) -> tuple[str, int] | None:
    """Host name and port that reach a listener from as far away as it can be reached; None when it is off."""
    places = settings.MAILSUITE.listeners.get(listener, ())
    if any(port == 0 for _, port in places):
        state = read_state(settings.MAILSUITE.data)
        places = tuple(state.listeners.get(listener, ())) if state else ()
    if not places:
        return None
    # What the world reaches before what only this machine does; among those the port that everybody expects.
    host, port = min(places, key=lambda at: (hosts.is_loopback(at[0]), at[1] != PRODUCTION_PORTS[listener]))
    return _name(host), port


def _name(host: str) -> str:
    """What a client must be told to reach `host`: certificates hold names, and of addresses only loopback's."""
    return host if hosts.is_loopback(host) else settings.MAILSUITE.hostname
