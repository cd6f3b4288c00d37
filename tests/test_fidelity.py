"""What the target gives is what the source gives, byte for byte; and what could not be kept is
said, row by row.

Each case moves the fidelity corpus between two servers and holds four things against each other:
what lies at the source, what lies at the target, what mailhaul's manifest, report and ledger say,
and what the case expects (expected/CASE.json). A second run must then move nothing.
"""

import base64
import email
import email.policy
import hashlib
import json
import os
import time
from collections import Counter

from corpus import boxes, messages
from corpus.boxes import Box, fill_account
from corpus.messages import START, header, plain
from lib.account import Expected, must_equal, show_path, state_of
from lib.bench import Failure
from lib.haul import Haul
from lib.imap import Client, Mail
from lib.testing import check, check_equal, test
from servers.cyrus import Cyrus
from servers.dovecot import SPECIAL, Dovecot
from standins.standin import PLAIN_SERVER, Proxy, Standin

USERS = {"ann": "secret"}
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected")
STEPS = ["as_is", "line_ends", "nul", "8bit_header", "long_lines", "wrapped"]  # enum ladder_step
ENDS = ("copied", "adopted", "skipped", "failed", "held", "vanished")
WANTED = ("since", "before", "max_size")  # reasons of rows that the profile leaves out
CHANGED = ("repaired", "wrapped")  # reasons of rows whose bytes are not the source's


