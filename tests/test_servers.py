"""The test bench's own proof: the servers start, take what they are given and give it back."""

import os
import time

from lib.account import compare, name_of, path_of, read_account, read_path, show_path, state_of
from lib.bench import Bench, Failure, group_members
from lib.imap import Client, ImapError, Mail, parse_date
from lib.testing import check, check_equal, check_in, check_raises, test
from lib import utf7
from servers.cyrus import Cyrus, refuses
from servers.dovecot import SPECIAL, Dovecot


def some_mails(count):
    for n in range(count):
        body = b"From: a@acme.example\r\nSubject: mail %d\r\n\r\n" % n + b"x\r\n" * (n % 7)
        yield Mail(body, ("\\Seen",) if n % 2 else ("\\Flagged", "$Work"), 1000000000 + n * 61)


def fill_some(server, user="ann", password="secret"):
    with Client(server.port) as c:
        c.login(user, password)
        for name in "Büro & Co", "deep/er/est", "12345", ' lead and "quote" ':
            c.create(name.replace("/", server.separator))
        c.subscribe("12345")
        c.fill("INBOX", some_mails(250))
        c.fill("12345", some_mails(3))
        c.logout()


@test()
def test_dovecot_both_roles(bench):
    a = Dovecot(bench, {"ann": "secret"}, {"mover": "master"}, store="mdbox")
    b = Dovecot(bench, {"ann": "secret"}, store="maildir-fs", separator=".")
    fill_some(a)
    fill_some(b)
    one, two = state_of(a, "ann"), state_of(b, "ann")
    check_equal(compare(one, two), [], "differences of two accounts filled alike")
    check_equal(len(one["INBOX",].messages), 250, "messages")
    check_equal(one["INBOX",].messages[7].date, 1000000000 + 7 * 61, "date")
    check(one["12345",].subscribed and not one["Büro & Co",].subscribed, "subscriptions")
    check(("deep", "er", "est") in one, "a nested folder, among %s" % sorted(one))
    with Client(b.port) as c:  # each difference must be seen
        c.login("ann", "secret")
        c.select("INBOX")
        c.cmd("UID STORE 9 +FLAGS.SILENT (extra)")
        c.append("INBOX", b"Subject: more\r\n\r\nmore\r\n")
        c.delete("Büro & Co")
    found = "\n".join(compare(one, state_of(b, "ann")))
    for word in "message 9", "flags", "251 on the target", "1 times on the target", "not on the":
        check_in(word, found, "differences")


@test()
def test_dovecot_logins(bench):
    d = Dovecot(bench, {"ann": "secret"}, {"mover": "master"})
    cert, _ = bench.cert()
    with Client(d.tls_port, host="localhost", tls="tls", cafile=cert) as c:
        c.login("ann*mover", "master")
        c.select("INBOX")
    with Client(d.port, host="localhost", tls="starttls", cafile=cert) as c:
        c.login("mover", "master", authzid="ann")
        c.select("INBOX")
    with Client(d.port) as c:
        problem = check_raises(ImapError, c.login, "ann", "wrong")
        check_equal(problem.status, "NO", "status of a wrong password")
    d.add_user("bob", "later")
    check_equal(list(state_of(d, "bob")), [("INBOX",)], "a user added later")


@test()
def test_dovecot_certificates(bench):
    d = Dovecot(bench, {"ann": "secret"}, cert="expired")
    problem = check_raises(Exception, Client, d.tls_port, host="localhost", tls="tls",
                           cafile=bench.cert("expired")[0])
    check_in("expired", str(problem), "refusal")
    e = Dovecot(bench, {"ann": "secret"}, cert="wrong-host", plaintext=False)
    problem = check_raises(Exception, Client, e.tls_port, host=e.host, tls="tls",
                           cafile=bench.cert("wrong-host")[0])
    check_in("127.0.0.2", str(problem), "refusal")
    with Client(e.port, e.host) as c:
        check(b"LOGINDISABLED" in c.capabilities, "LOGINDISABLED")


