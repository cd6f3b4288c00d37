"""Servers in use, and later rounds: what people do at the source and at the target meanwhile.

Every message has a number in its subject, so that a folder's content is a list of numbers. What
is compared is the whole account: folders, numbers, flags.
"""

import json
import re
import time

from corpus.boxes import Box, fill_account
from corpus.messages import Mail, plain
from lib.bench import wait_for
from lib.haul import Haul
from lib.imap import Client
from lib.numbers import content, flags_of, number_of, numbered, report_text
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.imapd import CAPABILITIES, CHANGES
from standins.standin import Proxy, Standin

def unordered(folders):
    return {name: sorted(numbers) for name, numbers in folders.items()}


def log_in(server, user="ann"):
    return Client(server.port).login(user, server.users[user])


def uids_by_number(client, folder):
    client.select(folder)
    return {number_of(m): m.uid for m in client.messages()}


class Hand:
    """What a person does in a mail program: on messages by their numbers."""

    def __init__(self, server, user="ann"):
        self.client = log_in(server, user)

    def pick(self, folder, numbers):
        known = uids_by_number(self.client, folder)
        return ",".join(str(known[n]) for n in numbers).encode()

    def expunge(self, folder, *numbers):
        uids = self.pick(folder, numbers)
        self.client.cmd(b"UID STORE %s +FLAGS (\\Deleted)" % uids)
        self.client.cmd(b"UID EXPUNGE " + uids)

    def move(self, folder, to, *numbers):
        self.client.cmd(b"UID MOVE %s {}" % self.pick(folder, numbers), to.encode())

    def flag(self, folder, how, flags, *numbers):
        self.client.cmd(b"UID STORE %s %sFLAGS (%s)" % (
            self.pick(folder, numbers), how.encode(), flags.encode()))

    def add(self, folder, mails):
        self.client.fill(folder, mails)

    def remake(self, folder, keep=True):
        """The folder is made anew, with or without its messages: another UIDVALIDITY."""
        aside = folder + "-aside"
        self.client.create(aside)
        if keep:
            self.client.select(folder, readonly=True)
            self.client.cmd(b"COPY 1:* {}", aside.encode())
        self.client.cmd("UNSELECT", check=False)
        self.client.select("INBOX", readonly=True)
        self.client.delete(folder)
        self.client.rename(aside, folder)

    def uidvalidity(self, folder):
        return self.client.select(folder, readonly=True)["uidvalidity"]

    def close(self):
        self.client.logout()


def account(report, user="ann"):
    return next(a for a in report["accounts"] if a["source"] == user)


def folder_row(report, source):
    """The row of the report that has this name at the source and is still there."""
    rows = [f for f in account(report)["folders"] if f["source"] == source]
    check(rows, "no folder %s in the report" % source)
    return rows[-1]


def check_sums(report):
    """found = copied + adopted + skipped + failed + held + vanished, everywhere."""
    rows = [("totals", report["totals"])]
    for one in report["accounts"]:
        rows.append((one["source"], one["items"]))
        rows += [(f["source"], f["items"]) for f in one["folders"]]
    for what, row in rows:
        ended = sum(row[k] for k in ("copied", "adopted", "skipped", "failed", "held", "vanished"))
        check_equal((row["found"], row["open"], row["surplus"], row["in_doubt"]),
                    (ended, 0, 0, 0), "sums of %s" % what)


# --- between two rounds

START = [Box("INBOX", numbered(1, 12), True), Box("Work", numbered(20, 8), True),
         Box("Old", numbered(40, 5)), Box("Gone", numbered(50, 4)),
         Box("Projects/A", numbered(60, 3))]


def at_the_source(hand):
    hand.expunge("INBOX", 2, 3)
    hand.add("INBOX", numbered(100, 3))
    hand.move("Work", "INBOX", 20, 21)
    hand.client.rename("Old", "Projects/Older")
    hand.client.delete("Gone")
    hand.client.create("New")
    hand.add("New", numbered(70, 2))
    hand.flag("Work", "+", "\\Flagged", 22)
    hand.flag("Work", "+", "\\Answered Hot", 23)
    hand.flag("Work", "-", "\\Seen", 24)
    hand.flag("Work", "+", "\\Answered", 25, 26)


