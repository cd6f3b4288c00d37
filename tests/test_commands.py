"""The command line: what each command says, does, leaves behind and ends with."""

import fcntl
import json
import os
import pwd
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import termios
import time

from hostile.watch import no_secret
from lib.bench import Failure, alive, wait_for
from lib.haul import Haul
from lib.testing import check, check_equal, check_in, mailhaul_binary, test
from lib.world import WRITES, USAGE, ITEMS, ACCOUNTS, STOPPED, CANNOT, mails, World, lying, many_accounts
from standins.standin import Standin


def plain_run(*args, env=None, expect=0):
    """The program without a profile's surroundings: (stdout, stderr)."""
    done = subprocess.run([mailhaul_binary(), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env=dict(os.environ, **(env or {})), check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    if done.returncode != expect:
        raise Failure("mailhaul %s: exit %d, wanted %d\n%s%s" % (" ".join(args), done.returncode,
                                                                 expect, out, err))
    return out, err


# --- words

COMMANDS = ("run", "check", "status", "stop", "pause", "resume", "skip", "set", "retry", "held",
            "report", "list", "profile")
WRONG = [
    ((), "mailhaul moves the mail"), (("frobnicate",), "no command frobnicate"),
    (("run",), "usage: mailhaul run PROFILE"), (("run", "a", "b"), "one word too many: b"),
    (("run", "a", "--frob"), "no option --frob"), (("run", "a", "-x"), "no option -x"),
    (("run", "a", "--jobs"), "--jobs needs a value"),
    (("run", "a", "--jobs", "0"), "1 to 256, not 0"),
    (("run", "a", "--jobs", "257"), "1 to 256, not 257"),
    (("set", "a", "jobs=257"), "1 to 256, not 257"),
    (("run", "a", "--jobs=x"), "1 to 256, not x"),
    (("run", "a", "--detach=yes"), "--detach takes no value"),
    (("status", "a", "--jobs", "3"), "does not take --jobs"),
    (("run", "nosuch"), "nosuch.ini: No such file"), (("set", "a", "speed=9"), "not speed=9"),
    (("set", "a", "jobs=0"), "not 0"), (("skip", "a"), "skip needs --only"),
    (("held", "a"), "usage: mailhaul held"),
    (("held", "a", "--as", "gone", "--only", "*"), "landed, send or skip, not gone"),
    (("retry", "a", "--reason", "bad luck"), "no reason bad luck"),
    (("report", "a", "--format", "pdf"), "txt, csv or json, not pdf"),
    (("list", "a", "things"), "not things"), (("profile", "eat", "a"), "not eat"),
    (("help", "nothing"), "no command nothing"), (("help", "run", "check"), "one subcommand"),
    (("profile", "new", "status"), "a command is"), (("status", "\x1b[2Jx"), "not a name"),
]


@test(timeout=60)
def test_words(bench):
    """Help, version, and every wrong word: exit 1, a sentence on stderr, nothing on stdout."""
    home = {"HOME": bench.subdir("home"), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
    out, _ = plain_run("--version", env=home)
    check(re.fullmatch(r"mailhaul \d+\.\d+.*\n", out), out)
    for way in ("--help",), ("-h",), ("help",):
        out, _ = plain_run(*way, env=home)
        for name in COMMANDS:
            check_in("mailhaul " + name, out, "help")
    for name in COMMANDS:
        for way in ("help", name), (name, "--help"):
            out, err = plain_run(*way, env=home)
            check(out.startswith("usage: mailhaul %s " % name) and not err, out + err)
    for words, text in WRONG:
        out, err = plain_run(*words, env=home, expect=USAGE)
        check_in(text, err, " ".join(words))
        check_equal(out, "", "stdout of " + " ".join(words))
        check("\x1b" not in err, "a control byte of an argument is printed")


@test(timeout=60)
def test_output_that_nobody_takes(bench):
    """A reader that leaves is no error; a disk that is full is one, and is named."""
    world = World(bench)
    world.call("run", "PROFILE")
    many_accounts(world.haul, 100, 20)
    env = world.haul.environment()
    for words in ("report",), ("report", "--format", "json"), ("list", "folders"), ("status",):
        args = [world.haul.binary, words[0], world.haul.profile, *words[1:]]
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(args, stdout=write, stderr=subprocess.PIPE, env=env, check=False)
        os.close(write)
        check_equal((done.returncode, done.stderr), (0, b""), "no reader of " + " ".join(words))
        with open("/dev/full", "wb") as full:
            done = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, env=env, check=False)
        check_equal(done.returncode, CANNOT, "a full disk for " + " ".join(words))
        check(re.fullmatch(rb"mailhaul: the output cannot be written.*\n", done.stderr),
              done.stderr)
        check(words[0] != "status" or b"No space left" in done.stderr, done.stderr)


@test(timeout=60)
def test_profile_for_a_command(bench):
    """Who forgets the command is told what there is."""
    world = World(bench)
    _, err = plain_run(world.haul.profile, expect=USAGE)
    check_in("is a profile, not a command: mailhaul status %s, or mailhaul run %s" % (
        (world.haul.profile,) * 2), err)
    _, err = plain_run(world.haul.dir, expect=USAGE)
    check_in("there is no command", err)


@test(timeout=60)
def test_texts_name_a_host_once(bench):
    """What a connection says of itself is not said again around it."""
    world = World(bench)
    world.haul.options["source"]["port"] = 9
    world.haul.save()
    text = world.call("check", "PROFILE", expect=ACCOUNTS)
    check(re.search(r"^FAULT +u1 -> u1  \w+: source: 127\.0\.0\.1:9: ", text, re.M), text)


# --- a run and those who watch it

@test(timeout=90)
def test_six_at_a_time_and_jobs_changed(bench):
    """Six mailboxes at work, then two, then eight, as the admin says while it runs."""
    world = World(bench, users=9, each=40, slow=0.2)
    world.detach()
    status = world.wait_status(lambda s: s["totals"]["working"] == 6, "six at work")
    check_equal((status["running"], status["totals"]["jobs"]), (True, 6), "status")
    check_in("set", world.call("set", "PROFILE", "jobs=2"))
    world.wait_status(lambda s: s["totals"]["working"] == 2, "two at work")
    world.call("set", "PROFILE", "jobs=8")
    # Those that were at work end first: the first to end shows that new ones come at once.
    world.target.rules()
    check_equal(follow(world), 0, "exit code")
    check_equal(set(world.messages().values()), {60}, "messages of each mailbox")
    check_in("no run is at work", world.call("status", "PROFILE"))
    check_equal(world.status()["accounts"]["done"], 9, "accounts done")


def follow(world):
    """A second start attaches, says so and ends as the run does."""
    process = world.haul.call("run", "PROFILE", expect=None, timeout=90)
    check_in("is at work already (process", process.output())
    check_in("this follows it and starts nothing", process.output())
    return process.popen.returncode


@test(timeout=60)
def test_pause_resume_stop(bench):
    """Paused mailboxes send nothing; a stop ends what is on its way and is resumable."""
    world = World(bench, users=3, each=100, slow=0.2)
    world.detach()
    wait_for(lambda: world.stored() >= 3, 20, "the first messages")
    for command in "pause", "stop", "skip", "resume":
        check_in("no mailbox of this run matches x*",
                 world.call(command, "PROFILE", "--only", "x*", expect=USAGE))
    world.call("pause", "PROFILE", "--only", "u1")
    status = world.wait_status(
        lambda s: state(s, "u1") == "paused" and state(s, "u2") == "copying", "u1 paused")
    check_equal(status["totals"]["state_name"], "working", "state")
    world.call("pause", "PROFILE")
    world.wait_status(lambda s: s["totals"]["state_name"] == "paused", "all paused")
    before = world.stored()
    world.call("status", "PROFILE")
    time.sleep(0.6)  # nothing can be waited for: it must not happen
    check_equal(world.stored(), before, "messages sent while paused")
    world.call("resume", "PROFILE")
    wait_for(lambda: world.stored() > before, 20, "going on")
    watcher = world.haul.spawn("run", "PROFILE")
    wait_for(lambda: "at work already" in watcher.output(), 20, "the watcher")
    world.call("stop", "PROFILE")
    check_equal(watcher.wait(30), STOPPED, "exit code of a stopped run")
    check_in("run it again to go on", watcher.output())
    check_equal(world.call("stop", "PROFILE", expect=CANNOT).count("no run"), 1, "stop again")
    check_equal(world.status()["exit_code"], STOPPED, "status")
    world.target.rules()
    world.haul.run()
    check_equal(set(world.messages().values()), {150}, "messages of each mailbox")
    check_equal(len(world.target.commands("APPEND")), 450, "each was sent once")


def state(status, user):
    return next(row["state"] for row in status["rows"] if row["user"] == user)


@test(timeout=90)
def test_at_work_far_down_the_list(bench):
    """Mailboxes at work are shown, however many stand before them; no end is promised yet."""
    world = World(bench, users=300, each=40, slow=0.2, run={"jobs": 2})
    pid = world.detach()
    world.call("pause", "PROFILE")
    world.call("resume", "PROFILE", "--only", "u300")
    status = world.wait_status(
        lambda s: any(row["user"] == "u300" and row["state"] == "copying" for row in s["work"]),
        "u300 at work")
    check(all(row["user"] != "u300" for row in status["rows"]), "u300 is in the first rows")
    check_equal(status["totals"]["eta_s"], -1, "forecast")
    check(status["totals"]["percent"] <= 3, "percent %(percent)d" % status["totals"])
    text = world.call("status", "PROFILE")
    check(re.search(r"^  u300  (copying|settling)  ", text, re.M), text)
    check_in("ETA -", text)
    terminal = Terminal(world.haul, "run", "PROFILE")
    terminal.read(b"  u300  ")
    world.call("stop", "PROFILE")
    world.target.rules()
    wait_for(lambda: not alive(pid), 30, "the end of the run")


@test(timeout=60)
def test_skip_stop_only(bench):
    """Single mailboxes skipped or stopped; the others end as ever."""
    world = World(bench, users=3, each=100, slow=0.2)
    pid = world.detach()
    wait_for(lambda: world.stored() >= 3, 20, "the first messages")
    world.call("skip", "PROFILE", "--only", "u2")
    world.call("stop", "PROFILE", "--only", "u3")
    world.target.rules()
    wait_for(lambda: not alive(pid), 30, "the end of the run")
    text = world.call("list", "PROFILE", "users")
    for user, end in ("u1", "done"), ("u2", "skipped"), ("u3", "stopped"):
        check_in("%s -> %s  %s" % (user, user, end), text)
    check_equal(world.status()["exit_code"], STOPPED, "exit code")
    world.haul.run()
    got = world.messages()
    check_equal(got, {"u1": 150, "u2": 150, "u3": 150}, "messages after the next run")


@test(timeout=60)
def test_hang_up_stops_nothing(bench):
    """SIGHUP to a detached run and to one in the foreground; a watcher that leaves."""
    world = World(bench, users=1, each=100, slow=0.2)
    pid = world.detach()
    check_equal(os.getsid(pid), pid, "its session")
    os.kill(pid, signal.SIGHUP)
    watcher = world.haul.spawn("run", "PROFILE")
    wait_for(lambda: "at work already" in watcher.output(), 20, "the watcher")
    watcher.signal(signal.SIGKILL)
    stored = world.stored()
    wait_for(lambda: world.stored() > stored + 2, 20, "more after it left")
    check(alive(pid), "the run is gone")
    world.target.rules()
    check_equal(follow(world), 0, "exit code")
    check_in("the terminal hung up", world.haul.debug_log())
    check_equal(world.messages(), {"u1": 150}, "messages")


@test(timeout=60)
def test_terminal_gone(bench):
    """The terminal of a run in the foreground hangs up: the run goes on to its end."""
    world = World(bench, users=1, each=60, slow=0.2)
    terminal = Terminal(world.haul, "run", "PROFILE")
    terminal.read(b"copying")
    terminal.hang_up()
    stored = world.stored()
    wait_for(lambda: world.stored() > stored + 2, 20, "more after the hang-up")
    world.target.rules()
    check_equal(terminal.end(), 0, "exit code")
    check_in("the terminal hung up", world.haul.debug_log())
    check_equal(world.messages(), {"u1": 90}, "messages")
    check_equal(world.haul.report()["exit_code"], 0, "exit code in the report")


@test(timeout=60)
def test_beside_a_run(bench):
    """What looks at the ledger and what changes it, while a run is at work."""
    world = World(bench, users=2, each=100, slow=0.2)
    haul, pid = world.haul, world.detach()
    wait_for(lambda: len(haul.sql("SELECT uid FROM item")) >= 5, 20, "the first rows")
    text = world.call("status", "PROFILE")
    for part in "working, process %d on" % pid, "round 1, 2 of 6 workers", "0/2 accounts":
        check_in(part, text, "status")
    check_in("u1", text, "status")
    check_in("still to do", world.call("report", "PROFILE"))
    (folder,) = [f for f in json.loads(world.call("list", "PROFILE", "folders", "--json"))
                 if (f["user"], f["folder"]) == ("u1", "INBOX")]
    check(0 < folder["landed"] < 100 and folder["found"] == 100, "list folders: %s" % folder)
    check_in("2 accounts, 0 with a fault", world.call("check", "PROFILE"))
    check_in("resolved between runs", world.call("held", "PROFILE", "--as", "send", "--only", "*",
                                                 expect=CANNOT))
    check_in("0 failed items and 0 failed accounts are tried again", world.call("retry", "PROFILE"))
    watcher = haul.spawn("run", "PROFILE")
    wait_for(lambda: "at work already" in watcher.output(), 20, "the watcher")
    watcher.signal(signal.SIGINT)
    watcher.wait(20)
    check(alive(pid), "the run ended with its watcher")
    world.target.rules()
    wait_for(lambda: not alive(pid), 40, "the end of the run")
    check_equal((world.status()["running"], world.status()["exit_code"]), (False, 0), "status")
    check_equal(set(world.messages().values()), {150}, "messages")


@test(timeout=60)
def test_starting_or_ending(bench):
    """A run that has the lock and does not listen yet, or no more, is not taken for none."""
    world = World(bench)
    world.call("run", "PROFILE")
    with open(os.path.join(world.haul.state, "lock"), "w") as lock:
        lock.write("4711 somewhere\n")
        lock.flush()
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))
        check_equal(world.call("status", "PROFILE"),
                    "p1: a run is starting or ending (process 4711)\n", "status")
        check_equal(world.status(), {"running": True, "profile": "p1", "pid": 4711,
                                     "state_name": "starting or ending"}, "status --json")
        for words in ("stop",), ("pause",), ("run",), ("run", "--detach"):
            text = world.call(words[0], "PROFILE", *words[1:], expect=CANNOT)
            check_in("starting or ending (process 4711)", text, words[0])
            check("no run is at work" not in text, text)
    check_in("no run is at work", world.call("status", "PROFILE"))