class Case:
    """One account moved, and everything that is known of it."""

    def __init__(self, haul, name, labels, user="ann", truth=None):
        """truth: a server with the same mail, where our own reader cannot follow the source."""
        self.haul, self.name, self.labels, self.user = haul, name, labels, user
        self.truth = truth or haul.source
        with open(os.path.join(EXPECTED, name + ".json")) as f:
            self.data = json.load(f)
        self.expected = Expected(self.data)
        self.source = self.target = None
        self.rows = []  # of the manifest

    def label(self, path, n):
        return self.labels.get((path, n)) or "%s#%d" % (show_path(path), n)

    def prove(self):
        output = self.haul.run(expect=self.data.get("exit", 0)).output()
        check("tried again" not in output and "runtime error" not in output, output)
        self.source = state_of(self.truth, self.user)
        self.target = state_of(self.haul.target, self.user)
        self.rows = self.read_manifest()
        self.check_rows()
        must_equal(self.source, self.target, self.expected, self.labels)
        self.check_lies_there()
        self.check_sums()
        self.moves_nothing()

    # --- what mailhaul says

    def read_manifest(self):
        """The manifest's rows; its closing line must be the digest over them."""
        return [row for row in self.haul.manifest() if "uid" in row]

    def ledger_steps(self):
        """{(folder, uid): names of the ladder's steps}"""
        found = self.haul.sql("SELECT folder.source_name AS name, item.uid, item.steps FROM item"
                              " JOIN folder ON folder.id = item.folder WHERE item.steps != 0")
        return {(row["name"], row["uid"]): [s for n, s in enumerate(STEPS)
                                            if row["steps"] >> n & 1] for row in found}

    def by_uid(self):
        """{(folder as shown, uid): (path, n, message)} of the source's messages that must have
        a row."""
        return {("/".join(path), m.uid): (path, n, m) for path, folder in self.source.items()
                if path not in self.expected.only_source
                for n, m in enumerate(folder.messages, 1)}

    def check_rows(self):
        """One row for each message; those that say more than "landed" are the expected ones."""
        known = self.by_uid()
        keys = Counter((r["folder"], r["uid"]) for r in self.rows)
        check_equal(sorted(k for k in keys if keys[k] > 1), [], "rows there twice")
        check_equal(sorted(set(known) ^ set(keys))[:20], [], "messages without a row, or rows "
                    "without a message")
        steps, said = self.ledger_steps(), {}
        for row in self.rows:
            key = row["folder"], row["uid"]
            path, n, message = known[key]
            check_equal(row["size"], message.body.size, "size in the manifest: %s" % (key,))
            if row["state"] == "landed" and "reason" not in row and key not in steps:
                continue
            said[self.label(path, n)] = [row["state"], row.get("reason", "")] + steps.get(key, [])
        here = set(self.labels.values())  # of the real messages there may be none
        want = {r["label"]: r["said"] for r in self.data.get("messages", ())
                if r["label"] in here}
        if said != want:
            raise Failure("rows that are not simply landed:\nhave %s\nwant %s" % (
                json.dumps(said, indent=1, sort_keys=True),
                json.dumps({k: want.get(k) for k in sorted(set(want) | set(said))
                            if want.get(k) != said.get(k)}, indent=1)))

    def check_lies_there(self):
        """At the target UID that the manifest names lies what it says lies there."""
        known, out, used = self.by_uid(), [], set()
        there = {("/".join(path), m.uid): (folder, m) for path, folder in self.target.items()
                 for m in folder.messages}
        for row in self.rows:
            path, n, message = known[row["folder"], row["uid"]]
            if row["state"] != "landed":
                check("target_uid" not in row, "a target UID of a row that has not landed")
                continue
            key = row["target_folder"], row.get("target_uid")
            folder, copy = there.get(key, (None, None))
            sent = row.get("sent_sha256", row["sha256"])
            if copy is None or key in used:
                out.append("%s: nothing of its own at %s" % (self.label(path, n), key))
            elif row["sha256"] != message.body.sha256:
                out.append("%s: the manifest has another digest of the source" %
                           self.label(path, n))
            elif sent != copy.body.sha256:
                out.append("%s: the manifest has another digest of the target" %
                           self.label(path, n))
            elif folder.uidvalidity != row["target_uidvalidity"]:
                out.append("%s: another UIDVALIDITY" % (key,))
            elif (row.get("reason") in CHANGED) != ("sent_sha256" in row):
                out.append("%s: repaired without a digest, or the other way round" % (key,))
            elif row.get("reason") == "wrapped":
                self.check_wrapped(message, folder, copy)
            used.add(key)
        check_equal(out[:20], [], "manifest against target")

    def check_wrapped(self, message, folder, copy):
        """The original is in the wrapper, to the byte."""
        with Client(self.haul.target.port) as c:
            c.login(self.user, self.haul.target.users[self.user])
            c.select(folder.name, readonly=True)
            (body,) = [m.body.data for m in c.messages("%d" % copy.uid)]
            c.logout()
        parts = email.message_from_bytes(body, policy=email.policy.default).walk()
        found = [p.get_payload(decode=True) for p in parts if not p.is_multipart()]
        check(any(hashlib.sha256(p).hexdigest() == message.body.sha256 for p in found),
              "the original is not in the wrapper: %r" % body[:2000])

    def check_sums(self):
        report = self.haul.report()
        counts = Counter(len_of(self.source, self.expected.only_source))
        (account,) = report["accounts"]
        for items in [report["totals"], account["items"]] + [f["items"] for f in
                                                             account["folders"]]:
            check_equal(sum(items[end] for end in ENDS), items["found"], "sum of %s" % items)
            check_equal([items[k] for k in ("open", "surplus", "in_doubt")], [0, 0, 0],
                        "rows without an end in %s" % items)
        check_equal(report["totals"]["found"], sum(counts.values()), "messages found")
        check_equal({f["source"]: f["items"]["found"] for f in account["folders"]},
                    dict(counts), "messages found per folder")
        states = Counter(row["state"] for row in self.rows)
        check_equal({e: report["totals"][e] for e in ENDS if report["totals"][e]},
                    {{"landed": "copied"}.get(k, k): n for k, n in states.items()},
                    "totals against the manifest")
        check_equal(report["totals"]["repaired"],
                    sum(r.get("reason") in CHANGED for r in self.rows), "repaired")
        lost = states["failed"] + states["held"] + sum(
            r["state"] == "skipped" and r["reason"] not in WANTED for r in self.rows)
        check_equal(report["exit_code"], self.data.get("exit", 0), "exit code in the report")
        check_equal(report["exit_code"], 2 if lost else 0, "exit code for %d lost" % lost)
        check_equal(account["state"], "done with remarks" if lost else "done", "state")
        check_equal({(p["folder"], p["uid"], p["state"], p["reason"])
                     for p in account["problems"]},
                    {(r["folder"], r["uid"], r["state"], r["reason"]) for r in self.rows
                     if r["state"] in ("failed", "held", "skipped")
                     and r["reason"] not in WANTED}, "problems listed")

    def moves_nothing(self):
        """A further run: not a UID, not a flag, not a subscription is another."""
        before = outline(self.target)
        self.haul.run(expect=self.data.get("exit", 0))
        check_equal(outline(state_of(self.haul.target, self.user, bodies=False)), before,
                    "target after a second run")
        check_equal(outline(state_of(self.truth, self.user, bodies=False)),
                    outline(self.source), "source after two runs")


