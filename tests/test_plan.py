"""Folder planning on real servers: which folder goes where, what is left out, what subscribed."""

import os
import re

from corpus.boxes import Box, fill_account
from corpus.messages import plain
from lib.account import show_path, state_of
from lib.haul import Haul
from lib.imap import Client
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.standin import Standin

WRITES = {"APPEND", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "SELECT", "STORE", "UID STORE"}


def box(path, number, **more):
    return Box(path, [plain(number)], **more)


def boxes_of(*paths, **more):
    return [box(path, 10 + n, **more) for n, path in enumerate(paths)]


def bodies(server, user="ann"):
    """{folder: digests}, without the empty folders."""
    return {show_path(path): [m.body.sha256 for m in folder.messages]
            for path, folder in state_of(server, user).items() if folder.messages}


def check_moved(haul, wanted, user="ann"):
    """wanted: {source folder: target folder}; nothing else holds mail there."""
    source, target = bodies(haul.source, user), bodies(haul.target, user)
    check_equal(target, {there: source[here] for here, there in wanted.items()}, "target folders")


GERMAN = {"INBOX": "INBOX", "Gesendete Elemente": "Sent Messages",
          "Gesendete Elemente/2019": "Sent Messages/2019", "Entwürfe": "Drafts",
          "Gelöschte Elemente": "Trash", "Gelöschte Elemente/alt/älter": "Trash/alt/älter",
          "Junk-E-Mail": "Junk", "Projekte/Gesendete Elemente": "Projekte/Gesendete Elemente",
          "Ablage": "Ablage"}
USES = {"Sent Messages": "\\Sent", "Drafts": "\\Drafts", "Trash": "\\Trash", "Junk": "\\Junk"}


@test(timeout=60)
def test_german_names(bench):
    """A source that tells no use: by its names, with what lies below, into the target's folders."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"}, special_use=USES)
    fill_account(source, "ann", boxes_of(*GERMAN), strict=True)
    haul = Haul(bench, source, target)
    text = haul.run("--dry-run").output()
    check_in("Gesendete Elemente/2019 -> Sent Messages/2019  1 messages", text)
    haul.run()
    check_moved(haul, GERMAN)
    check_equal({show_path(p) for p in state_of(target, "ann")} - set(GERMAN.values()),
                {"Projekte", "Trash/alt"}, "folders besides those")
    haul.must_move_nothing("ann")


@test(timeout=60, long=True)
def test_german_names_as_they_are(bench):
    """special_use = no: each under its own name, beside the target's folders."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"}, special_use=USES)
    fill_account(source, "ann", boxes_of(*GERMAN), strict=True)
    haul = Haul(bench, source, target, folders={"special_use": "no"})
    haul.run()
    check_moved(haul, {name: name for name in GERMAN})


@test(timeout=60, root=True)
def test_uses_told_by_the_server(bench):
    """Attributes decide over names, on Dovecot and on Cyrus, both ways."""
    uses = {"Out": "\\Sent", "Bin": "\\Trash"}
    dovecot = Dovecot(bench, {"ann": "secret"}, special_use=uses)
    cyrus = Cyrus(bench, {"ann": "secret"}, folders={"Sent": "\\Sent", "Deleted": "\\Trash"})
    fill_account(dovecot, "ann", boxes_of("INBOX", "Out", "Out/2019", "Bin", "Trash", "Sent Items"),
                 strict=True)
    haul = Haul(bench, dovecot, cyrus)
    haul.run()
    check_moved(haul, {"INBOX": "INBOX", "Out": "Sent", "Out/2019": "Sent/2019", "Bin": "Deleted",
                       "Trash": "Trash", "Sent Items": "Sent Items"})
    back = Dovecot(bench, {"ann": "secret"}, name="back", special_use={"Gone": "\\Trash"})
    haul = Haul(bench, cyrus, back)
    haul.run()
    check_moved(haul, {"INBOX": "INBOX", "Sent": "Sent", "Sent/2019": "Sent/2019",
                       "Deleted": "Gone", "Trash": "Trash", "Sent Items": "Sent Items"})


