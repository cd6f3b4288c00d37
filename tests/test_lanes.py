"""Several pairs of connections for one mailbox: shared folder by folder, in the order of each
folder, within the limits of the hosts; and what becomes of a run when one of them fails."""

import signal
import time

from corpus.boxes import Box, fill_account
from crash.suite import CROWD, DOVECOT, SEED, Pairing, numbered, random_kills, source_standin
from lib.haul import Haul
from lib.imap import Mail
from lib.testing import check, check_equal, check_in, test
from servers.dovecot import Dovecot
from standins.standin import Proxy, Standin

USERS = {"ann": "secret"}
ALWAYS = {"large_mailbox": "0", "mailbox_connections": 4}


def mails(folder, count, size):
    text = b"words that take some room, line after line of them\r\n" * (size // 50)
    for n in range(count):
        yield Mail(b"Subject: %s %d\r\nMessage-ID: <%s.%d@x>\r\n\r\n%s" % (
            folder.encode(), n, folder.encode(), n, text), (), 1400000000 + n)


def many_folders(count=9, messages=20, size=2000):
    names = ["INBOX"] + ["F%02d" % n for n in range(count - 1)]
    return [Box(name, lambda name=name, k=k: mails(name, messages + 7 * k, size))
            for k, name in enumerate(names)]


def filled(bench, store="maildir", **more):
    source = Dovecot(bench, USERS, name="old", store=store)
    fill_account(source, "ann", many_folders(**more))
    return source


def made_folders(count, messages, size=3000):
    body = "Subject: n\r\n\r\n" + "x" * size
    return {name: {"messages": [{"text": body, "flags": []} for _ in range(messages)]}
            for name in ["INBOX"] + ["F%02d" % n for n in range(count - 1)]}


@test(timeout=90)
def test_folders_are_shared(bench):
    """Four logins on each side; every folder in the order of the source."""
    source, target = filled(bench), Dovecot(bench, USERS, name="new")
    slow = Proxy(bench, target, rate=150000, hold=True)  # so that all come to it
    before = source.logins("ann"), target.logins("ann")
    haul = Haul(bench, source, slow, run=ALWAYS)
    haul.run()
    haul.target = target
    check_equal((source.logins("ann") - before[0], target.logins("ann") - before[1]), (4, 4), "logins")
    haul.must_match("ann")
    haul.must_move_nothing("ann")
    check_equal(haul.report()["accounts"][0]["state"], "done", "state")


@test(timeout=90)
def test_small_mailboxes_have_one_pair(bench):
    """Below large_mailbox, where it is forbidden, and where nothing is left to copy."""
    source = filled(bench)
    for run in {}, dict(ALWAYS, mailbox_connections=1):
        target = Dovecot(bench, USERS)
        before = source.logins("ann")
        haul = Haul(bench, source, target, run=dict({"large_mailbox": "24M"}, **run))
        haul.run()
        check_equal(source.logins("ann") - before, 1, "logins with %r" % run)
        haul.must_match("ann")
    haul = Haul(bench, source, Dovecot(bench, USERS), run=ALWAYS)
    haul.run()
    before = source.logins("ann")
    haul.run()
    check_equal(source.logins("ann") - before, 1, "logins of a run that finds nothing new")


@test(timeout=90)
def test_limits_of_the_hosts_hold(bench):
    """`connections` counts them all, and an account that waits comes first."""
    users = {"ann": "secret", "bob": "secret", "cat": "secret"}
    source = Standin(bench, users=users, accounts={
        user: {"folders": made_folders(8, 30)} for user in users})
    target = Dovecot(bench, users)
    haul = Haul(bench, source, target, run=dict(ALWAYS, jobs=3),
                source_options={"connections": 3})
    haul.run()
    open_now = most = 0
    for command in source.commands():
        if command["command"] == "AUTHENTICATE":
            open_now += 1
        elif command["command"] == "LOGOUT":
            open_now -= 1
        most = max(most, open_now)
    check(most <= 3, "%d connections at a time" % most)
    check(len(source.commands("AUTHENTICATE")) >= 3, "logins")
    for user in users:
        haul.must_match(user)


@test(timeout=90)
def test_refused_connection_is_done_without(bench):
    """The server lets two in and no more: nothing fails, nothing is told as an error."""
    source = Standin(bench, users=USERS, accounts={"ann": {"folders": made_folders(8, 30)}}, rules=[
        {"command": "AUTHENTICATE", "nth": 3, "times": -1, "action": "no", "code": "LIMIT",
         "text": "too many connections"}])
    target = Dovecot(bench, USERS)
    slow = Proxy(bench, target, rate=150000, hold=True)  # so that they come to it
    haul = Haul(bench, source, slow, run=ALWAYS)
    haul.run()
    haul.target = target
    check_in("done without a further connection", haul.debug_log(60000), "the log")
    haul.must_match("ann")
    check_equal(haul.report()["accounts"][0]["state"], "done", "state")


@test(timeout=120)
def test_one_of_them_is_cut(bench):
    """The attempt ends, all others come to rest, and the account goes on with one pair."""
    source = filled(bench, count=10, messages=60, size=20000)
    target = Dovecot(bench, USERS, name="new")
    near = Proxy(bench, target, rate=2000000, hold=True)
    haul = Haul(bench, source, near, run=dict(ALWAYS, batch_messages=10, settle_wait="2s"))
    process = haul.spawn("run", "PROFILE")
    haul.wait_rows(60)
    near.cut("reset")
    near.restore()
    check_equal(process.wait(60), 0, "exit code\n%s" % process.output())
    haul.target = target
    haul.must_match("ann")
    check_equal(haul.sql("SELECT count(*) AS n FROM item")[0]["n"],
                sum(60 + 7 * k for k in range(10)), "rows")


@test(timeout=120)
def test_target_of_one_says_no(bench):
    """A folder that cannot be written to ends its lane and the attempt; the others' mail is whole."""
    source = Standin(bench, users=USERS, accounts={"ann": {"folders": made_folders(6, 30)}})
    target = Standin(bench, users=USERS, accounts={"ann": {"folders": {}}}, rules=[
        {"command": "APPEND", "folder": "F02", "times": 1, "action": "bye", "text": "restarting"}])
    haul = Haul(bench, source, target, run=ALWAYS)
    haul.run()
    haul.must_match("ann")
    check_equal(source.violations() + target.violations(), [], "violations")


@test(timeout=120)
def test_stop_while_they_copy(bench):
    """Asked once it waits for what is on its way, asked twice it cuts all connections."""
    source = filled(bench, count=8, messages=60, size=20000)
    for times in 1, 2:
        target = Dovecot(bench, USERS)
        far = Proxy(bench, target, rate=1000000, hold=True)
        haul = Haul(bench, source, far, run=dict(ALWAYS, batch_messages=10, settle_wait="2s"))
        process = haul.spawn("run", "PROFILE")
        haul.wait_rows(30)
        for _ in range(times):
            process.signal(signal.SIGTERM)
            time.sleep(0.2)  # two at once would be one
        check_equal(process.wait(30), 4, "exit code\n%s" % process.output())
        haul.run(timeout=60)
        haul.target = target
        haul.must_match("ann")


def lanes(bench, **run):
    target = Dovecot(bench, CROWD)
    return Pairing(bench, source_standin(bench), target, numbered(), ends=DOVECOT,
                   run=dict(ALWAYS, jobs="4", **run))


@test(timeout=900)
def test_steps(bench):
    died, missed = lanes(bench).every(3, 7)
    check(died >= 20, "only %d of %d steps were reached" % (died, died + missed))


@test(timeout=900, long=True)
def test_every_step(bench):
    died, missed = lanes(bench).every()
    check(died >= 100, "only %d of %d steps were reached" % (died, died + missed))


@test(timeout=300)
def test_random_kills_of_them(bench):
    random_kills(lanes(bench, batch_messages="10"), 20, SEED + 4)


@test(timeout=120)
def test_one_is_added_where_it_pays(bench):
    """Without a round trip to speak of, one alone begins; where the line holds each connection up,
    others come while it copies."""
    source = filled(bench, count=16, messages=60, size=100000)
    target = Dovecot(bench, USERS, name="new")
    far = Proxy(bench, target, rate=6000000, hold=True)
    before = target.logins("ann")
    haul = Haul(bench, source, far, run={"large_mailbox": "4M"})
    haul.run(timeout=110)
    check(target.logins("ann") - before >= 2, "no connection was added")
    haul.target = target
    haul.must_match("ann")


@test(timeout=120)
def test_one_that_brings_nothing_is_given_up(bench):
    """All connections are one line: a second one changes nothing, and is closed again."""
    source = filled(bench, count=16, messages=30, size=30000)
    target = Dovecot(bench, USERS, name="new")
    line = Proxy(bench, target, rate=1500000, hold=True, one_line=True)
    haul = Haul(bench, source, line, run={"large_mailbox": "1M", "batch_messages": 4})
    haul.run(timeout=110)
    haul.target = target
    log = haul.debug_log(60000)
    check_in("a further connection makes it no faster, and is given up", log, "the log")
    check(target.logins("ann") <= 3, "%d connections" % target.logins("ann"))
    haul.must_match("ann")


@test(timeout=120)
def test_old_connections_are_renewed(bench):
    """Between two messages: nothing is cut, nothing comes twice, and nothing is a failure."""
    source = filled(bench, count=6, messages=60, size=20000)
    for run in {"mailbox_connections": 1}, dict(ALWAYS, mailbox_connections=3):
        target = Dovecot(bench, USERS)
        slow = Proxy(bench, target, rate=1500000 // run["mailbox_connections"], hold=True)
        before = source.logins("ann")
        haul = Haul(bench, source, slow, run=dict(run, batch_messages=10, jobs=4),
                    source_options={"connection_age": "2s"})
        haul.run(timeout=60)
        check(source.logins("ann") - before > run["mailbox_connections"], "none was renewed")
        check_in("renewed for their age", haul.debug_log(60000), "the log")
        haul.target = target
        haul.must_match("ann")
        report = haul.report()
        check_equal(report["accounts"][0]["state"], "done", "state")
        check_equal(haul.sql("SELECT count(*) AS n FROM event WHERE kind > 0")[0]["n"], 0,
                    "warnings and errors")
