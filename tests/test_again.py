"""A later pass asks for what has changed, and for nothing where nothing has: what it sends, and that
it finds what a full one finds.

Each change is made at two sources alike, one of which tells nothing of changes: the ledgers and the
targets must be the same afterwards.
"""

import os
import re
import sqlite3
import subprocess

from corpus.boxes import Box, fill_account
from lib.haul import Haul, plain_binary
from lib.imap import Client
from lib.numbers import content, flags_of, numbered, report_text
from lib.testing import check, check_equal, check_in, test
from lib.world import World, lying, mails
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.imapd import CAPABILITIES
from standins.standin import Proxy, Standin

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
    check(not any(c.endswith("(UID)") for c in asked), "listed what the server had told: %s" % asked)
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


# --- what counts as complete

def seen(haul):
    """{folder: UIDNEXT of the last complete pass}, 0 where there was none."""
    return {r["source_name"]: r["seen_uidnext"] for r in haul.sql("SELECT * FROM folder")}


def must_be_complete(haul, when):
    """Of each folder that would not be read again, every message has its end and no batch is open."""
    rows = haul.sql(
        "SELECT source_name, found, landed + verified + skipped + failed + held + vanished + adopted"
        " AS ended, (SELECT count(*) FROM batch WHERE batch.folder = folder.id) AS batches, *"
        " FROM folder JOIN folder_count ON folder = folder.id WHERE seen_uidnext > 0")
    there = uidnexts(haul.source)
    for row in rows:
        if row["seen_uidnext"] == there[row["source_name"]]:
            check_equal((row["found"], row["batches"]), (row["ended"], 0),
                        "%s, taken for complete %s" % (row["source_name"], when))


def uidnexts(server):
    with Client(server.port) as client:
        client.login("ann", "secret")
        return {name: client.select(name, readonly=True)["uidnext"]
                for name in ("INBOX", "F1", "F2", "F3", "Empty")}


