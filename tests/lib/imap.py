"""A small raw IMAP client: bytes in, bytes out, literals as they are, nothing guessed.

It fills servers (pipelined, MULTIAPPEND and LITERAL+ where advertised) and reads whole accounts.
Bodies are digested while they arrive, so that a message of any size costs one buffer.
"""

import base64
import calendar
import hashlib
import re
import socket
import ssl
import time
from collections import deque, namedtuple

from lib import utf7

KEEP_BYTES = 16384  # bodies up to this are kept for comparisons by content
CHUNK = 1 << 18
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
DATE = re.compile(r"^\s?(\d{1,2})-([A-Z][a-z]{2})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$")
LITERAL = re.compile(rb"\{(\d+)(\+?)\}$")
SYSTEM_FLAGS = {b"\\seen", b"\\answered", b"\\flagged", b"\\deleted", b"\\draft"}


class ImapError(Exception):
    """A tagged NO or BAD, a BYE, or a connection that ended."""

    def __init__(self, text, status="", code=""):
        super().__init__(text)
        self.status, self.code = status, code


class Quoted(bytes):
    """A quoted string, told apart from an atom."""


class Body:
    """A literal or string that arrived: size, digest, and its bytes when it is small."""

    __slots__ = ("size", "sha256", "head", "data", "canonical")

    def __init__(self, size, sha256, head, data, canonical=None):
        self.size, self.sha256, self.head, self.data = size, sha256, head, data
        self.canonical = canonical

    @classmethod
    def of(cls, data, keep=KEEP_BYTES):
        canon = Canonical()
        canon.update(data)
        return cls(len(data), hashlib.sha256(data).hexdigest(), data[:512],
                   bytes(data) if len(data) <= keep else None, canon.hexdigest())

    def __eq__(self, other):
        return (self.size, self.sha256) == (other.size, other.sha256)

    def __repr__(self):
        return "Body(%d, %s, %r)" % (self.size, self.sha256[:12], self.head[:40])


class Canonical:
    """Digest of what repairing servers keep equal: each line end (CRLF, LF, CR; several CRs
    before an LF are one) as CRLF, NUL as 0x80, a last line without an end as with one."""

    LINE_END = re.compile(rb"\r*\n|\r")

    def __init__(self):
        self.digest = hashlib.sha256()
        self.pending, self.open = b"", False

    def update(self, data):
        data = self.pending + bytes(data)
        kept = data.rstrip(b"\r")
        self.pending = data[len(kept):]
        if kept:
            text = self.LINE_END.sub(b"\r\n", kept.replace(b"\0", b"\x80"))
            self.open = not text.endswith(b"\n")
            self.digest.update(text)

    def hexdigest(self):
        digest = self.digest.copy()
        if self.pending:
            digest.update(b"\r\n" * len(self.pending))
        elif self.open:
            digest.update(b"\r\n")
        return digest.hexdigest()


Answer = namedtuple("Answer", "tag status code text untagged")
Listed = namedtuple("Listed", "attributes delimiter name extended")
# A message to store. `flags` may hold system flags and keywords; date: seconds UTC, a string, None.
Mail = namedtuple("Mail", "body flags date label", defaults=((), None, ""))
Message = namedtuple("Message", "uid body flags date")


