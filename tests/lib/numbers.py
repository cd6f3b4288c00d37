"""Accounts whose messages have a number in their subject: a folder's content is a list of numbers."""

import re

from corpus.messages import plain
from lib.account import show_path, state_of

NUMBER = re.compile(rb"^Subject: Message (\d+)\r$", re.M)


def numbered(first, count, size=300):
    """[Mail] with the numbers from `first` on, every third one read."""
    return [plain(n, size, ("\\Seen",) if n % 3 == 0 else ()) for n in range(first, first + count)]


def number_of(message):
    return int(NUMBER.search(message.body.head).group(1))


def content(server, user="ann", empty=False):
    """{folder: [numbers in order]}; empty folders only when asked for."""
    return {show_path(path): [number_of(m) for m in folder.messages]
            for path, folder in state_of(server, user).items() if folder.messages or empty}


def flags_of(server, user="ann"):
    """{(folder, number): flags}"""
    return {(show_path(path), number_of(m)): set(m.flags)
            for path, folder in state_of(server, user).items() for m in folder.messages}


def report_text(haul):
    with open(haul.logs()[-1] + "/report.txt") as f:
        return f.read()
