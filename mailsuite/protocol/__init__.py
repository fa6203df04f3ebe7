"""What SMTP, IMAP and POP3 read alike: pure, octets in and values out."""
