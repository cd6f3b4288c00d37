"""Commands as RFC 3501 and its extensions write them, and nothing else: a strict reader."""

import re

from lib.imap import parse_date

ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
LIST_CHARS = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
NUMBER = re.compile(rb"\d{1,20}")
SET = re.compile(rb"(?:\d+|\*)(?::(?:\d+|\*))?(?:,(?:\d+|\*)(?::(?:\d+|\*))?)*")
FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
DATE = re.compile(r'"([ \d]\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d [+-]\d{4})"')
SYSTEM = {b"\\seen", b"\\answered", b"\\flagged", b"\\deleted", b"\\draft"}


class Bad(Exception):
    """The command is not one the grammar knows, or not now."""


class Refused(Exception):
    """The command is understood and answered NO."""

    def __init__(self, text, code=""):
        super().__init__(text)
        self.code = code


class Closed(Exception):
    """The connection is over."""


class Data:
    """A literal a client sent: its bytes, or of a long one its first bytes, size and digest."""

    __slots__ = ("size", "data", "head", "sha256")

    def __init__(self, size, data, head=b"", sha256=""):
        self.size, self.data, self.head, self.sha256 = size, data, head, sha256


class Args:
    """Reads through the pieces of a command: bytes, with Data where literals stood."""

    def __init__(self, pieces):
        self.pieces, self.at, self.offset = pieces, 0, 0

    def rest(self):
        piece = self.pieces[self.at] if self.at < len(self.pieces) else b""
        return b"" if isinstance(piece, Data) else piece[self.offset:]

    def take(self, pattern, what):
        piece = self.pieces[self.at] if self.at < len(self.pieces) else b""
        m = None if isinstance(piece, Data) else pattern.match(piece, self.offset)
        if not m or m.end() == self.offset:
            raise Bad("%s expected at %r" % (what, self.rest()[:60]))
        self.offset = m.end()
        return m.group()

    def peek(self, text):
        return self.rest()[:len(text)].upper() == text.upper()

    def skip(self, text):
        """True, and past it, when `text` comes next."""
        if not self.peek(text):
            return False
        self.offset += len(text)
        return True

    def need(self, text):
        if not self.skip(text):
            raise Bad("%r expected at %r" % (text, self.rest()[:60]))

    def sp(self):
        self.need(b" ")

    def end(self):
        if not self.at_end():
            raise Bad("end of the command expected at %r" % self.rest()[:60])

    def at_end(self):
        return self.at >= len(self.pieces) or (
            self.at == len(self.pieces) - 1 and not isinstance(self.pieces[self.at], Data)
            and self.offset == len(self.pieces[self.at]))

    def literal(self):
        """The Data that comes next, or None."""
        if not self.rest() and self.at + 1 < len(self.pieces) and \
                isinstance(self.pieces[self.at + 1], Data) and \
                not isinstance(self.pieces[self.at], Data):
            data = self.pieces[self.at + 1]
            self.at, self.offset = self.at + 2, 0
            return data
        return None

    def string(self):
        data = self.literal()
        if data is not None:
            if data.data is None:
                raise Bad("literal too long here")
            return data.data
        if not self.peek(b'"'):
            raise Bad("string expected at %r" % self.rest()[:60])
        piece, at, out = self.pieces[self.at], self.offset + 1, bytearray()
        while at < len(piece) and piece[at] != 0x22:
            if piece[at] == 0x5c:
                at += 1
                if at >= len(piece) or piece[at] not in b'"\\':
                    raise Bad("wrong escape in a quoted string")
            if piece[at] in b"\0\r\n":
                raise Bad("control character in a quoted string")
            out.append(piece[at])
            at += 1
        if at >= len(piece):
            raise Bad("quoted string without an end")
        self.offset = at + 1
        return bytes(out)

    def atom(self):
        return self.take(ATOM, "atom")

    def astring(self):
        if self.peek(b'"') or not self.rest():
            return self.string()
        return self.take(ASTRING, "string")

    def pattern(self):
        if self.peek(b'"') or not self.rest():
            return self.string()
        return self.take(LIST_CHARS, "pattern")

    def number(self):
        return int(self.take(NUMBER, "number"))

    def set(self):
        return self.take(SET, "set of numbers")

    def flags(self):
        """A list in parentheses, each once: storable system flags and keywords."""
        self.need(b"(")
        out = []
        while not self.skip(b")"):
            if out:
                self.sp()
            flag = self.take(FLAG, "flag")
            if flag[:1] == b"\\" and flag.lower() not in SYSTEM:
                raise Bad("flag %r cannot be stored" % flag)
            out.append(flag)
        return out

    def date(self):
        """(seconds UTC, as written)"""
        m = DATE.match(self.rest().decode("latin-1"))
        at = parse_date(m.group(1)) if m else None
        if at is None:
            raise Bad("date expected at %r" % self.rest()[:40])
        self.offset += m.end()
        return at, m.group(1)

    def words(self, allowed, what):
        """(A B C): atoms of `allowed` only."""
        self.need(b"(")
        out = []
        while not self.skip(b")"):
            if out:
                self.sp()
            word = self.atom().upper().decode()
            if word not in allowed:
                raise Bad("%s %s is not offered" % (what, word))
            out.append(word)
        return out


def in_set(text, numbers, largest):
    """Those of `numbers` (sorted) that a set names."""
    wanted = []
    for part in text.split(b","):
        ends = [largest if e == b"*" else int(e) for e in part.split(b":")]
        wanted.append((min(ends), max(ends)))
    out, k, reach = [], 0, -1
    wanted.sort()
    for n in numbers:
        while k < len(wanted) and wanted[k][0] <= n:
            reach = max(reach, wanted[k][1])
            k += 1
        if n <= reach:
            out.append(n)
    return out


def matches(pattern, name, delimiter):
    """LIST patterns: * is anything, % anything but the delimiter."""
    out = b""
    for at in range(len(pattern)):
        c = pattern[at:at + 1]
        if c == b"*":
            out += b".*"
        elif c == b"%":
            out += b"[^" + re.escape(delimiter) + b"]*" if delimiter else b".*"
        else:
            out += re.escape(c)
    return re.fullmatch(out, name, re.S) is not None