@test(timeout=300)
def test_killed_in_a_pass(bench):
    """Death at steps of a first and of a later pass lets no folder be taken for complete, and loses
    nothing of what the later pass was to bring."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", boxes(4), strict=True)
    haul = Haul(bench, source, target, run=dict(TRACED, batch_messages=3))
    deaths = 0
    for step in "first-byte:2", "commit:6", "last-byte:4":
        deaths += haul.die_at(step)
        must_be_complete(haul, "after death at " + step)
    haul.run()
    check(all(seen(haul).values()), "not complete after a whole run: %s" % seen(haul))
    number = 1000
    for step in ("commit:2", "commit:3", "commit:4", "commit:5", "first-byte:1", "last-byte:2",
                 "reply:9", "reply:12"):
        number += 10
        with Client(source.port) as client:
            client.login("ann", "secret")
            client.fill("F1", numbered(number, 7))
            flag(client, "INBOX", b"3,4", b"%sFLAGS (\\Flagged)" % (b"+-"[deaths % 2:][:1]))
            expunge(client, "F3", b"%d" % (number // 10 - 100))
        deaths += haul.die_at(step)
        must_be_complete(haul, "after death at " + step)
        haul.run()
        check_equal(content(target)["F1"], content(source)["F1"], "F1 after death at " + step)
        check_equal(flags_of(target)["INBOX", 3], flags_of(source)["INBOX", 3],
                    "flags after death at " + step)
    check(deaths >= 7, "only %d deaths" % deaths)
    check_equal(haul.sql("SELECT count(*) AS n FROM item WHERE gone_round > 0")[0]["n"], 6, "gone")
    haul.must_chain()
    haul.run()
    check_equal(reading(haul), [], "asked in the end")


@test(timeout=60)
def test_vanished_by_mistake(bench):
    """A message that the source listed, and then neither gave nor listed, is looked for again though
    no number has changed."""
    world = World(bench, each=4, run={"flag_changes": "no",
                                         "mailbox_connections": 1})
    for args, times in ("*BODY.PEEK*", 2), ("*RFC822.SIZE)", 1):
        world.source.control("rule", rule={"command": "UID FETCH", "args": args, "folder": "INBOX",
                                           "action": "ok", "times": times})
    world.call("run", "PROFILE")
    check_equal([r["n"] for r in world.haul.sql(
        "SELECT count(*) AS n FROM item WHERE state = 6")], [4], "vanished")
    check_equal(world.messages(), {"u1": 2}, "messages after the first round")
    world.call("run", "PROFILE")
    check_equal(world.messages(), {"u1": 6}, "messages after the second round")


def of_one(bench, **run):
    source = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", [Box("INBOX", numbered(1, 5)), Box("Other", numbered(20, 3))])
    haul = Haul(bench, source, Dovecot(bench, {"ann": "secret"}), run=dict(TRACED, **run))
    haul.run()
    haul.run()
    check_equal(reading(haul), [], "asked although nothing has changed")
    return haul


def opened(haul):
    return sorted({c for c in reading(haul) if c.startswith("EXAMINE")})


BOTH = ['EXAMINE "INBOX"', 'EXAMINE "Other"']


@test(timeout=60)
def test_settings_changed(bench):
    """The numbers are the same, but the profile would do otherwise: every folder is read."""
    haul = of_one(bench, max_size="300")  # nothing is so small
    check_equal(content(haul.target), {}, "copied in spite of max_size")
    for options in {"max_size": "1M"}, {"flag_changes": "no"}, {"since": "1999"}:
        haul.options["run"].update(options)
        haul.save()
        haul.run()
        check_equal(opened(haul), BOTH, "after %s" % options)
        check_equal(content(haul.target), content(haul.source), "the target")
        haul.run()
        check_equal(reading(haul), [], "again after %s" % options)
    haul.must_chain()


@test(timeout=60)
def test_retry_is_looked_at(bench):
    """Rows that go from the ledger make their folder be read, and no other."""
    source = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", [Box("INBOX", numbered(1, 5)), Box("Other", numbered(20, 3))])
    haul = Haul(bench, source, Dovecot(bench, {"ann": "secret"}), run=TRACED)
    haul.run()
    fail_by_hand(haul)
    haul.run(expect=2)
    check_equal(reading(haul), [], "asked although nothing has changed")
    haul.call("retry", "PROFILE")
    haul.run(expect=(0, 2))
    check_equal(opened(haul), BOTH[:1], "opened after retry")
    haul.must_chain()


def fail_by_hand(haul):
    """As if the target had refused one message of INBOX."""
    db = sqlite3.connect(os.path.join(haul.state, "ledger.db"))
    with db:
        (folder,) = db.execute("SELECT id FROM folder WHERE source_name = 'INBOX'").fetchone()
        db.execute("UPDATE item SET state = 4, reason = 1, target_uid = 0 WHERE folder = ? AND"
                   " uid = 3", (folder,))
        db.execute("UPDATE folder_count SET landed = landed - 1, failed = failed + 1"
                   " WHERE folder IN (0, ?)", (folder,))
        db.execute("INSERT OR IGNORE INTO change VALUES(?, 1, 3, 3, 0)", (folder,))
    db.close()


@test(timeout=60)
def test_flags_touched_on_both_sides(bench):
    """A change that could not be carried is told again by each round, and carried once the target is
    as we left it."""
    haul = of_one(bench)
    for server in haul.source, haul.target:
        with Client(server.port) as client:
            client.login("ann", "secret")
            flag(client, "INBOX", b"2",
                 b"+FLAGS (\\Flagged)" if server is haul.source else b"+FLAGS (\\Deleted)")
    for _ in range(2):
        haul.run()
        check_equal(opened(haul), BOTH[:1], "opened")
        check(not full(reading(haul)), "the whole folder was read")
        check_in("changed on the target too", report_text(haul), "report.txt")
        check("\\Flagged" not in flags_of(haul.target)["INBOX", 2], "carried over a user's change")
    with Client(haul.target.port) as client:
        client.login("ann", "secret")
        flag(client, "INBOX", b"2", b"-FLAGS (\\Deleted)")
    haul.run()
    check("\\Flagged" in flags_of(haul.target)["INBOX", 2], "not carried in the end")
    haul.run()
    check_equal(reading(haul), [], "asked in the end")


@test(timeout=60)
def test_twins_exchange_names(bench):
    """Two folders of one UIDVALIDITY that tell the same numbers change names: nothing that the list of
    folders tells has changed, and it is found all the same."""
    users, more = {"ann": "secret"}, {"capabilities": [c for c in CAPABILITIES + CHANGES
                                                       if c != "OBJECTID"]}
    source = Standin(bench, users=users, accounts={"ann": {"folders": {
        "One": {"messages": mails(10, 3), "uidvalidity": 7},
        "Two": {"messages": mails(20, 3), "uidvalidity": 7}}}}, **more)
    target = Standin(bench, users=users, **more)
    haul = Haul(bench, source, target, run=TRACED)
    haul.run()
    before = content(target)
    with Client(source.port) as client:
        client.login("ann", "secret")
        for old, new in ("One", "aside"), ("Two", "One"), ("aside", "Two"):
            client.rename(old, new)
    haul.run()
    check_equal({(r["source_name"], r["target_name"]) for r in haul.sql("SELECT * FROM folder")
                 if r["source_name"] != "INBOX"}, {("One", "Two"), ("Two", "One")}, "names")
    source.control("add", user="ann", folder="One", messages=mails(25, 1))  # what was Two
    haul.run()
    before["Two"] = before["Two"] + [25]
    check_equal(content(target), before, "the target")
    haul.must_chain()
    haul.must_move_nothing("ann")


@test(timeout=60)
def test_numbers_that_do_not_add_up(bench):
    """A UIDNEXT told too low: the list of folders counts messages that it says cannot be there yet.
    All are copied; no pass over the folder counts as complete, and what has changed is found."""
    users = {"ann": "secret"}
    source = Standin(bench, users=users, status_uidnext_off=-2,
                     capabilities=CAPABILITIES + CHANGES, accounts={"ann": {"folders": {
                         "INBOX": {"messages": mails(1, 5)}}}})
    target = Standin(bench, users=users)
    haul = Haul(bench, source, target, run=TRACED)
    for _ in range(2):
        haul.run()
        check_equal(seen(haul), {"INBOX": 0}, "taken for complete")
        check_equal(len(lying(target, "ann")["INBOX"]), 5, "messages")
    source.control("flag", user="ann", folder="INBOX", flags=["\\Flagged"], uids=[5])
    haul.run()
    check_in("\\Flagged", lying(target, "ann")["INBOX"][4][3], "flags of the last message")


# --- a folder of a million messages

MANY = 1000000
MEMORY = 48 << 20


def believe(haul, folder, count):
    """The ledger has `count` messages of a folder, as if so many had been copied from it."""
    db = sqlite3.connect(os.path.join(haul.state, "ledger.db"))
    with db:
        (row,) = db.execute("SELECT id FROM folder WHERE source_name = ?", (folder,)).fetchone()
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 999 + ?)"
            " INSERT INTO item SELECT ?, i, 1, 0, 1000, randomblob(32), NULL, 0, 1420452000 + i, 0,"
            " NULL, i, 1, 0 FROM n", (count, row))
        db.execute("UPDATE folder_count SET found = found + ?1, landed = landed + ?1, bytes_found ="
                   " bytes_found + 1000 * ?1, bytes_landed = bytes_landed + 1000 * ?1"
                   " WHERE folder IN (0, ?2)", (count, row))
    db.close()


@test(timeout=120)
def test_a_million_unchanged(bench):
    """A round over a folder of a million messages that nobody touched reads none of their rows: it
    takes no more memory, and no more pages of the ledger, than over three."""
    haul = of_one(bench)
    few = peak(haul)
    believe(haul, "Other", MANY)
    many = peak(haul)
    check_equal(reading(haul), [], "asked although nothing has changed")
    check(many < MEMORY, "%d KiB at the peak" % (many >> 10))
    check(many < few + (4 << 20), "%d KiB at the peak, with three messages %d" % (many >> 10,
                                                                                few >> 10))
    check_equal(haul.report()["totals"]["copied"], MANY + 8, "copied")
    check_equal(sum("uid" in row for row in haul.manifests()[-1]), 0, "lines of the manifest")


def peak(haul):
    """Bytes of memory that a run takes at its peak."""
    process = subprocess.Popen([plain_binary(), "run", haul.profile], env=haul.environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    check_equal(process.returncode, 0, "exit code")
    return usage.ru_maxrss << 10
