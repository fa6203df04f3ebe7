"""The commands of IMAP4rev1 and its extensions, a module for each: value, grammar, handler and row of the table."""