@test(timeout=60)
def test_detach_beside_a_run(bench):
    """A second --detach says that a run is at work, and what of its words does not count."""
    world = World(bench, users=2, each=100, slow=0.2)
    pid = world.detach()
    wait_for(lambda: world.stored() >= 1, 20, "the first message")
    text = world.call("run", "PROFILE", "--detach", "--only", "u1", "--jobs", "3")
    check_in("is at work already (process %d" % pid, text)
    check_in("this starts nothing; follow it with: mailhaul run ", text)
    check_in("ignored, since the run at work has its own: --only, --jobs\n", text)
    check_in(" jobs=3\n", text)
    check_equal(world.status()["totals"]["jobs"], 6, "jobs")
    check(alive(pid), "the run is gone")
    world.call("stop", "PROFILE")
    wait_for(lambda: not alive(pid), 20, "the end of the run")


@test(timeout=60)
def test_ctrl_c(bench):
    """It stops a run that was started here, in order, and leaves one that is only followed; each
    says so first."""
    world = World(bench, users=1, each=160, slow=0.2)
    own = Terminal(world.haul, "run", "PROFILE")
    own.read(b"Ctrl-C stops it in order")
    own.read(b"copying")
    own.type(b"\x03")
    check_equal(own.rest(), STOPPED, "exit code of a run of its own")
    pid = world.detach()
    follower = Terminal(world.haul, "run", "PROFILE")
    follower.read(b"Ctrl-C leaves it at work, what stops it is: mailhaul stop ")
    follower.read(b"copying")
    follower.type(b"\x03")
    check_equal(follower.rest(), -signal.SIGINT, "end of a follower")
    stored = world.stored()
    wait_for(lambda: world.stored() > stored + 2, 20, "more after it left")
    world.call("stop", "PROFILE")
    wait_for(lambda: not alive(pid), 20, "the end of the run")


