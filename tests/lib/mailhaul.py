"""The same as lib/haul.py under the program's name."""

from lib.haul import Haul as Mailhaul

__all__ = ["Mailhaul"]
