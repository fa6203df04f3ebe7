from pages import ann, configure, directory, signed_in

__all__ = ["ann", "configure", "directory", "signed_in"]