@test()
def test_dovecot_options(bench):
    d = Dovecot(bench, {"ann": "secret", "tiny": ("secret", "userdb_quota_rule=*:storage=20k")},
                store="maildir", separator=".", prefix="INBOX.", special_use=SPECIAL,
                max_userip=2, quota="10M", keyword_length=20)
    with Client(d.port) as c:
        c.login("ann", "secret")
        c.create("INBOX.deep.folder")
        check_equal(c.namespace(), (b"INBOX.", "."), "namespace")
        state = read_account(c)
        check("\\sent" in state["Sent",].attributes, "special use, have %s" % state["Sent",])
        check(("deep", "folder") in state, "prefix taken off: %s" % sorted(state))
        more = [Client(d.port).login("ann", "secret")]
        check_raises(ImapError, Client(d.port).login, "ann", "secret")
        more[0].close()
    with Client(d.port) as c:
        c.login("tiny", "secret")
        check_equal(c.append("INBOX", b"x: y\r\n\r\n" + b"z" * 30000, check=False).code,
                    "OVERQUOTA", "code")


@test()
def test_dovecot_namespaces(bench):
    d = Dovecot(bench, {"ann": "secret", "bob": "secret"}, public={"Team": "lrwstipek"},
                shared=True, listescape=True)
    with Client(d.port) as c:
        c.login("ann", "secret")
        c.cmd("SETACL INBOX bob lrs")
        check_in(b"Public/Team", [row.name for row in c.list()], "folders")
    with Client(d.port) as c:
        c.login("bob", "secret")
        check_in(b"shared/ann", [row.name for row in c.list()], "folders")


@test()
def test_dovecot_life(bench):
    d = Dovecot(bench, {"ann": "secret"})
    fill_some(d)
    before = state_of(d, "ann")
    d.save("ann", "filled")
    group = d.process.pid
    d.kill()
    check_equal(group_members(group), [], "processes left after kill()")
    d.start()
    check_equal(compare(before, state_of(d, "ann")), [], "after a kill and a start")
    d.wipe("ann")
    check_equal(sorted(state_of(d, "ann")), [("INBOX",)], "after wipe()")
    d.restore("ann", "filled")
    check_equal(compare(before, state_of(d, "ann")), [], "after restore()")
    d.stop()
    check_equal(group_members(group), [], "processes left after stop()")


@test()
def test_many_messages_take_seconds(bench):
    d = Dovecot(bench, {"ann": "secret"})
    began = time.monotonic()
    with Client(d.port) as c:
        c.login("ann", "secret")
        check_equal(c.fill("INBOX", some_mails(10000)), 10000, "stored")
        stored = time.monotonic()
        big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * (60 * 65536)
        c.append("INBOX", big)
        bodies = [m.body for m in c.messages()]
    check_equal(len(bodies), 10001, "messages read")
    check_equal(bodies[-1].size, len(big), "size of the big one")
    took = stored - began, time.monotonic() - stored
    check(sum(took) < 60, "10,000 messages took %.1f + %.1f s" % took)
    print("10,000 stored in %.1f s; those and one of 63 MB read in %.1f s" % took)


@test()
def test_names_and_dates(bench):
    for text, raw in (("Büro", b"B&APw-ro"), ("a&b", b"a&-b"), ("台北", b"&U,BTFw-"), ("", b"")):
        check_equal(utf7.encode(text), raw, "encoded")
        check_equal(utf7.decode(raw), text, "decoded")
    for raw in b"B\xfcro", b"&Jjo!", b"&", b"&U,BTFw-&ZeVnLIqe-", b"&AGE-":
        check_equal(utf7.decode(raw), None, "decoded %r" % raw)
    check_equal(parse_date("01-Jan-1970 01:00:00 +0100"), 0, "date")
    check_equal(parse_date("32-Foo-1970 01:00:00 +0100"), None, "date")
    for path in ("a", "b/c"), ("INBOX", "x\\y"), ("one",):
        check_equal(read_path(show_path(path)), path, "path there and back")
    check_equal(path_of(b"INBOX.a.b", ".", b"INBOX."), ("a", "b"), "path")
    check_equal(path_of(b"inbox/x", "/", b""), ("INBOX", "x"), "path")
    check_equal(name_of(("a", "ü"), ".", b"INBOX."), b"INBOX.a.&APw-", "name")


