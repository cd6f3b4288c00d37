"""A later pass asks for what has changed, and for nothing where nothing has: what it sends, and that
it finds what a full one finds.

Each change is made at two sources alike, one of which tells nothing of changes: the ledgers and the
targets must be the same afterwards.
"""

import re

from corpus.boxes import Box, fill_account
from lib.haul import Haul
from lib.imap import Client
from lib.numbers import content, flags_of, numbered
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.standin import Proxy

TRACED = {"log_level": "trace"}
CHANGES = ["CONDSTORE", "QRESYNC", "ENABLE"]


def sent(haul):
    """Commands of the last run on both sides, as the trace has them."""
    text = haul.debug_log(most=10 ** 8)
    return re.findall(r"C: [A-Z]+\d+ (.*)", text)


def reading(haul):
    """The commands that open or read a folder."""
    return [c for c in sent(haul) if re.match(r"EXAMINE|SELECT|UID |FETCH|STORE", c)]


def boxes(count=6):
    return [Box("INBOX", numbered(1, 9), True)] + [
        Box("F%d" % k, numbered(100 * k, 3 + k), True) for k in range(1, count)] + [
        Box("Empty", [], True)]


class Twins:
    """Two servers with the same mail, one of which is asked through a proxy that strips what it could
    tell of changes."""

    def __init__(self, bench, make, target, strip=CHANGES):
        self.sources = [make(bench) for _ in range(2)]
        for source in self.sources:
            fill_account(source, "ann", boxes(), strict=True)
        self.blind = Proxy(bench, self.sources[1], strip=strip)
        self.targets = [target(bench) for _ in range(2)]
        self.hauls = [Haul(bench, self.sources[0], self.targets[0], run=TRACED),
                      Haul(bench, self.blind, self.targets[1], run=TRACED)]
        self.run()

    def run(self):
        for haul in self.hauls:
            haul.run()

    def do(self, act):
        for source in self.sources:
            with Client(source.port) as client:
                client.login("ann", "secret")
                act(client)

    def ledger(self, haul):
        """What the rows say, without what differs between two servers."""
        return sorted((row["source_name"], row["target_name"], row["renamed_from"] or "",
                       row["folder_gone"] > 0, row["uid"], row["state"], row["reason"],
                       row["size"], row["flags"], row["list"] or "", row["gone_round"],
                       row["target_uid"]) for row in haul.sql(
            "SELECT source_name, target_name, renamed_from, folder.gone_round AS folder_gone,"
            " item.*, list FROM item JOIN folder ON folder.id = item.folder"
            " LEFT JOIN keywords ON keywords.id = item.keywords"))

    def counts(self, haul):
        return sorted(tuple(row.values()) for row in haul.sql(
            "SELECT source_name, folder_count.* FROM folder_count JOIN folder"
            " ON folder.id = folder_count.folder"))

    def must_agree(self, what):
        self.run()
        rows = [self.ledger(haul) for haul in self.hauls]
        check_equal(rows[0], rows[1], "ledgers after " + what)
        check_equal(self.counts(self.hauls[0]), self.counts(self.hauls[1]), "counts after " + what)
        check_equal(content(self.targets[0]), content(self.targets[1]), "targets after " + what)
        check_equal(flags_of(self.targets[0]), flags_of(self.targets[1]), "flags after " + what)
        for haul in self.hauls:
            haul.must_chain()
        return reading(self.hauls[0])


def expunge(client, folder, uids):
    client.select(folder)
    client.cmd(b"UID STORE %s +FLAGS (\\Deleted)" % uids)
    client.cmd(b"UID EXPUNGE " + uids)


def flag(client, folder, uids, what):
    client.select(folder)
    client.cmd(b"UID STORE %s %s" % (uids, what))


def mixture(client):
    expunge(client, "INBOX", b"2,5:6")
    client.fill("INBOX", numbered(50, 2))
    flag(client, "INBOX", b"1", b"+FLAGS (\\Answered Later)")
    flag(client, "F1", b"1,3", b"-FLAGS (\\Seen)")
    expunge(client, "F2", b"1")
    client.fill("F2", numbered(60, 1))  # the count is the same
    client.cmd("UNSELECT", check=False)
    client.rename("F3", "Renamed")
    client.delete("F4")
    client.create("New")
    client.fill("New", numbered(70, 2))
    client.fill("Empty", numbered(80, 1))


