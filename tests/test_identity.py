"""What a message is known by when the numbers of its server change, lie, or are cut off half way:
nothing is sent again, nothing is left out, and an account ends with its sums right."""

from collections import Counter

from corpus.messages import plain
from lib.bench import wait_for
from lib.haul import Haul
from lib.numbers import content, flags_of, report_text
from lib.testing import check, check_equal, check_in, test
from standins.imapd import CAPABILITIES
from standins.standin import Standin

DATE = 1420452000
OLD_SERVER = "IMAP4REV1 UIDPLUS NAMESPACE ID SASL-IR".split()


def mails(first, count, size=300, **more):
    return [dict({"text": plain(n, size).body.decode("latin-1"), "date": DATE + n}, **more)
            for n in range(first, first + count)]


class World:
    """Two stand-ins; the source has the folder Work, under UIDVALIDITY 111."""

    def __init__(self, bench, work, more=None, source=None, target=None, run=None):
        folders = dict({"Work": {"messages": work, "uidvalidity": 111}}, **(more or {}))
        users = {"ann": "secret"}
        self.source = Standin(bench, users=users, accounts={"ann": {"folders": folders}},
                              **(source or {}))
        self.target = Standin(bench, users=users, **(target or {}))
        self.haul = Haul(bench, self.source, self.target, run=run)

    def at_source(self, operation, **more):
        self.source.control(operation, user="ann", folder="Work", **more)

    def uidvalidity(self, value, renumber=False):
        self.at_source("uidvalidity", value=value, renumber=renumber)

    def lies_there(self, wanted, what):
        check_equal({name: Counter(numbers) for name, numbers in content(self.target).items()},
                    {name: Counter(numbers) for name, numbers in wanted.items()}, what)

    def close(self):
        self.source.kill()
        self.target.kill()


# --- another UIDVALIDITY at the source

@test(timeout=60)
def test_uidvalidity_there_and_back(bench):
    """A backup is restored and taken back: each time the rows are found again."""
    world = World(bench, mails(1, 20))
    for value, extra in (111, 0), (222, 0), (111, 3), (222, 0):
        world.uidvalidity(value)
        if extra:
            world.at_source("add", messages=mails(50, extra))
        world.haul.run()
    world.lies_there({"Work": [*range(1, 21), 50, 51, 52]}, "after four rounds")
    world.haul.must_move_nothing("ann")


@test(timeout=60)
def test_sizes_that_are_estimates(bench):
    """RFC822.SIZE is wrong for each message: another UIDVALIDITY, and another name."""
    world = World(bench, mails(1, 20), source={"size_off": 13})
    world.haul.run()
    world.uidvalidity(222, renumber=True)
    world.haul.run()
    check_in("20 of 20 known messages found again", report_text(world.haul))
    world.at_source("rename", to="Done")
    world.haul.run()
    world.lies_there({"Work": range(1, 21)}, "after both")


@test(timeout=60)
def test_dates_that_are_lost(bench):
    """Restored with another date for each message: the bytes tell them."""
    world = World(bench, mails(1, 10) + mails(30, 2))
    world.haul.run()
    world.at_source("delete")
    world.source.control("create", user="ann", folder="Work")
    world.at_source("add", messages=[dict(m, date=DATE + 90000) for m in mails(1, 10)]
                    + mails(70, 2))
    world.haul.run()
    world.lies_there({"Work": [*range(1, 11), 30, 31, 70, 71]}, "target")
    check_in("10 of 12 known messages found again", report_text(world.haul))


def killed_while_searching(bench, then):
    """The search for rows under another UIDVALIDITY is cut off at each commit; then(world), and
    the runs after it. Equal messages are among them."""
    deaths = 0
    for commit in range(3, 9):
        world = World(bench, mails(1, 20) + mails(7, 1, date=DATE) * 20)
        world.haul.run()
        world.uidvalidity(222, renumber=True)
        if not world.haul.die_at("commit:%d" % commit):
            world.close()
            break
        deaths += 1
        then(world)
        world.haul.run()
        world.lies_there({"Work": [*range(1, 21), *[7] * 20]}, "death at commit %d" % commit)
        world.haul.must_move_nothing("ann")
        world.close()
    check(deaths >= 2, "only %d deaths" % deaths)


@test(timeout=120)
def test_search_killed(bench):
    killed_while_searching(bench, lambda world: None)


