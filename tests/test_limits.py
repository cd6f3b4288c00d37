"""What is full or taken: quota, the target's disk, our own disk, locks. Each is named, nothing is
lost, and with room made the same command ends the work."""

import os
import re
import signal
import subprocess
import time

from hostile.stage import Case, Stage
from hostile.watch import no_crash, watched_run
from lib.account import must_equal, state_of
from lib.bench import Failure, wait_for
from lib.haul import Haul
from lib.imap import Client, Mail
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.standin import Standin

USERS = {"ann": "Geheim-ann-Wort"}
BODY = b"".join(b"line %04d of a message that takes some room\r\n" % n for n in range(200))


def mails(count, seed=0):
    return [Mail(b"Subject: %d\r\nMessage-ID: <%d.%d@x>\r\n\r\n%s" % (n, seed, n, BODY), (),
                 1500000000 + n) for n in range(count)]


def filled_source(bench, count=120):
    """About 10 kB each, so that 1 MB is passed in the middle."""
    source = Dovecot(bench, USERS)
    with Client(source.port) as c:
        c.login("ann", USERS["ann"])
        c.fill("INBOX", mails(count))
        c.create("Later")
        c.fill("Later", mails(count // 4, 1))
    return source


class Tmpfs:
    """t = Tmpfs(bench, 'name', '2m'); t.path; t.resize('64m')"""

    def __init__(self, bench, name, size, owner=None):
        self.path = bench.subdir(name, 0o711)
        self.mount("size=%s" % size)
        if owner is not None:
            os.chown(self.path, *owner)
        bench.add(self)

    def mount(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path], check=True,
                       timeout=20)

    def resize(self, size):
        self.mount("remount,size=%s" % size)

    def close(self):
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-l", self.path], check=False, timeout=20)


def whole(haul):
    """Every message once, and no more comes. Batches that were on their way behind a refused one
    may have fitted, so the order can be another."""
    source, target = (state_of(s, "ann") for s in (haul.source, haul.target))
    for state in source, target:
        for folder in state.values():
            folder.messages.sort(key=lambda m: m.date)
    must_equal(source, target)
    haul.must_move_nothing("ann")


# --- quota

def set_quota(server, size):
    """Dovecot looks at its users file for each login."""
    path = os.path.join(server.dir, "users")
    with open(path) as f:
        lines = f.read().splitlines()
    with open(path + ".new", "w") as f:
        for line in lines:
            head = ":".join(line.split(":")[:7])
            f.write("%s:userdb_quota_rule=*:storage=%s\n" % (head, size))
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def quota_pair(bench, source):
    target = Dovecot(bench, {"ann": (USERS["ann"], "userdb_quota_rule=*:storage=500K")})
    return target, Haul(bench, source, target, USERS, run={"batch_messages": "20"})


@test(timeout=120)
def test_quota_reached_and_raised(bench):
    """The account waits, and goes on by itself when room is made while the run is at work."""
    target, haul = quota_pair(bench, filled_source(bench))
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: "tried again in" in process.output(), 30, process.output)
    check_in("uota", process.output().partition("tried again in")[0].splitlines()[-1])
    check(process.running(), "it did not wait")
    set_quota(target, "50M")
    check_equal(process.wait(90), 0, process.output())
    whole(haul)


@test(timeout=180, long=True)
def test_quota_reached_and_raised_later(bench):
    """It fails in the end, says why, and the next run ends the work."""
    target, haul = quota_pair(bench, filled_source(bench))
    code, accounts, text = watched_run(haul, passwords=USERS.values(), expect=3, timeout=150)
    account = accounts["ann"]
    check_equal(account["reason"], "quota", text)
    check_in("uota", account["text"])
    check(0 < account["items"]["copied"] < account["items"]["found"], account["items"])
    on_target = sum(len(f.messages) for f in state_of(target, "ann", bodies=False).values())
    check_equal(account["items"]["copied"], on_target, "messages copied and there")
    set_quota(target, "50M")
    watched_run(haul, passwords=USERS.values(), expect=0)
    whole(haul)


