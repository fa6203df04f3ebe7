from queued_mail import enqueue, forget_the_directory

__all__ = ["enqueue", "forget_the_directory"]
