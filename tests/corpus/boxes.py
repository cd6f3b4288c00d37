"""Whole mailboxes: the fidelity corpus, a small one for crashes, real messages, a demo office."""

import glob
import os
import re
import sys

from corpus import messages
from corpus.messages import Mail, plain
from lib.account import name_of, path_of, show_path
from lib.imap import Client
from standins import made_up

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Box:
    """A folder to fill: path, messages (a list, or a function that yields them), subscription,
    special use."""

    def __init__(self, path, mails=(), subscribed=False, use=""):
        self.path = tuple(path.split("/")) if isinstance(path, str) else tuple(path)
        self.mails, self.subscribed, self.use = mails, subscribed, use

    def all(self):
        return self.mails() if callable(self.mails) else iter(self.mails)


class Filled:
    """What filling came to: labels of messages by (path, n); what the server did not take."""

    def __init__(self):
        self.labels, self.refused_mails, self.refused_folders, self.count = {}, [], [], 0

    def place(self, label):
        """(path, n) of a label."""
        return next(place for place, other in self.labels.items() if other == label)


def fill(client, boxes, strict=False):
    """Fills the account that `client` is logged in to. What this server refuses is left out and
    noted in the Filled; with strict it is an error."""
    done = Filled()
    prefix, delimiter = client.namespace()
    for box in boxes:
        if any(delimiter in part for part in box.path):
            done.refused_folders.append(box.path)
            continue
        name = name_of(box.path, delimiter, prefix)
        if box.path != ("INBOX",):
            answer = create(client, name, box.use)
            if answer.status != "OK" and answer.code != "ALREADYEXISTS" and \
                    "exists" not in answer.text:
                if strict:
                    raise ValueError("%s: %s" % (show_path(box.path), answer.text))
                done.refused_folders.append(box.path)
                continue
        fill_box(client, name, Box(path_of(name, delimiter, prefix), box.mails), done, strict)
        if box.subscribed:
            client.subscribe(name)
    return done


def create(client, name, use):
    if use and b"CREATE-SPECIAL-USE" in client.capabilities:
        return client.named("CREATE", name, b" (USE (" + use.encode() + b"))", check=False)
    return client.create(name, check=False)


def fill_box(client, name, box, done, strict):
    refused, stored = set(), []

    def note(mail, answer):
        if strict:
            raise ValueError("%s: %s" % (mail.label, answer.text))
        refused.add(id(mail))
        done.refused_mails.append((box.path, mail.label, answer.text))

    def each():
        for mail in box.all():
            stored.append((id(mail), mail.label, mail))
            yield mail
    labelled = not callable(box.mails)
    done.count += client.fill(name, each() if labelled else box.all(),
                              on_refused=note if labelled and len(box.mails) < 1000 else None)
    n = 0
    for key, label, _ in stored:
        if key not in refused:
            n += 1
            done.labels[box.path, n] = label


def fill_account(server, user, boxes, strict=False):
    with Client(server.port) as client:
        client.login(user, server.users[user])
        done = fill(client, boxes, strict)
        client.logout()
    return done


def many(count, first=0):
    """`count` small messages, made while they are sent."""
    def each():
        for n in range(first, first + count):
            flags = [f for k, f in ((2, "\\Seen"), (7, "\\Answered"), (31, "\\Flagged"),
                                    (101, "$Forwarded")) if n % k == 0]
            yield plain(n, 200 + n * 37 % 3000, tuple(flags), 1300000000 + n * 977)
    return each


def large(size):
    def each():
        body = b"".join(made_up.chunks(size, 60))
        yield Mail(body, ("\\Seen",), 1420000000, "large")
    return each


def odd_folders():
    deep = tuple("level %d" % n for n in range(1, 13))
    names = [("with.dot",), ('with "quotes"',), (" lead",), ("trail ",), ("two  blanks",),
             ("Müller & Söhne",), ("Entwürfe", "Über uns"), ("日本語", "受信"), ("a&b",), ("&",),
             ("2024",), ("0",), ("INBOX", "child"), ("INBOX", "child", "grandchild"), deep,
             ("projects", "alpha", "beta"), ("semi;colon, comma",), ("back\\slash",),
             ("50% off",), ("star*",), ("brace{5}",), ("~tilde",), ("#hash",), ("emoji 📬",),
             ("slash/inside",), ("Sent Items",), ("x" * 120,)]
    for number, path in enumerate(names):
        yield Box(path, [plain(8000 + number, label="in-" + show_path(path))],
                  subscribed=number % 3 == 0)


