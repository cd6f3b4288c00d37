"""One large folder divided among several pairs of connections: each message once whatever ends a
run, and whole where what lies on the target would have to be searched."""

from corpus import boxes
from corpus.boxes import Box, fill_account
from crash.suite import CROWD, DOVECOT, REFUSING, SEED, Pairing, numbered, random_kills, \
    source_standin
from lib.account import state_of
from lib.haul import Haul
from lib.imap import Mail
from lib.testing import check, check_equal, check_in, test
from servers.dovecot import Dovecot
from standins.standin import Proxy, Standin

USERS = {"ann": "secret"}
PARTS = {"large_mailbox": "0", "large_folder": "0", "mailbox_connections": 4, "batch_messages": 10}
COUNT = 400


def mails(count, size=2000):
    """Every fifth is one and the same."""
    for n in range(count):
        number = 0 if n % 5 == 0 else n
        yield Mail(b"Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\n%s" % (
            number, number, b"words\r\n" * (size // 7)), (), 1400000000 + number)


def one_folder(bench, count=COUNT):
    source = Dovecot(bench, USERS, name="old")
    fill_account(source, "ann", [Box("INBOX", lambda: mails(count))])
    return source


def made(count=COUNT):
    return [{"text": "Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\n%s" % (
        n if n % 5 else 0, n if n % 5 else 0, "words\r\n" * 200), "flags": [],
             "date": 1400000000 + n} for n in range(count)]


def standin(bench, messages=None, **more):
    return Standin(bench, users=USERS, accounts={"ann": {"folders": {
        "INBOX": {"messages": made() if messages is None else messages}}}}, **more)


def run_slowly(bench, source, target, **run):
    """As a line that lets all connections come before one has fetched everything."""
    line = Proxy(bench, source, rate=200000, hold=True)
    haul = Haul(bench, line, target, run=dict(PARTS, **run))
    haul.run(timeout=100)
    haul.source = source
    return haul


def sessions(server, command):
    """How many sent it."""
    return len({c["conn"] for c in server.commands(command)})


def finish(haul, state="done", **more):
    haul.must_match("ann", ordered=False, **more)
    check_equal(haul.report()["accounts"][0]["state"], state, "state")


@test(timeout=90)
def test_folder_is_divided(bench):
    """All connections fetch of it and store into it, each message once."""
    source, target = standin(bench), standin(bench, [])
    haul = run_slowly(bench, source, target)
    check(sessions(source, "UID FETCH") >= 3, "not fetched by all")
    check(sessions(target, "APPEND") >= 3, "not stored by all")
    finish(haul)
    haul.must_move_nothing("ann")
    check_equal(source.violations() + target.violations(), [], "violations")


@test(timeout=90)
def test_folder_that_is_scanned_is_divided(bench):
    """What a filter lets through, and what an earlier run left."""
    source, target = one_folder(bench), Dovecot(bench, USERS, name="new")
    far, near = Proxy(bench, source, rate=200000, hold=True), Proxy(
        bench, target, rate=300000, hold=True)
    haul = Haul(bench, far, near, run=dict(PARTS, since="2001"))
    before = source.logins("ann")
    process = haul.spawn("run", "PROFILE")
    haul.wait_rows(50)
    check(source.logins("ann") - before > 1, "not divided at first")
    haul.kill(process)
    before = source.logins("ann")
    haul.run(timeout=80)
    haul.source, haul.target = source, target
    check_equal(source.logins("ann") - before, 4, "logins")
    finish(haul)
    check_equal(haul.sql("SELECT count(*) AS n FROM item")[0]["n"], COUNT, "rows")


@test(timeout=90)
def test_folder_stays_whole(bench):
    """Below large_folder, and where the target does not tell UIDs: in the source's order."""
    source = standin(bench)
    for run, strip in ({"large_folder": "1G"}, []), ({}, ["UIDPLUS"]):
        target = Dovecot(bench, USERS)
        haul = Haul(bench, source, Proxy(bench, target, strip=strip), run=dict(PARTS, **run))
        haul.run()
        haul.target = target
        haul.must_match("ann", ordered=True)


@test(timeout=120)
def test_divided_folder_is_searched(bench):
    """A bare NO, of which nobody knows whether a part is stored all the same: nobody looks while
    another writes there equal messages."""
    source = standin(bench)
    target = standin(bench, [], rules=[{
        "command": "APPEND", "nth": 25, "times": 1, "action": "partial", "count": 3,
        "then": "no"}])
    haul = run_slowly(bench, source, target)
    check_in("begun anew, with whole folders", haul.debug_log(60000), "the log")
    finish(haul)


@test(timeout=120)
def test_what_was_told_is_not_searched(bench):
    """A target that writes a line into each message, so that no digest knows it again: nine of ten
    are answered with their UIDs, the tenth with a NO, or without a UID. None comes twice."""
    for answer in ({"action": "no", "text": "not now"}, {"action": "ok", "after": True}):
        source = standin(bench)
        target = standin(bench, [], content={"prepend": "X-Added: yes\r\n"}, rules=[
            dict(answer, command="APPEND", nth=250, times=1)])
        near = Proxy(bench, target, strip=["MULTIAPPEND"])
        haul = run_slowly(bench, source, near)
        folder = state_of(target, "ann", bodies=False)["INBOX",]
        check_equal(sorted(m.date for m in folder.messages),
                    [1400000000 + n for n in range(COUNT)], "dates")
        if answer["action"] == "no":
            check_in("begun anew, with whole folders", haul.debug_log(60000), "the log")
        rows = haul.sql("SELECT state, count(*) AS n FROM item GROUP BY state")
        check_equal(rows, [{"state": 1, "n": COUNT}], "rows")


@test(timeout=120)
def test_list_waits_for_all_parts(bench):
    """What came is held against what is there when the slowest connection has brought its own."""
    for nth in 10, 12, 14:
        source = standin(bench, rules=[{
            "command": "UID FETCH", "args": "*BODY*", "nth": nth, "action": "stall",
            "seconds": 2}])
        finish(run_slowly(bench, source, standin(bench, [])))


@test(timeout=60)
def test_folder_cannot_be_scanned(bench):
    """Nobody waits for parts that will never be."""
    source = standin(bench, rules=[{
        "command": "UID FETCH", "times": -1, "action": "no", "text": "not this one"}])
    haul = Haul(bench, source, standin(bench, []), run=dict(PARTS, since="2001"))
    haul.run(timeout=40, expect=(2, 3))


@test(timeout=120)
def test_range_is_refused(bench):
    """One connection's source does not give it: the folder is scanned when all have ended."""
    source = standin(bench, rules=[{
        "command": "UID FETCH", "nth": 6, "times": 3, "action": "no", "text": "not now"}])
    haul = run_slowly(bench, source, standin(bench, []))
    check(sessions(source, "UID FETCH") >= 3, "not fetched by all")
    finish(haul)


@test(timeout=120)
def test_one_of_them_is_cut(bench):
    source, target = one_folder(bench), Dovecot(bench, USERS, name="new")
    near = Proxy(bench, target, rate=400000, hold=True)
    haul = Haul(bench, source, near, run=PARTS)
    process = haul.spawn("run", "PROFILE")
    haul.wait_rows(60)
    near.cut("reset")
    near.restore()
    check_equal(process.wait(100), 0, "exit code\n%s" % process.output())
    haul.target = target
    finish(haul)


def divided(bench, **run):
    return Pairing(bench, source_standin(bench), Dovecot(bench, CROWD), numbered(), ends=DOVECOT,
                   run=dict(PARTS, **run), ordered=False)


@test(timeout=900)
def test_steps(bench):
    died, missed = divided(bench).every(3, 7)
    check(died >= 20, "only %d of %d steps were reached" % (died, died + missed))


@test(timeout=900)
def test_steps_refused_message(bench):
    target = Standin(bench, users=CROWD,
                     content={"refuse": [boxes.REFUSED_RULE], "refuse_nul": True})
    pairing = Pairing(bench, source_standin(bench), target, numbered(),
                      run=dict(PARTS, ladder="line_ends, nul"), ends=REFUSING, ordered=False)
    died, missed = pairing.every(9, 31)
    check(died >= 10, "only %d of %d steps were reached" % (died, died + missed))


@test(timeout=1800, long=True)
def test_every_step(bench):
    died, missed = divided(bench).every()
    check(died >= 100, "only %d of %d steps were reached" % (died, died + missed))


@test(timeout=600)
def test_random_kills_of_them(bench):
    """With a fifth of the messages equal to the last byte."""
    target = Dovecot(bench, CROWD)
    pairing = Pairing(bench, one_folder(bench), target, numbered(), run=PARTS, ordered=False,
                      via=Proxy(bench, target, rate=2000000, hold=True))
    random_kills(pairing, 20, SEED + 5)
