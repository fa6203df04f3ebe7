from stored_mail import blob_folder, fill, mailbox, make_mailbox, spooled

__all__ = ["blob_folder", "fill", "mailbox", "make_mailbox", "spooled"]