def at_the_target(hand):
    hand.expunge("INBOX", 5)
    hand.move("INBOX", "Work", 6)
    hand.flag("Work", "+", "\\Seen \\Flagged", 25)
    hand.flag("Work", "+", "Mine", 27)


AFTER = {"INBOX": [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 100, 101, 102, 20, 21],
         "Work": [20, 21, 22, 23, 24, 25, 26, 27, 6], "Old": [40, 41, 42, 43, 44],
         "Gone": [50, 51, 52, 53], "Projects/A": [60, 61, 62], "New": [70, 71]}


def second_round(bench, source, target):
    """Changes on both sides between two rounds; a third round then moves nothing."""
    fill_account(source, "ann", START, strict=True)
    haul = Haul(bench, source, target)
    haul.run()
    haul.must_match("ann")
    check_sums(haul.report())
    for server, do in (source, at_the_source), (target, at_the_target):
        hand = Hand(server)
        do(hand)
        hand.close()
    untouched = flags_of(target)
    haul.run()
    check_equal(unordered(content(target)), unordered(AFTER), "the target after round 2")
    check_flags(flags_of(target), untouched)
    check_named(haul)
    check_gone_rows(haul)
    haul.must_move_nothing("ann")
    check_sums(haul.report())
    check_gone_rows(haul)
    return haul


# UIDs of what was expunged, moved away, and deleted with its folder; fill_account() counts from 1
GONE_ROWS = {("INBOX", 2), ("INBOX", 3), ("Work", 1), ("Work", 2), ("Gone", 1), ("Gone", 2),
             ("Gone", 3), ("Gone", 4)}


def check_gone_rows(haul):
    """Manifest and lists tell what is no longer at the source, and since which round."""
    haul.must_chain()
    gone = {(row["folder"], row["uid"]): (row["gone_round"], row["state"])
            for row in haul.chained().values() if "gone_round" in row}
    check_equal(gone, {key: (2, "landed") for key in GONE_ROWS}, "gone in the manifest")
    counts = {name: sum(folder == name for folder, _ in GONE_ROWS)
              for name in ("INBOX", "Work", "Gone")}
    listed = json.loads(haul.call("list", "PROFILE", "folders", "--json").output())
    check_equal({f["folder"]: f["gone"] for f in listed if f["gone"]}, counts, "list folders")
    check_equal({f["folder"]: f["gone_round"] for f in listed if f["gone_round"]}, {"Gone": 2},
                "gone folders")
    check_in("gone at source", haul.call("list", "PROFILE", "folders").output(), "list folders")
    text = haul.call("report", "PROFILE").output()
    check_in("gone      8 (copied before, no longer at the source)", text, "report")
    for name, count in counts.items():
        check(re.search(r"^ +%s: .*\b%d gone at source" % (name, count), text, re.M), text)


def check_flags(have, untouched):
    changed = {("Work", 22): {"\\Flagged"}, ("Work", 23): {"\\Answered", "Hot"},
               ("Work", 24): set(), ("Work", 26): {"\\Answered"}}
    for (folder, number), before in changed.items():
        more = {"\\Seen"} & untouched[folder, number] if number != 24 else set()
        check_equal(have[folder, number], before | more, "flags of %d in %s" % (number, folder))
    for key, flags in untouched.items():
        if key not in changed:
            check_equal(have[key], flags, "flags of %d in %s, not changed here" % key[::-1])


def check_named(haul):
    report, text = haul.report(), report_text(haul)
    check_sums(report)
    check_equal(report["round"], 2, "round")
    renamed = folder_row(report, "Projects/Older")
    check_equal((renamed["target"], renamed["renamed_from"], renamed["items"]["copied"]),
                ("Old", "Old", 5), "the renamed folder")
    gone = folder_row(report, "Gone")
    check_equal((gone["gone_round"], gone["items"]["gone"]), (2, 4), "the deleted folder")
    check_equal(folder_row(report, "INBOX")["items"]["gone"], 2, "gone from INBOX")
    check_equal(folder_row(report, "Work")["items"]["gone"], 2, "moved away from Work")
    check_equal(report["totals"]["gone"], 8, "gone in all")
    check_in("renamed at the source, was Old: goes on into Old", text, "report.txt")
    check_in("Gone: no longer at the source", text, "report.txt")
    check_in("changed on the target too", text, "report.txt")


