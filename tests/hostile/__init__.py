"""What a server, a disk or an admin can do wrong, and what the program must make of it."""