@test(timeout=60)
def test_weak_connections_are_shown(bench):
    """What the profile allows that is weaker than the default is said before anything moves."""
    world = World(bench)
    for words in ("check",), ("run", "--dry-run"), ("run", "--detach"), ("run",):
        text = world.call(words[0], "PROFILE", *words[1:])
        for side in "source", "target":
            check_in("warning: %s: the connection is not encrypted (security = none)\n" % side,
                     text)
        if words[-1] == "--detach":
            wait_for(lambda: not world.status()["running"], 20, "the end of the run")


@test(timeout=60)
def test_signals_stop_in_order(bench):
    """SIGTERM and SIGINT end a run in the foreground like `stop`."""
    world = World(bench, users=1, each=160, slow=0.2)
    for number in signal.SIGTERM, signal.SIGINT:
        before = world.stored()
        process = world.haul.spawn("run", "PROFILE")
        wait_for(lambda: world.stored() > before, 20, "something sent")
        process.signal(number)
        check_equal(process.wait(20), STOPPED, "exit code")
        check_in("stopped before the end", process.output())
    world.target.rules()
    world.haul.run()
    check_equal(len(world.target.commands("APPEND")), 240, "each was sent once")


@test(timeout=60)
def test_stop_sends_nothing_more(bench):
    """What is on its way is ended; what only waits for its turn is not sent."""
    world = World(bench, users=1, each=100, slow=0.2)
    for words in ("stop", "PROFILE"), ("pause", "PROFILE"), ("skip", "PROFILE", "--only", "u1"):
        before = world.stored()
        pid = world.detach()
        wait_for(lambda: world.stored() > before, 20, "something sent")
        before = world.stored()
        world.call(*words)
        if words[0] == "pause":
            world.wait_status(lambda s: s["totals"]["state_name"] == "paused", "paused")
            world.call("stop", "PROFILE")
        wait_for(lambda: not alive(pid), 20, "the end of the run")
        check(world.stored() - before < 25, "%d messages after %s" % (
            world.stored() - before, words[0]))