def len_of(account, left_out):
    return {"/".join(path): len(folder.messages) for path, folder in account.items()
            if folder.selectable and path not in left_out}


def outline(account):
    return {path: (folder.uidvalidity, folder.subscribed,
                   [(m.uid, m.date, sorted(m.flags)) for m in folder.messages])
            for path, folder in account.items()}


def small():
    return boxes.fidelity(150, 300000)


def case(bench, source, target, name, rows=None, filled=None, **options):
    """Fills the source and proves the case."""
    labels = fill_account(source, "ann", rows or small()).labels
    labels.update(filled or {})
    Case(Haul(bench, source, target, USERS, run={"settle_wait": "10s"}, **options), name,
         labels).prove()


@test(timeout=240)
def test_dovecot_full(bench):
    """10,000 messages in a folder, one of 60 MB, every odd one and every odd name."""
    source = Dovecot(bench, USERS, special_use=SPECIAL)
    target = Dovecot(bench, USERS, special_use=SPECIAL)
    case(bench, source, target, "dovecot-dovecot", boxes.fidelity())


@test()
def test_slash_to_dots(bench):
    """Separator / -> . under INBOX., mdbox -> maildir: a dot in a name cannot stay."""
    source = Dovecot(bench, USERS, special_use=SPECIAL)
    target = Dovecot(bench, USERS, store="maildir", separator=".", prefix="INBOX.")
    case(bench, source, target, "slash-to-dots")


@test()
def test_dots_to_slash(bench):
    """Separator . under INBOX. -> /, maildir -> mdbox: a slash in a name cannot stay."""
    source = Dovecot(bench, USERS, store="maildir", separator=".", prefix="INBOX.",
                     listescape=True)
    target = Dovecot(bench, USERS, special_use=SPECIAL)
    case(bench, source, target, "dots-to-slash")


@test()
def test_dovecot_to_cyrus(bench):
    source = Dovecot(bench, USERS)
    target = Cyrus(bench, USERS)
    case(bench, source, target, "dovecot-cyrus")


@test()
def test_cyrus_to_dovecot(bench):
    source = Cyrus(bench, USERS)
    target = Dovecot(bench, USERS)
    case(bench, source, target, "cyrus-dovecot")


@test()
def test_standin_to_dovecot(bench):
    """NUL, bare LF and bare CR as they are at the source."""
    source = Standin(bench, users=USERS)
    target = Dovecot(bench, USERS)
    case(bench, source, target, "standin-dovecot")


@test()
def test_standin_to_cyrus(bench):
    source = Standin(bench, users=USERS)
    target = Cyrus(bench, USERS)
    case(bench, source, target, "standin-cyrus")


@test()
def test_standin_to_plain(bench):
    """A target without UIDPLUS, LITERAL+ and MULTIAPPEND."""
    source = Standin(bench, users=USERS)
    target = Proxy(bench, Dovecot(bench, USERS), strip=PLAIN_SERVER)
    case(bench, source, target, "standin-plain")


@test(timeout=600, long=True)
def test_standin_to_plain_full(bench):
    source = Standin(bench, users=USERS)
    target = Proxy(bench, Dovecot(bench, USERS), strip=PLAIN_SERVER)
    case(bench, source, target, "standin-plain", boxes.fidelity())


@test(timeout=900, long=True)
def test_dovecot_to_cyrus_full(bench):
    case(bench, Dovecot(bench, USERS), Cyrus(bench, USERS), "dovecot-cyrus", boxes.fidelity())