@test(timeout=120)
def test_quota_of_cyrus(bench):
    """NO "Over quota" without a response code."""
    source = filled_source(bench, 60)
    target = Cyrus(bench, USERS, quota=300)
    haul = Haul(bench, source, target, USERS, run={"batch_messages": "20"})
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: "tried again in" in process.output(), 60, process.output)
    target.set_quota("ann", 90000)
    check_equal(process.wait(90), 0, process.output())
    whole(haul)


@test(timeout=60)
def test_quota_is_foreseen(bench):
    """By `check` as a fault; by a run as a warning before anything is copied, once, and the account
    is done when there is room after all. Where all fits nothing is said."""
    source = filled_source(bench)
    target, haul = quota_pair(bench, source)
    process = haul.call("check", "PROFILE", expect=3)
    check_in("quota", process.output())
    foreseen = "the target's quota has room for "
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: "tried again in" in process.output(), 30, process.output)
    set_quota(target, "50M")
    check_equal(process.wait(60), 0, process.output())
    check_equal(process.output().count(foreseen), 1, "warnings")
    check(process.output().index(foreseen) < process.output().index("tried again in"),
          process.output())
    with open(haul.logs()[-1] + "/report.txt") as f:
        check_in("warning: " + foreseen, f.read())
    check_equal(haul.report()["accounts"][0]["state"], "done", "state")
    haul.must_move_nothing("ann")
    with Client(source.port) as c:
        c.login("ann", USERS["ann"])
        c.fill("INBOX", mails(1, 2))
    check(foreseen not in haul.run(expect=0).output(), "a warning where all fits")


@test(timeout=60)
def test_quota_that_is_not_told_delays_nothing(bench):
    """A target that refuses the question, or ends the connection over it, gets its mail."""
    for action in "no", "bad", "bye", "close":
        source, _ = slow_pair(bench, 0)
        target = Standin(bench, users=USERS, rules=[
            {"command": "GETQUOTAROOT", "action": action, "times": -1}])
        haul = Haul(bench, source, target)
        haul.run(expect=0)
        haul.must_match("ann")
        check_equal(len(target.commands("GETQUOTAROOT")), 1, "questions, answered by " + action)


# --- disks

def full_target(bench):
    target = Dovecot(bench, USERS)
    disk = Tmpfs(bench, "disk", "700k", (target.uid, target.gid))
    os.rmdir(target.home("ann"))
    os.symlink(disk.path, target.home("ann"))
    return disk, Haul(bench, filled_source(bench), target, USERS, run={"batch_messages": "20"})


@test(timeout=120, root=True)
def test_disk_of_the_target_full(bench):
    """The account waits, says with the server's words what for, and goes on by itself when there
    is room."""
    disk, haul = full_target(bench)
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: "tried again" in process.output(), 30, process.output)
    check(re.search(r"^warning: ann: target folder [^:]+: [^:]+: APPEND: Internal error occurred\. "
                    r"Refer to server log .*; tried again in \d+ m?s$", process.output(), re.M),
          process.output())
    disk.resize("64m")
    no_crash_at_end(process, 90)
    haul.call("retry", "PROFILE", expect=(0, 2))
    watched_run(haul, passwords=USERS.values(), expect=0)
    whole(haul)


def no_crash_at_end(process, timeout):
    process.wait(timeout)
    no_crash(process)


@test(timeout=180, root=True, long=True)
def test_disk_of_the_target_stays_full(bench):
    disk, haul = full_target(bench)
    code, accounts, text = watched_run(haul, passwords=USERS.values(), timeout=150)
    check(code in (2, 3), "exit %d\n%s" % (code, text))
    items = accounts["ann"]["items"]
    check(items["copied"] < items["found"], "%r" % items)
    disk.resize("64m")
    haul.call("retry", "PROFILE", expect=(0, 2))
    watched_run(haul, passwords=USERS.values(), expect=0)
    whole(haul)


