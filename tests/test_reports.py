"""Reports and lists: what they say of runs that went well, badly, or are still at work."""

import csv
import io
import json
import os
import re
import signal
import time

from corpus.messages import plain
from lib.bench import alive, wait_for
from lib.haul import Haul
from lib.testing import check, check_equal, check_in, test
from lib.world import ITEMS, ACCOUNTS, mails, World, lying, many_accounts
from standins.standin import Standin


REFUSED = "X-REFUSE-THIS"


def mixed_world(bench):
    """One mailbox with messages that land, are refused, and are left out by the profile."""
    folder = mails(1, 5) + [{"text": plain(6).body.decode() + REFUSED + "\r\n"}] + \
        mails(7, 3, date=900000000)
    source = Standin(bench, "source", users={"u1": "secret"},
                     accounts={"u1": {"folders": {"INBOX": {"messages": folder}}}})
    target = Standin(bench, "target", users={"u1": "secret"}, content={"refuse": [
        {"pattern": REFUSED, "text": "refused by policy"}]})
    return source, target, Haul(bench, source, target, run={"since": "2000", "ladder": "none"})


@test(timeout=60)
def test_reports_and_lists(bench):
    """Three formats that agree, lists as text and JSON, retry; the sums hold everywhere."""
    _, target, haul = mixed_world(bench)
    process = haul.run(expect=ITEMS)
    check_in("need a look", process.output())
    wanted = {"found": 9, "copied": 5, "skipped": 3, "failed": 1, "held": 0, "vanished": 0,
              "adopted": 0, "open": 0, "in_doubt": 0, "surplus": 0}
    report = json.loads(haul.call("report", "PROFILE", "--format", "json").output())
    for items in report["totals"], report["accounts"][0]["items"]:
        check_equal({k: items[k] for k in wanted}, wanted, "sums of report.json")
    check_equal([(p["uid"], p["state"]) for p in report["accounts"][0]["problems"]],
                [(6, "failed")], "problems")
    text = haul.call("report", "PROFILE").output()
    check_in("9 found = 5 copied + 0 adopted + 3 skipped + 1 failed + 0 held + 0 vanished", text)
    check_in("u1, INBOX: UID 6", text)
    check_in("refused by policy", text)
    rows = list(csv.DictReader(io.StringIO(
        haul.call("report", "PROFILE", "--format", "csv").output())))
    row = {k.lower(): v for k, v in rows[0].items()}
    check_equal((row["found"], row["copied"], row["skipped"], row["failed"]), ("9", "5", "3", "1"),
                "report.csv")
    check_files_agree(haul, text, rows)
    check_lists(haul)
    check_equal(haul.call("retry", "PROFILE", "--reason", "quota").output().split(": ")[1],
                "0 items and 0 accounts will be tried again by the next run\n",
                "retry of another reason")
    target.control("content", content={})
    check_in("1 items and 0 accounts will be tried again",
             haul.call("retry", "PROFILE", "--only", "u*").output())
    haul.run()
    check_equal(haul.report()["totals"]["copied"], 6, "copied after the retry")
    check_equal(len(lying(target)["INBOX"]), 6, "on the target")


@test(timeout=60)
def test_report_after_a_kill(bench):
    """While a run is at work the report says so; after a kill, that it did not end by itself."""
    world = World(bench, users=3, each=100, slow=0.2, run={"jobs": 1})
    pid = world.detach()
    wait_for(lambda: world.stored() >= 3, 20, "the first messages")
    text = world.call("report", "PROFILE")
    check_in("\nend     not yet: a run is at work\n", text)
    check("without an end" not in text and "when a run ended" not in text, text)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), 10, "the end of the process")
    text = world.call("report", "PROFILE")
    check_in("\nend     did not end by itself; run it again to go on\n", text)
    check_in("\n  run: mailboxes not at their end: 3 (2 waiting, 1 copying)\n", text)
    report = json.loads(world.call("report", "PROFILE", "--format", "json"))
    check_equal((report["exit_code"], report["ended"], report["running"],
                 report["totals"]["accounts_open"]), (None, None, False, 3), "report.json")
    check_equal(world.status()["exit_code"], None, "status --json")
    world.detach()
    world.call("skip", "PROFILE", "--only", "u3")
    world.target.rules()
    wait_for(lambda: not world.status()["running"], 40, "the end of the run")
    text = world.call("report", "PROFILE")
    check_in("\n  run: mailboxes left out: 1\n  u3: left out: skipped by the admin\n", text)


def nameless(pid):
    """Bytes in the file without a name that the process writes into its run's directory."""
    for fd in os.listdir("/proc/%d/fd" % pid):
        path = "/proc/%d/fd/%s" % (pid, fd)
        try:
            if "/logs/" in os.readlink(path) and os.stat(path).st_nlink == 0:
                return os.stat(path).st_size
        except FileNotFoundError:
            pass
    return 0


@test(timeout=90)
def test_manifest_grows(bench):
    """It is written while the run is at work, under no name; a kill leaves nothing of it, and what it
    told is in the next run's. What changes after it was told has its last word at the end."""
    world = World(bench, each=60, slow=0.1, run={"jobs": 1})
    pid = world.detach()
    first = wait_for(lambda: nameless(pid), 20, "the beginning of the manifest")
    wait_for(lambda: nameless(pid) > first + 1000, 20, "more of it")
    check_equal(os.listdir(world.haul.logs()[-1]), ["debug.log"], "files of a run at work")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), 10, "the end of the process")
    check_equal(os.listdir(world.haul.logs()[-1]), ["debug.log"], "files of a run that was killed")
    told = world.haul.sql("SELECT count(*) AS n FROM item")[0]["n"]
    check(told > 0, "nothing was in the ledger when the run was killed")
    pid = world.detach()
    first = wait_for(lambda: nameless(pid), 20, "the beginning of the next one")
    wait_for(lambda: nameless(pid) > first + 1000, 20, "more of that")
    world.target.rules()
    wait_for(lambda: not world.status()["running"], 40, "the end of the run")
    check_equal(world.haul.must_chain(), world.count, "rows of the chain")
    check_equal(len(world.haul.manifests()), 1, "manifests")


