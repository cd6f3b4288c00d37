"""Whatever kills a run, running again leaves the target as an undisturbed run does."""

import os
import time

from corpus import boxes
from crash.suite import CROWD, CYRUS, DOVECOT, REFUSING, SEED, Pairing, numbered, \
    random_kills, source_standin
from lib.bench import wait_for
from lib.haul import Haul
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.standin import PLAIN_SERVER, Proxy, Standin

SLOW = 1500000  # bytes a second through a proxy, so that a kill finds bytes on their way


def every(pairing, least, stride=1, replies=1):
    died, missed = pairing.every(stride, replies)
    check(died >= least, "only %d of %d steps were reached" % (died, died + missed))


def dovecot(bench, **run):
    """APPENDUID, MULTIAPPEND, LITERAL+; bare line feeds come back as CRLF."""
    target = Dovecot(bench, CROWD)
    return Pairing(bench, source_standin(bench), target, numbered(), ends=DOVECOT, run=run)


@test(timeout=900)
def test_every_step_dovecot(bench):
    every(dovecot(bench), 100)


@test(timeout=900)
def test_steps_compressed(bench):
    """What lies in the compressor when the run dies has not left."""
    target = Dovecot(bench, CROWD, compress=True)
    source = source_standin(bench, capabilities=["COMPRESS=DEFLATE"])
    pairing = Pairing(bench, source, target, numbered(), ends=DOVECOT,
                      sides={"compress": "yes"})
    check_equal(source.violations(), [], "violations")
    check(source.commands("COMPRESS"), "no COMPRESS was sent")
    every(pairing, 20, 3, 7)


def cyrus(bench):
    """NUL, bare line feeds and 8-bit headers are refused: the ladder takes part."""
    target = Cyrus(bench, {})
    return Pairing(bench, source_standin(bench), target, numbered(target.add_user),
                   run={"settle_wait": "3s"}, ends=CYRUS)


@test(timeout=900, root=True)
def test_steps_cyrus(bench):
    every(cyrus(bench), 12, 7, 13)


@test(timeout=900, long=True, root=True)
def test_every_step_cyrus(bench):
    every(cyrus(bench), 130)


def plain_server(bench):
    """No UIDPLUS, no LITERAL+, no MULTIAPPEND."""
    target = Dovecot(bench, CROWD)
    proxy = Proxy(bench, target, strip=PLAIN_SERVER)
    return Pairing(bench, source_standin(bench), target, numbered(), via=proxy, ends=DOVECOT)


@test(timeout=900)
def test_steps_plain_server(bench):
    every(plain_server(bench), 15, 7, 29)


@test(timeout=1800, long=True)
def test_every_step_plain_server(bench):
    every(plain_server(bench), 300)


def refusing(bench):
    target = Standin(bench, users=CROWD,
                     content={"refuse": [boxes.REFUSED_RULE], "refuse_nul": True})
    return Pairing(bench, source_standin(bench), target, numbered(),
                   run={"ladder": "line_ends, nul"}, ends=REFUSING, unordered=("INBOX",))


@test(timeout=900)
def test_steps_refused_message(bench):
    """A message the target refuses for good stands in the report and costs no other."""
    every(refusing(bench), 15, 7, 13)


@test(timeout=1800, long=True)
def test_every_step_refused_message(bench):
    every(refusing(bench), 150)


def kill_while_sending(haul, rows):
    process = haul.spawn("run", "PROFILE")
    haul.wait_rows(rows)
    return process


@test(timeout=300)
def test_bytes_that_arrive_late(bench):
    """A proxy goes on delivering what a dead client had sent, for 3 s: the second look waits."""
    target = Dovecot(bench, CROWD)
    proxy = Proxy(bench, target, delay_ms=100, after_death=3, pieces=20)
    pairing = Pairing(bench, source_standin(bench), target, numbered(), via=proxy,
                      run={"settle_wait": "4s"}, ends=DOVECOT)
    before = proxy.stats()["after_death"]
    pairing.these(["last-byte:3", "first-byte:9", "last-byte:6", "last-byte:10", "commit:9"])
    check(proxy.stats()["after_death"] > before, "nothing came late")