@test(timeout=900, long=True)
def test_cyrus_to_dovecot_full(bench):
    case(bench, Cyrus(bench, USERS), Dovecot(bench, USERS), "cyrus-dovecot", boxes.fidelity())


# --- sources and targets that are odd in one way


def as_made(boxes_, delimiter="/", prefix=""):
    """Rows of a stand-in's account, and their labels; Mail.date as text is kept as it is."""
    folders, labels = {}, {}
    for box in boxes_:
        rows = []
        for n, mail in enumerate(box.all(), 1):
            row = {"data": base64.b64encode(mail.body).decode(), "flags": list(mail.flags)}
            row["raw_date" if isinstance(mail.date, str) else "date"] = mail.date
            rows.append(row)
            labels[box.path, n] = mail.label
        folders[prefix + delimiter.join(box.path)] = {"messages": rows,
                                                      "subscribed": box.subscribed}
    return {"folders": folders}, labels


LARGE = {"large": {"messages": [{"made_up": 1 << 20, "flags": ["\\Seen"]}]}}
STREAM = {"stream_limit": "500K"}


def made_case(bench, target, name, rows, source=None, more=None, **options):
    """A case whose source is a stand-in that holds `rows`, and the folders `more`, without having
    been asked whether it takes them."""
    account, labels = as_made(rows)
    account["folders"].update(more or {})
    truth = Standin(bench, users=USERS, accounts={"ann": account})
    source = Standin(bench, users=USERS, accounts={"ann": account}, **source) if source else truth
    options["run"] = dict({"settle_wait": "10s"}, **options.get("run", {}))
    made = Case(Haul(bench, source, target, USERS, **options), name, labels, truth=truth)
    made.prove()
    check_equal(source.violations(), [], "what the source had to object to")
    return made


def clean():
    """Odd messages that every server keeps as they are."""
    left_out = ("nul", "bare", "mixed", "date-2037")
    return [m for m in messages.odd() if not m.label.startswith(left_out)]


@test()
def test_answers_out_of_order(bench):
    """Messages come in any order, their items in any order and twice, with a wrong size."""
    rows = [Box("INBOX", clean() + [plain(n) for n in range(200)])]
    made_case(bench, Dovecot(bench, USERS), "out-of-order", rows, more=LARGE, run=STREAM, source={
        "fetch": {"order": "random", "split": True, "extra": True}, "size_off": 7})


@test()
def test_answers_body_first(bench):
    made_case(bench, Dovecot(bench, USERS), "body-first", [Box("INBOX", clean())], more=LARGE,
              run=STREAM, source={"fetch": {"order": "body-first", "quoted_bodies": True}})


@test()
def test_absurd_dates(bench):
    """The date of a message comes from Received, then Date, when INTERNALDATE is absurd."""
    received = (b"Received: from mx.acme.example by mail.acme.example; "
                b"Tue, 3 Feb 2015 04:05:06 +0100\r\n")
    rows = []
    for label, date in (("1899", "30-Dec-1899 00:00:00 +0000"), ("empty", ""),
                        ("9999", "01-Jan-9999 00:00:00 +0000"),
                        ("none", "99-Xxx-0000 99:99:99 +9999")):
        rows += [Mail(received + header(label, 1) + b"x\r\n", (), date, label + "-received"),
                 Mail(header(label, 2) + b"x\r\n", (), date, label + "-date"),
                 Mail(b"Subject: no date\r\n\r\nx\r\n", (), date, label + "-now")]
    made = made_case(bench, Dovecot(bench, USERS), "absurd-dates", [Box("INBOX", rows)])
    for mail, copy in zip(rows, made.target["INBOX",].messages):
        check(not mail.label.endswith("-now") or abs(copy.date - time.time()) < 600, mail.label)


@test()
def test_keywords_refused(bench):
    """The target keeps two keywords and says so."""
    rows = [Box("INBOX", clean())]
    target = Standin(bench, users=USERS, keywords=["$Forwarded", "NonJunk"])
    made_case(bench, target, "keywords-refused", rows)
    check_equal(target.violations(), [], "violations")


@test()
def test_keyword_too_long(bench):
    """The target takes any keyword, it says, and not this one."""
    made_case(bench, Dovecot(bench, USERS, keyword_length=20), "keyword-too-long",
              [Box("INBOX", clean())])


