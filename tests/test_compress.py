"""COMPRESS=DEFLATE: everything arrives equal; auto uses it where the line is slow, and only there."""

import json
import random
import re
import zlib

from corpus import boxes
from lib.bench import wait_for
from lib.haul import Haul
from lib.imap import Client, ImapError, Mail
from lib.testing import check, check_equal, check_in, check_raises, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.imapd import CAPABILITIES
from standins.standin import Proxy, Standin

ON = {"compress": "yes"}
LINE = re.compile(r"compression (from|to) \S+: (\d+) of (\d+) connections, (\d+) bytes as (\d+)")


def lines(haul):
    """{"from": (compressed, all, bytes, bytes on the line)} as the last run's log sums up."""
    found = LINE.findall(haul.debug_log(1 << 20))
    return {way: tuple(int(n) for n in numbers) for way, *numbers in found}


def texts(count, size=100000):
    """Messages of words, as text mail is: a third is left of them."""
    rnd = random.Random(7)
    words = ["".join(rnd.choice("etaoinshrdlu") for _ in range(rnd.randint(2, 9)))
             for _ in range(3000)]
    for n in range(count):
        body = []
        while len(body) * 60 < size:
            body.append(" ".join(rnd.choice(words) for _ in range(10)))
        yield Mail(("Subject: text %d\r\nMessage-ID: <%d@text.example>\r\n\r\n%s\r\n" % (
            n, n, "\r\n".join(body))).encode(), (), 1000000000 + n)


def fill(server, mails, user="ann", password="secret"):
    with Client(server.port, server.host) as c:
        c.login(user, password)
        c.fill("INBOX", mails)
        c.logout()


def both_are_compressed(haul):
    for way in "from", "to":
        compressed, all_of_them, size, became = lines(haul)[way]
        check(compressed == all_of_them > 0, "%s: %d of %d connections are compressed" % (
            way, compressed, all_of_them))
        check(0 < became < size, "%s: %d bytes became %d" % (way, size, became))


@test()
def test_dovecot_to_dovecot(bench):
    source = Dovecot(bench, {"ann": "secret"}, compress=True)
    target = Dovecot(bench, {"ann": "secret"}, compress=True, store="maildir", separator=".")
    boxes.fill_account(source, "ann", boxes.crash_set())
    fill(source, texts(30))
    haul = Haul(bench, source, target, source_options=ON, target_options=ON,
                run={"log_level": "debug"})
    haul.run()
    haul.must_match("ann")
    both_are_compressed(haul)
    haul.must_move_nothing("ann")


@test()
def test_inside_tls(bench):
    source = Dovecot(bench, {"ann": "secret"}, compress=True)
    target = Dovecot(bench, {"ann": "secret"}, compress=True)
    fill(source, texts(30))
    haul = Haul(bench, source, target, source_options=ON, target_options=ON, security="starttls")
    haul.run()
    haul.must_match("ann")
    both_are_compressed(haul)


@test(root=True)
def test_cyrus(bench):
    source = Cyrus(bench, {"ann": "secret"})
    target = Cyrus(bench, {"ann": "secret"})
    fill(source, texts(30))
    haul = Haul(bench, source, target, source_options=ON, target_options=ON)
    haul.run()
    haul.must_match("ann")
    both_are_compressed(haul)


@test()
def test_not_offered(bench):
    source, target = Dovecot(bench, {"ann": "secret"}), Dovecot(bench, {"ann": "secret"})
    fill(source, texts(3, 1000))
    haul = Haul(bench, source, target, source_options=ON, target_options=ON)
    haul.run()
    haul.must_match("ann")
    check_equal([numbers[0] for numbers in lines(haul).values()], [0, 0], "compressed")


def standin(bench, **more):
    messages = [{"text": "Subject: m%d\r\n\r\nbody of %d\r\n" % (n, n), "flags": [],
                 "date": 1000000000 + n} for n in range(20)]
    return Standin(bench, users={"ann": "secret"}, capabilities=CAPABILITIES + [
        "COMPRESS=DEFLATE"], accounts={"ann": {"folders": {"INBOX": {"messages": messages}}}},
        **more)


@test()
def test_strict_server(bench):
    """Nothing is behind the command before its answer, and it is sent once in a session."""
    source = standin(bench)
    target = Standin(bench, users={"ann": "secret"}, capabilities=CAPABILITIES + [
        "COMPRESS=DEFLATE"])
    haul = Haul(bench, source, target, source_options=ON, target_options=ON)
    haul.run()
    haul.must_match("ann")
    for server in source, target:
        check_equal(server.violations(), [], "violations at the %s" % server.name)
        sent = server.commands("COMPRESS")
        check_equal(len(sent), len({c["conn"] for c in sent}), "COMPRESS in a session")
        check(sent, "no COMPRESS was sent")