def gone_and_new(client):
    client.fill("F1", numbered(90, 3))
    expunge(client, "F1", b"5,6")  # come and gone between two passes
    expunge(client, "F2", b"2:3")
    expunge(client, "Empty", b"1")


def full(commands):
    """Whole folders read. Before changes are asked for, some messages of folders that share their
    UIDVALIDITY with others are looked at."""
    first = [n for n, c in enumerate(commands) if "CHANGEDSINCE" in c] + [len(commands)]
    return [c for n, c in enumerate(commands) if "RFC822.SIZE" in c and (
        c.startswith("UID FETCH 1:4294967294") or c.startswith("UID FETCH 1:") and n > first[0])]


def later_passes(bench, make, target):
    twins = Twins(bench, make, target)
    check_equal(twins.must_agree("nothing"), [], "asked although nothing has changed")
    twins.do(lambda client: flag(client, "INBOX", b"3,4", b"+FLAGS (\\Flagged)"))
    asked = twins.must_agree("flags")
    check_equal({c for c in asked if c.startswith("EXAMINE")}, {'EXAMINE "INBOX"'}, "opened")
    check(any("CHANGEDSINCE" in c for c in asked) and not full(asked), asked)
    check(flags_of(twins.targets[0])["INBOX", 3] >= {"\\Flagged"}, "the flag is not there")
    twins.do(lambda client: client.fill("F1", numbered(40, 2)))
    asked = twins.must_agree("new messages")
    check_equal(full(asked), [], "the whole folder was read")
    twins.do(lambda client: expunge(client, "F2", b"2,4"))
    asked = twins.must_agree("expunged messages")
    check_equal(full(asked), [], "the whole folder was read")
    gone = twins.hauls[0].sql("SELECT count(*) AS n FROM item WHERE gone_round > 0")
    check_equal(gone[0]["n"], 2, "gone at the source")
    twins.do(mixture)
    twins.must_agree("a mixture")
    twins.do(gone_and_new)
    twins.must_agree("what came and went")
    check_equal(twins.must_agree("nothing, in the end"), [], "asked in the end")


@test(timeout=120)
def test_later_passes_dovecot(bench):
    """Dovecot, with and without what it tells of changes."""
    later_passes(bench, lambda b: Dovecot(b, {"ann": "secret"}),
                 lambda b: Dovecot(b, {"ann": "secret"}))


@test(timeout=180, root=True)
def test_later_passes_cyrus(bench):
    """The same with Cyrus, where flags are carried to a Cyrus as well."""
    later_passes(bench, lambda b: Cyrus(b, {"ann": "secret"}),
                 lambda b: Cyrus(b, {"ann": "secret"}))


@test(timeout=120)
def test_without_vanished(bench):
    """CONDSTORE without QRESYNC: what has gone is found by the counts, by a list of UIDs alone."""
    source = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", boxes(), strict=True)
    haul = Haul(bench, Proxy(bench, source, strip=["QRESYNC", "ENABLE"]),
                Dovecot(bench, {"ann": "secret"}), run=TRACED)
    haul.run()
    with Client(source.port) as client:
        client.login("ann", "secret")
        expunge(client, "F2", b"2,4")
        flag(client, "F1", b"1", b"-FLAGS (\\Seen)")
    haul.run()
    asked = reading(haul)
    check_equal(full(asked), [], "the whole folder was read")
    check_equal(len([c for c in asked if c.endswith("(UID)")]), 1, "lists of UIDs: %s" % asked)
    check(not any("VANISHED" in c for c in asked), asked)
    check_equal([(r["uid"], r["gone_round"]) for r in haul.sql(
        "SELECT uid, gone_round FROM item WHERE gone_round > 0 ORDER BY uid")],
        [(2, 2), (4, 2)], "gone")
    haul.run()
    check_equal(reading(haul), [], "asked although nothing has changed")
