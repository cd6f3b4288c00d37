"""Profiles and user lists that are wrong: each fault named with its place, all in one pass, nothing
started, no secret echoed; and the odd ones that are right."""

import os

from hostile.faults import LISTS, PROFILES, SOUND, SOUND_LISTS
from hostile.watch import no_crash, no_secret
from lib.bench import Failure
from lib.haul import Haul
from lib.testing import check, check_equal, check_in, test
from standins.standin import Standin

SECRET = "Geheim-plain-Wort"


class Files:
    """A profile and a list as bytes, and the program called on them."""

    def __init__(self, bench, source, target=None):
        self.haul = Haul(bench, source, target or source)
        self.values = {"port": source.port, "target_port": (target or source).port,
                       "state": self.haul.state}

    def put(self, profile=None, rows=b"ann;%s;Ann\n" % SECRET.encode(), mode=0o600):
        text = SOUND.encode() if profile is None else profile
        for name, value in self.values.items():
            text = text.replace(b"{%s}" % name.encode(), str(value).encode())
        for path, data in (self.haul.profile, text), (self.list(), rows):
            if data is not None:
                with open(path, "wb") as f:
                    f.write(data)
                os.chmod(path, mode)

    def list(self):
        return os.path.join(self.haul.dir, "users.csv")

    def call(self, *args, expect=None, env=None):
        process = self.haul.call(*args, expect=expect, env=env, timeout=30)
        no_crash(process)
        no_secret(self.haul, process.output(), [SECRET])
        return process.output()

    def state_is_made(self):
        return os.path.exists(self.haul.state)


def check_words(name, text, words, file):
    """All words stand in one line that begins with the file."""
    for line in text.splitlines():
        if file in line and all(word in line for word in words):
            return
    raise Failure("%s: no line with %s and %r in\n%s" % (name, file, words, text[:4000]))


@test(timeout=120)
def test_faults_of_profiles(bench):
    source = Standin(bench, users={"ann": SECRET})
    files = Files(bench, source)
    files.put()
    check_in("no faults", files.call("profile", "check", "PROFILE", expect=0))
    wrong = []
    for name, text, words in PROFILES:
        files.put(text)
        try:
            for args in (("profile", "check", "PROFILE"), ("run", "PROFILE"),
                         ("check", "PROFILE"))[:3 if name == "unknown key" else 1]:
                check_words(name, files.call(*args, expect=1), words, os.path.basename(
                    files.haul.profile))
        except Failure as problem:
            wrong.append(str(problem))
    check(not wrong, "%d profiles:\n%s" % (len(wrong), "\n".join(wrong)))
    check(not files.state_is_made() and not source.commands(), "something was begun")


@test(timeout=60)
def test_all_faults_at_once(bench):
    """One look names every fault, each with its line."""
    files = Files(bench, Standin(bench, users={"ann": SECRET}))
    lines = {}
    text = SOUND
    for line in "jobs = 0", "settle_wait = x", "nokey = 1", "since = 2024-13-01", "existing = burn":
        text += line + "\n"
        lines[line.split()[0]] = text.count("\n")
    files.put(text.encode())
    out = files.call("profile", "check", "PROFILE", expect=1)
    for key, number in lines.items():
        check_words(key, out, [":%d:" % number, key], ".ini")


@test(timeout=120)
def test_faults_of_lists(bench):
    source = Standin(bench, users={"ann": SECRET})
    files = Files(bench, source)
    wrong = []
    for name, rows, words in LISTS:
        files.put(rows=rows)
        for args in (("run", "PROFILE"), ("check", "PROFILE"))[:2 if name == "empty" else 1]:
            out = files.call(*args, expect=1)
            lines = "\n".join(line for line in out.splitlines() if "users.csv" in line)
            missing = [word for word in words if word not in lines]
            if missing:
                wrong.append("%s: no %r in\n%s" % (name, missing, out[:1500]))
            if "Geheim" in out:
                wrong.append("%s: a password is echoed:\n%s" % (name, out[:1500]))
    check(not wrong, "%d lists:\n%s" % (len(wrong), "\n".join(wrong)))
    check(not source.commands(), "a login was tried")


@test(timeout=60)
def test_sound_lists(bench):
    """What the older tools, Excel and people write, passwords to the byte."""
    for name, rows, users in SOUND_LISTS:
        source = Standin(bench, users=users)
        files = Files(bench, source, Standin(bench, users=users))
        files.put(rows=rows)
        out = files.call("run", "PROFILE")
        check_equal(out.count(": done,"), len(users), "%s: accounts done in\n%s" % (name, out))
        source.kill()


@test(timeout=60)
def test_code_page(bench):
    users = {"j\u00f6rg": "Gehe\u00efm"}
    files = Files(bench, Standin(bench, users=users), Standin(bench, users=users))
    rows = "j\u00f6rg;Gehe\u00efm;J\u00f6rg\n".encode("cp1252")
    files.put(SOUND.replace("users.csv", "users.csv\nencoding = windows-1252").encode(), rows)
    check_in("all done", files.call("run", "PROFILE", expect=0))


@test(timeout=60)
def test_plain_passwords_need_0600(bench):
    server = Standin(bench, users={"ann": SECRET})
    files = Files(bench, server)
    admin = SOUND.replace("[target]", "admin_user = boss\nadmin_password = %s\n[target]" % SECRET)
    for mode in 0o644, 0o640, 0o604, 0o660:
        files.put(mode=mode)
        out = files.call("run", "PROFILE", expect=1)
        check_words("%o" % mode, out, ["chmod 600"], "users.csv")
        files.put(admin.encode(), rows=None, mode=mode)
        os.chmod(files.list(), 0o600)
        for args in ("run", "PROFILE"), ("profile", "check", "PROFILE"):
            check_words("%o" % mode, files.call(*args, expect=1), ["chmod 600"], ".ini")
    check(not server.commands(), "a login was tried")
    os.chmod(files.haul.profile, 0o600)
    files.call("profile", "check", "PROFILE", expect=0)
    files.put(SOUND.encode(), rows=b"ann;;Ann\n", mode=0o644)  # no password in either
    files.call("profile", "check", "PROFILE", expect=0)


@test(timeout=60)
def test_secrets_that_cannot_be_had(bench):
    server = Standin(bench, users={"ann": SECRET})
    files = Files(bench, server)
    for spec, words in (("file:/nowhere/at/all", "/nowhere"), ("env:MAILHAUL_NO_SUCH", "NO_SUCH"),
                        ("cmd:exit 3", "3"), ("cmd:true", "empty"), ("ask", "terminal"),
                        ("enc:v1:AAAA", "enc")):
        text = SOUND.replace("[target]", "admin_user = boss\nadmin_password = %s\n[target]" % spec)
        files.put(text.encode())
        check_in(words, files.call("run", "PROFILE", expect=1), spec)
    check(not server.commands(), "a login was tried")


@test(timeout=60)
def test_no_list_no_profile(bench):
    server = Standin(bench, users={"ann": SECRET})
    files = Files(bench, server)
    files.put()
    os.unlink(files.list())
    check_in("users.csv", files.call("run", "PROFILE", expect=1))
    os.mkdir(files.list())
    check_in("users.csv", files.call("run", "PROFILE", expect=1))
    os.unlink(files.haul.profile)
    check_in(files.haul.profile, files.call("run", "PROFILE", expect=1))
    files.call("run", expect=1)
    files.call("run", "PROFILE", "--jobs", "x", expect=1)
    files.call("run", "PROFILE", "--no-such-option", expect=1)
    files.call("fly", expect=1)