@test(timeout=120)
def test_search_killed_then_another_uidvalidity(bench):
    killed_while_searching(bench, lambda world: world.uidvalidity(333, renumber=True))


@test(timeout=120)
def test_search_killed_then_deleted(bench):
    killed_while_searching(bench, lambda world: world.at_source("delete"))


@test(timeout=120)
def test_search_killed_then_renamed(bench):
    killed_while_searching(bench, lambda world: world.at_source("rename", to="Done"))


@test(timeout=60)
def test_search_and_the_link_lost(bench):
    world = World(bench, mails(1, 20))
    world.haul.run()
    world.uidvalidity(222, renumber=True)
    world.source.rules({"command": "UID FETCH", "folder": "Work", "action": "close"})
    world.haul.run()
    world.lies_there({"Work": range(1, 21)}, "target")


# --- rows in doubt

@test(timeout=60)
def test_emptied_after_a_crash(bench):
    """Rows in doubt of a folder that nobody reads again have their end all the same."""
    world = World(bench, mails(1, 5))
    check(world.haul.die_at("last-byte:1"), "did not get to its first batch")
    world.at_source("expunge")
    world.haul.run()
    world.lies_there({"Work": range(1, 6)}, "target")


@test(timeout=60)
def test_second_looks_apart(bench):
    """Two folders whose second looks are due at different times, and nothing else to do."""
    world = World(bench, mails(1, 3), {"Other": {"messages": mails(11, 3)}},
                  run={"settle_wait": "1s"})
    world.target.rules({"command": "APPEND", "action": "stall", "times": -1})
    process = world.haul.spawn("run", "PROFILE")

    def intents():
        try:
            return world.haul.sql("SELECT count(*) AS n FROM batch")[0]["n"]
        except Exception:  # no ledger yet
            return 0
    wait_for(lambda: intents() >= 2, 20, "two intents")
    world.haul.kill(process)
    world.target.rules({"command": "SELECT", "folder": "Work", "action": "stall", "seconds": 0.5})
    world.at_source("expunge")
    world.source.control("expunge", user="ann", folder="Other")
    world.haul.run()
    check_equal(world.haul.sql("SELECT count(*) AS n FROM batch"), [{"n": 0}], "open batches")


# --- one folder, one message

@test(timeout=120)
def test_one_folder_cannot_be_opened(bench):
    """It is named, and costs the others nothing."""
    world = World(bench, mails(1, 5), {"B%d" % n: {"messages": mails(10 * n, 5)}
                                       for n in range(1, 4)})
    world.source.rules({"command": "EXAMINE", "folder": "B2", "action": "no", "times": -1,
                        "text": "Mailbox is corrupted"})
    text = world.haul.run(expect=3, timeout=100).output()
    check_in("Mailbox is corrupted", text)
    world.lies_there({"Work": range(1, 6), "B1": range(10, 15), "B3": range(30, 35)}, "target")


@test(timeout=60)
def test_one_folder_is_closed_to_us_later(bench):
    """Neither counted nor opened in the second round: new mail elsewhere comes, its rows stay, and
    once it is open again nothing of it is sent twice."""
    world = World(bench, mails(1, 5), {"Other": {"messages": mails(50, 3)}},
                  source={"capabilities": OLD_SERVER})
    world.haul.run()
    world.source.control("add", user="ann", folder="Other", messages=mails(60, 2))
    world.source.rules(*[{"command": command, "folder": "Work", "action": "no", "code": "NOPERM",
                          "times": -1} for command in ("EXAMINE", "STATUS")])
    check_in("neither counted nor opened", world.haul.run(expect=3).output())
    wanted = {"Work": range(1, 6), "Other": [50, 51, 52, 60, 61]}
    world.lies_there(wanted, "while it is closed")
    world.source.rules()
    world.haul.run()
    world.lies_there(wanted, "when it is open again")
    check_equal(world.haul.report()["totals"]["gone"], 0, "gone")


@test(timeout=60)
def test_too_large_by_an_estimate(bench):
    """What the source says of a size is no reason to leave a message out."""
    world = World(bench, mails(1, 3, 9000), source={"size_off": 5000},
                  target={"capabilities": CAPABILITIES + ["APPENDLIMIT=12000"]})
    world.haul.run()
    world.lies_there({"Work": [1, 2, 3]}, "target")


