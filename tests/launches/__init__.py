"""Whole launches: the program as a process, OpenSSH, real boxes of the test cloud; its meter is the judge."""
