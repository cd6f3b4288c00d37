"""The stand-ins' own proof: strict where a real server is, and each misbehaviour happens."""

import socket
import time

from lib.bench import wait_for
from lib.account import compare, read_account, state_of
from lib.imap import Client, ImapError, Mail
from lib.testing import check, check_equal, check_in, check_raises, test
from servers.dovecot import Dovecot
from standins import made_up
from standins.standin import PLAIN_SERVER, Proxy, Standin

USERS = {"ann": "secret", "bob": "other"}


def mails(count):
    return [Mail(b"Subject: %d\r\n\r\nbody %d\r\n" % (n, n), ("\\Seen", "Work") if n % 2 else (),
                 1000000000 + n) for n in range(count)]


def filled(count=5, **more):
    """Config: INBOX with `count` small messages."""
    messages = [{"text": "Subject: m%d\r\n\r\nbody of %d\r\n" % (n, n), "flags": ["\\Seen"],
                 "date": 1000000000 + n} for n in range(count)]
    return dict({"users": USERS, "accounts": {"ann": {"folders": {"INBOX": {
        "messages": messages}}}}}, **more)


def ann(server, **more):
    return Client(server.port, **more).login("ann", "secret")


def raw(server, data, until=b"\r\n", timeout=10):
    """What comes back on a bare connection, up to `until` or the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout) as s:
        s.sendall(data)
        back = b""
        while until not in back:
            piece = s.recv(65536)
            if not piece:
                break
            back += piece
    return back


@test()
def test_is_as_good_as_a_real_one(bench):
    s = Standin(bench, users=USERS, masters={"mover": "master"}, cert="good")
    d = Dovecot(bench, USERS)
    for server in s, d:
        with ann(server) as c:
            for name in "a/b/c", "Büro & Co", " odd \"one\" ", "123":
                c.create(name)
            c.subscribe("123")
            check_equal(c.fill("INBOX", mails(500)), 500, "stored")
            c.fill("a/b/c", mails(3))
            c.select("INBOX")
            c.cmd("UID STORE 2:4 +FLAGS.SILENT (\\Deleted)")
            c.cmd("UID EXPUNGE 3")
            c.cmd(b"UID COPY 5 {}", b"123")
            c.logout()
    check_equal(compare(state_of(d, "ann"), state_of(s, "ann")), [], "differences to Dovecot")
    check_equal(s.violations(), [], "violations")
    cert = bench.cert()[0]
    with Client(s.tls_port, "localhost", "tls", cert) as c:
        c.login("ann*mover", "master")
    with Client(s.port, "localhost", "starttls", cert) as c:
        c.login("mover", "master", authzid="ann")
        check_equal(c.select("INBOX")["exists"], 499, "messages")


@test()
def test_is_strict(bench):
    s = Standin(bench, **filled())
    login = b"a LOGIN ann secret\r\nb EXAMINE INBOX\r\n"
    for line in (b"x FOO", b"x  NOOP", b"x NOOP ", b"x UID FETCH 1 (ENVELOPE)", b"x FETCH 1 (FLAGS",
                 b"x SELECT INBOX extra", b"x LIST \"\" B\xfcro", b"x STATUS INBOX (FOO)",
                 b"x APPEND INBOX (\\Recent) {3+}\r\nabc", b"x COMPRESS DEFLATE",
                 b"x APPEND INBOX () \"32-Jan-2020 10:00:00 +0000\" {1+}\r\na",
                 b"x UID FETCH 1 (BODY[]", b"x STARTTLS", b"x XLIST \"\" *"):
        check_in(b"x BAD", raw(s, login + line + b"\r\nq NOOP\r\n", b"q OK"), repr(line))
    for line in b'x CREATE "B\xfcro"', b'x CREATE "a&b"', b"x SELECT nowhere", b"x CREATE INBOX":
        check_in(b"x NO", raw(s, login + line + b"\r\nq NOOP\r\n", b"q OK"), repr(line))
    check(len(s.violations()) >= 14, "violations are recorded: %d" % len(s.violations()))
    check_in(b"x BAD", raw(s, b"x LIST \"\" *\r\n", b"x BAD"), "before login")


@test()
def test_unadvertised_is_refused(bench):
    s = Standin(bench, **filled(capabilities=["IMAP4REV1"]))
    back = raw(s, b"a LOGIN ann secret\r\nb APPEND INBOX {4+}\r\nx 1\n\r\nq NOOP\r\n", b"q OK")
    check_in(b"b BAD", back, "non-synchronising literal")
    with ann(s) as c:
        check_equal(c.fill("INBOX", mails(3)), 3, "stored one by one")
        for line in "NAMESPACE", "ID NIL", "ENABLE X", 'LIST "" "*" RETURN (SPECIAL-USE)', \
                "STATUS INBOX (SIZE)", "IDLE":
            check_equal(c.cmd(line, check=False).status, "BAD", line)
        check_equal(c.append("INBOX", b"x").code, "", "no APPENDUID")
        check_equal(len(read_account(c)["INBOX",].messages), 9, "messages")


@test()
def test_answers_by_rule(bench):
    s = Standin(bench, **filled(rules=[
        {"command": "APPEND", "nth": 2, "action": "no", "code": "OVERQUOTA"},
        {"command": "SELECT", "folder": "nosel", "action": "bad"},
        {"command": "NOOP", "action": "untagged", "lines": ["* XFOO (a \"b\")", "* 7 RECENT"]},
        {"command": "CHECK", "action": "hold"},
        {"command": "CREATE", "action": "ok"},
        {"command": "STATUS", "action": "lie", "value": 77},
        {"command": "UID SEARCH", "action": "do", "ops": [
            {"do": "expunge", "user": "ann", "folder": "INBOX", "uids": [2]}]},
        {"command": "UNSELECT", "action": "wrong_tag", "tag": "zz"},
        {"command": "LOGOUT", "action": "bye", "text": "early"}]))
    with ann(s) as c:
        c.select("INBOX")
        check_equal([c.append("INBOX", b"x: %d" % n, check=False).code for n in range(3)],
                    ["APPENDUID 1000 6", "OVERQUOTA", "APPENDUID 1000 7"], "codes")
        check_equal(c.named("SELECT", "nosel", check=False).status, "BAD", "status")
        check_in(b"* XFOO (a \"b\")", [p[0] for p in c.cmd("NOOP").untagged], "extra response")
        c.select("INBOX")
        first, second = c.start("CHECK"), c.start("NOOP")
        c.finish(second)
        check(first not in c.done, "the first answer is held back")
        c.finish(first)
        c.create("made")
        check(not [r for r in c.list() if r.name == b"made"], "CREATE had no effect")
        check_in(b"UIDVALIDITY 77", c.cmd("STATUS INBOX (UIDVALIDITY)").untagged[0][0], "status")
        check_equal(c.uids(), [1, 3, 4, 5, 6, 7], "after the expunge")
        tag = c.start("UNSELECT")
        c.cmd("NOOP")
        check(b"zz" in c.done and tag not in c.done, "answer under a wrong tag")
        check_raises(ImapError, c.cmd, "LOGOUT")


@test()
def test_append_by_rule(bench):
    s = Standin(bench, **filled(0, rules=[
        {"command": "APPEND", "action": "close", "after": True},
        {"command": "APPEND", "nth": 2, "action": "partial", "count": 2},
        {"command": "APPEND", "nth": 3, "action": "close_in_append", "bytes": 3},
        {"command": "APPEND", "nth": 4, "action": "no", "early": True}]))
    with ann(s) as c:
        check_raises(ImapError, c.append, "INBOX", b"stored, not answered")
    with ann(s) as c:
        tag = c.start_batch("INBOX", mails(3))
        check_equal(c.finish(tag, check=False).status, "NO", "status")
        check_raises((ImapError, OSError), c.append, "INBOX", b"x" * 300000)
    with ann(s) as c:
        c.capabilities.discard(b"LITERAL+")
        check_equal(c.append("INBOX", b"x" * 1000, check=False).status, "NO", "early refusal")
        check_equal(len(read_account(c)["INBOX",].messages), 3, "stored")


@test()
def test_broken_fetches(bench):
    s = Standin(bench, **filled(3))
    for rule in ({"action": "close_in_literal", "message": 2}, {"action": "close"},
                 {"action": "bye"}, {"action": "reset"}, {"action": "garbage", "close": True},
                 {"action": "huge_literal", "size": "99999999999999999999"}):
        s.rules(dict(rule, command="UID FETCH"))
        with ann(s, timeout=3) as c:
            c.select("INBOX", True)
            check_raises((ImapError, OSError), lambda c=c: list(c.messages()))
    for delta in -5, 5:
        s.rules({"command": "UID FETCH", "action": "wrong_size", "delta": delta})
        check_in(b"{%d}" % (26 + delta), raw(
            s, b"a LOGIN ann secret\r\nb EXAMINE INBOX\r\nc UID FETCH 1 (BODY.PEEK[])\r\n",
            b"c OK"), "26 bytes announced as")
    s.rules({"command": "UID FETCH", "action": "stall_in_literal"})
    with ann(s, timeout=1) as c:
        c.select("INBOX", True)
        check_raises(OSError, lambda: list(c.messages()))
    s.rules({"command": "UID FETCH", "action": "stall", "seconds": 0.3},
            {"command": "NOOP", "action": "long_line", "bytes": 50 << 20})
    with ann(s) as c:
        c.select("INBOX", True)
        began = time.monotonic()
        check_equal(len(list(c.messages())), 3, "messages")
        check(time.monotonic() - began > 0.25, "it was silent for a time")
        check_raises(ImapError, c.cmd, "NOOP")
    s.rules({"command": "GREETING", "action": "bye"}, {"command": "CONNECT", "nth": 2,
                                                      "action": "close"})
    check_raises(ImapError, ann, s)
    check_raises((ImapError, OSError), ann, s)
    ann(s).close()


@test()
def test_odd_but_legal_fetches(bench):
    want = [m.body.sha256 for m in state_of(Standin(bench, **filled(30)), "ann")["INBOX",].messages]
    for fetch in ({"order": "random"}, {"order": "body-first"}, {"split": True}, {"extra": True}):
        s = Standin(bench, **filled(30, fetch=fetch, size_off=9, list_literals=True))
        have = state_of(s, "ann")
        check_equal([m.body.sha256 for m in have["INBOX",].messages], want, str(fetch))


@test()
def test_content(bench):
    nul = b"Subject: n\r\n\r\na\0b\r\n"
    bare = b"Subject: b\r\n\r\na\nb\rc\r\n"
    s = Standin(bench, users=USERS, accounts={"ann": {"folders": {
        "INBOX": {"messages": [{"text": nul.decode()}, {"text": bare.decode()},
                               {"text": "", "raw_date": "30-Dec-1899 00:00:00 +0000"}]},
        "B\xfcro": {"raw": True, "messages": [{"text": "x: y\r\n\r\n"}]},
        "Gesendet": {"use": "\\Sent", "subscribed": True}, "box": {"selectable": False}}}})
    state = state_of(s, "ann")
    check_equal([m.body.data for m in state["INBOX",].messages], [nul, bare, b""], "bodies")
    check_equal(len(state["B\xfcro",].messages), 1, "folder of a raw name")
    check_in("\\sent", state["Gesendet",].attributes, "special use")
    check(not state["box",].selectable, "\\Noselect")
    t = Standin(bench, users=USERS, keywords=["Work"], content={
        "refuse_nul": True, "refuse_bare": True, "refuse_8bit_headers": True, "max_size": 1000,
        "refuse": [{"pattern": "virus", "code": "CANNOT"}]})
    with ann(t) as c:
        codes = [c.append("INBOX", m, check=False)[1:3] for m in (
            nul, bare, b"Subject: \xfc\r\n\r\n", b"", b"x" * 1001, b"a virus",
            b"Subject: ok\r\n\r\n")]
        check_equal([status for status, _ in codes], ["NO"] * 6 + ["OK"], "statuses")
        check_equal([code for _, code in codes][4:6], ["TOOBIG", "CANNOT"], "codes")
        c.append("INBOX", Mail(b"x: y\r\n\r\n", ("\\Seen", "Work", "Play")))
        c.select("INBOX")
        check_equal([sorted(m.flags) for m in c.messages()], [[], ["Work", "\\Seen"]], "flags")


@test()
def test_made_up_message(bench):
    size = 300 << 20
    s = Standin(bench, users=USERS, keep_bytes=1 << 20, accounts={"ann": {"folders": {
        "INBOX": {"messages": [{"made_up": size, "seed": 4}]}}}})
    with ann(s) as c:
        c.select("INBOX", True)
        (message,) = c.messages()
        check_equal(message.body.size, size, "size")
        check_equal(message.body.sha256, made_up.sha256(size, 4), "digest")
        c.append("INBOX", b"y" * (3 << 20))
        check_equal(s.control("state")["ann"]["INBOX"][1][1], 3 << 20, "size kept without bytes")
        part = c.cmd("UID FETCH 2 (BODY.PEEK[]<0.65536>)").untagged
        check_equal([p.size for row in part for p in row if not isinstance(p, bytes)], [65536],
                    "first 64 KiB")
    with open("/proc/%d/status" % s.process.pid) as f:
        peak = int(f.read().partition("VmHWM:")[2].split()[0])
    check(peak < 100000, "a made-up message never lies in memory: peak %d kB" % peak)


@test()
def test_changes_by_others(bench):
    s = Standin(bench, **filled(5))
    with ann(s) as one, ann(s) as two:
        one.select("INBOX")
        two.select("INBOX")
        two.cmd("UID STORE 2 +FLAGS.SILENT (\\Deleted)")
        two.cmd("EXPUNGE")
        two.append("INBOX", b"new")
        s.control("flag", user="ann", folder="INBOX", flags=["$Junk"], uids=[5])
        lines = [p[0] for p in one.cmd("NOOP").untagged]
        for word in b"* 2 EXPUNGE", b"* 5 EXISTS", b"* 4 FETCH (UID 5 FLAGS ($Junk \\Seen))":
            check_in(word, lines, "news")
        s.control("expunge", user="ann", folder="INBOX", uids=[4])
        answer = one.cmd("UID FETCH 4 (FLAGS)", check=False)
        check_equal((answer.status, answer.code), ("NO", "EXPUNGEISSUED"), "expunged under way")
        s.control("uidvalidity", user="ann", folder="INBOX", value=9, renumber=True)
        check_equal(one.select("INBOX")["uidvalidity"], 9, "UIDVALIDITY")
        s.control("rename", user="ann", folder="INBOX", to="Old")
        s.control("quota", user="ann", value=10)
        check_equal(one.append("Old", b"x" * 20, check=False).code, "OVERQUOTA", "code")


@test()
def test_proxy_takes_capabilities_away(bench):
    d = Dovecot(bench, USERS)
    p = Proxy(bench, d, strip=PLAIN_SERVER + ["LIST-STATUS"])
    with ann(p) as c:
        check(not {b"LITERAL+", b"UIDPLUS", b"MULTIAPPEND", b"LIST-STATUS"} & c.capabilities,
              "still advertised: %s" % c.capabilities)
        check(b"NAMESPACE" in c.capabilities, "the rest stays")
        check(b"LITERAL+" not in c.greeting, "nor in the greeting")
        check_equal(c.append("INBOX", Mail(b"Subject: a\r\n\r\na\r\n")).code, "", "no APPENDUID")
        c.create("box")
        c.select("INBOX")
        check_equal(c.cmd("UID COPY 1 box").code, "", "no COPYUID")
        check_equal(c.cmd("UID EXPUNGE 1", check=False).status, "BAD", "UID EXPUNGE")
        check_equal(c.cmd('LIST "" "*" RETURN (STATUS (MESSAGES))', check=False).status, "BAD",
                    "LIST-STATUS")
        tag = c.start(b"APPEND INBOX () {} () {}", b"x: 1\r\n\r\n", b"x: 2\r\n\r\n")
        check_equal(c.finish(tag, check=False).status, "BAD", "two messages")
        check_equal(c.select("INBOX")["exists"], 1, "messages")
        check_equal(c.fill("INBOX", mails(20)), 20, "stored")
        check_equal(len(read_account(c)["INBOX",].messages), 21, "messages read")
    login = b"a LOGIN ann secret\r\n"
    back = raw(p, login + b"b APPEND INBOX {9+}\r\nc CREATE Victim\r\nq NOOP\r\n", b"q OK")
    check_in(b"b BAD", back, "literal")
    check_in(b"c OK", back, "what follows is read as commands")


@test()
def test_proxy_is_quick(bench):
    d = Dovecot(bench, USERS)
    p = Proxy(bench, d, strip=PLAIN_SERVER[:1])
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * (1 << 20)
    with ann(p) as c:
        began = time.monotonic()
        for _ in range(4):
            c.append("INBOX", big)
        c.select("INBOX")
        check_equal([m.body.size for m in c.messages()], [len(big)] * 4, "sizes")
        took = time.monotonic() - began
    check(took < 20, "8 times 17 MB took %.1f s" % took)
    print("%.0f MB/s through the stripping proxy" % (8 * len(big) / took / 1e6))


@test()
def test_proxy_delays(bench):
    d = Dovecot(bench, USERS)
    p = Proxy(bench, d, delay_ms=30)
    with ann(p) as c:
        began = time.monotonic()
        for _ in range(5):
            c.cmd("NOOP")
        took = time.monotonic() - began
        check(0.29 < took < 1.5, "five round trips of 60 ms took %.3f s" % took)
        p.control("delay", ms=0)
        check_equal(c.fill("INBOX", mails(200)), 200, "stored")
    check_equal(compare(state_of(d, "ann"), state_of(p, "ann")), [], "differences")


@test()
def test_proxy_delivers_a_dead_clients_bytes(bench):
    d = Dovecot(bench, USERS)
    p = Proxy(bench, d, delay_ms=300, after_death=2)
    with ann(p) as c:
        c.select("INBOX")
        for mail in mails(200):
            c.start_batch("INBOX", [mail])
        wait_for(lambda: p.stats()["kept_up"] > 10000, 10, "bytes in the proxy")
    began = time.monotonic()
    counts = set()
    with ann(d) as c:
        def all_there():
            counts.add(c.select("INBOX")["exists"])
            return 200 in counts
        wait_for(all_there, 20, lambda: "200 messages, saw %s" % sorted(counts))
    took = time.monotonic() - began
    check(len(counts) > 5 and took > 1, "bit by bit: %s in %.1f s" % (sorted(counts), took))


@test()
def test_proxy_cuts_the_link(bench):
    d = Dovecot(bench, USERS)
    p = Proxy(bench, d, after_death=1)
    c = ann(p, timeout=1)
    p.cut("silent")
    check_raises(OSError, c.cmd, "NOOP")
    p.restore()
    c.sock.settimeout(10)
    c.finish(b"t%d" % c.number)
    c.cmd("NOOP")
    p.cut("silent")
    c.start_batch("INBOX", mails(1))
    c.close()  # dies while the link is cut: its bytes lie in the proxy
    with ann(d) as direct:
        check_equal(direct.select("INBOX")["exists"], 0, "messages while the link is cut")
        p.restore()
        wait_for(lambda: direct.select("INBOX")["exists"] == 1, 10, "the bytes arrive")
    c = ann(p)
    p.cut("links")  # that one, and no new one
    c.sock.settimeout(0.3)
    check_raises(OSError, c.cmd, "NOOP")
    with ann(p) as other:
        check_equal(p.control("heard", text="NOOP"), 0, "heard of links that are not cut")
        other.cmd("NOOP")
        check_equal(p.control("heard", text="NOOP"), 1, "heard of links that are not cut")
    p.restore()
    c.sock.settimeout(10)
    c.finish(b"t%d" % c.number)
    p.cut("refuse")
    check_raises((ImapError, OSError), c.cmd, "NOOP")
    check_raises((ImapError, OSError), ann, p)
    p.restore()
    ann(p).logout()