@test()
def test_left_out(bench):
    """What the profile leaves out is no fault; what the target refuses is, with its words."""
    rows = [Box("INBOX", [plain(1, label="old", date=START - 400 * 86400),
                          plain(2, 60000, label="big"), plain(3, label="kept"),
                          Mail(header("no", 4) + boxes.REFUSED_TEXT + b"\r\n", (), START,
                               "refused"),
                          plain(5, 30000, label="too-big"), plain(6, label="last"),
                          Mail(b"", (), START, "empty")])]
    target = Standin(bench, users=USERS, content={"refuse": [boxes.REFUSED_RULE],
                                                  "max_size": 20000})
    made_case(bench, target, "left-out", rows, run={"since": "2014-06-01", "max_size": "50K"})


@test()
def test_streamed_refused(bench):
    """A message that was sent while it arrived is fetched anew when the target refuses its content,
    and repaired like a small one; what only stumbled once arrives as it is."""
    big = messages.text(7, 700000)
    rows = [Box("INBOX", [plain(1, label="first")]),
            Box("nul", [Mail(header("nul", 2) + b"a\0b\r\n" + big, (), START, "nul")]),
            Box("hiccup", [Mail(header("hiccup", 3) + big, ("\\Seen",), START, "hiccup")]),
            Box("bare", [Mail(header("bare", 4) + big.replace(b"\r\n", b"\n"), ("work",), START,
                              "bare")]),
            Box("policy", [Mail(header("no", 5) + boxes.REFUSED_TEXT + b"\r\n" + big, (), START,
                                "policy")])]
    hiccup = {"command": "APPEND", "folder": "hiccup", "action": "no", "text": "sorry"}
    target = Standin(bench, users=USERS, rules=[hiccup], content={
        "refuse": [boxes.REFUSED_RULE], "refuse_nul": True, "refuse_bare": True})
    made = made_case(bench, target, "streamed-refused", rows, run=STREAM)
    check_equal(target.violations(), [], "violations")
    with open(os.path.join(made.haul.logs()[0], "debug.log")) as f:
        log = f.read()
    check_equal((log.count("fetched anew"), log.count("settled:")), (4, 0), "fetched anew, settled")


@test()
def test_ladder_off(bench):
    """Without the ladder nothing is repaired: what the target refuses is failed."""
    target = Standin(bench, users=USERS, content={
        "refuse_nul": True, "refuse_bare": True, "refuse_8bit_headers": True})
    made_case(bench, target, "ladder-off", [Box("INBOX", messages.odd())],
              run={"ladder": "none"})


RAW = {"M\xfcller": "latin 1 as it is", "Entw\xc3\xbcrfe": "UTF-8 as it is",
       "broken &AO": "a shift without an end", "&AOQ": "the same", "A&-B": "an ampersand",
       "&AGE-": "a letter that needs no shift", "top/&ZeVnLIqe-&U9c-/x": "two shifts"}


@test()
def test_raw_names(bench):
    """Names that are no modified UTF-7: each folder arrives, under a name that can be read."""
    folders = {name: {"raw": True, "messages": [{"text": "Subject: %s\r\n\r\nx\r\n" % text}]}
               for name, text in RAW.items()}
    source = Standin(bench, users=USERS, accounts={"ann": {"folders": folders}})
    target = Dovecot(bench, USERS)
    haul = Haul(bench, source, target, USERS, run={"settle_wait": "10s"})
    haul.run()
    (account,) = haul.report()["accounts"]
    state = state_of(target, "ann")
    arrived = {}
    for path, folder in state.items():
        for message in folder.messages:
            arrived[message.body.data.decode()[9:].partition("\r")[0]] = "/".join(path)
    with open(os.path.join(EXPECTED, "raw-names.json")) as f:
        check_equal(arrived, json.load(f), "folder of each message")
    check_equal({f["target"] for f in account["folders"] if f["items"]["found"]},
                set(arrived.values()), "target names in the report")
    before = outline(state)
    haul.run()
    check_equal(outline(state_of(target, "ann", bodies=False)), before, "after a second run")
