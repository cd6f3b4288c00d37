"""The whole state of an account, and what differs between two of them.

A folder is named by its path: the components of its name as a tuple of decoded text, the
personal namespace's prefix taken off, INBOX spelt so. Paths are written as 'a/b' in expected
files; a '/' inside a component is written as '\\/'.
"""

import json
import os
from collections import Counter

from lib import utf7
from lib.imap import Client

# Folders that are divided among connections have the source's order but for neighbouring parts.
ORDERED = "large_folder" not in json.loads(os.environ.get("MAILHAUL_TEST_RUN", "{}"))


class Folder:
    def __init__(self, path, name):
        self.path, self.name = path, name
        self.uidvalidity = self.uidnext = 0
        self.messages = []
        self.attributes = set()
        self.subscribed = False
        self.selectable = True

    def __repr__(self):
        return "Folder(%s, %d messages)" % (show_path(self.path), len(self.messages))


def show_path(path):
    return "/".join(part.replace("/", "\\/") for part in path)


def read_path(text):
    """'a/b\\/c' or a list -> ('a', 'b/c')"""
    if not isinstance(text, str):
        return tuple(text)
    parts, here, escaped = [], "", False
    for char in text:
        if escaped or (char not in "\\/"):
            here, escaped = here + ("\\" if escaped and char not in "\\/" else "") + char, False
        elif char == "\\":
            escaped = True
        else:
            parts.append(here)
            here = ""
    return tuple(parts + [here + ("\\" if escaped else "")])


def path_of(name, delimiter, prefix):
    """The path of a name as on the wire."""
    if prefix and name.startswith(prefix) and len(name) > len(prefix):
        name = name[len(prefix):]
    parts = name.split(delimiter.encode()) if delimiter else [name]
    if parts[0].upper() == b"INBOX":
        parts[0] = b"INBOX"
    return tuple(utf7.show(p) for p in parts)


def name_of(path, delimiter, prefix=b""):
    """The name on the wire of a path. Where the personal namespace is INBOX itself, a child of
    INBOX is a folder of the top level: INBOX/child and child are the same."""
    if path == ("INBOX",):
        return b"INBOX"
    if path[0] == "INBOX" and prefix.upper() == b"INBOX" + delimiter.encode():
        path = path[1:]
    return prefix + delimiter.encode().join(utf7.encode(p) for p in path)


def read_account(client, bodies=True, only=None):
    """{path: Folder} of the account this client is logged in to. The other users' and the
    shared namespaces are left out only by `only(path)`."""
    prefix, delimiter = client.namespace()
    folders = {}
    for row in client.list(special_use=True):
        path = path_of(row.name, row.delimiter, prefix)
        if only and not only(path):
            continue
        folder = folders.setdefault(path, Folder(path, row.name))
        folder.attributes |= row.attributes
        folder.selectable = not folder.attributes & {"\\noselect", "\\nonexistent"}
    for row in client.lsub():
        path = path_of(row.name, row.delimiter, prefix)
        if path in folders and "\\noselect" not in row.attributes:
            folders[path].subscribed = True
    for folder in folders.values():
        if folder.selectable:
            read_folder(client, folder, bodies)
    return folders


def read_folder(client, folder, bodies=True):
    info = client.select(folder.name, readonly=True)
    folder.uidvalidity, folder.uidnext = info.get("uidvalidity", 0), info.get("uidnext", 0)
    folder.messages = []
    if info["exists"]:
        folder.messages = sorted(client.messages(bodies=bodies), key=lambda m: m.uid)


def state_of(server, user, password=None, authzid=None, bodies=True):
    """read_account() over a connection of its own."""
    with Client(server.port) as client:
        client.login(user, password if password is not None else server.users[user], authzid)
        folders = read_account(client, bodies)
        client.logout()
    return folders


