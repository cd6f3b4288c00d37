"""Death at every step: a run is killed, resumed, and must leave what an undisturbed one leaves.

Each step has a target account and a state directory of its own, so that steps run side by side. A
run that ends before it comes to its step is told apart from one that died."""

import base64
import concurrent.futures
import os
import random
import time
from collections import Counter, namedtuple

from corpus import boxes
from corpus.messages import START, padded
from lib.account import ORDERED, read_path, state_of
from lib.bench import Failure
from lib.haul import Haul
from standins.imapd import CAPABILITIES
from standins.standin import Standin

KINDS = "commit", "first-byte", "last-byte", "reply"
STREAM_LIMIT = 1 << 20
RUN = {"jobs": "1", "batch_messages": "40", "stream_limit": STREAM_LIMIT, "settle_wait": "1s"}
SIDE_BY_SIDE = 8  # a step waits most of its time

# as the ledger numbers them (doc/ledger.md)
STATES = {1: "landed", 2: "verified", 3: "skipped", 4: "failed", 5: "held", 6: "vanished",
          7: "adopted"}
REASONS = {0: "", 1000: "settled", 1001: "repaired", 1002: "wrapped", 1003: "date",
           1004: "keywords", 1008: "empty", 1009: "doubt"}
# The reason that may differ from the undisturbed run's: a message whose answer was lost is found
# on the target. Of one that was streamed the digest received is not known then.
MAY_BECOME = {"": "settled"}

# rows of an undisturbed run that have not simply landed
DOVECOT = {"landed repaired": 4, "skipped empty": 1}  # NUL and bare line feeds
CYRUS = {"landed repaired": 5, "skipped empty": 1}  # and an 8-bit header
REFUSING = {"landed repaired": 1, "skipped empty": 1, "failed refused": 1}

SEED = int(os.environ.get("MAILHAUL_SEED", "20261121"))

HEADERS_REWRITTEN = 1 << 3  # a bit of a row's steps

Row = namedtuple("Row", "state reason steps digest sent target_uid")
CROWD = {"t%04d" % n: "secret" for n in range(1, 600)}  # target accounts, one a step


def source_standin(bench, capabilities=()):
    """The crash corpus with its NUL, bare line feeds, a message of no bytes and two over the
    streaming limit, one of them with bare line feeds, as only a stand-in serves it.
    capabilities: more of them."""
    folders = boxes.as_standin(boxes.crash_set())
    folders["INBOX"]["messages"].insert(7, {"data": base64.b64encode(b"").decode(), "flags": [],
                                            "date": START})
    rewritten = padded(52, 2 << 20).replace(b"\r\n", b"\n")
    folders["large"]["messages"].append({"data": base64.b64encode(rewritten).decode(), "flags": [],
                                         "date": START})
    more = {"capabilities": CAPABILITIES + list(capabilities)} if capabilities else {}
    return Standin(bench, users={"ann": "secret"}, accounts={"ann": {"folders": folders}}, **more)


