"""`check` and `run --dry-run`: what they tell, and that nothing is written."""

import hashlib
import os
import re
import signal

from corpus.messages import plain
from lib.bench import wait_for
from lib.haul import Haul
from lib.testing import check, check_equal, check_in, test
from lib.world import ITEMS, ACCOUNTS, CANNOT, mails, World, lying
from standins.imapd import CAPABILITIES
from standins.standin import Standin


@test(timeout=60)
def test_dry_run_and_check_write_nothing(bench):
    """Neither side gets a command that writes, and no file is left behind."""
    world = World(bench, users=2)
    for words in ("run", "PROFILE", "--dry-run"), ("check", "PROFILE", "--folders"):
        text = world.call(*words)
        check_in("2 accounts, 0 with a fault; 36 messages", text)
        check_in("INBOX -> INBOX  12 messages", text)
        check_in("Sent -> Sent  6 messages", text)
        check_in("nothing was written", text)
    check_equal(world.write_commands(), [], "commands that write")
    check(not os.path.exists(world.haul.state), "a state directory was made")
    check_equal(sorted(os.listdir(world.haul.dir)), ["p1.ini", "users.csv"], "files")
    check_in("has not run yet", world.call("status", "PROFILE", expect=CANNOT), "status")
    world.call("run", "PROFILE")
    ledger = os.path.join(world.haul.state, "ledger.db")
    before, written = digest(ledger), world.write_commands()
    text = world.call("run", "PROFILE", "--dry-run")
    check_in("36 messages done before", text)
    check_equal(world.write_commands(), written, "commands that write, beside a ledger")
    check_equal(digest(ledger), before, "the ledger's bytes")
    check_equal(world.source.violations() + world.target.violations(), [], "violations")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@test(timeout=60)
def test_check_names_each_fault(bench):
    """A verdict per mailbox: a wrong password, a target that is not empty, one without room."""
    world = World(bench, users=4)
    haul = world.haul
    haul.write("users.csv", "u1;secret\nu2;wrong\nu3;secret\nu4;secret\n")
    world.target.control("add", user="u3", folder="INBOX", messages=mails(1, 1))
    world.target.control("quota", user="u4", value=2000)
    text = world.call("check", "PROFILE", expect=ACCOUNTS)
    for user, verdict, why in (("u1", "ok", ""), ("u2", "FAULT", "login of u2"),
                               ("u3", "FAULT", "holds 1 messages that are not from here"),
                               ("u4", "FAULT", "the target has room for 1024 bytes")):
        line = re.search(r"^(\w+) +%s -> %s(.*)$" % (user, user), text, re.M)
        check(line and line.group(1) == verdict and why in line.group(2), text)
    check_in("4 accounts, 3 with a fault", text)
    check_equal(world.write_commands(), [], "commands that write")


@test(timeout=60)
def test_check_names_messages_too_large(bench):
    """Counted, and up to twenty named, by check and by a dry run, also after a run in which they
    failed; those that the profile leaves out are not."""
    world = World(bench, users=2, capabilities=CAPABILITIES + ["APPENDLIMIT=1000"])
    for words in ("check", "PROFILE"), ("run", "PROFILE", "--dry-run"):
        check("larger than" not in world.call(*words), "words of " + words[0])
    large = {"text": plain(900, 3000).body.decode("latin-1"), "date": 1420452000}
    world.source.control("add", user="u1", folder="Sent", messages=[large])
    world.source.control("add", user="u2", folder="INBOX", messages=[
        dict(large, date=1420452000 + 86400 * n) for n in range(23)])
    for words in ("check", "PROFILE"), ("run", "PROFILE", "--dry-run"):
        text = world.call(*words)
        check_in("    largest message 1.0 kB\n", text)
        check(re.search("u1 -> u1  .*, 1 larger than the target takes\n"
                        "(?:    (?:source|target|largest).*\n)*"
                        "    too large       Sent, UID 7, 3.", text), text)
        check(re.search("u2 -> u2  .*, 23 larger than the target takes\n"
                        "(?:    (?:source|target|largest).*\n)*"
                        "    too large       INBOX, UID 13, 3.", text), text)
        check_in("\n                    INBOX, UID 32, 3.", text)
        check_in("\n                    and 3 more\n", text)
        check("UID 33" not in text, text)
    world.haul.options["run"]["before"] = "2015-01-15"
    world.haul.save()
    check_in(", 10 larger than the target takes", world.call("check", "PROFILE"))
    world.haul.options["run"].pop("before")
    world.haul.save()
    world.haul.run(expect=ITEMS)
    check_in(", 23 larger than the target takes", world.call("check", "PROFILE"))
    check_equal(world.source.violations() + world.target.violations(), [], "violations")


