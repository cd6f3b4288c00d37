"""How hard a host is worked: what it can bear is found out, what it refuses is obeyed, and every
mailbox arrives all the same."""

import base64
import json
import re

from lib.bench import wait_for
from lib.haul import Haul
from lib.imap import Client, Mail
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.standin import Proxy, Standin

BODY = b"".join(b"line %04d of a message that takes some room\r\n" % n for n in range(200))
PATIENCE = "asked for patience (%s); 3 connections at a time from now on"
TOO_MANY = "* BYE [LIMIT] too many connections from you"


def users(count):
    return {"u%02d" % n: "secret" for n in range(count)}


def filled(bench, names, count=40):
    """About 9 kB each."""
    server = Dovecot(bench, names)
    for user in names:
        with Client(server.port) as c:
            c.login(user, names[user])
            c.fill("INBOX", [Mail(b"Subject: %s %d\r\n\r\n%s" % (user.encode(), n, BODY), (),
                                  1500000000 + n) for n in range(count)])
    return server


def limited_haul(bench, names, target, **limits):
    """Before the target a line on which a mailbox takes a second or two, and so many at a time."""
    haul = Haul(bench, filled(bench, names), target, names, run={"mailbox_connections": 1})
    proxy = Proxy(bench, target, rate=250000, hold=True, **limits)
    haul.options["target"]["port"] = proxy.port
    haul.save()
    return haul, proxy


def arrived(haul, names):
    for user in names:
        haul.must_match(user)


def level_at_end(haul, way="to"):
    """(at a time, at most, why lowered)"""
    line = re.search(r"connections %s \S+: (\d+) at a time, at most (\d+)(?:; lowered last for "
                     r"(.*))?" % way, haul.debug_log(1 << 20))
    return int(line.group(1)), int(line.group(2)), line.group(3)


def told(haul):
    """How often the log says that a host asked for patience."""
    return haul.debug_log(1 << 20).count("asked for patience")


def status(haul):
    process = haul.call("status", "PROFILE", "--json", expect=None)
    try:
        return json.loads(process.output())
    except ValueError:
        return {}


def target_of(haul):
    return next((h for h in status(haul).get("hosts", []) if not h["source"]), {})


@test(timeout=120)
def test_a_host_that_takes_three(bench):
    """Those above are turned away once, the others wait for their turn and say so."""
    names = users(12)
    haul, proxy = limited_haul(bench, names, Dovecot(bench, names), most=3, above=TOO_MANY)
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: target_of(haul).get("waiting"), 20, "one that waits")
    now = status(haul)
    host = next(h for h in now["hosts"] if not h["source"])
    check_equal((host["ceiling"], host["lowered"]), (12, "[LIMIT]"), "status")
    check(host["level"] in (2, 3), host)
    check(host["connections"] <= 6, host)
    check(any(re.fullmatch("waits for a connection to 127.0.0.1:%d, which may have [23] at a time"
                           % proxy.port, row["text"]) for row in now["work"]), now["work"])
    text = haul.call("status", "PROFILE").output()
    check(re.search(r"to 127\.0\.0\.1:%d: \d+ connections, [23] at a time \(at most 12\), .*"
                    r"lowered last for \[LIMIT\]" % proxy.port, text), text)
    check_equal(process.wait(90), 0, process.output())
    arrived(haul, names)
    check_equal(process.output().count("asked for patience"), 1, process.output())
    check_in(PATIENCE % "[LIMIT]", process.output())
    turned_away = proxy.stats()["above"]  # 3 at first; without a level 10 and more
    check(turned_away <= 7, "turned away %d times" % turned_away)
    check_equal(level_at_end(haul, "from"), (6, 12, None), "of the source")


@test(timeout=120)
def test_refused_connections(bench):
    """The system of the host refuses them, before any server speaks."""
    names = users(9)
    haul, _ = limited_haul(bench, names, Dovecot(bench, names), most=3)
    process = haul.run()
    arrived(haul, names)
    level, ceiling, why = level_at_end(haul)
    check(level <= 4 and ceiling == 12, "%d of %d" % (level, ceiling))
    check(why in ("connection refused", "goodbye at the login"), why)
    check_equal(process.output().count("asked for patience"), 1, process.output())
    turned_away = process.output().count("tried again")
    check(turned_away <= 11, "turned away %d times" % turned_away)


