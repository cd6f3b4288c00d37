"""Many small mailboxes between two stand-ins, each misused in a way of its own, in one run.

Each case is a user with an address of its own on either side (127.1.x.y), so that a rule can fit
what comes before a login as well, and one host's breaker and back-off do not touch the next."""

import glob
import os
import re
import threading

from hostile.watch import watched_run
from lib.account import compare, state_of
from lib.bench import Failure
from lib.haul import Haul
from standins.standin import Standin

START = 1500000000
VERB = re.compile(r'command_begin\(s,\s*([^;]+)\);')


def message(n):
    return {"text": "Subject: m%d\r\nFrom: a@b.example\r\n\r\nbody of %d\r\n" % (n, n),
            "flags": ["\\Seen"] if n % 2 else ["$Label%d" % (n % 4)], "date": START + 60 * n}


def mailbox():
    """Small, with all that makes a connector speak: special use, levels, keywords,
    subscriptions."""
    return {"folders": {
        "INBOX": {"messages": [message(n) for n in range(3)], "subscribed": True},
        "Sent": {"use": "\\Sent", "messages": [message(10), message(11)]},
        "a": {"messages": []},
        "a/b": {"messages": [message(20)], "subscribed": True},
    }}


class Case:
    """rules: of the stand-in on `side`; also: more rules, [(side, rule)]"""

    def __init__(self, name, side="source", rules=(), also=()):
        self.name, self.side = name, side
        self.rules = [(side, dict(r)) for r in rules] + [(s, dict(r)) for s, r in also]
        self.user = self.host = self.password = ""

    def __repr__(self):
        return self.name


class Stage:
    """source, target: config of the stand-ins; armed: the rules hold from the first run on, not
    only after arm(); timeout: of either side; profile: keywords of Haul"""

    def __init__(self, bench, cases, source=None, target=None, cert=None, boxes=mailbox,
                 armed=True, timeout="1s", **profile):
        self.cases = list(cases)
        for n, case in enumerate(self.cases):
            case.user, case.host = "u%03d" % n, "127.1.%d.%d" % (n // 200, n % 200 + 1)
            case.password = "Geheim-%03d-Wort" % n
        self.passwords = [c.password for c in self.cases]
        users = {c.user: c.password for c in self.cases}
        self.servers = {
            "source": Standin(bench, name="source", users=users, address="0.0.0.0", cert=cert,
                              accounts={u: boxes() for u in users}, **(source or {})),
            "target": Standin(bench, name="target", users=users, address="0.0.0.0", cert=cert,
                              uidvalidity=5000, **(target or {}))}
        rows = "user;password;source_host;target_host\n" + "".join(
            "%s;%s;%s;%s\n" % (c.user, c.password, c.host, c.host) for c in self.cases)
        # One pair of connections each: a case counts its commands.
        profile["run"] = dict({"jobs": "64", "settle_wait": "200ms", "log_level": "trace",
                               "mailbox_connections": 1}, **profile.get("run", {}))
        for side in "source_options", "target_options":
            profile[side] = dict({"timeout": timeout}, **profile.get(side, {}))
        self.haul = Haul(bench, self.servers["source"], self.servers["target"], rows=rows,
                         **profile)
        if armed:
            self.arm()

    def arm(self):
        for case in self.cases:
            for side, rule in case.rules:
                self.servers[side].control("rule", rule=dict(rule, host=case.host,
                                                             name=case.user))

    def run(self, *args, expect=None, timeout=120):
        """{case: account of the report}"""
        code, accounts, text = watched_run(self.haul, *args, passwords=self.passwords,
                                           expect=expect, timeout=timeout)
        self.text = text
        if not accounts:
            raise Failure("exit %d\n%s\n%s" % (code, text, self.haul.debug_log()))
        return {case: accounts[case.user] for case in self.cases}

    def met(self):
        """The users of cases that came to all of their rules."""
        missed = {rule["name"] for server in self.servers.values()
                  for rule in server.control("used") if rule["seen"] < rule.get("nth", 1)}
        return {c.user for c in self.cases if c.user not in missed}

    def lift(self):
        for server in self.servers.values():
            server.rules()

    def differences(self, case, any_order=False):
        """What is lost or too many on the target, as text."""
        states = [state_of(self.servers[side], case.user) for side in ("source", "target")]
        for folder in [f for state in states for f in state.values()] if any_order else ():
            folder.messages.sort(key=lambda m: (m.date, m.body.sha256))
        return compare(*states)

    def must_be_whole(self, cases=None, any_order=lambda case: False):
        wrong, story = [], ""
        for case in self.cases if cases is None else cases:
            lines = self.differences(case, any_order(case))
            if lines:
                story = story or self.story(case)
                wrong.append("%s (%s):\n    %s" % (case, case.user, "\n    ".join(lines)))
        if wrong:
            raise Failure("%d accounts are not whole:\n%s\n%s" % (len(wrong), "\n".join(wrong),
                                                                 story))

    def story(self, case):
        """What the runs said of an account, and what its target heard."""
        lines = ["target: %.3f conn %d %s %s%s" % (c["time"] % 1000, c["conn"], c["tag"],
                                                  c["command"], c["args"])
                 for c in self.log_of(case)]
        for directory in self.haul.logs():
            lines.append(directory)
            with open(os.path.join(directory, "debug.log"), errors="replace") as f:
                lines += [line.rstrip() for line in f if " %s " % case.user in line]
        return "\n".join(lines)

    def change_source(self):
        """Work for a second round: new mail, and flags of what was moved."""
        source = self.servers["source"]
        for case in self.cases:
            source.control("add", user=case.user, folder="INBOX", messages=[message(30)])
            source.control("flag", user=case.user, folder="Sent", flags=["\\Flagged"])

    def commands(self, side):
        """What the program sent, not the test itself."""
        hosts = {case.host for case in self.cases}
        return {c["command"] for c in self.servers[side].commands() if c["host"] in hosts}

    def log_of(self, case, side="target"):
        return [c for c in self.servers[side].commands() if c["host"] == case.host]


def verbs_in_the_source():
    """Every command the IMAP connector can send, from its text; None where it is not at hand."""
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/connector/imap")
    found = set()
    for path in glob.glob(os.path.join(top, "*.c")):
        if os.path.basename(path).startswith(("test_", "fuzz_")):
            continue
        with open(path) as f:
            for use in VERB.findall(f.read()):
                found |= set(re.findall(r'"([A-Z ]+)"', use))
    return found or None


def at_once(*calls):
    """Runs them side by side; the first failure is raised when all have ended."""
    problems = []

    def guarded(call):
        try:
            call()
        except BaseException as problem:  # handed over to the test's thread
            problems.append(problem)
    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