def fidelity(big=10000, large_bytes=60 << 20, real=True):
    """The corpus of the promise: bytes, flags, dates, names, order, subscriptions."""
    boxes = [Box("INBOX", messages.odd(), subscribed=True),
             Box("Sent", [plain(9000, label="sent")], True, "\\Sent"),
             Box("empty folder", [], True)]
    boxes += odd_folders()
    if big:
        boxes.append(Box("many/ten thousand", many(big)))
    if large_bytes:
        boxes.append(Box("large", large(large_bytes)))
    found, why = real_messages() if real else ([], "")
    if found:
        boxes.append(Box("real", found))
    elif real:
        print("real messages left out: " + why)
    return boxes


def crash_set(large_bytes=3 << 20, refused=True):
    """At least 200 messages in 6 folders: identical pairs, a NUL, bare line feeds, one that a
    server with the rule REFUSED_RULE does not take, and one of `large_bytes`."""
    wanted = {"nul-body", "bare-lf-body", "bare-lf-all", "identical-1", "identical-2",
              "identical-but-flags-1", "identical-but-flags-2", "equal-headers-1",
              "equal-headers-2", "no-message-id", "empty-body", "keywords", "8bit-latin1-header"}
    special = [m for m in messages.odd() if m.label in wanted]
    if refused:
        special.append(Mail(messages.header("please refuse", 50) + REFUSED_TEXT + b"\r\n", (),
                            messages.START, "refused"))
    border = messages.padded(51, large_bytes) if large_bytes else b""
    rows = [Box("INBOX", special + [plain(n) for n in range(30)], True)]
    rows += [Box(path, [plain(100 * k + n, 100 + n * 53 % 4000, ("\\Seen",) if n % 3 else ())
                        for n in range(count)], k % 2 == 0)
             for k, (path, count) in enumerate((("Archive/2019", 60), ("Archive/2020", 45),
                                                ("Sent", 40), ("Büro & Co", 20)), 1)]
    rows.append(Box("large", [Mail(border, ("\\Flagged",), messages.START, "large")]
                    if border else []))
    return rows


REFUSED_TEXT = b"X-REFUSE-THIS-MESSAGE"
REFUSED_RULE = {"pattern": REFUSED_TEXT.decode(), "text": "message refused by policy"}


def real_place():
    return os.environ.get("MAILHAUL_CORPUS") or os.path.join(os.path.dirname(TOP), "shared",
                                                             "corpus")


def real_messages():
    """([Mail], '') of the corpus of real messages; ([], why) where there is none."""
    place = real_place()
    files = [f for f in sorted(glob.glob(os.path.join(place, "*", "*")))
             if not f.endswith(("LICENSE", "README.md")) and os.path.isfile(f)]
    if not files:
        return [], "no files in %s" % place
    out = []
    for path in files:
        with open(path, "rb") as f:
            data = f.read()
        name = os.path.basename(path)
        for n, body in enumerate(split_mbox(data) if ".mbox" in name else [data]):
            body = re.sub(rb"\r\n|\r|\n", b"\r\n", body)
            if body.strip():
                out.append(Mail(body, ("\\Seen",) if n % 2 else (),
                                1000000000 + len(out) * 3600, "real-%s-%d" % (name, n)))
    return out, ""


def split_mbox(data):
    """The messages of an mbox file; Content-Length is believed where it fits."""
    out, at = [], 0
    while data.startswith(b"From ", at):
        begin = data.find(b"\n", at) + 1
        end_head = data.find(b"\n\n", begin)
        m = re.search(rb"^Content-Length: (\d+)$", data[begin:end_head], re.M | re.I)
        end = end_head + 2 + int(m.group(1)) if m and end_head > 0 else -1
        if end < 0 or end > len(data) or data[end:].strip() and \
                not data[end:].lstrip(b"\n").startswith(b"From "):
            found = data.find(b"\n\nFrom ", begin)
            end = len(data) if found < 0 else found + 1
        out.append(data[begin:end])
        while data.startswith(b"\n", end):
            end += 1
        at = end
    return out


def as_standin(boxes, delimiter="/"):
    """The `folders` of a stand-in's account, for what no client can store (raw names, no
    selection); small corpora only."""
    import base64
    folders = {}
    for box in boxes:
        folders[delimiter.join(box.path)] = {
            "subscribed": box.subscribed, "use": box.use, "messages": [
                {"data": base64.b64encode(m.body).decode(), "flags": list(m.flags),
                 "date": m.date} for m in box.all()]}
    return folders


if __name__ == "__main__":
    for one in fidelity():
        print(show_path(one.path), sum(1 for _ in one.all()), file=sys.stdout)
