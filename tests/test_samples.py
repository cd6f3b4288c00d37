"""The samples of conf/ are run, not only read: only hosts, ports and paths are put in."""

import os
import re

from lib.haul import Haul
from lib.testing import check_equal, check_in, test
from standins.standin import Standin

CONF = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "conf")
USED = {"sample.ini", "master-user.ini", "users.csv", "users-header.csv"}
RECENT, EARLIER = 1500000000, 1300000000  # 2017, 2011


def mail(number, date=RECENT):
    return {"text": "Subject: %d\r\nFrom: a@b.example\r\n\r\n%d\r\n" % (number, number),
            "date": date}


def sample(name):
    with open(os.path.join(CONF, name)) as f:
        return f.read()


def put_in(text, pattern, *values):
    """Each line that the pattern finds is replaced by the next value; as many as there are."""
    left = list(values)
    text = re.sub(pattern, lambda m: left.pop(0), text, flags=re.M)
    check_equal(left, [], "values for %r" % pattern)
    return text


def run(bench, source, target, name, text, list_name):
    """A run of this profile; the list lies beside it."""
    haul = Haul(bench, source, target, rows="", name=name)
    haul.write(name + ".ini", text + "\nstate_dir = %s\n" % haul.state)  # [run] comes last
    haul.write(list_name, sample(list_name).replace("mail2.old.example", "127.0.0.2"))
    haul.run()
    return haul


def lying(server, user):
    """{folder: subjects} of what holds mail there."""
    return {folder: len(rows) for folder, rows in server.control("state")[user].items() if rows}


@test()
def test_no_sample_is_left_out(bench):
    """A file that is shipped stands in a test here."""
    shipped = {name for name in os.listdir(CONF) if not name.endswith(".mk")}
    check_equal(shipped, USED, "files of conf/")


@test(timeout=60)
def test_sample(bench):
    """conf/sample.ini with conf/users.csv: each user with a password, TLS."""
    people = {"ana@old.example": "correct horse battery",
              "bo@old.example": 'semi;colon and "quotes"', "eva@old.example": "plain-3"}
    source = Standin(bench, "source", cert="good", users=people, accounts={
        user: {"folders": {"INBOX": {"messages": [mail(n) for n in range(3)]},
                           "Sent": {"messages": [mail(9)], "use": "\\Sent"}}} for user in people})
    target = Standin(bench, "target", cert="good", users=people)
    text = put_in(sample("sample.ini"), r"^host = \S+$", "host = localhost", "host = localhost")
    text = put_in(text, r"^;port =.*$", *("port = %d" % s.tls_port for s in (source, target)))
    text = put_in(text, r"^;tls_ca = .*$", *["tls_ca = %s" % source.cert] * 2)
    haul = run(bench, source, target, "sample", text, "users.csv")
    for user in people:
        check_equal(lying(target, user), {"INBOX": 3, "Sent": 1}, user)
    names = {a["source"] for a in haul.report()["accounts"]}
    check_equal(names, set(people), "accounts")
    check_in("no faults, 3 users", haul.call("profile", "check", "PROFILE").output())


@test(timeout=60)
def test_master_user(bench):
    """conf/master-user.ini with conf/users-header.csv: master users on both sides, two source
    hosts, logins of the target by rule, folders left out and renamed, mail since 2015."""
    masters = {"migrator": "Geheim-alt"}, {"migrator": "Geheim-neu"}
    names = ("ana", "ana.bo"), ("bo", "bo"), ("eva", "eva")
    box = {folder: {"messages": [mail(n)]} for n, folder in enumerate(
        ("INBOX", "Sent Items", "Work/a", "Trash", "Spam, old", "Archive/2019"))}
    box["INBOX"]["messages"].append(mail(9, EARLIER))
    source = Standin(bench, "source", cert="good", address="0.0.0.0", masters=masters[0],
                     users={old + "@old.example": "x" for old, _ in names}, accounts={
                         old + "@old.example": {"folders": box} for old, _ in names})
    target = Standin(bench, "target", cert="good", masters=masters[1],
                     users={new + "@new.example": "x" for _, new in names})
    words = [bench.write(name, word["migrator"], 0o600) for name, word in
             zip(("old", "new"), masters)]
    text = put_in(sample("master-user.ini"), r"^host = \S+$", *(
        "host = localhost\nport = %d\ntls_ca = %s" % (s.tls_port, s.cert)
        for s in (source, target)))
    text = put_in(text, r"file:\S+$", *("file:" + path for path in words))
    haul = run(bench, source, target, "master", text, "users-header.csv")
    for _, new in names:
        check_equal(lying(target, new + "@new.example"),
                    {"INBOX": 1, "Sent": 1, "Archive/Work/a": 1}, new)
    check_equal(haul.report()["totals"]["copied"], 9, "copied")
    hosts = {c["user"]: c["host"] for c in source.commands() if c["user"]}
    check_equal(hosts, {"ana@old.example": "127.0.0.1", "bo@old.example": "127.0.0.2",
                        "eva@old.example": "127.0.0.1"}, "hosts logged in to")