def cut_and_kill(pairing, proxy, rows):
    """The link goes dead, the run is killed, and the bytes come when the next run has begun its
    first look."""
    haul = pairing.haul()
    process = kill_while_sending(haul, rows)
    late = proxy.stats()["after_death"]
    proxy.cut("links")
    wait_for(lambda: proxy.stats()["kept_up"] > 0, 20, "bytes held by the cut link")
    haul.kill(process)
    again = haul.spawn("run", "PROFILE")
    proxy.wait_heard("UID FETCH")
    check(not proxy.control("heard", text="APPEND"), "sent again before a look")
    proxy.restore()
    code = again.wait(120)
    check(code == pairing.exit, "exit %r\n%s" % (code, again.output()))
    check(proxy.stats()["after_death"] > late, "nothing came late")
    pairing.settled(haul, "a cut link and a kill")


@test(timeout=300)
def test_link_cut_before_the_kill(bench):
    target = Dovecot(bench, CROWD)
    proxy = Proxy(bench, target, rate=SLOW, after_death=2, pieces=8)
    pairing = Pairing(bench, source_standin(bench), target, numbered(), via=proxy,
                      run={"settle_wait": "4s", "batch_messages": "10"}, ends=DOVECOT)
    for rows in 15, 90:
        cut_and_kill(pairing, proxy, rows)


@test(timeout=300)
def test_random_kills(bench):
    random_kills(dovecot(bench, batch_messages="10"), 20, SEED)


@test(timeout=300)
def test_random_kills_plain_server(bench):
    random_kills(plain_server(bench), 10, SEED + 1)


@test(timeout=1800, long=True)
def test_hundred_random_kills(bench):
    random_kills(dovecot(bench, batch_messages="10"), 100, SEED + 2)
    random_kills(plain_server(bench), 100, SEED + 3)


@test(timeout=120)
def test_late_double(bench):
    """The limit of the promise: bytes of a dead run that the target gets only after the second
    look. The message is there twice, and both UIDs are told."""
    source = Standin(bench, "source", users={"ann": "secret"}, accounts={"ann": {"folders": {
        "INBOX": {"messages": [{"made_up": 300000, "uid": 7}]}}}})
    target = Standin(bench, "target", users={"ann": "secret"})
    proxy = Proxy(bench, target, rate=400000, after_death=1)
    haul = Haul(bench, source, proxy, run={"settle_wait": "300ms"})
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: all_taken(proxy, 300000), 20, "the message in the proxy")
    proxy.cut("links")
    haul.kill(process)
    check_equal(stored(target), [], "stored while the link is cut")
    target.rules({"command": "APPEND", "action": "stall", "seconds": 3})
    again = haul.spawn("run", "PROFILE")
    target.wait_command("APPEND")  # so it has looked twice, found nothing, and sent it again
    check_equal(stored(target), [], "stored at the second look")
    proxy.restore()
    wait_for(lambda: stored(target) == [1], 20, "the late message")
    check_equal(again.wait(60), 2, "exit code")
    check_equal(stored(target), [1, 2], "UIDs on the target")
    (account,) = haul.report()["accounts"]
    check_equal((account["state"], account["items"]["copied"]), ("done with remarks", 1), "end")
    words = "late double: source UID 7 lies on the target as UID 2 and UID 1"
    with open(os.path.join(haul.logs()[-1], "report.txt")) as f:
        check_in(words, f.read(), "report.txt")
    check_in(words, haul.call("report", "PROFILE").output(), "report")
    check_equal(haul.sql("SELECT uid, state, target_uid FROM item"),
                [{"uid": 7, "state": 1, "target_uid": 2}], "rows")
    haul.run()
    check_equal(stored(target), [1, 2], "UIDs after a further run")


def all_taken(proxy, least):
    """The proxy has so many bytes, and no more come."""
    before = proxy.stats()["taken_up"]
    time.sleep(0.05)
    return least < before == proxy.stats()["taken_up"]


def stored(target):
    return [row[0] for row in target.control("state")["ann"]["INBOX"]]
