"""The real world: processes, disks, the HTTP and RESP doors, and their supervisor."""
