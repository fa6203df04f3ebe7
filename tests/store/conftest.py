from stored_mail import fill, mail_folder, mailbox, make_mailbox, spooled

__all__ = ["fill", "mail_folder", "mailbox", "make_mailbox", "spooled"]