@test(timeout=180, root=True)
def test_disk_of_the_ledger_full(bench):
    """Nothing is sent without a ledger: the run stops, says so, and goes on where it was."""
    source = filled_source(bench, 600)
    target = Dovecot(bench, USERS)
    for size in "200k", "480k", "700k", "1000k", "1500k":
        target.wipe("ann")
        disk = Tmpfs(bench, "state", size)
        haul = Haul(bench, source, target, USERS, run={"batch_messages": "5"})
        haul.state = haul.options["run"]["state_dir"] = os.path.join(disk.path, "s")
        haul.save()
        process = haul.run(expect=None)
        no_crash(process)
        code, text = process.popen.returncode, process.output()
        check(code in (0, 5), "%s: exit %d\n%s" % (size, code, text))
        if code == 5:
            check(any(word in text for word in ("No space", "full", "disk")),
                  "%s: what is wrong?\n%s" % (size, text))
        there = len(state_of(target, "ann", bodies=False)["INBOX",].messages)
        disk.resize("64m")
        watched_run(haul, passwords=USERS.values(), expect=0)
        haul.must_match("ann")
        print("%s: exit %d, %d messages there" % (size, code, there))
        disk.close()


@test(timeout=60, root=True)
def test_state_that_cannot_be_written(bench):
    """A read-only place, a file in the directory's place, a ledger that is none or is newer."""
    source = Standin(bench, users=USERS)
    haul = Haul(bench, source, source, USERS)

    def refused(*words):
        process = haul.run(expect=5)
        no_crash(process)
        for word in words:
            check_in(word, process.output())
    disk = Tmpfs(bench, "readonly", "1m")
    disk.mount("remount,ro")
    haul.options["run"]["state_dir"] = os.path.join(disk.path, "s")
    haul.save()
    refused("ead-only")
    place = bench.write("afile", "x")
    haul.options["run"]["state_dir"] = place
    haul.save()
    refused("afile")
    haul.options["run"]["state_dir"] = haul.state
    haul.save()
    os.makedirs(haul.state, 0o700)
    ledger = os.path.join(haul.state, "ledger.db")
    with open(ledger, "wb") as f:
        f.write(b"this is no ledger, and it is longer than a page's header would be" * 40)
    os.chmod(ledger, 0o600)
    refused("ledger")
    os.unlink(ledger)
    check(not source.commands(), "a login was tried")
    haul.run(expect=0)
    subprocess.run(["python3", "-c", "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); "
                    "d.execute('PRAGMA user_version=999'); d.commit()", ledger], check=True,
                   timeout=20)
    refused("newer")


# --- locks

def slow_pair(bench, seconds=3):
    """A run that is at work for some seconds."""
    messages = [{"text": "Subject: %d\r\n\r\nx\r\n" % n, "date": 1500000000 + n} for n in range(5)]
    source = Standin(bench, users=USERS, accounts={"ann": {"folders": {"INBOX": {
        "messages": messages}}}}, rules=[{"command": "UID FETCH", "action": "stall",
                                          "seconds": seconds, "nth": 2}])
    return source, Standin(bench, users=USERS)


@test(timeout=60)
def test_second_start_follows(bench):
    """One runner per profile: who comes second starts nothing, and ends as the run ends."""
    source, target = slow_pair(bench)
    haul = Haul(bench, source, target, run={"mailbox_connections": 1})
    first = haul.spawn("run", "PROFILE")
    source.wait_command("UID FETCH", 2)
    second = haul.spawn("run", "PROFILE")
    wait_for(lambda: "at work already" in second.output(), 10, second.output)
    check_in("process %d " % first.pid, second.output())
    check_equal((first.wait(30), second.wait(30)), (0, 0), "exits")
    check_equal(len(source.commands("AUTHENTICATE")), 1, "logins")
    check_equal(len(haul.logs()), 1, "runs")


@test(timeout=60)
def test_a_dead_owner_is_not_waited_for(bench):
    source, target = slow_pair(bench, 20)
    haul = Haul(bench, source, target)
    first = haul.spawn("run", "PROFILE")
    source.wait_command("UID FETCH", 2)
    first.signal(signal.SIGKILL)
    first.wait(10)
    source.rules()
    began = time.monotonic()
    haul.run(expect=0)
    check(time.monotonic() - began < 10, "it waited for the dead")
    haul.must_match("ann")