# --- only some

@test(timeout=60)
def test_only_and_users(bench):
    """--only takes globs, --users another list; a round goes on with those who are left."""
    world = World(bench, users=4)
    world.call("run", "PROFILE", "--only", "u1", "--only", "*2", "--jobs", "1")
    check_equal(world.messages(), {"u1": 18, "u2": 18, "u3": 0, "u4": 0}, "messages")
    text = world.call("run", "PROFILE", "--only", "nobody*", expect=USAGE)
    check_in("no user of the list matches --only nobody*", text)
    world.haul.write("few.csv", "u3;secret\n")
    world.call("run", "PROFILE", "--users", os.path.join(world.haul.dir, "few.csv"))
    check_equal(world.messages(), {"u1": 18, "u2": 18, "u3": 18, "u4": 0}, "messages")
    world.call("run", "PROFILE")
    check_equal(set(world.messages().values()), {18}, "messages")
    check_equal(len(world.target.commands("APPEND")), world.count, "each was sent once")


# --- held

def held_world(bench):
    """Rows in doubt whose messages may have been on the target and are gone: held."""
    world = World(bench, users=1, each=8, run={"settle_wait": "100ms"})
    world.target.rules({"command": "APPEND", "nth": 3, "after": True, "action": "stall"})
    process = world.haul.spawn("run", "PROFILE")
    wait_for(lambda: len(lying(world.target).get("INBOX", ())) >= 3, 20, "the third message")
    world.haul.kill(process)
    world.target.rules()
    rows = world.haul.sql("SELECT count(*) AS n FROM item")[0]["n"]
    inbox = lying(world.target)["INBOX"]
    world.target.control("expunge", user="u1", folder="INBOX",
                         uids=[m[0] for m in inbox][rows:])
    process = world.haul.run(expect=ITEMS)
    check_in("held", process.output())
    return world