@test(timeout=60)
def test_admins_rules(bench):
    """include, exclude and map; names with commas; what is left out and why stands in the plan."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"}, special_use=USES)
    fill_account(source, "ann", boxes_of(
        "INBOX", "Work", "Work/a", "Work/a/b", "Work/secret", "Old, very", "Sent Messages",
        "Private", "Private/x"), strict=True)
    haul = Haul(bench, source, target, folders={
        "include": "INBOX, Work*, \"Old, very\", Sent*", "exclude": "*secret",
        "map": "Work/* -> Archive/Work/*, \"Old, very\" -> Old, Sent Messages -> Mine/Sent"})
    text = haul.run("--dry-run").output()
    check_in("Work/secret -> (left out)  1 messages", text)
    check_in("excluded by the profile", text)
    check_in("not included by the profile", text)
    haul.run()
    moved = {"INBOX": "INBOX", "Work": "Work", "Work/a": "Archive/Work/a",
             "Work/a/b": "Archive/Work/a/b", "Old, very": "Old", "Sent Messages": "Mine/Sent"}
    check_moved(haul, moved)
    # Known folders stay where they are; the rules are for those that come.
    fill_account(source, "ann", [box("Work/c", 90)])
    haul.options["folders"] = {"map": "Work/* -> Elsewhere/*", "exclude": "Private*, *secret"}
    haul.save()
    haul.run()
    check_moved(haul, dict(moved, **{"Work/c": "Elsewhere/c"}))


@test(timeout=60)
def test_of_others(bench):
    """Folders shared by another user and public ones are left out; the plan names each."""
    users = {"ann": "secret", "bob": "secret"}
    source = Dovecot(bench, users, public={"Team": "lrwstipek"}, shared=True, listescape=True)
    with Client(source.port) as c:
        c.login("ann", "secret")
        for n, name in enumerate(("INBOX", "plans", "Public/Team")):
            if name == "plans":
                c.create(name)
            c.append(name, plain(n))
        c.cmd("SETACL INBOX bob lrs")
        c.cmd("SETACL plans bob lrs")
    fill_account(source, "bob", boxes_of("INBOX", "own"))
    haul = Haul(bench, source, Dovecot(bench, users), {"bob": "secret"})
    text = haul.run("--dry-run").output()
    names = "Public/Team", "shared/ann", "shared/ann/plans"
    for name in names:
        check(re.search(r"^ +%s -> \(left out\)  1 messages, \d+ B, shared or public" % name, text,
                        re.M), "%s is not named:\n%s" % (name, text))
    haul.run()
    with open(os.path.join(haul.logs()[-1], "report.txt")) as f:
        (line,) = [line for line in f if "left out: " in line]
    for name in names:
        check_in("%s (shared or public" % name, line, "report.txt")
    check_moved_only(haul, {"INBOX", "own"}, "bob")
    check_equal(haul.report()["totals"]["found"], 2, "found")
    check_moved_only(haul, {"INBOX", "own"}, "bob")


def check_moved_only(haul, names, user):
    source = {name: digests for name, digests in bodies(haul.source, user).items()
              if name in names}
    check_equal(set(source), names, "folders at the source")
    check_equal(bodies(haul.target, user), source, "target folders")


@test(timeout=60)
def test_two_into_one_is_refused(bench):
    """Before a byte moves: not a folder is made, nothing is sent; the map helps."""
    folders = {name: {"messages": [{"text": plain(n).body.decode()}]}
               for n, name in enumerate(("INBOX", "Sent", "Gesendete Elemente", "a.b", "a_b"))}
    source = Standin(bench, users={"ann": "secret"}, accounts={"ann": {"folders": folders}})
    target = Standin(bench, users={"ann": "secret"}, delimiter=".")
    haul = Haul(bench, source, target, folders={"map": "Gesendete Elemente -> Sent"})
    process = haul.run(expect=3)
    check("Gesendete Elemente and Sent would both land in Sent" in process.output() or
          "a.b and a_b would both land in a_b" in process.output(), process.output())
    check_equal([c for c in target.commands() if c["command"] in WRITES], [], "commands that write")
    check_equal(haul.call("check", "PROFILE", expect=3).output().count("would both land in"), 1,
                "check")
    haul.options["folders"]["map"] = "Gesendete Elemente -> Gesendet"
    haul.save()
    process = haul.run(expect=3)
    check_in("a.b and a_b would both land in a_b; give one of them another name by a map rule in "
             "[folders]", process.output())
    haul.options["folders"]["map"] = "Gesendete Elemente -> Gesendet, a_b -> ab"
    haul.save()
    haul.run()
    have = {name: len(rows) for name, rows in target.control("state")["ann"].items()}
    check_equal(have, {"INBOX": 1, "Sent": 1, "Gesendet": 1, "a_b": 1, "ab": 1}, "target folders")


@test(timeout=60, root=True)
def test_separators_and_prefixes(bench):
    """'/' to '.' below a prefix, and back: paths are the same, altered names are said."""
    slash = Dovecot(bench, {"ann": "secret"}, name="slash")
    dots = Dovecot(bench, {"ann": "secret"}, name="dots", store="maildir", separator=".",
                   prefix="INBOX.")
    under = Cyrus(bench, {"ann": "secret"}, name="under", unix_separator=False,
                  alt_namespace=False)
    fill_account(slash, "ann", boxes_of("INBOX", "a/b/c", "v1.5", "v1.5/x", "Über/uns"),
                 strict=True)
    haul = Haul(bench, slash, dots)
    text = haul.run("--dry-run").output()
    check_in("v1.5 -> v1_5  1 messages", text)
    check_in("name altered", text)
    haul.run()
    check_moved(haul, {"INBOX": "INBOX", "a/b/c": "a/b/c", "v1.5": "v1_5", "v1.5/x": "v1_5/x",
                       "Über/uns": "Über/uns"})
    second = Haul(bench, dots, under)
    second.run()
    check_moved(second, {name: name for name in ("INBOX", "a/b/c", "v1_5", "v1_5/x", "Über/uns")})
    third = Haul(bench, under, Dovecot(bench, {"ann": "secret"}, name="again"))
    third.run()
    check_moved(third, {name: name for name in ("INBOX", "a/b/c", "v1_5", "v1_5/x", "Über/uns")})


@test(timeout=60)
def test_subscriptions(bench):
    """copy, all and none; what the user subscribes and unsubscribes at the target stays."""
    people = {how: "secret" for how in ("copy", "all", "none")}
    source, target = Dovecot(bench, people), Dovecot(bench, people)
    wanted = {"copy": {"Work"}, "all": {"INBOX", "Work", "Else"}, "none": set()}
    for how in people:
        fill_account(source, how, [box("INBOX", 1), box("Work", 2, subscribed=True),
                                   box("Else", 3)])
    hauls = {how: Haul(bench, source, target, {how: "secret"}, folders={"subscriptions": how})
             for how in people}

    def subscribed(how):
        return {show_path(p) for p, f in state_of(target, how).items() if f.subscribed}
    for how, haul in hauls.items():
        haul.run()
        check_equal(subscribed(how), wanted[how], "subscribed with " + how)
    with Client(target.port) as client:
        client.login("copy", "secret")
        client.cmd("UNSUBSCRIBE Work")
        client.subscribe("Else")
    hauls["copy"].run()
    check_equal(subscribed("copy"), {"Else"}, "what the user did stays")


@test(timeout=60)
def test_filters_and_their_lifting(bench):
    """since, before and max_size leave mail out, with the reason; lifted, it comes."""
    source = Dovecot(bench, {"ann": "secret"})
    target = Dovecot(bench, {"ann": "secret"})
    day = 86400
    start = 1420070400  # 1 January 2015
    mails = [plain(1, date=start - 1), plain(2, date=start), plain(3, date=start + 30 * day),
             plain(4, 9000, date=start + 31 * day), plain(5, date=start + 365 * day - 1),
             plain(6, date=start + 365 * day), plain(7, 9000, date=start + 400 * day)]
    fill_account(source, "ann", [Box("INBOX", mails)])
    haul = Haul(bench, source, target, run={"since": "2015", "before": "2016-01-01",
                                            "max_size": "4K"})

    def check_there(numbers, reasons):
        have = [m.body.head.split(b"Subject: Message ")[1].split(b"\r")[0].decode()
                for m in state_of(target, "ann")["INBOX",].messages]
        check_equal(sorted(have), [str(n) for n in numbers], "on the target")
        rows = haul.sql("SELECT uid, reason FROM item WHERE state = 3 ORDER BY uid")
        check_equal([r["uid"] for r in rows], reasons, "skipped UIDs")
        totals = haul.report()["totals"]
        check_equal((totals["found"], totals["copied"], totals["skipped"]),
                    (7, len(numbers), len(reasons)), "totals")
    haul.run()
    check_there([2, 3, 5], [1, 4, 6, 7])
    listed = haul.call("list", "PROFILE", "skipped").output()
    for reason in "since", "before", "max_size":
        check_in(reason, listed)
    haul.options["run"]["max_size"] = "0"
    haul.save()
    haul.run()
    check_there([2, 3, 4, 5], [1, 6, 7])
    for key in "since", "before":
        del haul.options["run"][key]
    haul.save()
    haul.run()
    check_there([1, 2, 3, 4, 5, 6, 7], [])
    haul.must_move_nothing("ann")
