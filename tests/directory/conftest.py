from people import administrator, ann, domain, one_connection, quick_hashes

__all__ = ["administrator", "ann", "domain", "one_connection", "quick_hashes"]
