"""What the directory's tables tell those behind them."""

from django.dispatch import Signal

# An account was saved with another password past our services, by Django's own forms and commands: `user_id`. Sent in
# the transaction that saves it.
password_saved = Signal()
