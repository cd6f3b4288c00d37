"""The benchmark: what it times is what arrived, and its table says what was measured."""

import json
import os
import subprocess
import sys

from bench import corpora, programs, results
from lib.bench import Failure
from lib.imap import Client
from lib.testing import check, check_equal, check_in, check_raises, test

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
