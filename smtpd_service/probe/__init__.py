"""Delivery tests: what mail to an address would meet on its way, found out without sending any."""
