from queued_mail import enqueue, forget_the_directory, spool_left_empty

__all__ = ["enqueue", "forget_the_directory", "spool_left_empty"]