@test()
def test_standin_is_strict(bench):
    with Client(standin(bench).port) as c:
        c.login("ann", "secret")
        c.cmd("COMPRESS DEFLATE")
        sock, packer, unpacker = c.sock, zlib.compressobj(6, zlib.DEFLATED, -15), \
            zlib.decompressobj(-15)
        sock.sendall(packer.compress(b"a COMPRESS DEFLATE\r\n") +
                     packer.flush(zlib.Z_SYNC_FLUSH))
        back = b""
        while b"\r\n" not in back:
            back += unpacker.decompress(sock.recv(4096))
        check_in(b"a NO [COMPRESSIONACTIVE]", back, "answer")
    with Client(standin(bench).port) as c:
        c.login("ann", "secret")
        problem = check_raises(ImapError, c.cmd, "COMPRESS LZ4")
        check_equal(problem.status, "BAD", "answer")


@test()
def test_broken_stream(bench):
    """A server that grants it and goes on in plain text: an error that names it, no hang."""
    source = standin(bench, rules=[
        {"command": "COMPRESS", "action": "ok", "times": -1, "text": "go\r\n* OK in plain text"}])
    target = Dovecot(bench, {"ann": "secret"})
    haul = Haul(bench, source, target, source_options=ON)
    haul.spawn("run", "PROFILE")
    wait_for(lambda: "127.0.0.1:%d: the server's compressed stream is broken" % source.port
             in haul.debug_log(1 << 20), 60, "the error in debug.log")


def slow(bench, server):
    return Proxy(bench, server, rate=1000000, hold=True)


@test(timeout=300, alone=True)
def test_auto_turns_it_on_to_a_slow_target(bench):
    source = Dovecot(bench, {"ann": "secret"}, compress=True)
    target = Dovecot(bench, {"ann": "secret"}, compress=True)
    fill(source, texts(240))
    haul = Haul(bench, source, target, run={"log_level": "debug"})
    proxy = slow(bench, target)
    haul.options["target"].update(port=proxy.port)
    haul.save()
    run = haul.spawn("run", "PROFILE")
    wait_for(lambda: "better" in [w["compression"] for w in status(haul) if not w["source"]], 120,
             "compression in the status")
    check_equal(run.wait(120), 0, "exit code")
    haul.must_match("ann")
    compressed, _, size, became = lines(haul)["to"]
    check_equal(compressed, 1, "compressed connections")
    check(became < size / 2, "%d bytes became %d" % (size, became))
    for word in "compression is tried", "compression is on", "compression is better":
        check_in(word, haul.debug_log(1 << 20), "debug.log")


def status(haul):
    process = haul.call("status", "PROFILE", "--json", expect=None)
    try:
        return json.loads(process.output()).get("hosts", [])
    except ValueError:
        return []


@test(timeout=300, alone=True)
def test_auto_turns_it_on_from_a_slow_source(bench):
    """All of a small mailbox is asked for before anything can be told: it is the next one, of the
    same host, that has it from its login on."""
    source = Dovecot(bench, {"ann": "secret", "bob": "secret"}, compress=True)
    target = Dovecot(bench, {"ann": "secret", "bob": "secret"}, compress=True)
    for user in "ann", "bob":
        fill(source, texts(50), user)
    haul = Haul(bench, source, target, run={"log_level": "debug", "jobs": "1", "mailbox_connections": 1})
    proxy = slow(bench, source)
    haul.options["source"].update(port=proxy.port)
    haul.save()
    haul.run()
    for user in "ann", "bob":
        haul.must_match(user)
    check_equal(lines(haul)["from"][:2], (1, 2), "compressed connections")
    check_equal(lines(haul)["to"][0], 0, "compressed connections")


@test()
def test_auto_leaves_loopback_alone(bench):
    users = {"u%d" % n: "secret" for n in range(4)}
    source = Dovecot(bench, users, compress=True)
    target = Dovecot(bench, users, compress=True)
    for user in users:
        fill(source, texts(20), user)
    haul = Haul(bench, source, target, run={"mailbox_connections": 1})
    haul.run()
    for user in users:
        haul.must_match(user)
    for way, numbers in lines(haul).items():
        check_equal(numbers[0], 0, "compressed connections " + way)
        check_equal(numbers[1], 4, "connections " + way)
