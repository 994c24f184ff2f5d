"""The doors through which clients reach a node: HTTP for everybody, and RESP (Redis' protocol) where speed counts."""