@test(timeout=60)
def test_held(bench):
    """Held items are shown, never sent by themselves, and resolved by the admin's word."""
    for way, copied, skipped, code in (("send", 12, 0, 0), ("landed", 12, 0, 0),
                                       ("skip", 11, 1, 0)):
        world = held_world(bench)
        haul = world.haul
        rows = json.loads(haul.call("list", "PROFILE", "held", "--json").output())
        check(rows and all(r["reason"] == "doubt" for r in rows), "held rows: %s" % rows)
        sent = world.stored()
        haul.run(expect=ITEMS)
        check_equal(world.stored(), sent, "sent without the admin's word")
        check_in("0 items", haul.call("held", "PROFILE", "--as", way, "--only", "x").output())
        check_in("%d items" % len(rows),
                 haul.call("held", "PROFILE", "--as", way, "--only", "u1").output())
        haul.run(expect=code)
        check_equal(world.stored() - sent, len(rows) if way == "send" else 0, "sent after " + way)
        totals = haul.report()["totals"]
        check_equal((totals["held"], totals["skipped"] > 0, totals["found"]),
                    (0, way == "skip", 12), "totals after " + way)


# --- exit codes

@test(timeout=60)
def test_exit_codes(bench):
    """1 profile or user list, 3 accounts, 5 ledger or lock; 0, 2 and 4 are shown by others."""
    world = World(bench, users=2)
    haul = world.haul
    haul.write("users.csv", "u1;secret\nu2;wrong\n")
    check_in("u2", world.call("run", "PROFILE", expect=ACCOUNTS))
    check_equal(haul.report()["exit_code"], ACCOUNTS, "exit code in report.json")
    check_equal(world.messages(), {"u1": 18, "u2": 0}, "messages")
    haul.write("users.csv", "u1;secret\nu1;secret\n\"x;y\n")
    check_in("users.csv:", world.call("run", "PROFILE", expect=USAGE))
    haul.write("users.csv", "u1;secret\nu2;secret\n")
    haul.options["run"]["frobnicate"] = "yes"
    haul.options["target"]["port"] = "many"
    haul.save()
    text = world.call("run", "PROFILE", expect=USAGE)
    check("frobnicate" in text and "port" in text, "not all faults in one pass: " + text)
    del haul.options["run"]["frobnicate"]
    haul.options["target"]["port"] = world.target.port
    haul.save()
    world.call("run", "PROFILE")
    ledger = os.path.join(haul.state, "ledger.db")
    for suffix in "-wal", "-shm":
        if os.path.exists(ledger + suffix):
            os.unlink(ledger + suffix)
    with open(ledger, "r+b") as f:
        f.write(b"this is no ledger" * 64)
    check_in("ledger", world.call("run", "PROFILE", expect=CANNOT))


@test(timeout=60)
def test_bound_to_its_endpoints(bench):
    """Another host or another target for a user is refused and named, unless told."""
    world = World(bench, users=1)
    haul = world.haul
    world.call("run", "PROFILE")
    other = Standin(bench, "other", users={"u1": "secret"})
    haul.options["target"]["port"] = other.port
    haul.save()
    text = world.call("run", "PROFILE", expect=CANNOT)
    check("%d" % other.port in text and "%d" % world.target.port in text, text)
    check_equal([c for c in other.commands() if c["command"] in WRITES], [], "commands")
    check_in("new host's name", world.call("run", "PROFILE", "--rebind", "nobody", expect=USAGE))


@test(timeout=60)
def test_rebound_to_a_new_name(bench):
    """The same servers under other names: named, the accounts go along and nothing moves."""
    world = World(bench, users=2)
    haul = world.haul
    world.call("run", "PROFILE")
    before = haul.uids("u1"), haul.uids("u2")
    haul.options["target"]["host"] = haul.options["source"]["host"] = "localhost"
    haul.save()
    check_in("--rebind localhost", world.call("run", "PROFILE", expect=CANNOT))
    world.call("run", "PROFILE", "--rebind", "localhost")
    check_equal((haul.uids("u1"), haul.uids("u2")), before, "UIDs of the target")
    check_equal([(row["source_host"], row["target_host"]) for row in
                 haul.sql("SELECT source_host, target_host FROM account")],
                [("localhost", "localhost")] * 2, "hosts in the ledger")
    haul.write("users.csv", "u1;secret\nu2;secret;Two;u3;secret\n".replace(
        "u1;", "user;password;name;target_user;target_password\nu1;", 1))
    text = world.call("run", "PROFILE", expect=CANNOT)
    check("u2 went to u2" in text and "--rebind u2" in text, text)


# --- files

@test(timeout=60)
def test_files_are_private(bench):
    """Files 0600, directories 0700, while a run is at work and after it, whatever the umask."""
    world = World(bench, users=1, each=12, slow=0.2)
    before = os.umask(0)
    try:
        pid = world.detach()
    finally:
        os.umask(before)
    wait_for(lambda: world.stored() >= 2, 20, "the first messages")
    top = world.haul.state
    check(os.path.exists(os.path.join(top, "control")), "no control socket")
    check_private(top)
    world.target.rules()
    wait_for(lambda: not alive(pid), 30, "the end of the run")
    check_private(top)
    check_equal(sorted(n for n in os.listdir(top) if not n.startswith("ledger")),
                ["lock", "logs", "state.json"], "what is left")


