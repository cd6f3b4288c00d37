"""Death at every step: a run is killed, resumed, and must leave what an undisturbed one leaves.

Each step has a target account and a state directory of its own, so that steps run side by side. A
run that ends before it comes to its step is told apart from one that died."""

import base64
import concurrent.futures
import os

from corpus import boxes
from corpus.messages import START, padded
from lib.bench import Failure
from lib.account import state_of
from lib.haul import Haul
from standins.standin import Standin

KINDS = "commit", "first-byte", "last-byte", "reply"
RUN = {"jobs": "1", "batch_messages": "40", "stream_limit": "1M", "settle_wait": "1s"}
SIDE_BY_SIDE = 5


def source_standin(bench):
    """The crash corpus with its NUL, bare line feeds, a message of no bytes and two over the
    streaming limit, one of them with bare line feeds, as only a stand-in serves it."""
    folders = boxes.as_standin(boxes.crash_set())
    folders["INBOX"]["messages"].insert(7, {"data": base64.b64encode(b"").decode(), "flags": [],
                                            "date": START})
    rewritten = padded(52, 2 << 20).replace(b"\r\n", b"\n")
    folders["large"]["messages"].append({"data": base64.b64encode(rewritten).decode(), "flags": [],
                                         "date": START})
    return Standin(bench, users={"ann": "secret"}, accounts={"ann": {"folders": folders}})


class Pairing:
    """A source, a target, and what an undisturbed run leaves there.

    make_user   makes one more account on the target and returns its name
    via         where mailhaul connects to instead of the target (a proxy)
    """

    def __init__(self, bench, source, target, make_user, via=None, exits=(0, 2), run=None):
        self.bench, self.source, self.target, self.exits = bench, source, target, exits
        self.make_user, self.via = make_user, via or target
        self.options = dict(RUN, **(run or {}))
        self.plain = {m.body.sha256 for folder in state_of(source, "ann").values()
                      for m in folder.messages}
        self.wanted, self.steps = self.undisturbed()

    def haul(self):
        """A profile whose one user goes into a target account of its own."""
        name = self.make_user()
        rows = "user;password;target_user;target_password\nann;secret;%s;secret\n" % name
        haul = Haul(self.bench, self.source, self.via, rows=rows, run=self.options)
        haul.target_user = name
        return haul

    def undisturbed(self):
        haul = self.haul()
        path = os.path.join(haul.dir, "steps")
        haul.run(expect=self.exits, env={"MAILHAUL_DIE_COUNT": path})
        with open(path) as f:
            steps = {kind: int(n) for kind, n in (line.split() for line in f)}
        return self.content(haul), steps

    def content(self, haul):
        """Per folder the messages as they lie there, without their UIDs."""
        state = state_of(self.target, haul.target_user, "secret")
        return {path: [(m.body.sha256, tuple(sorted(m.flags)), m.date) for m in folder.messages]
                for path, folder in state.items()}

    def in_order(self, rows):
        """The messages that arrive as they are; a repaired one has no fixed place."""
        return [row for row in rows or () if row[0] in self.plain]

    def check_content(self, haul, what):
        have = self.content(haul)
        lines = []
        for path in sorted(set(have) | set(self.wanted)):
            h, w = have.get(path), self.wanted.get(path)
            if None in (h, w) or sorted(h) != sorted(w) or self.in_order(h) != self.in_order(w):
                lost = [m for m in set(w or ()) if (w or []).count(m) > (h or []).count(m)]
                extra = [m for m in set(h or ()) if (h or []).count(m) > (w or []).count(m)]
                lines.append("%s: %d messages, wanted %d; lost %d, too many %d%s" % (
                    "/".join(path), len(h or ()), len(w or ()), len(lost), len(extra),
                    "" if lost or extra else ", in another order"))
        if not lines:
            return
        raise Failure("%s:\n%s\n%s" % (what, "\n".join(lines), haul.diagnostics()))

    def die_and_resume(self, step):
        """False when the run ended without coming to that step."""
        haul = self.haul()
        died = haul.die_at(step)
        self.resume(haul, step)
        return died

    def resume(self, haul, what):
        haul.run(expect=self.exits)
        self.check_content(haul, "after death at %s" % what)
        before = haul.sql("SELECT count(*) AS n FROM item")
        haul.run(expect=self.exits)
        self.check_content(haul, "a further run after death at %s" % what)
        if haul.sql("SELECT count(*) AS n FROM item") != before:
            raise Failure("the further run after %s found work" % what)

    def every(self, stride=1):
        """All steps, or every stride-th. Returns (died, not reached)."""
        steps = ["%s:%d" % (kind, n + 1) for kind in KINDS for n in range(self.steps[kind])]
        return self.these(steps[::stride])

    def these(self, steps):
        died = 0
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for reached in pool.map(self.die_and_resume, steps):
                died += reached
        return died, len(steps) - died


def numbered(add):
    """make_user for servers whose accounts come from add(name, password)."""
    state = {"n": 0}

    def make():
        state["n"] += 1
        name = "t%04d" % state["n"]
        add(name, "secret")
        return name
    return make