def parse_date(text):
    """INTERNALDATE -> seconds UTC, or None."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    m = DATE.match(text)
    if not m or m.group(2) not in MONTHS:
        return None
    day, year, hour, minute, second = (int(m.group(i)) for i in (1, 3, 4, 5, 6))
    offset = (int(m.group(8)) * 60 + int(m.group(9))) * 60
    month = MONTHS.index(m.group(2)) + 1
    if year == 0 or not 1 <= day <= calendar.monthrange(year, month)[1] or hour > 23 \
            or minute > 59 or second > 60:
        return None
    at = calendar.timegm((year, month, day, hour, minute, second))
    return at - offset if m.group(7) == "+" else at + offset


def format_date(at):
    if isinstance(at, str):
        return at
    t = time.gmtime(at)
    return "%02d-%s-%04d %02d:%02d:%02d +0000" % (t.tm_mday, MONTHS[t.tm_mon - 1], t.tm_year,
                                                 t.tm_hour, t.tm_min, t.tm_sec)


def quote(name):
    """A mailbox name or string as an argument: quoted, or None when only a literal will do."""
    if re.search(rb"[\0\r\n\x80-\xff]", name):
        return None
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def tokens(parts):
    """Nested lists of one response: bytes (atoms), Quoted, Body (literals), None (NIL), list."""
    top, stack = [], []
    here = top
    for part in parts:
        if isinstance(part, Body):
            here.append(part)
            continue
        at, end = 0, len(part)
        while at < end:
            c = part[at:at + 1]
            if c == b" ":
                at += 1
            elif c == b"(":
                stack.append(here)
                here.append([])
                here = here[-1]
                at += 1
            elif c == b")":
                if not stack:
                    raise ImapError("unbalanced ) in %r" % part[:200])
                here = stack.pop()
                at += 1
            elif c == b'"':
                at, text = quoted_at(part, at)
                here.append(text)
            else:
                at, atom = atom_at(part, at)
                here.append(None if atom.upper() == b"NIL" else atom)
    return top


def quoted_at(part, at):
    out, at = bytearray(), at + 1
    while at < len(part):
        c = part[at]
        if c == 0x22:
            return at + 1, Quoted(out)
        if c == 0x5c and at + 1 < len(part):
            at += 1
            c = part[at]
        out.append(c)
        at += 1
    raise ImapError("string without an end in %r" % part[:200])


def atom_at(part, at):
    start, depth = at, 0
    while at < len(part):
        c = part[at]
        if c == 0x5b:
            depth += 1
        elif c == 0x5d:
            depth -= 1
        elif depth <= 0 and c in b' ()"':
            break
        at += 1
    if at == start:
        raise ImapError("nothing to read at %d of %r" % (at, part[:200]))
    return at, part[start:at]


class Client:
    """One connection. tls: None, 'tls' or 'starttls'; cafile verifies against that certificate."""

    def __init__(self, port, host="127.0.0.1", tls=None, cafile=None, timeout=60):
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.number = 0
        self.capabilities = set()
        self.untagged = []  # what belonged to no command yet
        self.done = {}
        self.selected = None
        self.trace = deque(maxlen=200)
        if tls == "tls":
            self.wrap(host, cafile)
        self.greeting = self.read_line()
        if not self.greeting.startswith((b"* OK", b"* PREAUTH")):
            raise ImapError("greeting: %r" % self.greeting)
        if tls == "starttls":
            self.cmd("STARTTLS")
            self.wrap(host, cafile)
        self.capability()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wrap(self, host, cafile):
        context = ssl.create_default_context(cafile=cafile)
        if cafile is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname=host)

    def close(self):
        """Ends the connection, without a LOGOUT."""
        try:
            self.sock.close()
        except OSError:
            pass

    # --- bytes

    def more(self, want=CHUNK):
        data = self.sock.recv(want)
        if not data:
            raise ImapError("connection closed by the server")
        self.buffer += data

    def read_line(self, most=1 << 22):
        """A line without its end."""
        start = 0
        while True:
            at = self.buffer.find(b"\n", start)
            if at >= 0:
                break
            if len(self.buffer) > most:
                raise ImapError("line over %d bytes" % most)
            start = len(self.buffer)
            self.more()
        line = bytes(self.buffer[:at]).rstrip(b"\r")
        del self.buffer[:at + 1]
        self.trace.append(b"S: " + line[:300])
        return line

    def read_body(self, size, sink=None):
        """`size` bytes, digested as they come; sink(data) sees them too."""
        if size <= len(self.buffer) and sink is None:
            data = bytes(self.buffer[:size])
            del self.buffer[:size]
            return Body.of(data)
        sha, canon, left, kept = hashlib.sha256(), Canonical(), size, bytearray()
        while left:
            if not self.buffer:
                self.more(min(max(left, 4096), 1 << 20))
            data = bytes(self.buffer[:left])
            del self.buffer[:len(data)]
            left -= len(data)
            sha.update(data)
            canon.update(data)
            if sink:
                sink(data)
            if len(kept) < 512 or size <= KEEP_BYTES:
                kept += data
        return Body(size, sha.hexdigest(), bytes(kept[:512]),
                    bytes(kept) if size <= KEEP_BYTES else None, canon.hexdigest())

    def read_response(self):
        """One response: its lines and literals in turn, the line ends and {N} taken off."""
        parts = []
        while True:
            line = self.read_line()
            m = LITERAL.search(line)
            if not m:
                parts.append(line)
                return parts
            parts.append(line[:m.start()])
            parts.append(self.read_body(int(m.group(1))))

    def send(self, data):
        self.trace.append(b"C: " + bytes(data[:300]))
        self.sock.sendall(data)

    # --- commands

    def start(self, line, *literals):
        """Sends a command; each literal goes where `line` has {}. Returns the tag."""
        self.number += 1
        tag = b"t%d" % self.number
        pieces = (line.encode("latin-1") if isinstance(line, str) else line).split(b"{}")
        if len(pieces) != len(literals) + 1:
            raise ValueError("as many {} as literals are needed")
        out = tag + b" " + pieces[0]
        for piece, data in zip(pieces[1:], literals):
            if b"LITERAL+" in self.capabilities:
                out += b"{%d+}\r\n" % len(data) + data + piece
            else:
                self.send(out + b"{%d}\r\n" % len(data))
                early = self.wait_continue(tag)
                if early is not None:  # refused before the literal was sent
                    self.done[tag] = early
                    return tag
                out = data + piece
        self.send(out + b"\r\n")
        return tag

    def wait_continue(self, tag):
        while True:
            parts = self.read_response()
            if parts[0][:1] == b"+":
                return None
            answer = self.take(parts)
            if answer is not None and answer.tag == tag:
                return answer

    def take(self, parts):
        """Keeps an untagged response; returns the Answer of a tagged one."""
        first = parts[0]
        if first.startswith(b"* ") or first.startswith(b"+"):
            self.untagged.append(parts)
            if first[2:6].upper() == b"CAPA":
                self.capabilities = set(first.upper().split()[2:])
            return None
        m = re.match(rb"(\S+) (OK|NO|BAD)\b ?(?:\[([^\]]*)\])? ?(.*)$", first, re.I | re.S)
        if not m:
            raise ImapError("not a response: %r" % first[:300])
        tag, status, code, text = m.groups()
        answer = Answer(tag, status.upper().decode(), (code or b"").decode("latin-1"),
                        text.decode("utf-8", "replace"), self.untagged)
        self.untagged = []
        return answer

    def finish(self, tag, check=True):
        """Waits for that tag's answer. What came untagged before it is in the answer."""
        while tag not in self.done:
            parts = self.read_response()
            answer = self.take(parts)
            if answer is not None:
                self.done[answer.tag] = answer
            elif parts[0].upper().startswith(b"* BYE") and not check:
                pass
        answer = self.done.pop(tag)
        if check and answer.status != "OK":
            raise ImapError("%s %s[%s] %s" % (tag.decode(), answer.status, answer.code,
                                              answer.text), answer.status, answer.code)
        return answer

    def cmd(self, line, *literals, check=True):
        return self.finish(self.start(line, *literals), check)

    def name_arg(self, name):
        """(text to put into the line, literals) for a folder name."""
        raw = utf7.encode(name)
        text = quote(raw)
        return (text, ()) if text is not None else (b"{}", (raw,))

    def named(self, verb, name, rest=b"", check=True):
        text, literals = self.name_arg(name)
        if literals:
            return self.cmd(verb.encode() + b" " + text + rest, *literals, check=check)
        # quoted names may hold braces, so they do not go through start()'s pieces
        self.number += 1
        tag = b"t%d" % self.number
        self.send(tag + b" " + verb.encode() + b" " + text + rest + b"\r\n")
        return self.finish(tag, check)

    def capability(self):
        self.cmd("CAPABILITY")
        return self.capabilities

    def login(self, user, password, authzid=None):
        """LOGIN, or AUTHENTICATE PLAIN with an authorisation identity."""
        if authzid is None:
            self.cmd(b"LOGIN {} {}", user.encode(), password.encode())
        else:
            self.number += 1
            tag = b"t%d" % self.number
            self.send(tag + b" AUTHENTICATE PLAIN\r\n")
            early = self.wait_continue(tag)
            if early is not None:
                raise ImapError("AUTHENTICATE: " + early.text, early.status, early.code)
            plain = "%s\0%s\0%s" % (authzid, user, password)
            self.send(base64.b64encode(plain.encode()) + b"\r\n")
            self.finish(tag)
        self.capability()
        return self

    def logout(self):
        try:
            self.cmd("LOGOUT", check=False)
        except (ImapError, OSError):
            pass
        self.close()

    # --- folders

    def responses(self, answer, word):
        """The token lists of the untagged responses that begin with this word."""
        found = []
        for parts in answer.untagged:
            head = parts[0][2:2 + len(word) + 1].upper()
            if head.strip() == word.encode():
                found.append(tokens([parts[0][2:]] + parts[1:])[1:])
        return found

    def listed(self, answer, word):
        rows = []
        for row in self.responses(answer, word):
            name = row[2].data if isinstance(row[2], Body) else bytes(row[2] or b"NIL")
            delimiter = bytes(row[1]).decode() if row[1] else ""
            rows.append(Listed({a.lower().decode() for a in row[0]}, delimiter, name, row[3:]))
        return rows

    def list(self, pattern="*", special_use=False):
        tail = b" RETURN (SPECIAL-USE)" if special_use and b"SPECIAL-USE" in self.capabilities \
            and b"LIST-EXTENDED" in self.capabilities else b""
        return self.listed(self.cmd(b'LIST "" "' + pattern.encode() + b'"' + tail), "LIST")

    def lsub(self, pattern="*"):
        return self.listed(self.cmd('LSUB "" "%s"' % pattern), "LSUB")

    def namespace(self):
        """(prefix, delimiter) of the personal namespace."""
        if b"NAMESPACE" in self.capabilities:
            rows = self.responses(self.cmd("NAMESPACE"), "NAMESPACE")
            if rows and rows[0][0]:
                first = rows[0][0][0]
                return bytes(first[0] or b""), bytes(first[1] or b"").decode()
        root = self.listed(self.cmd('LIST "" ""'), "LIST")
        return b"", root[0].delimiter if root else "/"

    def create(self, name, check=True):
        return self.named("CREATE", name, check=check)

    def subscribe(self, name):
        return self.named("SUBSCRIBE", name)

    def delete(self, name, check=True):
        return self.named("DELETE", name, check=check)

    def rename(self, old, new):
        return self.cmd(b"RENAME {} {}", utf7.encode(old), utf7.encode(new))

    def select(self, name, readonly=False):
        """{'exists': N, 'uidvalidity': N, 'uidnext': N, 'permanentflags': [...]}"""
        answer = self.named("EXAMINE" if readonly else "SELECT", name)
        self.selected = name
        info = {"exists": 0}
        for parts in answer.untagged:
            line = parts[0]
            m = re.match(rb"\* (\d+) EXISTS", line, re.I)
            if m:
                info["exists"] = int(m.group(1))
            m = re.match(rb"\* OK \[(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ) (\d+)", line, re.I)
            if m:
                info[m.group(1).decode().lower()] = int(m.group(2))
            m = re.match(rb"\* OK \[PERMANENTFLAGS \(([^)]*)\)", line, re.I)
            if m:
                info["permanentflags"] = m.group(1).split()
            m = re.match(rb"\* OK \[MAILBOXID \(([^)]*)\)", line, re.I)
            if m:
                info["mailboxid"] = m.group(1)
        return info

    # --- messages

    def append_head(self, mail):
        flags = b" ".join(f.encode() if isinstance(f, str) else f for f in mail.flags)
        date = b"" if mail.date is None else b' "' + format_date(mail.date).encode() + b'"'
        return b" (" + flags + b")" + date + b" "

    def append(self, name, mail, check=True):
        """One message; `mail` may be bytes. Returns the Answer."""
        if isinstance(mail, (bytes, bytearray)):
            mail = Mail(mail)
        text, literals = self.name_arg(name)
        if b"{}" in text:  # also a quoted name that holds these two characters
            text, literals = b"{}", (utf7.encode(name),)
        line = b"APPEND " + text
        return self.cmd(line + self.append_head(mail) + b"{}", *literals, mail.body, check=check)

    def fill(self, name, mails, batch_bytes=1 << 21, batch_count=100, window=8, on_refused=None):
        """Stores all mails in order as fast as the server takes them; returns how many.

        With LITERAL+ commands are pipelined, with MULTIAPPEND several messages go in one. A
        refused message is a failure unless on_refused(mail, answer) is given (then singly).
        """
        self.select(name)
        plus = b"LITERAL+" in self.capabilities
        multi = plus and b"MULTIAPPEND" in self.capabilities and on_refused is None
        count, flying, batch, size = 0, deque(), [], 0
        for mail in mails:
            if isinstance(mail, (bytes, bytearray)):
                mail = Mail(mail)
            count += 1
            if on_refused is not None or not plus:
                answer = self.append(name, mail, check=on_refused is None)
                if answer.status != "OK":
                    on_refused(mail, answer)
                    count -= 1
                continue
            batch.append(mail)
            size += len(mail.body)
            if not multi or size >= batch_bytes or len(batch) >= batch_count:
                flying.append(self.start_batch(name, batch))
                batch, size = [], 0
                while len(flying) > window:
                    self.finish(flying.popleft())
        if batch:
            flying.append(self.start_batch(name, batch))
        while flying:
            self.finish(flying.popleft())
        return count

    def start_batch(self, name, batch):
        line, literals = [b"APPEND {}"], [utf7.encode(name)]
        for mail in batch:
            line.append(self.append_head(mail) + b"{}")
            literals.append(mail.body)
        return self.start(b"".join(line), *literals)

    def uids(self):
        rows = self.responses(self.cmd("UID SEARCH ALL"), "SEARCH")
        return [int(n) for row in rows for n in row]

    def messages(self, uids="1:*", bodies=True):
        """Yields Message rows in the server's order; the folder must be selected."""
        items = "UID FLAGS INTERNALDATE" + (" BODY.PEEK[]" if bodies else "")
        self.number += 1
        tag = b"t%d" % self.number
        self.send(tag + b" UID FETCH %s (%s)\r\n" % (uids.encode(), items.encode()))
        while True:
            parts = self.read_response()
            answer = self.take(parts)
            if answer is None:
                row = self.fetched(parts)
                if row is not None and (row.body is not None or not bodies):
                    self.untagged.pop()
                    yield row
            elif answer.tag == tag:
                if answer.status != "OK":
                    raise ImapError("FETCH: " + answer.text, answer.status, answer.code)
                return
            else:
                self.done[answer.tag] = answer

    def fetched(self, parts):
        if not re.match(rb"\* \d+ FETCH ", parts[0], re.I):
            return None
        row = tokens([parts[0][2:]] + parts[1:])[2]
        uid, body, flags, date = None, None, frozenset(), None
        for key, value in zip(row[0::2], row[1::2]):
            key = key.upper()
            if key == b"UID":
                uid = int(value)
            elif key.startswith(b"BODY["):
                if isinstance(value, Body):
                    body = value
                else:
                    body = Body.of(bytes(value or b""))
            elif key == b"FLAGS":
                flags = frozenset(normal_flag(f) for f in value if f.lower() != b"\\recent")
            elif key == b"INTERNALDATE":
                date = parse_date(value)
        return None if uid is None else Message(uid, body, flags, date)


def normal_flag(flag):
    """System flags in one spelling; keywords as they are, compared without case."""
    text = flag.decode("latin-1")
    return text if not text.startswith("\\") else "\\" + text[1:].capitalize()