def check_private(top):
    check_equal(stat.S_IMODE(os.stat(top).st_mode), 0o700, top)
    for place, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(place, name)
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                continue  # the ledger's side files come and go
            wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
            check_equal("%o" % stat.S_IMODE(mode), "%o" % wanted, path)


# --- terminals

class Terminal:
    """The program on a terminal of its own, 80x24."""

    def __init__(self, haul, *args, columns=80):
        words = [haul.profile if w == "PROFILE" else w for w in args]
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(haul.binary, [haul.binary] + words,
                      haul.environment({"TERM": "xterm", "LC_ALL": "C.UTF-8"}))
        haul.bench.remember_group(self.pid)
        haul.bench.add(self)

    def read(self, until, timeout=30):
        end = time.monotonic() + timeout
        while until not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            data = b""
            if ready:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    pass
            if not data:
                raise Failure("no %r on the terminal:\n%s" % (until, self.text()))
            self.seen += data

    def read_times(self, what, count):
        while self.seen.count(what) < count:
            before, self.seen = self.seen, b""
            self.read(what)
            self.seen = before + self.seen

    def rest(self, timeout=30):
        """Reads to the end; the exit code."""
        try:
            self.read(b"\xff\xff never \xff", timeout)
        except Failure:
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def hang_up(self):
        os.close(self.fd)
        self.fd = -1

    def end(self, timeout=30):
        wait_for(lambda: not alive(self.pid), timeout, "the end of the program")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def type(self, text):
        os.write(self.fd, text)

    def text(self):
        return self.seen.decode("utf-8", "replace")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)


class Screen:
    """What a terminal shows after the few controls the block uses."""

    def __init__(self, data):
        self.lines, self.at, self.widest = [""], 0, 0
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b", data):
            self.take(part)

    def take(self, part):
        m = re.fullmatch(r"\x1b\[(\d*)([A-Za-z])", part)
        if part == "\n":
            self.at += 1
            while len(self.lines) <= self.at:
                self.lines.append("")
            self.column = 0
        elif part == "\r":
            self.column = 0
        elif m and m.group(2) == "A":
            self.at = max(0, self.at - int(m.group(1) or 1))
        elif m and m.group(2) == "J":
            del self.lines[self.at + 1:]
            self.lines[self.at] = ""
        elif m and m.group(2) == "K":
            pass
        elif part.startswith("\x1b"):
            raise Failure("an unknown control: %r" % part)
        else:
            self.lines[self.at] = part
            self.widest = max(self.widest, len(part))


@test(timeout=60)
def test_progress_on_a_terminal(bench):
    """One block that is drawn over itself, no wider than the terminal; lines of what has ended."""
    world = World(bench, users=2, each=60, slow=0.2)
    terminal = Terminal(world.haul, "run", "PROFILE")
    terminal.read(b"copying")
    terminal.read_times(b"of 6 workers", 5)
    world.target.rules()
    check_equal(terminal.rest(), 0, "exit code\n" + terminal.text())
    screen = Screen(terminal.text())
    check(screen.widest < 80, "a line of %d columns" % screen.widest)
    left = "\n".join(screen.lines)
    check(terminal.text().count("of 6 workers") >= 5, "the block was drawn %d times" %
          terminal.text().count("of 6 workers"))
    check("workers" not in left, "the block stands there at the end:\n" + left)
    for text in "u1: done", "u2: done", "100 %", "report: /":
        check_in(text, left, "what is left on the terminal")
    check("100 %" not in terminal.text()[:terminal.text().rindex("u2: done")].rsplit(
        "u1: done", 1)[0], "100 % before the end")


@test(timeout=60)
def test_progress_on_a_pipe(bench):
    """Plain lines: no control byte, one line an event."""
    world = World(bench, users=2)
    text = world.call("run", "PROFILE")
    check("\x1b" not in text and "\r" not in text, "controls on a pipe: %r" % text)
    for line in "p1: round 1, 2 accounts, 6 at a time", "u1: done, 18 items", "u2: done, 18 items":
        check(any(row.startswith(line) for row in text.splitlines()), "no line %r in\n%s" % (
            line, text))
    check_in("100 %  2/2 accounts  36/36 items", text)
    check_in("report: %s/report.txt" % world.haul.logs()[-1], text)


# --- secrets and foreign bytes