class Expected:
    """What may differ, from a JSON file or a dict:

    {"folders": {"source/path": "target/path"},      renamed ones
     "only_source": ["path", ...]                    not wanted on the target
     "only_target": ["path", ...]                    there without a source (Trash made by server)
     "unsubscribed": ["path", ...]                   subscription not carried
     "messages": [{"label": "nul-1", or "folder": "INBOX", "n": 3 (from 1, in UID order),
                   "state": "failed"}                not on the target
                  {..., "state": "repaired", "as": "canonical" | "changed" | sha256}
                  {..., "state": "same", "flags_lost": ["Keyword"], "date": seconds | "any"}]}
    """

    def __init__(self, data=None):
        if isinstance(data, str):
            with open(data) as f:
                data = json.load(f)
        data = data or {}
        self.folders = {read_path(k): read_path(v) for k, v in data.get("folders", {}).items()}
        self.only_source = {read_path(p) for p in data.get("only_source", ())}
        self.only_target = {read_path(p) for p in data.get("only_target", ())}
        self.unsubscribed = {read_path(p) for p in data.get("unsubscribed", ())}
        self.flags_lost = set(data.get("flags_lost", ()))
        self.by_label, self.by_place = {}, {}
        for row in data.get("messages", ()):
            if "label" in row:
                self.by_label[row["label"]] = row
            else:
                self.by_place[read_path(row["folder"]), row["n"]] = row

    def row(self, path, n, label):
        return self.by_place.get((path, n)) or self.by_label.get(label) or {"state": "same"}

    def target_path(self, path):
        """The longest renamed parent decides."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.folders:
                return self.folders[path[:length]] + path[length:]
        return path


def describe(message):
    return "UID %d, %d bytes, %s, flags (%s), date %s, starts %r" % (
        message.uid, message.body.size, message.body.sha256[:12],
        " ".join(sorted(message.flags)), message.date, message.body.head[:60])


def same_flags(source, target, lost):
    lost = {f.lower() for f in lost}
    want = {f.lower() for f in source.flags} - lost
    return want == {f.lower() for f in target.flags} - lost


def wanted_body(row, source, target):
    how = row.get("as", "canonical")
    if row["state"] != "repaired":
        return source.body == target.body
    if how == "canonical":
        return source.body.canonical == target.body.canonical
    if how == "changed":
        return source.body != target.body
    return target.body.sha256 == how


def differences(source, target, row, lost):
    """What is wrong with `target` as the copy of `source`, as words."""
    wrong = []
    if not wanted_body(row, source, target):
        wrong.append("bytes")
    if not same_flags(source, target, lost | set(row.get("flags_lost", ()))):
        wrong.append("flags")
    if row.get("date") != "any" and target.date != row.get("date", source.date):
        wrong.append("date")
    return wrong


def in_any_order(message):
    return message.date, message.body.canonical


def compare_folder(path, source, target, expected, labels, ordered=True):
    rows, copies = [], target.messages
    for n, message in enumerate(source.messages, 1):
        row = expected.row(path, n, labels.get((path, n), ""))
        if row["state"] != "failed":
            rows.append((n, message, row))
    if not ordered:
        rows.sort(key=lambda row: in_any_order(row[1]))
        copies = sorted(copies, key=in_any_order)
    out, place = [], show_path(path)
    if not source.messages and not target.messages:
        return out
    if len(rows) != len(target.messages):
        out.append("%s: %d messages expected, %d on the target" % (place, len(rows),
                                                                  len(target.messages)))
        out += counted(place, rows, target.messages)
    for (n, message, row), copy in zip(rows, copies):
        wrong = differences(message, copy, row, expected.flags_lost)
        if wrong:
            out.append("%s, message %d (%s): %s differ\n    source %s\n    target %s" % (
                place, n, labels.get((path, n), "-"), " and ".join(wrong), describe(message),
                describe(copy)))
    return out


def counted(place, rows, messages):
    """Which messages are missing or too many, by their bytes."""
    want = Counter(m.body.canonical for _, m, _ in rows)
    have = Counter(m.body.canonical for m in messages)
    out = []
    for n, m, _ in rows:
        if want[m.body.canonical] > have[m.body.canonical]:
            out.append("%s, message %d: %d times on the source, %d on the target: %s" % (
                place, n, want[m.body.canonical], have[m.body.canonical], describe(m)))
    for m in messages:
        if have[m.body.canonical] > want[m.body.canonical]:
            out.append("%s: %d times on the target, %d on the source: %s" % (
                place, have[m.body.canonical], want[m.body.canonical], describe(m)))
    return out


def compare(source, target, expected=None, labels=None, subscriptions=True, ordered=True):
    """All differences between two accounts as lines; empty = the target is as it must be.

    labels: {(path, n): label} as corpus.fill() returns it.
    """
    expected = expected if isinstance(expected, Expected) else Expected(expected)
    labels, out, seen = labels or {}, [], set()
    for path, folder in sorted(source.items()):
        if path in expected.only_source:
            continue
        goal = expected.target_path(path)
        copy = target.get(goal)
        if copy is None:
            if folder.selectable:
                out.append("%s: not on the target" % show_path(path))
            continue
        seen.add(goal)
        if folder.selectable and not copy.selectable:
            out.append("%s: cannot be selected on the target" % show_path(goal))
        out += compare_folder(path, folder, copy, expected, labels, ordered)
        if subscriptions and folder.selectable and folder.subscribed != copy.subscribed \
                and path not in expected.unsubscribed:
            out.append("%s: subscribed %s at the source, %s on the target" % (
                show_path(path), folder.subscribed, copy.subscribed))
    for path, folder in sorted(target.items()):
        if path not in seen and path not in expected.only_target and \
                (folder.selectable or folder.messages) and (folder.messages or path != ("INBOX",)):
            out.append("%s: on the target only (%d messages)" % (show_path(path),
                                                                len(folder.messages)))
    return out


def must_equal(source, target, expected=None, labels=None, subscriptions=True, ordered=ORDERED,
               most=40):
    """compare(), as a Failure that prints the differences."""
    from lib.bench import Failure
    out = compare(source, target, expected, labels, subscriptions, ordered)
    if out:
        more = "" if len(out) <= most else "\n... %d more" % (len(out) - most)
        raise Failure("%d differences:\n%s%s" % (len(out), "\n".join(out[:most]), more))
