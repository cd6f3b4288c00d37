"""The stand-in's mail: accounts, folders, messages; in memory, one lock for all."""

import base64
import hashlib
import itertools
import re
import threading

from lib import utf7
from lib.imap import format_date
from standins import made_up
from standins.imap_parse import SYSTEM, Refused

NAMED = {b"\\seen": "\\Seen", b"\\answered": "\\Answered", b"\\flagged": "\\Flagged",
         b"\\deleted": "\\Deleted", b"\\draft": "\\Draft"}


def flag_name(flag):
    return NAMED.get(flag.lower(), flag.decode("latin-1"))


class Message:
    """body: bytes, or None where only `size`, `head` and `sha256` are kept, or it is made up."""

    __slots__ = ("uid", "flags", "date", "raw_date", "body", "size", "head", "sha256", "seed",
                 "revision", "folder", "modseq", "gone")

    def __init__(self, uid, body, flags=(), date=0, raw_date=None, size=None, seed=None, head=b"",
                 sha256=""):
        self.uid, self.body, self.flags, self.date = uid, body, set(flags), date
        self.raw_date = raw_date
        self.size = len(body) if body is not None else size
        self.seed, self.head, self.sha256 = seed, head, sha256
        self.revision, self.gone = 0, False
        self.folder, self.modseq = None, 0

    def internal_date(self):
        return self.raw_date if self.raw_date is not None else format_date(self.date)

    def chunks(self):
        if self.body is not None:
            return iter((self.body,))
        if self.seed is not None:
            return made_up.chunks(self.size, self.seed)
        raise Refused("the bytes of this message were not kept", "SERVERBUG")

    def part(self, start, count):
        """BODY[]<start.count>"""
        if self.body is not None:
            return self.body[start:start + count]
        if self.seed is None:
            return self.head[start:start + count]
        out, at = b"", 0
        for data in self.chunks():
            if at + len(data) > start:
                out += data[max(0, start - at):start + count - at]
            at += len(data)
            if at >= start + count:
                break
        return out


class Folder:
    numbers = itertools.count(1)

    def __init__(self, name, uidvalidity, selectable=True, use=""):
        self.name, self.uidvalidity, self.uidnext = name, uidvalidity, 1
        self.selectable, self.use = selectable, use
        self.messages = []
        self.modseq = 1  # the highest
        self.vanished = []  # (UID, mod-sequence)
        self.id = "F%d" % next(Folder.numbers)

    def add(self, message):
        message.uid = self.uidnext
        self.uidnext += 1
        self.messages.append(message)
        message.folder = self
        self.touch(message)
        return message

    def touch(self, message):
        self.modseq += 1
        message.modseq = self.modseq

    def expunge(self, gone):
        for message in gone:
            message.gone = True
            self.touch(message)
            self.vanished.append((message.uid, message.modseq))
        self.messages = [m for m in self.messages if not m.gone]


class Account:
    def __init__(self, quota=None):
        self.folders, self.subscribed, self.quota = {}, set(), quota

    def used(self):
        return sum(m.size for f in self.folders.values() for m in f.messages)