@test(timeout=60)
def test_typed_secrets(bench):
    """`ask`: each is asked for by account and host, not shown, kept nowhere; without a terminal
    nothing starts."""
    words = {"source": "Getippt-eins-Wort", "target": "Getippt-zwei-Wort"}
    ends = {side: Standin(bench, side, users={"u1": "secret"}, masters={"boss": word},
                          accounts={"u1": {"folders": {"INBOX": {"messages": mails(1, 3)}}}}
                          if side == "source" else {}) for side, word in words.items()}
    by_admin = {"auth": "master", "admin_user": "boss", "admin_password": "ask"}
    haul = Haul(bench, ends["source"], ends["target"], rows="u1\n", target_options=by_admin,
                source_options=dict(by_admin, host="localhost"), run={"log_level": "trace"})
    questions = b"password of boss at localhost", b"password of boss at 127.0.0.1"
    check_in("terminal", haul.run(expect=USAGE).output())
    check(not os.path.exists(os.path.join(haul.state, "ledger.db")), "something was started")
    terminal = Terminal(haul, "run", "PROFILE")
    for question, word in zip(questions, words.values()):
        terminal.read(question)
        terminal.type(word.encode() + b"\n")
    check_equal(terminal.rest(), 0, "exit code\n" + terminal.text())
    check_equal(len(lying(ends["target"])["INBOX"]), 3, "messages")
    no_secret(haul, terminal.text(), words.values())
    terminal = Terminal(haul, "run", "PROFILE")
    for question in questions:
        terminal.read(question)
        terminal.type(b"wrong\n")
    check_equal(terminal.rest(), ACCOUNTS, "exit code after wrong words\n" + terminal.text())


# What a terminal obeys, a line-based log takes for its own, or an eye does not see
EVIL = "a\x1b[31mb\r\nc\u202ed\u0085e\u2066f\x07\u200f\x9b2J\x7f"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def must_be_tame(text, what):
    found = RAW.search(text)
    check(not found, lambda: "%s holds %r: %r" % (what, found.group(), text[
        max(0, found.start() - 60):found.end() + 20]))


@test(timeout=60)
def test_foreign_bytes_come_tame(bench):
    """Names and texts of a server reach terminal, log and reports with their controls written
    out."""
    text = EVIL.replace("\r\n", "\r").encode().decode("latin-1")  # as the stand-in writes it
    one = {"INBOX": {"messages": mails(1, 3)}, EVIL: {"messages": mails(10, 2)}}
    people = {user: "secret" for user in ("u1", "u2", "u3")}
    source = Standin(bench, "source", users=people, accounts={u: {"folders": one} for u in people},
                     greeting="* OK [ALERT] " + text + "\r\n", rules=[
                         {"command": "LIST", "user": "u2", "action": "no", "text": EVIL.replace(
                             "\r\n", "\r"), "times": -1},
                         {"command": "AUTHENTICATE", "nth": 3, "action": "bye",
                          "text": EVIL.replace("\r\n", "\r")}])
    target = Standin(bench, "target", users=people, content={"refuse": [
        {"pattern": "Message 2\r", "text": EVIL.replace("\r\n", "\r")}]})
    haul = Haul(bench, source, target, run={"log_level": "trace", "jobs": "1"})
    haul.options["target"]["timeout"] = haul.options["source"]["timeout"] = "1s"
    haul.save()
    terminal = Terminal(haul, "run", "PROFILE")
    check_equal(terminal.rest(), ACCOUNTS, "exit code\n" + terminal.text())
    lines = Screen(terminal.text()).lines  # knows what the block itself writes
    check_in("u2: failed", "\n".join(lines))
    check_in("goodbye: a\\x1B[31mb", terminal.text(), "the warning")
    must_be_tame("\n".join(lines), "the terminal")
    for name in os.listdir(haul.logs()[-1]):
        with open(os.path.join(haul.logs()[-1], name), newline="") as f:
            must_be_tame(f.read().replace("\r\n", "\n") if name.endswith(".csv") else f.read(),
                         name)
    report = haul.report()
    names = {f["source"] for a in report["accounts"] for f in a["folders"]}
    check("a\\x1B[31mb\\x0D\\x0Ac" in "".join(names), "the folder: %r" % names)
    for words in ("status", "PROFILE"), ("report", "PROFILE"), ("list", "PROFILE", "folders"), \
            ("list", "PROFILE", "failed"), ("list", "PROFILE", "users"), ("check", "PROFILE"), \
            ("run", "PROFILE", "--dry-run"):
        must_be_tame(haul.call(*words, expect=None).output(), " ".join(words))


@test(timeout=60, root=True)
def test_memory_is_nobodys(bench):
    """A process that holds passwords cannot be read or dumped by its own user."""
    world = World(bench)
    world.source.rules({"command": "LIST", "action": "stall"})
    nobody = pwd.getpwnam("nobody")
    for place, names, files in os.walk(world.haul.dir):
        for path in [place] + [os.path.join(place, name) for name in names + files]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    other = bench.spawn(["sleep", "60"], "sleep", user=nobody.pw_uid)
    process = bench.spawn([world.haul.binary, "run", world.haul.profile], "mailhaul",
                          env=world.haul.environment(), user=nobody.pw_uid)
    world.source.wait_command("LIST")
    check_equal(os.stat("/proc/%d/mem" % other.pid).st_uid, nobody.pw_uid, "owner of another's")
    check_equal(os.stat("/proc/%d/mem" % process.pid).st_uid, 0, "owner of its memory")
    with open("/proc/%d/limits" % process.pid) as f:
        check(re.search(r"^Max core file size +0 +0 ", f.read(), re.M), "a core may be written")


# --- profiles