class Pairing:
    """A source, a target, and what an undisturbed run leaves there.

    make_user   makes one more account on the target and returns its name
    via         where mailhaul connects to instead of the target (a proxy)
    ends        {"failed refused": 1}: the rows of the undisturbed run that have not simply landed
    unordered   folders that need not have the source's order: a message that is refused for a
                reason nobody can see beforehand takes its batch behind those in flight
    sides       options of both sides of the profile
    ordered     whether the others do
    """

    def __init__(self, bench, source, target, make_user, via=None, run=None, ends=None,
                 unordered=(), sides=None, ordered=ORDERED):
        self.bench, self.source, self.target = bench, source, target
        self.make_user, self.via = make_user, via or target
        self.options = dict(RUN, **(run or {}))
        self.sides = sides
        self.ordered = ordered
        self.mail = state_of(source, "ann")
        self.digests = {(path, m.uid): m.body.sha256 for path, folder in self.mail.items()
                        for m in folder.messages}
        self.plain = set(self.digests.values())
        self.streamed = {(path, m.uid) for path, folder in self.mail.items()
                         for m in folder.messages if m.body.size > STREAM_LIMIT}
        self.unordered = {read_path(p) for p in unordered}
        self.undisturbed(Counter(ends or {}))

    def haul(self):
        """A profile whose one user goes into a target account of its own."""
        name = self.make_user()
        rows = "user;password;target_user;target_password\nann;secret;%s;secret\n" % name
        haul = Haul(self.bench, self.source, self.via, rows=rows, run=self.options,
                    source_options=self.sides, target_options=self.sides)
        haul.target_user = name
        return haul

    def undisturbed(self, ends):
        haul = self.haul()
        path = os.path.join(haul.dir, "steps")
        process = haul.run(expect=(0, 2), env={"MAILHAUL_DIE_COUNT": path})
        self.exit = process.popen.returncode
        with open(path) as f:
            self.steps = {kind: int(n) for kind, n in (line.split() for line in f)}
        state = self.state(haul)
        self.wanted, self.rows = content(state), ledger_rows(haul)
        self.check_source(state)
        self.check_places(state, self.rows, "the undisturbed run")
        have = Counter(("%s %s" % (row.state, row.reason)).strip() for row in self.rows.values())
        del have["landed"]
        if have != ends:
            raise Failure("the undisturbed run ended with %r, stated: %r" % (have, ends))

    def state(self, haul, bodies=True):
        return state_of(self.target, haul.target_user, "secret", bodies=bodies)

    def check_source(self, state):
        """What the undisturbed run left is the source's mail, each as often as it is there; only
        rows that say so are on the target otherwise, or not at all."""
        wrong = []
        for path, folder in self.mail.items():
            there = {m.uid: m for m in state[path].messages}
            for m in folder.messages:
                row = self.rows.get((path, m.uid))
                copy = there.pop(row.target_uid, None) if row and row.state == "landed" else None
                if row is None or (row.state == "landed" and not is_copy(copy, m, row)):
                    wrong.append("%s UID %d: %r, on the target %r" % ("/".join(path), m.uid, row,
                                                                     copy))
            if there:
                wrong.append("%s: of nobody: %r" % ("/".join(path), there))
        if len(self.rows) != sum(len(f.messages) for f in self.mail.values()):
            wrong.append("%d rows" % len(self.rows))
        if wrong:
            raise Failure("the undisturbed run:\n" + "\n".join(wrong))

    def in_order(self, path, rows):
        """The messages that arrive as they are; a repaired one has no fixed place."""
        return [] if path in self.unordered or not self.ordered else [row for row in rows or ()
                                                  if row[0] in self.plain]

    def check(self, haul, what):
        """Mail and ledger are those of the undisturbed run. Returns the target's state."""
        state = self.state(haul)
        have, lines = content(state), []
        for path in sorted(set(have) | set(self.wanted)):
            h, w = have.get(path), self.wanted.get(path)
            if None in (h, w) or sorted(h) != sorted(w) or \
                    self.in_order(path, h) != self.in_order(path, w):
                lost = [m for m in set(w or ()) if (w or []).count(m) > (h or []).count(m)]
                extra = [m for m in set(h or ()) if (h or []).count(m) > (w or []).count(m)]
                lines.append("%s: %d messages, wanted %d; lost %d, too many %d%s" % (
                    "/".join(path), len(h or ()), len(w or ()), len(lost), len(extra),
                    "" if lost or extra else ", in another order"))
        rows = ledger_rows(haul)
        lines += self.other_rows(rows)
        if haul.sql("SELECT count(*) AS n FROM batch")[0]["n"]:
            lines.append("a batch is still open")
        if lines:
            raise Failure("%s:\n%s\n%s" % (what, "\n".join(lines[:40]), haul.diagnostics()))
        self.check_places(state, rows, what)
        return state

    def check_places(self, state, rows, what):
        """Each row that has landed names the message that it is, and no two name one."""
        there = {(path, m.uid): m.body.sha256 for path, folder in state.items()
                 for m in folder.messages}
        for key, row in rows.items():
            if row.state == "landed" and there.pop((key[0], row.target_uid), "") != (
                    row.sent or self.digests[key]):
                raise Failure("%s: %s UID %d: target UID %d is not that message: %r" % (
                    what, "/".join(key[0]), key[1], row.target_uid, row))

    def other_rows(self, rows):
        """How the ledger's rows differ from the undisturbed run's."""
        for key in sorted(set(rows) | set(self.rows)):
            have, want = rows.get(key), self.rows.get(key)
            if have and want and have.reason == MAY_BECOME.get(want.reason):
                want = want._replace(reason=have.reason)
            if have and want and not have.digest and key in self.streamed:
                want = want._replace(digest="")
            if not have or not want or have[:5] != want[:5]:
                yield "%s UID %d: %s, undisturbed %s" % ("/".join(key[0]), key[1], have, want)

    def die_and_resume(self, step):
        """False when the run ended without coming to that step."""
        haul = self.haul()
        died = haul.die_at(step)
        self.resume(haul, "death at %s" % step)
        return died

    def resume(self, haul, what):
        haul.run(expect=self.exit)
        self.settled(haul, what)

    def settled(self, haul, what):
        """All is there, and a further run leaves every UID, flag and row as it is."""
        before = places(self.check(haul, "after " + what)), ledger_rows(haul)
        haul.run(expect=self.exit)
        if (places(self.state(haul, bodies=False)), ledger_rows(haul)) != before:
            raise Failure("the further run after %s found work\n%s" % (what, haul.diagnostics()))

    def every(self, stride=1, replies=1):
        """All steps, or every stride-th; of replies, which are many, every replies-th. Returns
        (died, not reached)."""
        return self.these(["%s:%d" % (kind, n + 1) for kind in KINDS for n in range(
            0, self.steps[kind], replies if kind == "reply" else stride)])

    def these(self, steps):
        died = 0
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for reached in pool.map(self.die_and_resume, steps):
                died += reached
        return died, len(steps) - died