@test(timeout=60)
def test_second_round_dovecot(bench):
    """Both sides were used between two rounds."""
    second_round(bench, Dovecot(bench, {"ann": "secret"}),
                 Dovecot(bench, {"ann": "secret"}, store="maildir"))


@test(timeout=60, root=True)
def test_second_round_cyrus(bench):
    """The same between two Cyrus servers, whose folders have a MAILBOXID."""
    second_round(bench, Cyrus(bench, {"ann": "secret"}), Cyrus(bench, {"ann": "secret"}))


# --- while a run is at work

LINE = b"all of the work and none of the play " * 2 + b"\r\n"
LARGE = 1 << 20


def large(number):
    mail = plain(number)
    return mail._replace(body=mail.body + LINE * (LARGE // len(LINE)))


class Held:
    """A run whose target stands still while the source's INBOX is being copied: everything else was
    counted, or asked for at once, and not read yet."""

    def __init__(self, haul, folders, at_once):
        self.haul, self.target = haul, haul.target
        self.process = haul.spawn("run", "PROFILE")
        if at_once:
            wait_for(lambda: self.count("item") > 0, 60, "the first messages")
        else:
            wait_for(lambda: self.count("folder WHERE scanned_round > 0") >= folders, 60,
                     "folders counted")
        self.target.freeze()
        landed = {row["source_name"] for row in haul.sql(
            "SELECT DISTINCT source_name FROM item JOIN folder ON folder.id = item.folder")}
        check(landed <= {"INBOX"}, "held too late: %s" % landed)

    def count(self, rows):
        try:
            return self.haul.sql("SELECT count(*) AS n FROM " + rows)[0]["n"]
        except Exception:  # no ledger yet
            return 0

    def go_on(self, expect=0):
        self.target.thaw()
        code = self.process.wait(120)
        check_equal(code, expect, "exit code\n%s\n%s" % (self.process.output(),
                                                         self.haul.debug_log()))


# INBOX is more than all that lies between the two servers can hold.
BUSY = [Box("INBOX", [large(n) for n in range(1, 91)], True)] + [
    Box("F%d" % k, numbered(100 * k, 6)) for k in range(1, 7)]


def in_order_of_work(haul):
    rows = haul.sql("SELECT source_name FROM folder ORDER BY id")
    return [row["source_name"] for row in rows if row["source_name"] != "INBOX"]


def use_the_messages(hand, folders):
    """The folders in the order in which they will be read; the first number of Fk is 100 k."""
    a, b, c, d, _, _ = folders
    first = {name: 100 * int(name[1:]) for name in folders}
    hand.expunge(a, first[a] + 1, first[a] + 3)
    hand.add(b, numbered(first[b] + 6, 2))
    hand.move(c, "INBOX", first[c], first[c] + 1)
    hand.flag(d, "+", "\\Answered Urgent", first[d])
    hand.flag(d, "-", "\\Seen", first[d] + 3)


def use_the_folders(hand, folders):
    hand.client.rename(folders[4], "Renamed")
    hand.client.delete(folders[5])


def while_at_work(bench, source, target, *acts, at_once=False):
    """What the acts do while everything is counted and nothing but INBOX read. What has landed is
    where it was; a second round ends with the source's state."""
    fill_account(source, "ann", BUSY, strict=True)
    slow = Proxy(bench, target, rate=25000000, hold=True)  # so that it is held in time
    haul = Haul(bench, source, slow, run=dict(
        {"batch_messages": 4, "mailbox_connections": 1},
        **({} if at_once else {"max_size": "1G"})))
    haul.target = target
    held = Held(haul, len(BUSY), at_once)
    folders = in_order_of_work(haul)
    hand = Hand(source)
    for act in acts:
        act(hand, folders)
    hand.close()
    held.go_on()
    check_sums(haul.report())
    have, there = content(target), content(source)
    for folder, numbers in have.items():
        check(set(numbers) <= set(there[folder]), "mislabelled in %s: %s" % (folder, numbers))
        check_equal(len(numbers), len(set(numbers)), "twice in " + folder)
    first = haul.report(), report_text(haul)
    haul.run()
    check_equal(unordered(content(target)), unordered(there), "the target after round 2")
    check_equal(flags_of(target), flags_of(source), "flags after round 2")
    check_sums(haul.report())
    haul.must_move_nothing("ann")
    return folders, first


def check_gone(folders, first):
    report, text = first
    for name in folders[4:]:
        check_equal(folder_row(report, name).get("gone_round"), 1, "round in which %s went" % name)
        check_in("%s: no longer at the source; 6 of its messages were not copied" % name, text,
                 "report.txt")


@test(timeout=60)
def test_messages_change_while_at_work(bench):
    """A second client expunges, adds, moves and flags at the source."""
    folders, (report, _) = while_at_work(bench, Dovecot(bench, {"ann": "secret"}),
                                         Dovecot(bench, {"ann": "secret"}), use_the_messages)
    for name in folders[0], folders[2]:
        check_equal(folder_row(report, name)["items"]["vanished"], 2, "vanished from " + name)


@test(timeout=60)
def test_messages_change_while_asked_for(bench):
    """The same where messages were asked for without having been counted: what went before it came
    was never found."""
    folders, (report, _) = while_at_work(bench, Dovecot(bench, {"ann": "secret"}),
                                         Dovecot(bench, {"ann": "secret"}), use_the_messages,
                                         at_once=True)
    for name in folders[0], folders[2]:
        items = folder_row(report, name)["items"]
        check_equal((items["found"], items["copied"]), (4, 4), name)


@test(timeout=60)
def test_folders_change_while_asked_for(bench):
    """Folders go that were asked for and did not come yet."""
    check_gone(*while_at_work(bench, Dovecot(bench, {"ann": "secret"}),
                              Dovecot(bench, {"ann": "secret"}), use_the_folders, at_once=True))


@test(timeout=60)
def test_folders_change_while_at_work(bench):
    """A second client renames and deletes folders at the source."""
    check_gone(*while_at_work(bench, Dovecot(bench, {"ann": "secret"}),
                              Dovecot(bench, {"ann": "secret"}), use_the_folders))


@test(timeout=90, root=True, long=True)
def test_all_changes_while_at_work_cyrus(bench):
    check_gone(*while_at_work(bench, Cyrus(bench, {"ann": "secret"}),
                              Dovecot(bench, {"ann": "secret"}), use_the_messages,
                              use_the_folders))


# --- what a round may cost

WRITES = {"APPEND", "CREATE", "DELETE", "RENAME", "STORE", "UID STORE", "COPY", "UID COPY", "MOVE",
          "UID MOVE", "EXPUNGE", "UID EXPUNGE", "SUBSCRIBE", "UNSUBSCRIBE", "SELECT"}


def made_folders(count, each):
    return {"folder %02d" % k: {"messages": [
        {"text": plain(1000 * k + n).body.decode("latin-1"), "date": 1420452000 + n}
        for n in range(each)]} for k in range(count)}


@test(timeout=60)
def test_unchanged_round_is_cheap(bench):
    """A second round over a mailbox nobody touched: no body, no write, all of it at once."""
    source = Standin(bench, users={"ann": "secret"},
                     accounts={"ann": {"folders": made_folders(30, 4)}})
    target = Standin(bench, users={"ann": "secret"})
    haul = Haul(bench, source, target)
    haul.run()
    before = len(source.commands()), len(target.commands())
    haul.run()
    asked = source.commands()[before[0]:]
    told = target.commands()[before[1]:]
    check(not any("BODY" in c["args"] for c in asked), "bodies were fetched")
    check_equal([c["command"] for c in told if c["command"] in WRITES], [], "writes to the target")
    check(len(told) <= 10, "%d commands to the target: %s" % (
        len(told), [c["command"] for c in told]))
    per_folder = [c for c in asked if c["command"] in ("EXAMINE", "UID FETCH")]
    check_equal(len(per_folder), 60, "EXAMINE and UID FETCH for 30 folders")
    check(len(asked) - len(per_folder) <= 10, "%d other commands" % (len(asked) - len(per_folder)))
    check_equal((source.violations(), target.violations()), ([], []), "violations")


@test(timeout=60)
def test_unchanged_round_trips(bench):
    """The greeting, the login, all that is asked after it: on both sides at once, however many
    folders there are. (The proxy takes a connection without a delay.) LOGOUT is not waited for."""
    more = {"capabilities": CAPABILITIES + CHANGES}
    source = Standin(bench, users={"ann": "secret"},
                     accounts={"ann": {"folders": made_folders(40, 2)}}, **more)
    target = Standin(bench, users={"ann": "secret"}, **more)
    near, far = Proxy(bench, source), Proxy(bench, target)
    haul = Haul(bench, near, far)
    haul.run()
    for proxy in near, far:
        proxy.control("delay", ms=400)
    began = time.monotonic()
    haul.run()
    trips = (time.monotonic() - began) / 0.8
    check(trips < 4.2, "as long as %.1f round trips, for 40 folders" % trips)
    wait_for(lambda: source.commands()[-1]["command"] == "LOGOUT", 5, "the goodbye")
    sent = [c["command"] for c in source.commands()]
    check_equal(sent[len(sent) - sent[::-1].index("AUTHENTICATE") - 1:],
                ["AUTHENTICATE", "NAMESPACE", "ID", "LIST", "LIST", "LOGOUT"], "sent to the source")


# --- a restart, and locks

@test(timeout=60)
def test_restart_begins_at_once(bench):
    """Killed with rows in doubt: only their folder waits for its second look."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", [Box("INBOX", numbered(1000, 150)), Box("A", numbered(100, 10)),
                                 Box("B", numbered(200, 10))])
    haul = Haul(bench, source, target, run={"settle_wait": "3s", "batch_messages": 1})
    check(haul.die_at("first-byte:2"), "did not get to its second batch")
    check_equal({row["source_name"] for row in haul.sql(
        "SELECT source_name FROM batch JOIN folder ON folder.id = batch.folder")}, {"INBOX"},
        "folders in doubt")
    again = haul.spawn("run", "PROFILE")

    def others_are_there():
        rows = haul.sql("SELECT source_name AS f, count(*) AS n FROM item"
                        " JOIN folder ON folder.id = item.folder GROUP BY source_name")
        return {r["f"]: r["n"] for r in rows if r["f"] != "INBOX"} == {"A": 10, "B": 10}
    wait_for(others_are_there, 30, "the other folders")
    check(haul.sql("SELECT count(*) AS n FROM batch")[0]["n"] > 0,
          "the folder in doubt did not wait for its second look, or the others waited for it")
    check_equal(again.wait(60), 0, "exit code")
    haul.must_match("ann")
    haul.must_move_nothing("ann")


@test(timeout=90)
def test_source_and_target_on_one_host(bench):
    """More mailboxes than connections, and one connection a side: no deadlock."""
    people = {"%s%d" % (side, n): "secret" for side in "ab" for n in range(1, 9)}
    server = Dovecot(bench, people)
    for n in range(1, 9):
        fill_account(server, "a%d" % n, [Box("INBOX", numbered(100 * n, 5)),
                                         Box("Work", numbered(100 * n + 50, 5))])
    rows = "user;password;target_user;target_password\n" + "".join(
        "a%d;secret;b%d;secret\n" % (n, n) for n in range(1, 9))
    for limits in ({"connections": 1}, {"connections": 1}), ({}, {}):
        haul = Haul(bench, server, server, rows=rows, source_options=limits[0],
                    target_options=limits[1])
        haul.run("--jobs", "6", timeout=60)
        for n in range(1, 9):
            check_equal(content(server, "b%d" % n), content(server, "a%d" % n), "b%d" % n)
            server.wipe("b%d" % n)


@test(timeout=60)
def test_two_profiles_one_target(bench):
    """A target account that another run works on is left alone, and the error says so."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", BUSY[:1])
    first = Haul(bench, source, target, run={"large_folder": "1G"})
    held = Held(first, 1, at_once=True)
    other = Haul(bench, source, target)
    process = other.run(expect=3)
    check_in("another run works on target account ann at 127.0.0.1", process.output())
    held.go_on()
    check_equal(content(target), content(source), "the target")


# --- target folders that are not empty, and folders made anew

@test(timeout=60)
def test_existing(bench):
    """refuse: not a byte moves; add: what was there stays in its place."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", [Box("INBOX", numbered(1, 5)), Box("Work", numbered(20, 5))])
    fill_account(target, "ann", [Box("Work", numbered(90, 2))])
    haul = Haul(bench, source, target)
    process = haul.run(expect=3)
    check_in("target folder Work holds 2 messages that are not from here", process.output())
    check_equal(content(target), {"Work": [90, 91]}, "the target, refused")
    haul.options["run"]["existing"] = "add"
    haul.save()
    haul.run()
    check_equal(content(target), {"INBOX": [1, 2, 3, 4, 5], "Work": [90, 91, 20, 21, 22, 23, 24]},
                "the target, added to")
    check_equal(folder_row(haul.report(), "Work").get("there_before"), 2, "there before")
    haul.options["run"]["existing"] = "refuse"  # later rounds know it as theirs
    haul.save()
    haul.must_move_nothing("ann")
    check_sums(haul.report())


def made_anew(bench):
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    twins = [Mail(plain(7).body, (), 1420452000), Mail(plain(7).body, (), 1420452000),
             Mail(plain(8).body, (), 1420452000)]  # 7 and 8 are equal in size and date
    fill_account(source, "ann", [Box("INBOX", numbered(1, 3)),
                                 Box("Work", numbered(20, 6) + twins)])
    haul = Haul(bench, source, target)
    haul.run()
    return source, target, haul


@test(timeout=60)
def test_source_folder_made_anew(bench):
    """Another UIDVALIDITY at the source: its messages are found again, only new ones move."""
    source, target, haul = made_anew(bench)
    hand = Hand(source)
    before = hand.uidvalidity("Work")
    hand.expunge("Work", 20, 23)
    hand.remake("Work")
    hand.add("Work", numbered(30, 2))
    check(hand.uidvalidity("Work") != before, "the UIDVALIDITY is the same")
    haul.run()
    check_equal(content(target)["Work"], [20, 21, 22, 23, 24, 25, 7, 7, 8, 30, 31], "the target")
    check_in("UIDVALIDITY at the source is %d, was %d: 7 of 9 known messages found again" %
             (hand.uidvalidity("Work"), before), report_text(haul))
    check_sums(haul.report())
    check_equal(haul.report()["totals"]["gone"], 2, "gone")
    haul.must_move_nothing("ann")


@test(timeout=120)
def test_killed_while_rows_are_found_again(bench):
    """A folder with another UIDVALIDITY full of equal messages: death between any two commits of
    the search gives none of them to two rows, and nothing is sent again."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    count = 4000
    fill_account(source, "ann", [Box("Work", [Mail(plain(7).body, (), 1420452000)] * count)])
    haul = Haul(bench, source, target, run={"log_level": "warn"})
    haul.run()
    deaths = 0
    for commit in range(3, 11):
        Hand(source).remake("Work")
        deaths += haul.die_at("commit:%d" % commit)
        haul.run(expect=(0, 2))
        check_equal(len(content(target)["Work"]), count, "messages after death at %d" % commit)
        report = haul.report()
        check_sums(report)
        check_equal((report["totals"]["gone"], report["totals"]["copied"]), (0, count), "gone")
    check(deaths >= 4, "only %d deaths" % deaths)
    haul.must_move_nothing("ann")


@test(timeout=60)
def test_target_folder_made_anew(bench):
    """Another UIDVALIDITY at the target: what lies there is found, what does not stays away."""
    source, target, haul = made_anew(bench)
    there = Hand(target)
    before = there.uidvalidity("Work")
    there.expunge("Work", 21)
    there.remake("Work")
    hand = Hand(source)
    hand.add("Work", numbered(30, 2))
    hand.flag("Work", "+", "\\Flagged", 22)
    haul.run()
    check_equal(content(target)["Work"], [20, 22, 23, 24, 25, 7, 7, 8, 30, 31], "the target")
    check("\\Flagged" in flags_of(target)["Work", 22], "the flag did not find its message")
    check_in("UIDVALIDITY of the target folder is %d, was %d: 8 of 9 messages found there" %
             (there.uidvalidity("Work"), before), report_text(haul))
    haul.must_move_nothing("ann")


@test(timeout=60)
def test_target_folder_emptied(bench):
    """Emptied and made anew: an error of the account that names both values, and no refill."""
    source, target, haul = made_anew(bench)
    there = Hand(target)
    before = there.uidvalidity("Work")
    there.remake("Work", keep=False)
    now = there.uidvalidity("Work")
    process = haul.run(expect=3)
    check_in("target folder Work has UIDVALIDITY %d, had %d, and holds none of the 9 messages" %
             (now, before), process.output())
    check_equal(content(target), {"INBOX": [1, 2, 3]}, "the target")
    check_equal(account(haul.report())["state"], "failed", "state")
    there.client.delete("Work")
    process = haul.run(expect=3)
    check_in("target folder Work, into which 9 messages went, is no longer there", process.output())


def names_exchanged(bench, source, target):
    """Two folders change names with each other; a third makes room for a new one of its name, which
    is refused until a rule says where it goes; a deleted one's name is taken."""
    fill_account(source, "ann", [Box("One", numbered(10, 3)), Box("Two", numbered(20, 4)),
                                 Box("Three", numbered(30, 5)), Box("Four", numbered(40, 2))])
    haul = Haul(bench, source, target)
    haul.run()
    hand = Hand(source)
    for old, new in ("One", "x"), ("Two", "One"), ("x", "Two"), ("Three", "Three-2025"):
        hand.client.rename(old, new)
    hand.client.create("Three")
    hand.add("Three", numbered(35, 1))
    hand.add("One", numbered(24, 1))
    hand.client.delete("Four")
    hand.client.rename("Two", "Four")
    hand.close()
    process = haul.run(expect=3)
    check_in("Three and Three-2025 would both land in Three", process.output())
    haul.options["folders"]["map"] = "Three -> Three again"
    haul.save()
    haul.run()
    check_equal(content(target), {
        "One": [10, 11, 12], "Two": [20, 21, 22, 23, 24], "Three": [30, 31, 32, 33, 34],
        "Three again": [35], "Four": [40, 41]}, "the target")
    haul.must_move_nothing("ann")
    check_sums(haul.report())


@test(timeout=60)
def test_names_exchanged(bench):
    names_exchanged(bench, Dovecot(bench, {"ann": "secret"}), Dovecot(bench, {"ann": "secret"}))


@test(timeout=60, root=True)
def test_names_exchanged_cyrus(bench):
    names_exchanged(bench, Cyrus(bench, {"ann": "secret"}), Dovecot(bench, {"ann": "secret"}))


@test(timeout=60)
def test_renamed_while_copied(bench):
    """The folder that is being copied gets another name, and the run is killed: known again by what
    has landed and by what was on its way."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    fill_account(source, "ann", [Box("Long", numbered(1, 400, 2000)),
                                 Box("Short", numbered(500, 5))])
    for step in "first-byte:9", "last-byte:20":
        haul = Haul(bench, source, target, run={"batch_messages": 5, "batch_bytes": "8K"})
        check(haul.die_at(step), "did not get to " + step)
        hand = Hand(source)
        hand.client.rename("Long", "Longer")
        haul.run()
        check_equal(unordered(content(target)), {
            "Long": list(range(1, 401)), "Short": list(range(500, 505))},
            "the target, killed at " + step)
        check_equal(folder_row(haul.report(), "Longer")["renamed_from"], "Long", "renamed")
        haul.must_move_nothing("ann")
        hand.client.rename("Longer", "Long")
        hand.close()
        target.wipe("ann")


@test(timeout=60)
def test_keywords_in_later_rounds(bench):
    """A target that keeps only some keywords: later changes are carried all the same, and what the
    target cannot keep does not count as touched."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Standin(bench, users={"ann": "secret"}, keywords=["Work"])
    fill_account(source, "ann", [Box("INBOX", [
        Mail(plain(n).body, flags, 1420452000 + n) for n, flags in
        enumerate((("Work", "Odd"), ("Odd",), ("\\Seen", "Work"), ()), 1)])])
    haul = Haul(bench, source, target)
    haul.run()
    hand = Hand(source)
    hand.flag("INBOX", "+", "\\Flagged", 1, 2)
    hand.flag("INBOX", "-", "Work", 3)
    hand.flag("INBOX", "+", "Work Odd", 4)
    haul.run()
    check_equal({n: f - {"\\Recent"} for (_, n), f in flags_of(target).items()}, {
        1: {"\\Flagged", "Work"}, 2: {"\\Flagged"}, 3: {"\\Seen"}, 4: {"Work"}}, "flags")
    before = len(target.commands("UID STORE"))
    haul.run()
    check_equal(len(target.commands("UID STORE")), before, "written again and again")
    check_equal(target.violations(), [], "violations")