class Store:
    def __init__(self, config):
        self.lock = threading.RLock()
        self.config = config
        self.delimiter = config.get("delimiter", "/").encode()
        self.content = config.get("content", {})
        self.next_validity = itertools.count(config.get("uidvalidity", 1000))
        self.accounts = {}
        for user in config.get("users", {}):
            self.add_account(user, config.get("accounts", {}).get(user, {}))

    def add_account(self, user, given):
        account = self.accounts[user] = Account(given.get("quota"))
        account.folders[b"INBOX"] = Folder(b"INBOX", next(self.next_validity))
        for name, folder in given.get("folders", {}).items():
            self.add_folder(user, name, **folder)

    def add_folder(self, user, name, messages=(), raw=False, uidvalidity=None, selectable=True,
                   subscribed=False, use="", uidnext=None):
        """raw: the name is the wire's bytes (one character each), not text."""
        account = self.accounts[user]
        wire = name.encode("latin-1") if raw else utf7.encode(name)
        folder = account.folders.setdefault(wire, Folder(wire, next(self.next_validity)))
        folder.selectable, folder.use = selectable, use
        if uidvalidity is not None:
            folder.uidvalidity = uidvalidity
        if subscribed:
            account.subscribed.add(wire)
        for given in messages:
            self.add_message(user, wire, **given)
        if uidnext is not None:
            folder.uidnext = max(folder.uidnext, uidnext)
        return folder

    def add_message(self, user, wire, text=None, data=None, flags=(), date=1420452000,
                    raw_date=None, made_up=None, seed=0, uid=None, count=1):
        """text (one character a byte), data (base64) or made_up (a size)."""
        folder = self.accounts[user].folders[wire]
        for _ in range(count):
            if made_up is not None:
                message = Message(0, None, flags, date, raw_date, size=made_up, seed=seed)
            else:
                body = base64.b64decode(data) if data is not None else text.encode("latin-1")
                message = Message(0, body, flags, date, raw_date)
            if uid is not None:
                folder.uidnext = max(folder.uidnext, uid)
            folder.add(message)

    # --- what the commands do; all under the lock

    def folder(self, account, name, selectable=True):
        folder = account.folders.get(self.spelled(name))
        if folder is None or (selectable and not folder.selectable):
            raise Refused("no such folder", "NONEXISTENT")
        return folder

    def spelled(self, name):
        parts = name.split(self.delimiter)
        if parts[0].upper() == b"INBOX":
            parts[0] = b"INBOX"
        return self.delimiter.join(parts)

    def check_name(self, name):
        if any(b >= 0x80 or b < 0x20 for b in name):
            raise Refused("8-bit or control byte in a name", "CANNOT")
        if utf7.decode(name) is None:
            raise Refused("name is not modified UTF-7", "CANNOT")
        if name == b"" or b"" in name.split(self.delimiter):
            raise Refused("empty name or component", "CANNOT")

    def create(self, account, name, use=""):
        if name.endswith(self.delimiter):
            name = name[:-1]
        name = self.spelled(name)
        self.check_name(name)
        old = account.folders.get(name)
        if old is not None and old.selectable:
            raise Refused("exists", "ALREADYEXISTS")
        parts = name.split(self.delimiter)
        for length in range(1, len(parts)):
            parent = self.delimiter.join(parts[:length])
            if parent not in account.folders:
                account.folders[parent] = Folder(parent, next(self.next_validity),
                                                 self.config.get("parents", "noselect") == "real")
        account.folders[name] = Folder(name, next(self.next_validity), True, use)
        return account.folders[name]

    def delete(self, account, name):
        folder = self.folder(account, name, False)
        if folder.name == b"INBOX":
            raise Refused("INBOX stays", "CANNOT")
        folder.expunge(list(folder.messages))
        if any(n.startswith(folder.name + self.delimiter) for n in account.folders):
            if not folder.selectable:
                raise Refused("has children", "HASCHILDREN")
            folder.selectable = False
        else:
            del account.folders[folder.name]

    def rename(self, account, old, new):
        folder = self.folder(account, old, False)
        new = self.spelled(new)
        self.check_name(new)
        if new in account.folders:
            raise Refused("exists", "ALREADYEXISTS")
        old = folder.name
        for name in [n for n in account.folders if n == old or n.startswith(old + self.delimiter)]:
            moved = account.folders.pop(name)
            moved.name = new + name[len(old):]
            account.folders[moved.name] = moved

    def refuse(self, data):
        """Raises Refused when this server does not take such a message."""
        c, body = self.content, data.data if data.data is not None else data.head
        if data.size == 0:
            raise Refused("can't save a zero byte message")
        if data.size > c.get("max_size", 1 << 62):
            raise Refused("message too big", "TOOBIG")
        if c.get("refuse_nul") and b"\0" in body:
            raise Refused("message contains NUL characters")
        if c.get("refuse_bare") and re.search(rb"(?<!\r)\n|\r(?!\n)", body):
            raise Refused("message contains bare newlines")
        head = body.partition(b"\r\n\r\n")[0]
        if c.get("refuse_8bit_headers") and any(b >= 0x80 for b in head):
            raise Refused("message contains non-ASCII characters in headers")
        if c.get("refuse_long_lines") and any(len(l) > 998 for l in body.split(b"\n")):
            raise Refused("message contains too long lines")
        for rule in c.get("refuse", ()):
            if re.search(rule["pattern"].encode("latin-1"), body):
                raise Refused(rule.get("text", "message refused"), rule.get("code", ""))

    def kept(self, data):
        """(body, size, head, digest) as this server keeps them."""
        if data.data is None:
            return None, data.size, data.head, data.sha256
        body = data.data
        if self.content.get("bare_as_crlf"):
            body = re.sub(rb"\r\n|\r|\n", b"\r\n", body)
        if self.content.get("nul_as_80"):
            body = body.replace(b"\0", b"\x80")
        body = self.content.get("prepend", "").encode() + body
        return body, len(body), b"", ""

    def keywords(self, flags):
        """Which flags this server keeps (PERMANENTFLAGS)."""
        allowed = self.config.get("keywords")
        names = [flag_name(f) for f in flags]
        if allowed is None:
            return names
        return [n for n in names if n[0] == "\\" or n.lower() in {a.lower() for a in allowed}]

    def append(self, account, folder, items):
        """Stores all or none; the UIDs. items: (flags, date, Data)."""
        size = sum(data.size for _, _, data in items)
        if account.quota is not None and account.used() + size > account.quota:
            raise Refused("quota exceeded", "OVERQUOTA")
        for _, _, data in items:
            self.refuse(data)
        uids = []
        for flags, date, data in items:
            body, size, head, digest = self.kept(data)
            twin = next((m for m in folder.messages if body is not None and m.body == body), None) \
                if self.config.get("deduplicate") else None
            if twin is None:
                twin = folder.add(Message(0, body, self.keywords(flags), date, size=size,
                                          head=head, sha256=digest))
            uids.append(twin.uid)
        return uids

    def store_flags(self, message, how, flags):
        names = set(self.keywords(flags))
        if how == "+":
            message.flags |= names
        elif how == "-":
            message.flags -= names
        else:
            message.flags = names
        message.revision += 1
        message.folder.touch(message)

    def permanent(self):
        allowed = self.config.get("keywords")
        system = [NAMED[f] for f in sorted(SYSTEM)]
        return system + (["\\*"] if allowed is None else list(allowed))

    def summary(self):
        """For the control port: {user: {folder: [[uid, size, digest, flags, date]]}}"""
        out = {}
        for user, account in self.accounts.items():
            out[user] = {}
            for name, folder in account.folders.items():
                out[user][name.decode("latin-1")] = [
                    [m.uid, m.size, hashlib.sha256(m.body).hexdigest() if m.body is not None
                     else m.sha256, sorted(m.flags), m.date] for m in folder.messages]
        return out
