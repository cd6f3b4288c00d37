"""The benchmark: what it times is what arrived, and its table says what was measured."""

import json
import os
import socket
import subprocess
import sys

from bench import corpora, programs, results, sockets, tenths
from lib.bench import Failure, wait_for
from lib.imap import Client
from lib.testing import check, check_equal, check_in, check_raises, test
from servers.dovecot import Dovecot

SPEED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench", "speed")


def small(store="maildir", folders=12, users=1):
    return corpora.Corpus("S", 150, 150 * 6000, folders, 1.2, users=users, store=store)


def rows_of(source, user="u1"):
    return corpora.read_all(source.server, user)


@test()
def test_maildir_and_append_give_the_same_mail(bench):
    """Written as files or stored over IMAP, a corpus is the same mail, and each time."""
    direct = corpora.Source(bench, small(), bench.subdir("a"))
    stored = corpora.Source(bench, small("mdbox"), bench.subdir("b"))
    rows = rows_of(direct)
    check_equal(len(rows), 12, "folders")
    check_equal(sum(map(len, rows.values())), 150, "messages")
    check_equal(corpora.losses(rows, rows_of(stored)), {}, "what differs")
    flat = [row for folder in rows.values() for row in folder]
    check(len({row[0] for row in flat}) == 150, "no message is there twice")
    check(any(row[3] for row in flat), "some have keywords")
    with Client(direct.server.port) as client:
        client.login("u1", direct.server.users["u1"])
        sizes = [m.body.size for m in listed(client)]
    check(max(sizes) > 4 * sorted(sizes)[len(sizes) // 2], "the tail is long: %r" % sizes)


def listed(client):
    out = []
    for row in client.list():
        if client.select(row.name, readonly=True)["exists"]:
            out += list(client.messages())
    return out


@test()
def test_each_loss_is_seen(bench):
    """A message less, another byte, flag, keyword or date is told, and only that."""
    rows = rows_of(corpora.Source(bench, small(), bench.subdir("a")))
    first = rows[b"INBOX"][0]

    def changed(**columns):
        row = list(first)
        for at, value in columns.items():
            row[int(at[1:])] = value
        return rows | {b"INBOX": [tuple(row)] + rows[b"INBOX"][1:]}
    check_equal(corpora.losses(rows, changed()), {}, "no change")
    gone = rows | {b"INBOX": rows[b"INBOX"][1:]}
    check_equal(corpora.losses(rows, gone), {"bodies changed or missing": 1}, "one gone")
    check_equal(corpora.losses(gone, rows), {"bodies that are not the source's": 1}, "one more")
    check_equal(corpora.losses(rows, changed(c0=b"x", c1=b"x")), {
        "bodies changed or missing": 1, "bodies that are not the source's": 1}, "another body")
    check_equal(corpora.losses(rows, changed(c0=b"x")), {"bodies with an X-TUID more": 1},
                "a header more")
    check_equal(corpora.losses(rows, changed(c2=frozenset([b"\\deleted"]))), {"flags differ": 1})
    check_equal(corpora.losses(rows, changed(c3=frozenset([b"odd"]))), {"keywords differ": 1})
    check_equal(corpora.losses(rows, changed(c4=first[4] + 1)), {"dates differ": 1})


def runs(*walls):
    return [programs.Run(w, w, 0.2, 20000) for w in walls]


def row(program, rtt, which, *walls, corpus="M"):
    return results.Row(corpus, 20000, 77e6, rtt, program, which, runs(*walls))


@test()
def test_demands_are_those_of_the_rounds(bench):
    """Ratios are of rounds that ran side by side; a limit is met on its side alone."""
    rows = [row("mailhaul", 0, "copy", 1, 2, 1), row("pump1", 0, "copy", 0.8, 1.6, 0.1),
            row("pump4", 0, "copy", 2, 2, 2), row("mbsync", 0, "copy", 2.9, 6, 2.9),
            row("mailhaul", 0, "again", 0.3), row("mailhaul", 50, "again", 0.95)]
    about = {"options": {"disk": None, "strip": None, "target_store": "mdbox", "tls": False}}
    found = {(d.what, rtt): (round(figure, 3), met)
             for d, _, rtt, figure, met in results.answers(rows, about)}
    check_equal(found.pop((results.PUMP, 0)), (0.8, True))
    check_equal(found.pop((results.MBSYNC, 0)), (2.9, False))
    check_equal(found.pop(("round trips, nothing new", 50)), (13.0, False))
    check_equal(found.pop(("CPU, microseconds a message", 0)), (10.0, True))
    check_equal(found.pop(("memory, MiB", 0)), (19.531, True))
    check_equal(found.pop(("memory, MiB", 50)), (19.531, True))
    check_equal(found, {}, "what else was found")
    about["options"]["tls"] = True
    found = {d.what: met for d, *_, met in results.answers(rows, about)}
    check_equal(found, {results.PUMP: True, "memory, MiB": True}, "with TLS")


def told_in_tenths(cpu, wall):
    return programs.Run(10, 10, 2, 20000, {"cpu": cpu, "wall": wall})


@test()
def test_demands_on_large_mail(bench):
    """What grows with a folder, what a second pass of a million costs, what is left without
    extensions: each has its limit."""
    flat = [1.0] * 10
    rows = [results.Row("H", 300000, 180e6, 0, "mailhaul", "copy", [
                told_in_tenths([1.0] * 9 + [last], [1.0] * 9 + [1.5]) for last in (1.0, 1.2, 1.3)]),
            results.Row("H", 300000, 180e6, 0, "pump1", "copy", [
                told_in_tenths(flat, [1.0] * 9 + [2.0]) for _ in range(3)]),
            row("mailhaul", 0, "copy", 5, corpus="T"),
            row("mailhaul", 0, "again", 2.5, corpus="UT")]
    about = {"options": {"disk": None, "strip": None, "target_store": "mdbox", "tls": False}}
    found = {(d.what, corpus): (round(figure, 3), met)
             for d, corpus, _, figure, met in results.answers(rows, about)}
    check_equal(found, {
        ("CPU of the last tenth / of the first", "H"): (1.2, False),
        ("the same of wall time / that of the pump", "H"): (0.75, True),
        ("memory, H's / T's", "H"): (1.0, True), ("seconds, nothing new", "UT"): (2.5, False),
        ("memory, MiB", "H"): (19.531, True), ("memory, MiB", "T"): (19.531, True),
        ("memory, MiB", "UT"): (19.531, True)}, "plain")
    about["options"]["strip"] = ["MULTIAPPEND"]
    rows = [row("mailhaul", 20, "copy", 2, 2), row("mbsync", 20, "copy", 1.9, 1.9)]
    found = {d.what: met for d, *_, met in results.answers(rows, about)}
    check_equal(found, {results.MBSYNC: False, "memory, MiB": True}, "without extensions")


@test()
def test_tenths_are_those_of_the_copy(bench):
    """Time and processor time go to the tenth in which they were spent; what was before the first
    message and after the last stands apart."""
    def samples(cpu_of):
        """10 s of waiting, 100 s of copying with the target 2 s behind, 5 s of more to read."""
        for at in range(116):
            yield tenths.Sample(at, cpu_of(at), 1000 + at, 100000 * min(max(0, at - 9), 105),
                                50000 * min(max(0, at - 11), 99))
    found = tenths.tenths(list(samples(lambda at: at / 2)))
    check(all(9 <= s <= 11.1 for s in found["wall"]), found["wall"])
    check(all(abs(c - w / 2) < 0.01 for c, w in zip(found["cpu"], found["wall"])), found["cpu"])
    check(9 <= found["before"]["wall"] <= 10, found["before"])
    check_equal(found["after"], {"wall": 5, "cpu": 2.5, "peak_kb": 1115})
    check(1015 <= found["peak_kb"][0] <= 1025, found["peak_kb"])
    check_equal(round(sum(found["wall"]) + sum(found[end]["wall"] for end in (
        "before", "after")), 6), 115)
    slower = tenths.tenths(list(samples(lambda at: at / 2 + max(0, at - 99))))
    check(max(c / w for c, w in zip(slower["cpu"][:8], slower["wall"])) < 0.51, slower["cpu"])
    check(slower["cpu"][9] / slower["wall"][9] > 1.4, slower["cpu"])
    few = list(samples(lambda at: at))[::20]
    check_equal(tenths.tenths(few), None, "of a few samples")
    check_equal(tenths.tenths([s._replace(written=0) for s in few]), None, "of no copy")


@test()
def test_bytes_of_connections(bench):
    """What the program at the client's end has read and written, and nothing of what waits."""
    listener = bench.add(socket.create_server(("127.0.0.1", 0)))
    port = listener.getsockname()[1]
    near = bench.add(socket.create_connection(("127.0.0.1", port), 30))
    far, _ = listener.accept()
    bench.add(far)
    near.sendall(b"x" * 3000)
    far.sendall(b"y" * 2000)
    check_equal(len(near.recv(1200, socket.MSG_WAITALL)), 1200)
    (found,) = sockets.connections({port})
    check_equal(found.port, port)
    check_equal(found.read, 1200)
    check(3000 <= found.written <= 3001, found)  # the kernel counts the SYN, too
    check_equal(len(near.recv(800, socket.MSG_WAITALL)), 800)
    (again,) = sockets.connections({port})
    check_equal((again.cookie, again.read), (found.cookie, 2000))
    near.setblocking(False)
    sent = 3000
    try:
        while True:
            sent += near.send(b"x" * 65536)
    except BlockingIOError:
        pass
    (full,) = sockets.connections({port})
    check(sent <= full.written <= sent + 1, "%d bytes are %d" % (sent, full.written))
    check_equal(sockets.connections({port + 1 if port < 65535 else 1}), [])
    near.close()  # with bytes that the other side has not taken: the kernel has it a while longer
    check_equal(sockets.connections({port}), [], "when the program has closed it")


@test(timeout=120)
def test_a_copy_in_tenths(bench):
    """Of real copies over a line of 10 MB/s: as long as they took, and evenly."""
    corpus = corpora.Corpus("S", 1000, 20e6, 1, 0.2)
    source = corpora.Source(bench, corpus, bench.subdir("a"))
    target = Dovecot(bench, corpus.passwords(), name="target")
    relay = bench.spawn([programs.tool("relay"), "--target", "127.0.0.1:%d" % source.server.port,
                         "--delay-ms", "1", "--rate", "10000000"], "relay")
    wait_for(lambda: "\n" in relay.output(), 30, "the relay's port")
    setting = programs.Setting(bench, corpus, programs.Side(source.server, int(
        relay.output().split()[1])), programs.Side(target), target, False, tenths=True)
    for name in "pump1", "mailhaul":
        program = programs.make(name, setting)
        program.fresh()
        run = program.go()
        check(run.tenths, "%s: %r" % (name, run))
        for what, whole in ("wall", run.wall), ("cpu", run.cpu):
            parts = run.tenths[what] + [run.tenths[end][what] for end in ("before", "after")]
            # Only what a busy machine puts between two looks at the clock is no tenth's.
            check(min(parts) >= 0 and abs(sum(parts) - whole) < 0.5, "%s: %r" % (what, run))
        # A tenth of the mail takes the line 0.2 s, of which a burst may save a little.
        check(min(run.tenths["wall"][1:9]) > 0.1, "%s: %r" % (name, run))
        target.wipe("u1")


@test(timeout=240, alone=True)
def test_programs_in_turn(bench):
    """The smallest run of it all: copies, second passes, floors, the file of raw numbers."""
    path = bench.path("out.json")
    names = ["mailhaul", "doveadm", "pump1", "pump4", "read", "write"]
    text = subprocess.run([sys.executable, SPEED, "--corpus", "S", "--rtt", "0,2", "--times", "1",
                           "--only", ",".join(names), "--cache", bench.subdir("kept"), "--json",
                           path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=200).stdout
    check_in("S, mailhaul: all equal", text)
    check_in("S, pump4: all equal", text)
    check_in("S, doveadm: all equal", text)
    with open(path) as f:
        data = json.load(f)
    have = {(r["program"], r["rtt"], r["which"]) for r in data["rows"]}
    check_equal(have, {(n, rtt, "copy") for n in names for rtt in (0, 2)} | {
        (n, rtt, "again") for n in ("mailhaul", "doveadm") for rtt in (0, 2)}, "rows")
    check(all(run["wall"] > 0 and run["cpu"] > 0 for r in data["rows"] for run in r["runs"]), text)
    twice = subprocess.run([sys.executable, SPEED, "--show", path, path], text=True, timeout=60,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    check_in("2 rounds", twice)


@test()
def test_a_failing_program_is_told(bench):
    """Its output is in the failure; and of several each has its own environment and output."""
    problem = check_raises(Failure, programs.run_all, [["sh", "-c", "echo why >&2; exit 3"]],
                           [dict(os.environ)], bench.path("log"))
    check_in("ended with 3", str(problem))
    check_in("why", str(problem))
    run, texts = programs.run_all([["sh", "-c", "echo $N"]] * 2, [
        dict(os.environ, N="1"), dict(os.environ, N="2")], bench.path("log"))
    check_equal(texts, ["1\n", "2\n"], "outputs")