@test(timeout=90)
def test_one_mailbox_two_profiles(bench):
    """The target account is locked over all profiles of this host, whatever HOME and state
    directory they have; later it is free again."""
    source, target = slow_pair(bench)
    haul, other = Haul(bench, source, target), Haul(bench, source, target)
    check(haul.environment()["XDG_STATE_HOME"] != other.environment()["XDG_STATE_HOME"],
          "they share a state directory")
    first = haul.spawn("run", "PROFILE")
    source.wait_command("UID FETCH", 2)
    process = other.run(expect=3)
    check_in("another run works on", process.output())
    account = other.report()["accounts"][0]
    check_equal((account["state"], account["reason"]), ("failed", "locked"), "the second's state")
    check_equal(first.wait(30), 0, first.output())
    # what the first one moved is foreign to the second
    process = other.run(expect=3)
    check_in("existing = add", process.output())
    haul.must_match("ann")


@test(timeout=60)
def test_another_host_or_map_is_refused(bench):
    """A ledger goes with the servers and logins it was made with."""
    source, target = slow_pair(bench, 0)
    haul = Haul(bench, source, target)
    haul.run(expect=0)
    haul.options["target"]["host"] = "127.0.0.2"
    haul.save()
    process = haul.run(expect=5)
    for word in "127.0.0.1", "127.0.0.2":
        check_in(word, process.output())
    haul.options["target"]["host"] = "127.0.0.1"
    haul.save()
    haul.write("users.csv", "user;password;target_user\nann;%s;bob\n" % USERS["ann"])
    process = haul.run(expect=5)
    check_in("bob", process.output())
    check_in("ann", process.output())


@test(timeout=60)
def test_stop_in_the_middle(bench):
    """SIGTERM and `mailhaul stop`: exit 4, resumable, and then whole. The first waits for answers
    that are on their way, the second for nothing."""
    for how, seconds in ("signal", 20), ("command", 20), ("signal", 2):
        source, target = slow_pair(bench, seconds)
        haul = Haul(bench, source, target)
        process = haul.spawn("run", "PROFILE")
        source.wait_command("UID FETCH", 2)
        for _ in range(2 if seconds > 10 else 1):
            if how == "signal":
                process.signal(signal.SIGTERM)
                time.sleep(0.2)  # two at once would be one
            else:
                haul.call("stop", "PROFILE", expect=0)
        check_equal(process.wait(10), 4, "exit code by %s\n%s" % (how, process.output()))
        check_equal(haul.report()["accounts"][0]["state"], "stopped", "state")
        source.rules()
        haul.run(expect=0)
        haul.must_match("ann")


@test(timeout=60)
def test_one_bad_account_stops_no_other(bench):
    cases = [Case("bad", "target", [{"command": "*", "action": "bye", "times": -1}]),
             Case("worse", "source", [{"command": "GREETING", "action": "garbage", "times": -1,
                                       "bytes": 100000, "close": True}])] + \
            [Case("good %d" % n) for n in range(6)]
    stage = Stage(bench, cases, run={"jobs": "2"})
    process = stage.haul.spawn("run", "PROFILE")
    wait_for(lambda: process.output().count(": done,") == 6, 20, process.output)
    check(process.running(), "the others are not waited for")
    stage.must_be_whole(cases[2:])
    process.signal(signal.SIGTERM)
    check(process.wait(15) in (3, 4), process.output())
    stage.lift()
    stage.run(expect=0)
    stage.must_be_whole()


@test(timeout=60)
def test_failures_name_what_and_where(bench):
    """An error says what, which account and folder, and the server's own words (FIELD row 23)."""
    source = Standin(bench, users=USERS, accounts={"ann": {"folders": {"Sp\u00e4m": {
        "messages": [{"text": "x: y\r\n\r\n"}]}}}}, rules=[
            {"command": "UID FETCH", "action": "no", "text": "the tape is torn", "times": -1}])
    haul = Haul(bench, source, Standin(bench, users=USERS))
    code, accounts, text = watched_run(haul, expect=3)
    for word in "Sp\u00e4m", "the tape is torn", "ann":
        if word not in text:
            raise Failure("no %r in\n%s" % (word, text))
