"""Mail to move: what is hard to copy, and what looks like an office's mail."""
