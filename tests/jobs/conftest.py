from stored_mail import mail_folder

__all__ = ["mail_folder"]