@test(timeout=60)
def test_rounds_and_forecast(bench):
    """The report has a row per round, and tells the next one's length by the last later one."""
    world = World(bench)
    world.call("run", "PROFILE")
    check_in("no forecast before a later round has run to its end", world.call("report", "PROFILE"))
    world.source.control("add", user="u1", folder="INBOX", messages=mails(900, 2))
    world.call("run", "PROFILE")
    report = world.haul.report()
    check_equal([(r["round"], r["copied"], r["runs"]) for r in report["rounds"]],
                [(1, 18, 1), (2, 2, 1)], "rounds")
    check(all(r["started"] and r["ended"] and r["bytes"] for r in report["rounds"]), report["rounds"])
    check_equal(report["forecast"], {"seconds": report["rounds"][1]["worked_s"], "as_round": 2},
                "forecast")
    check(re.search(r"^  the next one: about 00:\d\d, as long as round 2 worked",
                    world.call("report", "PROFILE"), re.M), world.call("report", "PROFILE"))


@test(timeout=120)
def test_reports_of_many_accounts(bench):
    """Four thousand mailboxes of twenty folders each: reports and lists take seconds."""
    world = World(bench)
    world.call("run", "PROFILE")
    many_accounts(world.haul, 4000, 20)
    for words, text in ((("report", "PROFILE"), "user1000, folder 0: UID 1 (100 B) failed"),
                        (("report", "PROFILE", "--format", "json"), '"failed":40'),
                        (("report", "PROFILE", "--format", "csv"), "user4999"),
                        (("list", "PROFILE", "failed"), "user4900  folder 0  UID 1")):
        began = time.monotonic()
        check_in(text, world.call(*words))
        took = time.monotonic() - began
        print("%s: %.1f s" % (" ".join(words), took))
        check(took < 60, "%s took %.1f s" % (" ".join(words), took))


def check_files_agree(haul, text, rows):
    """What the run wrote is what the commands print, but for the moment of writing."""
    place = haul.logs()[-1]
    check_equal(sorted(os.listdir(place)), ["debug.log", "manifest.jsonl", "report.csv",
                                            "report.json", "report.txt"], "files of a run")
    with open(os.path.join(place, "report.csv"), newline="") as f:
        check_equal(list(csv.DictReader(f)), rows, "report.csv")
    with open(os.path.join(place, "report.txt")) as f:
        written = f.read()
    check_equal(written[written.index("\nTOTALS"):], text[text.index("\nTOTALS"):], "report.txt")


def check_lists(haul):
    def listed(what):
        return json.loads(haul.call("list", "PROFILE", what, "--json").output())
    (user,) = listed("users")
    check_equal((user["user"], user["state"], user["found"], user["landed"], user["skipped"]),
                ("u1", "done with remarks", 9, 5, 3), "list users")
    (folder,) = listed("folders")
    check_equal((folder["folder"], folder["target_folder"], folder["failed"]),
                ("INBOX", "INBOX", 1), "list folders")
    (failed,) = listed("failed")
    check_equal((failed["uid"], failed["state"], "policy" in failed["text"]), (6, "failed", True),
                "list failed")
    check_equal([(r["uid"], r["reason"]) for r in listed("skipped")],
                [(7, "since"), (8, "since"), (9, "since")], "list skipped")
    check_equal(listed("held"), [], "list held")
    for what in "users", "folders", "failed", "skipped":
        check_in("u1", haul.call("list", "PROFILE", what).output(), "list " + what)
    check_equal(haul.call("list", "PROFILE", "failed", "--only", "x*").output(), "", "list --only")


@test(timeout=60)
def test_failed_accounts(bench):
    """Accounts that failed as a whole are listed first, and counted as what they are."""
    world = World(bench, users=3)
    world.haul.write("users.csv", "u1;secret\nu2;wrong\nu3;secret\n")
    world.target.control("content", content={"refuse": [
        {"pattern": "Message 301", "text": "refused by policy"}]})
    world.call("run", "PROFILE", expect=ACCOUNTS)
    lines = world.call("list", "PROFILE", "failed").splitlines()
    check(lines[0].startswith("u2  account failed  auth  "), lines)
    check(len(lines) > 1 and all(line.startswith("u3  ") for line in lines[1:]), lines)
    rows = json.loads(world.call("list", "PROFILE", "failed", "--json"))
    check_equal([(r["user"], r["folder"], r["uid"], r["size"], r["state"], r["reason"])
                 for r in rows[:1]], [("u2", None, None, None, "failed", "auth")], "the account")
    check_equal(len(rows), len(lines), "rows")
    check_in("%d items and 1 accounts will be tried again by the next run" % (len(rows) - 1),
             world.call("retry", "PROFILE"))
    world.target.control("content", content={})
    world.haul.write("users.csv", "u1;secret\nu2;secret\nu3;secret\n")
    world.call("run", "PROFILE")
    check_equal(world.call("list", "PROFILE", "failed"), "", "failed at the end")
