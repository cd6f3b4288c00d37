"""Takes capabilities away from a real server: what is not advertised any more is answered BAD.

Two streams are read, each literal-aware and without ever holding a literal. From the server:
CAPABILITY lists lose the names, tagged lines lose the response codes that belong to them. From
the client: non-synchronising literals, a second message in an APPEND and the commands of what was
taken away are answered BAD here; as on a real server, the bytes after a literal that was not
understood are then read as commands.
"""

import re
import threading

LITERAL = re.compile(rb"\{(\d+)(\+?)\}\r?\n$")
COMMAND = re.compile(rb"([^\x00-\x20(){%*\"\\+]+) ((?:UID )?[A-Za-z]+)(.*)$", re.I | re.S)
CODES = {"UIDPLUS": (b"APPENDUID", b"COPYUID", b"UIDNOTSTICKY"), "OBJECTID": (b"MAILBOXID",),
         "CONDSTORE": (b"HIGHESTMODSEQ", b"NOMODSEQ")}
COMMANDS = {  # the capability -> what only it allows, as a pattern over "COMMAND args"
    "UIDPLUS": rb"UID EXPUNGE", "MOVE": rb"(UID )?MOVE", "ENABLE": rb"ENABLE", "ID": rb"ID ",
    "NAMESPACE": rb"NAMESPACE", "UNSELECT": rb"UNSELECT", "IDLE": rb"IDLE", "QUOTA": rb"GETQUOTA",
    "LIST-EXTENDED": rb"LIST \(|LIST .* RETURN \(", "LIST-STATUS": rb"LIST .* RETURN \(.*STATUS",
    "SPECIAL-USE": rb"LIST .*SPECIAL-USE", "STATUS=SIZE": rb"(STATUS|LIST) .*\([^)]*\bSIZE\b",
    "SASL-IR": rb"AUTHENTICATE \S+ \S", "COMPRESS=DEFLATE": rb"COMPRESS", "STARTTLS": rb"STARTTLS",
    "CONDSTORE": rb"(SELECT|EXAMINE|UID FETCH|FETCH) .*(CONDSTORE|CHANGEDSINCE)",
    "QRESYNC": rb"(SELECT|EXAMINE) .*QRESYNC", "ESEARCH": rb"(UID )?SEARCH RETURN",
}
NEVER = {"COMPRESS=DEFLATE", "STARTTLS"}  # what would hide the rest from us


class Strip:
    """feed_client(data) and feed_server(data) return what goes on; `to_client` takes our BADs."""

    def __init__(self, capabilities):
        self.gone = {c.upper() for c in capabilities} | NEVER
        names = b"|".join(re.escape(c.encode()) for c in sorted(self.gone))
        self.names = re.compile(rb" (?:" + names + rb")(?=[\s\]]|$)", re.I)
        codes = [c for g in self.gone for c in CODES.get(g, ())]
        self.codes = re.compile(rb"^(\S+ (?:OK|NO) )\[(?:" + b"|".join(codes) + rb")[^\]]*\] ?",
                                re.I) if codes else None
        refused = [COMMANDS[g] for g in sorted(self.gone) if g in COMMANDS]
        self.refused = re.compile(rb"(?:" + b"|".join(refused) + rb")(?=[\s(]|$|\S)", re.I)
        self.lock = threading.Lock()
        self.server, self.client = bytearray(), bytearray()
        self.server_left = self.client_left = 0
        self.in_response = False  # the server is inside a response
        self.waiting = []  # our own answers, for the next place between two responses
        self.appends = 0  # literals of the APPEND that is under way; 0 = none
        self.tag = None  # of the command that is under way
        self.named_by_literal = False
        self.told = 0  # how often we said BAD

    # --- from the server

    def feed_server(self, data):
        with self.lock:
            self.server += data
            return self.server_out()

    def server_out(self):
        out = []
        while True:
            if self.server_left:
                if not self.server:
                    break
                piece = bytes(self.server[:self.server_left])
                del self.server[:len(piece)]
                self.server_left -= len(piece)
                out.append(piece)
                continue
            end = self.server.find(b"\n")
            if end < 0:
                break
            line = bytes(self.server[:end + 1])
            del self.server[:end + 1]
            if not self.in_response:
                line = self.server_line(line)
            m = LITERAL.search(line) if line.endswith((b"}\r\n", b"}\n")) else None
            self.in_response = bool(m)
            if m:
                self.server_left = int(m.group(1))
            out.append(line)
            if not m:
                out += self.waiting
                self.waiting = []
        return b"".join(out)

    def server_line(self, line):
        if line[:13].upper() == b"* CAPABILITY " or b"[CAPABILITY " in line[:200].upper():
            return self.names.sub(b"", line)
        if self.codes is not None and b"[" in line[:40]:
            if line.startswith(b"* OK ["):
                return line if not self.codes.match(line) else b"* OK noted\r\n"
            return self.codes.sub(rb"\1", line)
        return line

    def answer(self, line):
        """What of our own goes to the client now (inside a response it waits for its end)."""
        self.told += 1
        if self.in_response:
            self.waiting.append(line)
            return b""
        return line

    # --- from the client

    def feed_client(self, data):
        """(to the server, to the client)"""
        with self.lock:
            self.client += data
            out, back = [], []
            while True:
                if self.client_left:
                    if not self.client:
                        break
                    piece = bytes(self.client[:self.client_left])
                    del self.client[:len(piece)]
                    self.client_left -= len(piece)
                    out.append(piece)
                    continue
                end = self.client.find(b"\n")
                if end < 0:
                    break
                line = bytes(self.client[:end + 1])
                del self.client[:end + 1]
                self.client_line(line, out, back)
            return b"".join(out), b"".join(back)

    def client_line(self, line, out, back):
        first = self.tag is None
        if first:
            m = COMMAND.match(line)
            if not m:
                out.append(line)  # DONE, an answer of AUTHENTICATE
                return
            tag, command = m.group(1), m.group(2).upper()
            if self.refused.match(command + m.group(3)):
                back.append(self.answer(tag + b" BAD not offered here\r\n"))
                return
            self.appends = 1 if command == b"APPEND" else 0
            self.named_by_literal = bool(self.appends and re.match(rb" \{\d+\+?\}", m.group(3)))
        else:
            tag = self.tag
            if self.appends and line.strip(b"\r\n"):
                self.appends += 1
            if self.appends > (2 if self.named_by_literal else 1) and "MULTIAPPEND" in self.gone \
                    and line.strip(b"\r\n"):
                out.append(b" )\r\n")  # the server itself says BAD, and stores nothing
                self.told += 1
                self.tag = None
                return
        literal = LITERAL.search(line)
        if literal and literal.group(2) and self.plus_refused(int(literal.group(1))):
            if first:
                back.append(self.answer(tag + b" BAD literal not offered here\r\n"))
            else:
                out.append(b" )\r\n")
            self.tag = None
            return
        self.tag = tag if literal else None
        if literal:
            self.client_left = int(literal.group(1))
        out.append(line)

    def plus_refused(self, size):
        return "LITERAL+" in self.gone and ("LITERAL-" in self.gone or size > 4096)