@test(timeout=120)
def test_further_connections_of_one_mailbox(bench):
    """What is refused of them is done without."""
    names = users(1)
    source, target = filled(bench, names, 4), Dovecot(bench, names)
    with Client(source.port) as c:
        c.login("u00", "secret")
        for folder in ["F%d" % n for n in range(12)]:
            c.create(folder)
            c.fill(folder, [Mail(b"Subject: %s %d\r\n\r\n%s" % (folder.encode(), n, BODY), (),
                                 1500000000 + n) for n in range(10)])
    haul = Haul(bench, source, target, names, run={"large_mailbox": "0",
                                                   "mailbox_connections": "4"})
    proxy = Proxy(bench, target, rate=250000, hold=True, most=2, above=TOO_MANY)
    haul.options["target"]["port"] = proxy.port
    haul.save()
    process = haul.run()
    arrived(haul, names)
    check_equal(process.output().count("asked for patience"), 1, process.output())
    check_equal(level_at_end(haul)[2], "[LIMIT]", "why lowered")
    check(0 < proxy.stats()["above"] <= 6, proxy.stats())


@test(timeout=120, root=True)
def test_cyrus_limits_a_host(bench):
    names = users(8)
    target = Cyrus(bench, names, settings={"maxlogins_per_host": "3"})
    haul, _ = limited_haul(bench, names, target)
    haul.run()
    for account in haul.report()["accounts"]:
        check_equal((account["state"], account["items"]["copied"]), ("done", 40), account)
    level, _, why = level_at_end(haul)
    check_equal((level <= 3, why), (True, "[LIMIT]"), "level")


@test(timeout=60)
def test_dovecot_limits_a_user(bench):
    """Others of this user and address hold all there may be, until one goes."""
    names = {"ann": "secret"}
    target = Dovecot(bench, names, max_userip=2)
    haul = Haul(bench, filled(bench, names), target)
    with Client(target.port) as one, Client(target.port) as other:
        one.login("ann", "secret")
        other.login("ann", "secret")
        process = haul.spawn("run", "PROFILE")
        wait_for(lambda: "tried again" in process.output(), 20, process.output)
        one.cmd("LOGOUT")
        check_equal(process.wait(40), 0, process.output())
    arrived(haul, names)
    check_equal(level_at_end(haul)[2], "[LIMIT]", "why lowered")


@test(timeout=120)
def test_dovecot_of_three_processes(bench):
    """It lets the others wait at their login, which is no refusal."""
    names = users(9)
    target = Dovecot(bench, names, settings="service imap {\n  process_limit = 3\n}")
    haul, _ = limited_haul(bench, names, target)
    haul.run()
    arrived(haul, names)


def standin(bench, names, **more):
    messages = [{"text": "Subject: m%d\r\n\r\nbody of %d\r\n" % (n, n), "flags": [],
                 "date": 1000000000 + n} for n in range(20)]
    return Standin(bench, users=names, accounts={user: {"folders": {"INBOX": {
        "messages": messages}}} for user in names}, **more)


@test(timeout=60)
def test_asked_for_patience_at_work(bench):
    """In the middle of a session: refused once, with each spelling, or sent away."""
    names = users(6)
    for action, code, why in (("no", "THROTTLED", "[UNAVAILABLE]"), ("no", "LIMIT", "[LIMIT]"),
                              ("bye", "UNAVAILABLE", "[UNAVAILABLE]")):
        source = standin(bench, names, rules=[{"command": "UID FETCH", "action": action,
                                               "code": code, "text": "not so fast"}])
        haul = Haul(bench, source, Standin(bench, users=names))
        process = haul.run(expect=(0, 2))
        check_in("(%s); " % why, process.output(), "%s [%s]" % (action, code))
        haul.run(expect=0)
        arrived(haul, names)


@test(timeout=60)
def test_one_mailbox_speaks_for_itself(bench):
    """What a server says again and again of one mailbox lowers nothing for the others."""
    names = users(8)
    login = base64.b64encode(b"\0u03\0secret").decode()
    for rule in ({"command": "AUTHENTICATE", "action": "bye", "args": "*%s*" % login},
                 {"command": "EXAMINE", "action": "no", "code": "UNAVAILABLE", "user": "u03"}):
        source = standin(bench, names, rules=[dict(rule, times=-1)])
        haul = Haul(bench, source, Standin(bench, users=names), run={"jobs": "8"})
        process = haul.spawn("run", "PROFILE")
        wait_for(lambda: process.output().count("tried again in") == 5, 30, process.output)
        check_equal(process.output().count(": done,"), 7, process.output())
        check(told(haul) <= 1, haul.debug_log())
        haul.kill(process)


@test(timeout=60)
def test_a_ceiling_of_the_profile(bench):
    names = users(4)
    target = Dovecot(bench, names)
    haul, proxy = limited_haul(bench, names, target, most=1, above=TOO_MANY)
    haul.options["target"]["connections"] = 1
    haul.save()
    haul.run()
    arrived(haul, names)
    check_equal(proxy.stats()["above"], 0, "connections above one")
    check_equal(level_at_end(haul), (1, 1, None), "level")