@test()
def test_benches_share_nothing(bench):
    with Bench("one") as one, Bench("two") as two:
        ports = [b.port() for b in (one, two) * 20]
        check_equal(len(set(ports)), 40, "different ports")
        place = one.dir
        proc = one.spawn(["sh", "-c", "sleep 100 & sleep 100"], "sleeper")
    check(not os.path.exists(place), "the place is gone")
    check_equal(group_members(proc.pid), [], "processes left")
    check_raises(Failure, bench.run, ["false"])


@test()
def test_cyrus_both_roles(bench):
    d = Dovecot(bench, {"ann": "secret"})
    fill_some(d)
    want = state_of(d, "ann")
    for unix, alt in (True, True), (True, False), (False, False), (False, True):
        c = Cyrus(bench, {"ann": "secret"}, unix_separator=unix, alt_namespace=alt)
        with Client(c.port) as client:
            client.login("ann", "secret")
            prefix, separator = client.namespace()
            check_equal((prefix.decode(), separator), (c.prefix, c.separator), "namespace")
            for path in sorted(want):
                if path != ("INBOX",) and want[path].selectable and not refuses(path):
                    client.create(name_of(path, separator, prefix))
            client.subscribe(prefix + b"12345")
            client.fill("INBOX", some_mails(250))
            client.fill(prefix + b"12345", some_mails(3))
            have = read_account(client)
        left_out = [show_path(path) for path in want if refuses(path)]
        check_equal(left_out, [' lead and "quote" '], "names that Cyrus refuses")
        check_equal(compare(want, have, {
            "only_source": left_out, "unsubscribed": ["INBOX"]}), [], "differences")
        c.wipe("ann")
        check_equal(sorted(state_of(c, "ann")), [("INBOX",)], "after wipe()")
        c.stop()


@test()
def test_cyrus_options(bench):
    c = Cyrus(bench, {"ann": "secret", "bob": "other"}, {"mover": "master"}, quota=30,
              suppress="UIDPLUS MULTIAPPEND LITERAL+", max_message=20000,
              folders={"Gesendet": "\\Sent"})
    cert = bench.cert()[0]
    for port, tls in (c.tls_port, "tls"), (c.port, "starttls"):
        with Client(port, "localhost", tls, cert) as client:
            client.login("mover", "master", authzid="ann")
            client.select("INBOX")
    with Client(c.port) as client:
        client.login("bob", "other")
        check(not client.capabilities & {b"UIDPLUS", b"MULTIAPPEND", b"LITERAL+"}, "suppressed")
        for body, what in ((b"Subject: n\r\n\r\n\0\r\n", "NUL"),
                           (b"Subject: b\r\n\r\na\nb\r\n", "LF"),
                           (b"x: y\r\n\r\n" + b"z" * 30000, "size")):
            check_equal(client.append("INBOX", body, check=False).status, "NO", what)
        body = b"Subject: q\r\n\r\n" + b"z\r\n" * 4000
        texts = [client.append("INBOX", body, check=False).text for _ in range(4)]
        check_in("Over quota", texts, "texts (Cyrus gives no response code)")
    c.add_user("eva", "new")
    state = state_of(c, "eva")
    check_in("\\sent", state["Gesendet",].attributes, "special use")


@test()
def test_cyrus_life(bench):
    c = Cyrus(bench, {"ann": "secret"}, cert="expired")
    with Client(c.port) as client:
        client.login("ann", "secret")
        client.fill("INBOX", some_mails(100))
    before, group = state_of(c, "ann"), c.process.pid
    c.kill()
    check_equal(group_members(group), [], "processes left after kill()")
    c.start()
    check_equal(compare(before, state_of(c, "ann")), [], "after a kill and a start")
    c.stop()
    check_equal(group_members(group), [], "processes left after stop()")
