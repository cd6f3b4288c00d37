"""The mail that is timed: named corpora, the same at each run, written straight into a Maildir.

Sizes are log-normal with a long tail and add up to what the corpus says; small messages are text,
large ones carry an attachment in base64. Folders get fewer messages the later they come in the
list. A Maildir keeps all there is to know in its files: the date is a file's time, flags and sizes
are in its name, so writing one takes 40 microseconds a message, and MULTIAPPEND to an mdbox,
which is used where a corpus asks for that store, twice that.
"""

import base64
import fcntl
import hashlib
import math
import os
import random
import re
import shutil
import time
from collections import Counter

from lib import utf7
from lib.account import name_of
from lib.imap import MONTHS, Client, Mail, parse_date
from servers.dovecot import Dovecot

MADE_AS = 3  # to be raised when the mail of a corpus changes, so that kept ones are made anew
KEYWORDS = ("$Forwarded", "NonJunk", "work", "later", "$label1")
DATE_FIRST = 1230768000  # 1 January 2009
LARGEST = 6 << 20
TEXT_BYTES, CODED_BYTES = 1 << 20, 8 << 20
WITH_ATTACHMENT = 12000  # messages above this have one
TOP = ["INBOX", "Sent", "Archive", "Projects", "Drafts", "Trash", "Junk", "Büro", "Re & Co"]
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()


class Corpus:
    """users: how many mailboxes; messages, size, folders: of each of them; sigma: how far sizes
    spread; store: of the source; again_only: what is timed is a pass that finds nothing new."""

    def __init__(self, name, messages, size, folders, sigma, users=1, store="maildir",
                 again_only=False, mail_of=None):
        self.name, self.messages, self.size, self.folders = name, messages, size, folders
        self.sigma, self.store, self.again_only = sigma, store, again_only
        self.mail_of = mail_of or name  # the corpus whose mail this is
        self.users = ["u%d" % n for n in range(1, users + 1)]
        self.count = messages * users

    def passwords(self):
        return {user: "secret-" + user for user in self.users}


CORPORA = {c.name: c for c in (
    Corpus("S", 2000, 93e6, 40, 1.5),
    Corpus("M", 20000, 77e6, 40, 1.2),
    Corpus("L", 1500, 520e6 / 6, 10, 1.5, users=6),
    Corpus("T", 60000, 36e6, 1, 0.2),
    Corpus("H", 300000, 180e6, 1, 0.2),
    Corpus("UM", 20000, 77e6, 40, 1.2, again_only=True, mail_of="M"),
    Corpus("UT", 1000000, 600e6, 1, 0.2, store="mdbox", again_only=True),
)}
NAMES = {"U": ["UM", "UT"]}  # what a name on the command line stands for, where not for itself


def folder_paths(count):
    """Paths of `count` folders, the parents among them."""
    paths = [tuple([name]) for name in TOP]
    paths += [("Archive", str(year)) for year in range(2009, 2025)]
    paths += [("Projects", "Project %d" % n) for n in range(1, 40)]
    return paths[:count]