@test(timeout=60)
def test_profile_commands(bench):
    """new, check and show; a name and a path; no secret is printed."""
    home = bench.subdir("home", 0o700)
    env = {"HOME": home, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
    out, _ = plain_run("profile", "new", "acme", env=env)
    path = os.path.join(home, ".config/mailhaul/acme.ini")
    check_in(path, out)
    check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of a new profile")
    _, err = plain_run("profile", "new", "acme", env=env, expect=USAGE)
    check_in("is there already", err)
    _, err = plain_run("profile", "check", "acme", env=env, expect=USAGE)
    check_in("users.csv", err)
    with open(os.path.join(home, ".config/mailhaul/users.csv"), "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("ann@acme.example;geheim\n")
    out, _ = plain_run("profile", "check", "acme", env=env)
    check_in("no faults, 1 users", out)
    with open(path, "a") as f:
        f.write("[source]\nhost = again\n")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace(";admin_user = migrator", "admin_user = boss").replace(
            ";admin_password = file:/root/.mailhaul/password", "admin_password = geheim").replace(
            ";jobs = 6", "jobs = none"))
    _, err = plain_run("profile", "check", "acme", env=env, expect=USAGE)
    check("jobs" in err and "again" in err or "twice" in err or "[source]" in err, err)
    check("geheim" not in err, "a password is printed")
    with open(path, "w") as f:
        f.write(text[:text.rindex("[source]")].replace(
            ";admin_password = file:/root/.mailhaul/password", "admin_password = geheim").replace(
            ";admin_user = migrator", "admin_user = boss"))
    out, _ = plain_run("profile", "show", "acme", env=env)
    check_in("admin_user = boss", out)
    check("geheim" not in out, "a password is printed")
    check_in("settle_wait = 10s", out)


@test(timeout=60)
def test_profile_check_secrets(bench):
    """Files and variables with passwords are looked at: there, private, not empty; each with its
    line. The state in force is shown."""
    world = World(bench)
    haul = world.haul
    for side, spec in ("source", "file:none.secret"), ("target", "env:MH_TEST_UNSET"):
        haul.options[side].update(auth="master", admin_user="boss", admin_password=spec)
    haul.save()
    with open(haul.profile) as f:
        lines = f.read().splitlines()
    place = {n: spec for n, line in enumerate(lines, 1) for spec in (line,)
             if line.startswith("admin_password")}
    text = world.call("profile", "check", "PROFILE", expect=USAGE)
    (first, second) = sorted(place)
    check(re.search(r"p1\.ini:%d: \[source\] admin_password: .*none\.secret: No such file" % first,
                    text), text)
    check_in("p1.ini:%d: [target] admin_password: the variable MH_TEST_UNSET is not set" % second,
             text)
    path = haul.write("none.secret", "geheim\n")
    os.chmod(path, 0o644)
    env = {"MH_TEST_UNSET": "x"}
    text = haul.call("profile", "check", "PROFILE", expect=USAGE, env=env).output()
    check_in("is open to others (mode 0644): chmod 600 it", text)
    check("geheim" not in text and "target" not in text, text)
    os.chmod(path, 0o600)
    check_in("no faults, 1 users", haul.call("profile", "check", "PROFILE", env=env).output())
    check_in("; state in force: %s\n" % haul.state, world.call("profile", "show", "PROFILE"))


@test(timeout=60)
def test_profile_encrypt(bench):
    """A plain password becomes enc:..., and a run asks for the passphrase on the terminal."""
    source = Standin(bench, "source", users={"u1": "secret"}, masters={"boss": "geheim"},
                     accounts={"u1": {"folders": {"INBOX": {"messages": mails(1, 3)}}}})
    target = Standin(bench, "target", users={"u1": "secret"}, masters={"boss": "geheim"})
    haul = Haul(bench, source, target, rows="u1\n", source_options={
        "auth": "master", "admin_user": "boss", "admin_password": "geheim"}, target_options={
        "auth": "master", "admin_user": "boss", "admin_password": "geheim"})
    terminal = Terminal(haul, "profile", "encrypt", "PROFILE")
    for question in b"new passphrase", b"same passphrase again":
        terminal.read(question)
        terminal.type(b"open sesame\n")
    check_equal(terminal.rest(), 0, "exit code\n" + terminal.text())
    check("sesame" not in terminal.text(), "the passphrase was shown")
    with open(haul.profile) as f:
        text = f.read()
    check("geheim" not in text and text.count("admin_password = enc:v1:") == 2, text)
    check_equal(stat.S_IMODE(os.stat(haul.profile).st_mode), 0o600, "mode")
    process = haul.run(expect=USAGE)
    check_in("passphrase", process.output())
    check(not os.path.exists(os.path.join(haul.state, "ledger.db")), "something was started")
    terminal = Terminal(haul, "run", "PROFILE")
    terminal.read(b"passphrase")
    terminal.type(b"open sesame\n")
    check_equal(terminal.rest(), 0, "exit code\n" + terminal.text())
    check_equal(len(lying(target)["INBOX"]), 3, "messages")
    for name in "p1.ini", "state/ledger.db":
        with open(os.path.join(haul.dir, name), "rb") as f:
            check(b"geheim" not in f.read(), "the password stands in " + name)
    check("geheim" not in haul.debug_log(), "the password stands in debug.log")
