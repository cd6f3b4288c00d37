"""Two stand-ins and a profile between them, as the tests of the command line have them."""

import json
import os
import re
import sqlite3

from corpus.messages import plain
from lib.bench import wait_for
from lib.haul import Haul
from standins.imapd import CAPABILITIES
from standins.standin import Standin

WRITES = {"APPEND", "CREATE", "DELETE", "RENAME", "STORE", "UID STORE", "COPY", "UID COPY", "MOVE",
          "UID MOVE", "EXPUNGE", "UID EXPUNGE", "SUBSCRIBE", "UNSUBSCRIBE", "SELECT", "CLOSE"}
SLOWLY = {"command": "APPEND", "times": -1, "action": "stall"}
# One message on its way at a time, so that a stop or a pause has something to leave
ONE_BY_ONE = [c for c in CAPABILITIES if c not in ("LITERAL+", "MULTIAPPEND")]
USAGE, ITEMS, ACCOUNTS, STOPPED, CANNOT = 1, 2, 3, 4, 5


def mails(first, count, date=1420452000):
    return [{"text": plain(n).body.decode("latin-1"), "date": date + n}
            for n in range(first, first + count)]


class World:
    """Two stand-ins and a profile between them; each mailbox has two folders."""

    def __init__(self, bench, users=1, each=12, slow=0, run=None, **target):
        people = {"u%d" % n: "secret" for n in range(1, users + 1)}
        boxes = {user: {"folders": {"INBOX": {"messages": mails(100 * k, each)},
                                    "Sent": {"messages": mails(100 * k + 50, each // 2)}}}
                 for k, user in enumerate(people, 1)}
        self.count, self.bench = users * (each + each // 2), bench
        self.source = Standin(bench, "source", users=people, accounts=boxes)
        if slow:
            target.update(rules=[dict(SLOWLY, seconds=slow)], capabilities=ONE_BY_ONE)
        self.target = Standin(bench, "target", users=people, **target)
        self.haul = Haul(bench, self.source, self.target,
                         run=dict({"batch_messages": 1}, **(run or {})))

    def stored(self):
        return sum(1 for c in self.target.commands("APPEND"))

    def write_commands(self):
        return [(c["command"], c["args"]) for server in (self.source, self.target)
                for c in server.commands() if c["command"] in WRITES]

    def call(self, *args, expect=0):
        return self.haul.call(*args, expect=expect).output()

    def status(self):
        return json.loads(self.call("status", "PROFILE", "--json"))

    def detach(self):
        """Starts a run in a process of its own; its pid."""
        text = self.call("run", "PROFILE", "--detach")
        return int(re.search(r"at work \(process (\d+)\)", text).group(1))

    def wait_status(self, condition, what, timeout=30):
        def look():
            status = self.status()
            return status if condition(status) else None
        return wait_for(look, timeout, what, pause=0.05)

    def messages(self):
        """{user: number of messages} of the target."""
        return {user: sum(len(rows) for rows in lying(self.target, user).values())
                for user in self.target.users}


def lying(server, user="u1"):
    """{folder: [[uid, size, digest, flags, date]]} of a stand-in's account."""
    return server.control("state")[user]


def many_accounts(haul, accounts, folders):
    """Adds to the ledger: of every hundredth account one message failed, of the others all landed.
    """
    db = sqlite3.connect(os.path.join(haul.state, "ledger.db"))
    with db:
        for account in range(1000, 1000 + accounts):
            db.execute("INSERT INTO account(id, source_user, source_host, target_user, target_host,"
                       " state, round) VALUES(?, ?, 'h', ?, 'h', 8, 1)",
                       (account, "user%d" % account, "user%d" % account))
            for n in range(folders):
                folder = account * 1000 + n
                failed = account % 100 == 0 and n == 0
                db.execute("INSERT INTO folder VALUES(?, ?, 'f', ?, 1, NULL, 'f', 'f', 1, 0, 0,"
                           " NULL, 0, 1, 0, 0, 0, 0, 0)", (folder, account, "folder %d" % n))
                db.execute("INSERT INTO folder_count(folder, found, landed, failed)"
                           " VALUES(?, 1, ?, ?)", (folder, not failed, failed))
                db.execute("INSERT INTO item VALUES(?, 1, ?, 0, 100, NULL, NULL, 0, NULL, 0, NULL,"
                           " 1, 1, 0)", (folder, 4 if failed else 1))
    db.close()
