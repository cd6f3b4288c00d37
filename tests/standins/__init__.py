"""Servers of our own that do what real ones cannot be made to do: misbehave on request."""