def is_copy(copy, message, row):
    """The same flags, date and bytes; those of a repaired one but for line ends and NUL, unless
    its headers had to be rewritten."""
    if copy is None or (copy.flags, copy.date) != (message.flags, message.date):
        return False
    if row.reason != "repaired":
        return copy.body == message.body
    return copy.body != message.body and (copy.body.canonical == message.body.canonical or
                                          row.steps & HEADERS_REWRITTEN)


def content(state):
    """Per folder the messages as they lie there, without their UIDs."""
    return {path: [(m.body.sha256, tuple(sorted(m.flags)), m.date) for m in folder.messages]
            for path, folder in state.items()}


def places(state):
    """Per folder what cannot change without a message having changed."""
    return {path: (folder.uidvalidity, [(m.uid, m.flags, m.date) for m in folder.messages])
            for path, folder in state.items()}


def ledger_rows(haul):
    """{(path, UID at the source): Row}"""
    found = haul.sql("SELECT source_name, uid, state, reason, steps, lower(hex(digest)) AS digest,"
                     " lower(hex(sent)) AS sent, target_uid FROM item"
                     " JOIN folder ON folder.id = item.folder")
    return {(read_path(r["source_name"]), r["uid"]): Row(
        STATES[r["state"]], REASONS.get(r["reason"], "refused"), r["steps"], r["digest"],
        r["sent"], r["target_uid"]) for r in found}


def numbered(add=lambda name, password: None):
    """make_user for servers whose accounts come from add(name, password); without it they are
    there already (CROWD)."""
    state = {"n": 0}

    def make():
        state["n"] += 1
        name = "t%04d" % state["n"]
        add(name, "secret")
        return name
    return make


def random_kills(pairing, times, seed):
    """kill -9 from outside at random moments, again and again, until a run comes to its end."""
    moments = random.Random(seed)
    done = 0
    while done < times:
        haul = pairing.haul()
        while done < times:
            process = haul.spawn("run", "PROFILE")
            time.sleep(moments.uniform(0.01, 0.5))  # the moment is the test
            if not process.running():
                break
            haul.kill(process)
            done += 1
        pairing.resume(haul, "random kills (seed %d)" % seed)
