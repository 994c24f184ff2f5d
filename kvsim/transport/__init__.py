"""How a message really travels: TCP, UDP, and the frames on the wire."""