@test(timeout=60)
def test_refused_without_a_reason(bench):
    """A bare NO to a batch, then to one of it alone: that one goes once more as it is."""
    world = World(bench, mails(1, 2), target={"rules": [
        {"command": "APPEND", "action": "no", "times": 2}]})
    world.haul.run()
    world.lies_there({"Work": [1, 2]}, "target")


# --- flags of messages whose keywords the target does not keep

def flags_are_carried(bench, work, crash):
    world = World(bench, work, target={"keywords": ["Kept"]})
    if crash:
        check(world.haul.die_at("last-byte:1"), "did not get to its first batch")
    world.haul.run()
    world.at_source("flag", flags=["\\Flagged"])
    world.target.control("flag", user="ann", folder="Work", uids=[2], flags=["Kept"])
    world.haul.run()
    got = {n: sorted(f - {"\\Recent"}) for (_, n), f in flags_of(world.target).items()}
    check_equal(got, {1: ["\\Flagged"], 2: ["Kept"], 3: ["\\Flagged"]}, "flags")


@test(timeout=60)
def test_flags_carried_after_a_crash(bench):
    """A row that was settled; what somebody set at the target meanwhile stays."""
    flags_are_carried(bench, mails(1, 3, flags=["Odd"]), True)


@test(timeout=60)
def test_flags_carried_with_a_repaired_date(bench):
    rows = mails(1, 3, flags=["Odd"], raw_date="00-Jan-0000 00:00:00 +0000")
    flags_are_carried(bench, rows, False)


# --- both sides at once, and folders nobody may look at

@test(timeout=60)
def test_uidvalidity_of_both_sides(bench):
    """The source's folder is another and the target's was emptied and made anew: the account fails
    and says so, and nothing counts as being there."""
    world = World(bench, mails(1, 5))
    world.haul.run()
    world.uidvalidity(222, renumber=True)
    world.target.control("delete", user="ann", folder="Work")
    world.target.control("create", user="ann", folder="Work")
    text = world.haul.run(expect=3).output()
    check_in("holds none of the 5 messages", text)
    world.lies_there({}, "target")


@test(timeout=60)
def test_uids_of_both_sides(bench):
    """Both folders have other numbers: a flag finds its own message."""
    world = World(bench, mails(1, 5))
    world.haul.run()
    world.uidvalidity(222, renumber=True)
    world.target.control("delete", user="ann", folder="Work")
    world.target.control("create", user="ann", folder="Work")
    world.target.control("add", user="ann", folder="Work", messages=list(reversed(mails(1, 5))))
    world.haul.run()
    world.at_source("flag", flags=["\\Flagged"], uids=[min(
        row[0] for row in world.source.control("state")["ann"]["Work"])])
    world.haul.run()
    flagged = [n for (_, n), f in flags_of(world.target).items() if "\\Flagged" in f]
    check_equal(flagged, [1], "flagged at the target")
    world.lies_there({"Work": range(1, 6)}, "target")


@test(timeout=60)
def test_doubts_in_a_closed_folder(bench):
    """Messages in doubt of a folder that the source does not open for a while: they are settled at
    the target, and no row of its past comes to life."""
    world = World(bench, mails(1, 5), source={"capabilities": OLD_SERVER})
    world.haul.run()
    world.uidvalidity(222, renumber=True)
    world.haul.run()
    world.at_source("add", messages=mails(60, 4))
    check(world.haul.die_at("first-byte:1"), "did not get to its first batch")
    world.source.rules(*[{"command": command, "folder": "Work", "action": "no", "code": "NOPERM",
                          "times": -1} for command in ("EXAMINE", "STATUS")])
    world.haul.run(expect=3)
    check_equal(len(world.haul.sql("SELECT id FROM folder WHERE source_name = 'Work'"
                                   " AND gone_round = 0")), 1, "rows of Work that are not gone")
    world.source.rules()
    world.haul.run()
    world.lies_there({"Work": [*range(1, 6), *range(60, 64)]}, "target")


@test(timeout=60)
def test_doubts_of_a_folder_left_out(bench):
    """Killed with messages in doubt, then the folder is left out and removed at the target: they are
    held, and the account comes to its end."""
    world = World(bench, mails(1, 5))
    check(world.haul.die_at("last-byte:1"), "did not get to its first batch")
    world.haul.options["folders"]["exclude"] = "Work"
    world.haul.save()
    world.target.control("delete", user="ann", folder="Work")
    world.haul.run(expect=2)
    check_equal(world.haul.report()["totals"]["held"], 5, "held")