class Text:
    """What bodies are cut from; made once, so that a message costs two slices."""

    def __init__(self):
        r = random.Random("text")
        words = ["".join(r.choice("aeiou" if k % 2 else "bcdfglmnprst") for k in range(
            r.randint(2, 11))) for _ in range(4000)]
        lines, size = [], 0
        while size < TEXT_BYTES:
            line = " ".join(r.choices(words, k=r.randint(4, 11)))
            lines.append(line)
            size += len(line) + 1
        self.text = "\n".join(lines).encode()
        self.coded = base64.encodebytes(r.randbytes(CODED_BYTES * 57 // 77))

    def words(self, r, size):
        at = r.randrange(len(self.text) - size)
        return self.text[at:at + size - 1] + b"\n"

    def attachment(self, r, size):
        lines = min(max(1, size // 77), len(self.coded) // 77 - 1)
        at = r.randrange(len(self.coded) // 77 - lines) * 77
        return self.coded[at:at + lines * 77]


def sizes(corpus, r):
    """Log-normal, none above LARGEST, scaled to the sum."""
    raw = [math.exp(r.gauss(0, corpus.sigma)) for _ in range(corpus.messages)]
    for _ in range(3):
        scale = corpus.size / sum(raw)
        raw = [min(max(500, s * scale), LARGEST) for s in raw]
    return [int(s) for s in raw]


def shares(corpus):
    """How many messages each folder holds."""
    weight = [1 / (k + 4) for k in range(corpus.folders)]
    counts = [int(corpus.messages * w / sum(weight)) for w in weight]
    counts[0] += corpus.messages - sum(counts)
    return counts


def mail_date(at):
    t = time.gmtime(at)
    return "%s, %d %s %d %02d:%02d:%02d +0000" % (DAYS[t.tm_wday], t.tm_mday, MONTHS[t.tm_mon - 1],
                                                 t.tm_year, t.tm_hour, t.tm_min, t.tm_sec)


def body(text, r, user, n, at, size):
    """A message of about `size` bytes on the wire, its lines ended by a line feed alone."""
    date = mail_date(at)
    head = ("Return-Path: <p%d@partner.example>\nReceived: from mx.partner.example by "
            "mail.acme.example with ESMTPS id %08x; %s\nFrom: Person %d <p%d@partner.example>\n"
            "To: %s@acme.example\nSubject: About matter %d, %x\nDate: %s\n"
            "Message-ID: <%d.%08x@partner.example>\nMIME-Version: 1.0\n" % (
                n % 97, r.getrandbits(32), date, n % 97, n % 97, user, n % 1009, n, date, n,
                r.getrandbits(32))).encode()
    size -= size // 70  # what the CRs will add
    if size < WITH_ATTACHMENT:
        head += b"Content-Type: text/plain; charset=utf-8\n\n"
        return head + text.words(r, max(40, size - len(head)))
    border = b"=_%d_%x" % (n, r.getrandbits(40))
    return b"".join((
        head, b'Content-Type: multipart/mixed; boundary="', border, b'"\n\n--', border,
        b"\nContent-Type: text/plain; charset=utf-8\n\n", text.words(r, 1500), b"--", border,
        b"\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n",
        text.attachment(r, size - len(head) - 1900), b"--", border, b"--\n"))


def flags_of(r, draft):
    x = r.random()
    flags = ["\\Draft"] if draft else []
    if x < 0.8:
        flags.append("\\Seen")
    if x < 0.18:
        flags.append("\\Answered")
    if 0.3 < x < 0.34:
        flags.append("\\Flagged")
    if 0.4 < x < 0.52:
        flags.append(KEYWORDS[int(x * 1e6) % len(KEYWORDS)])
    return tuple(flags)


def mails(corpus, user):
    """Yields (path, [function that yields Mail]) of each folder; dates rise within a folder."""
    r = random.Random("%s %s" % (corpus.mail_of, user))
    text, all_sizes, n = Text(), sizes(corpus, r), 0
    step = 500000000 // corpus.messages
    for path, count in zip(folder_paths(corpus.folders), shares(corpus)):
        def each(path=path, first=n, count=count):
            own = random.Random("%s %s %s" % (corpus.mail_of, user, path))
            for k in range(first, first + count):
                at = DATE_FIRST + k * step + own.randrange(step)
                yield Mail(body(text, own, user, k, at, all_sizes[k]),
                           flags_of(own, path == ("Drafts",)), at)
        yield path, each
        n += count


def write_maildir(corpus, server, user):
    letters = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S"}
    letters.update((word, chr(97 + n)) for n, word in enumerate(KEYWORDS))
    top = os.path.join(server.home(user), "mail")
    for path, each in mails(corpus, user):
        place = top if path == ("INBOX",) else os.path.join(
            top, "." + ".".join(utf7.encode(part).decode() for part in path))
        for sub in "cur", "new", "tmp":
            os.makedirs(os.path.join(place, sub))
        keywords = os.path.join(place, "dovecot-keywords")
        with open(keywords, "w") as f:
            f.write("".join("%d %s\n" % pair for pair in enumerate(KEYWORDS)))
        for owned in top, place, keywords, *(os.path.join(place, s) for s in ("cur", "new", "tmp")):
            server.give(owned)
        for n, mail in enumerate(each()):
            name = "%s/cur/%d.M%06dP1.acme,S=%d,W=%d:2,%s" % (
                place, mail.date, n % 1000000, len(mail.body), len(mail.body) + mail.body.count(
                    b"\n"), "".join(sorted(letters[flag] for flag in mail.flags)))
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, mail.body)
            server.give(fd)
            os.utime(fd, (mail.date, mail.date))
            os.close(fd)


def append_all(corpus, server, user):
    with Client(server.port, server.host) as client:
        client.login(user, server.users[user])
        for path, each in mails(corpus, user):
            if path != ("INBOX",):
                client.create(name_of(path, "/"))
            client.fill(name_of(path, "/"), (
                m._replace(body=m.body.replace(b"\n", b"\r\n")) for m in each()))


def fill(corpus, server):
    """Fills the accounts of the source; their folders are subscribed and the server's caches warm
    when this returns."""
    for user in corpus.users:
        if corpus.store == "maildir":
            write_maildir(corpus, server, user)
        else:
            append_all(corpus, server, user)
        with Client(server.port, server.host, timeout=600) as client:
            client.login(user, server.users[user])
            for path in folder_paths(corpus.folders):
                client.subscribe(name_of(path, "/"))
                client.select(name_of(path, "/"), readonly=True)
                for _ in client.messages(bodies=False):
                    pass


class Source:
    """The server with a corpus on it. With `cache` its mail lies in a directory there that
    outlives the run and is used again by the next: sources are only read."""

    def __init__(self, bench, corpus, place, cache=None):
        self.lock = None
        if cache:
            os.makedirs(cache, exist_ok=True)
            base = os.path.join(cache, "%s-%d-%s" % (corpus.mail_of, MADE_AS, corpus.store))
            self.lock = os.open(base + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            ready = os.path.exists(base + ".ready")
            if not ready:
                shutil.rmtree(base, ignore_errors=True)
        else:
            base, ready = os.path.join(place, "source-" + corpus.name), False
        began = time.monotonic()
        os.makedirs(base, exist_ok=True)
        os.chmod(base, 0o711)
        self.server = Dovecot(bench, corpus.passwords(), name="source", store=corpus.store,
                              mail_dir=base, settings=SETTINGS)
        if not ready:
            fill(corpus, self.server)
            if cache:
                open(base + ".ready", "w").close()
        if self.lock is not None:
            fcntl.flock(self.lock, fcntl.LOCK_SH)
        self.base, self.kept, self.took = base, bool(cache), time.monotonic() - began

    def close(self):
        self.server.close()
        if not self.kept:
            shutil.rmtree(self.base, ignore_errors=True)
        if self.lock is not None:
            os.close(self.lock)


SETTINGS = "default_vsz_limit = 0\n"  # a folder of a million takes more than the default


# --- what is there

def counts(server, user):
    """{folder: messages}, those that hold any."""
    with Client(server.port, server.host, timeout=600) as client:
        client.login(user, server.users[user])
        found = {}
        for row in client.list():
            if not row.attributes & {"\\noselect", "\\nonexistent"}:
                answer = client.named("STATUS", row.name, b" (MESSAGES)")
                found[row.name] = int(re.search(rb"MESSAGES (\d+)",
                                                answer.untagged[-1][-1]).group(1))
        client.logout()
    return {name: count for name, count in found.items() if count}


FETCHED = re.compile(rb"FLAGS \(([^)]*)\)")
DATED = re.compile(rb'INTERNALDATE "([^"]*)"')
X_TUID = re.compile(rb"^X-TUID: [^\r\n]*\r\n", re.M)


def read_folder(client, name):
    """A row for each message: digest of its body, of the body without what mbsync puts in,
    system flags, keywords, date."""
    rows = []
    if not client.select(name, readonly=True)["exists"]:
        return rows
    client.number += 1
    tag = b"t%d" % client.number
    client.send(tag + b" UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])\r\n")
    while True:
        line = client.read_line()
        if line.startswith(tag + b" "):
            if not line.startswith(tag + b" OK"):
                raise ValueError(line)
            return rows
        if not line.startswith(b"* ") or not line.endswith(b"}"):
            continue
        size = int(line[line.rindex(b"{") + 1:-1])
        while len(client.buffer) < size:
            client.more(max(size - len(client.buffer), 1 << 16))
        data = bytes(client.buffer[:size])
        del client.buffer[:size]
        line += client.read_line()
        flags = {f.lower() for f in FETCHED.search(line).group(1).split()} - {b"\\recent"}
        system = frozenset(f for f in flags if f.startswith(b"\\"))
        end = data.find(b"\r\n\r\n") + 4
        head = X_TUID.sub(b"", data[:end])
        digest = hashlib.sha1(data).digest()
        rows.append((digest, digest if len(head) == end else hashlib.sha1(head + data[end:])
                     .digest(), system, frozenset(flags) - system,
                     parse_date(DATED.search(line).group(1))))


def read_all(server, user):
    """{folder: rows}, those that hold any."""
    with Client(server.port, server.host, timeout=600) as client:
        client.login(user, server.users[user])
        found = {row.name: read_folder(client, row.name) for row in client.list()
                 if not row.attributes & {"\\noselect", "\\nonexistent"}}
        client.logout()
    return {name: rows for name, rows in found.items() if rows}


def losses(source, target):
    """What the target's copy lacks, in words: {} when all is equal. Bodies first, then flags and
    dates of those whose body is the same but for a header of mbsync's."""
    lost = Counter()
    for name in set(source) | set(target):
        want, have = source.get(name, []), target.get(name, [])
        if Counter(want) == Counter(have):
            continue
        lost["bodies with an X-TUID more"] += sum(row[0] != row[1] for row in have)
        missing = Counter(row[1] for row in want) - Counter(row[1] for row in have)
        lost["bodies changed or missing"] += sum(missing.values())
        lost["bodies that are not the source's"] += sum(
            (Counter(row[1] for row in have) - Counter(row[1] for row in want)).values())
        for what, column in ("flags", 2), ("keywords", 3), ("dates", 4):
            gone = Counter((row[1], row[column]) for row in want if row[1] not in missing)
            gone.subtract(Counter((row[1], row[column]) for row in have))
            lost["%s differ" % what] += sum(n for n in gone.values() if n > 0)
    return {what: n for what, n in lost.items() if n}
