"""How replicas are made to agree: a file for each protocol."""
