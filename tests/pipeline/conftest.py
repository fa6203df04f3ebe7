from queued_mail import enqueue, forget_the_directory
from stored_mail import mail_folder, make_mailbox

__all__ = ["enqueue", "forget_the_directory", "mail_folder", "make_mailbox"]