@test(timeout=60)
def test_check_counts_where_sizes_are_not_told(bench):
    """A source without STATUS=SIZE and a target with a quota: the messages' own sizes are added."""
    boxes = {"u1": {"folders": {"INBOX": {"messages": mails(1, 30)}}}}
    source = Standin(bench, "source", users={"u1": "secret"}, accounts=boxes,
                     capabilities=[c for c in CAPABILITIES if c != "STATUS=SIZE"])
    target = Standin(bench, "target", users={"u1": "secret"})
    haul = Haul(bench, source, target)
    size = sum(row[1] for row in lying(source)["INBOX"])
    for quota, verdict in (2 * size, "ok "), (size // 2, "FAULT "):
        target.control("quota", user="u1", value=quota)
        text = haul.call("check", "PROFILE", expect=0 if verdict == "ok " else ACCOUNTS).output()
        check(re.search("^" + verdict, text, re.M), text)
        shown = int(re.search("30 messages, ([0-9]+) kB", text).group(1))
        check(abs(shown - size / 1024) <= 1, text)
    check_in("%d are left to copy" % size, text)


@test(timeout=60)
def test_check_foresees_what_later_runs_refuse(bench):
    """Beside a ledger, too: a new folder whose target holds other mail, a target folder that is
    gone, and new mail without room are faults where the next run would end with 3."""
    world = World(bench, users=4)
    world.haul.run()
    check_in("4 accounts, 0 with a fault", world.call("check", "PROFILE"))
    for server in world.source, world.target:
        server.control("create", user="u1", folder="Work")
        server.control("add", user="u1", folder="Work", messages=mails(1, 1))
    world.target.control("add", user="u2", folder="INBOX", messages=mails(1, 1))  # is ours
    world.target.control("delete", user="u3", folder="Sent")
    world.source.control("add", user="u4", folder="INBOX", messages=mails(900, 20))
    used = sum(row[1] for rows in lying(world.target, "u4").values() for row in rows)
    world.target.control("quota", user="u4", value=used + 2048)
    text = world.call("check", "PROFILE", expect=ACCOUNTS)
    for user, verdict, why in (
            ("u1", "FAULT", "notempty: target folder Work holds 1 messages that are not from here"),
            ("u2", "ok", ""), ("u3", "FAULT", "name: target folder Sent, into which 6 messages"),
            ("u4", "FAULT", "quota: the target has room for ")):
        line = re.search(r"^(\w+) +%s -> %s(.*)$" % (user, user), text, re.M)
        check(line and line.group(1) == verdict and why in line.group(2), text)
    left = int(re.search(r"bytes, (\d+) are left to copy", text).group(1))
    new = sum(row[1] for row in lying(world.source, "u4")["INBOX"][-20:])
    check_equal(left, new, "bytes left to copy")
    world.haul.run(*(w for n in "123" for w in ("--only", "u" + n)), expect=ACCOUNTS)
    accounts = {a["source"]: (a["state"], a["reason"]) for a in world.haul.report()["accounts"]}
    check_equal([accounts["u%d" % n] for n in (1, 2, 3)],
                [("failed", "notempty"), ("done", None), ("failed", "name")], "the next run")


@test(timeout=90)
def test_check_tells_the_time_by_the_last_run(bench):
    """Only after a run that copied long enough to say something, and only where something is left;
    a run that copies nothing leaves the speed as it was."""
    world = World(bench, users=2, each=30, slow=0.05)
    check("speed of the last run" not in world.call("check", "PROFILE"), "a time before any run")
    world.call("run", "PROFILE", "--only", "u1")
    ms, items = (int(world.haul.sql("SELECT value FROM meta WHERE key = 'speed %s'" % key)[0]
                     ["value"]) for key in ("ms", "items"))
    check(ms >= 45 * 50 and items == 45, "%d ms for %d messages" % (ms, items))
    for _ in range(2):
        text = world.call("check", "PROFILE")
        times = re.findall(r"^ok +(u\d) -> .*, about 00:(\d\d) at the speed of the last run$",
                           text, re.M)
        check_equal([user for user, _ in times], ["u2"], "times")  # nothing is left of u1
        check(ms / 1000 <= int(times[0][1]) <= 2 * ms / 1000 + 1, text)
        world.call("run", "PROFILE", "--only", "u1")


@test(timeout=60)
def test_check_tells_as_it_goes(bench):
    """A mailbox's verdict comes when it ends; servers are told once, faults once more at the end."""
    world = World(bench, users=6)
    world.haul.write("users.csv", "".join(
        "u%d;%s\n" % (n, "wrong" if n in (2, 5) else "secret") for n in range(1, 7)))
    world.source.control("rule", rule={"command": "*", "user": "u6", "action": "stall",
                                       "name": "u6"})
    process = world.haul.spawn("check", "PROFILE")
    wait_for(lambda: len(re.findall(r"^(ok|FAULT) ", process.output(), re.M)) == 5, 20,
             "five verdicts before the sixth mailbox has answered")
    check("u6 -> u6" not in process.output(), process.output())
    world.source.control("lift", name="u6")
    process.signal(signal.SIGKILL)
    process.wait(10)
    world.haul.write("users.csv", "".join(
        "u%d;%s\n" % (n, "wrong" if n in (2, 5) else "secret") for n in range(1, 6)))
    text = world.call("check", "PROFILE", expect=ACCOUNTS)
    for label in "source offers", "target offers", "source login":
        check_equal(text.count("    %s " % label), 1, label)
    first, last = text.split("\n2 with a fault: 2 auth\n")
    check_equal(sorted(re.findall(r"^FAULT .*$", first, re.M)),
                re.findall(r"^FAULT .*$", last, re.M), "faults, and once more")
    check_in("5 accounts, 2 with a fault; 54 messages", last)
    check(re.search(r"^ok +u1 -> u1  18 messages, ", first, re.M), first)
