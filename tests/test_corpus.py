"""The corpora's own proof: always the same, and each server keeps what it is known to keep."""

import hashlib

from corpus import boxes, messages, office
from corpus.boxes import fill_account
from lib.account import compare, show_path, state_of
from lib.bench import Skip
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus, refuses
from servers.dovecot import Dovecot
from standins.standin import Standin

USERS = {"ann": "secret"}


def digest_of(rows):
    digest = hashlib.sha256()
    for box in rows:
        for mail in box.all():
            digest.update(repr((box.path, mail.body, mail.flags, mail.date)).encode())
    return digest.hexdigest()


@test()
def test_always_the_same(bench):
    for make in (boxes.crash_set, lambda: boxes.fidelity(200, 1 << 20, False),
                 lambda: office.office(2)["bo"]):
        check_equal(digest_of(make()), digest_of(make()), "digest")
    rows = messages.odd()
    labels = [m.label for m in rows]
    check_equal(len(set(labels)), len(labels), "labels are different")
    by = dict(zip(labels, rows))
    check_equal(by["identical-1"].body, by["identical-2"].body, "identical pair")
    check_equal(len(by["equal-headers-1"].body), len(by["equal-headers-3"].body), "equal sizes")
    for size in 4096, 65535, 65537:
        check_equal(len(by["size-%d" % size].body), size, "size")
    count = sum(1 for box in boxes.crash_set() for _ in box.all())
    check(count >= 200 and len(boxes.crash_set()) == 6, "crash set: %d messages" % count)


@test()
def test_standin_keeps_all(bench):
    s = Standin(bench, users=USERS)
    rows = boxes.fidelity(300, 1 << 20, False)
    done = fill_account(s, "ann", rows)
    check_equal([m for m in done.refused_mails], [], "refused messages")
    check_equal(done.refused_folders, [("slash/inside",)], "refused folders")
    state = state_of(s, "ann")
    for box in rows:
        if box.path in done.refused_folders:
            continue
        want = [hashlib.sha256(m.body).hexdigest() for m in box.all()]
        check_equal([m.body.sha256 for m in state[box.path].messages], want, show_path(box.path))
    check_equal(s.violations(), [], "violations")
    check_equal(done.labels[done.place("nul-body")], "nul-body", "place of a label")


@test()
def test_what_dovecot_keeps(bench):
    d = Dovecot(bench, USERS)
    s = Standin(bench, users=USERS)
    rows = boxes.fidelity(300, 1 << 20, False)
    labels = fill_account(s, "ann", rows).labels
    done = fill_account(d, "ann", rows)
    check_equal([label for _, label, _ in done.refused_mails], [], "refused messages")
    changed = {"state": "repaired", "as": "canonical"}
    expected = {"only_source": [show_path(p) for p in done.refused_folders],
                "messages": [dict(changed, label=label) for label in (
                    "nul-body", "nul-last", "nul-header", "bare-lf-body", "bare-lf-all",
                    "mixed-ends")] + [{"label": "date-2037", "date": "any", "state": "same"}]}
    print("folders that Dovecot refuses:", [show_path(p) for p in done.refused_folders])
    check_equal(compare(state_of(s, "ann"), state_of(d, "ann"), expected, labels), [], "changes")


@test()
def test_what_cyrus_keeps(bench):
    c = Cyrus(bench, USERS)
    rows = boxes.fidelity(0, 0, False)
    done = fill_account(c, "ann", rows)
    check_equal([p for p in done.refused_folders if not refuses(p)], [("slash/inside",)],
                "folders refused for another reason")
    for path, label, text in done.refused_mails:
        print("refused by Cyrus: %s: %s" % (label, text))
    refused = [label for _, label, _ in done.refused_mails]
    for label in "nul-body", "bare-lf-body", "8bit-latin1-header":
        check_in(label, refused, "refused messages")


@test()
def test_real_messages(bench):
    found, why = boxes.real_messages()
    if not found:
        raise Skip(why)
    d = Dovecot(bench, USERS)
    done = fill_account(d, "ann", [boxes.Box("real", found)])
    check_equal(done.refused_mails, [], "refused")
    have = [m.body.sha256 for m in state_of(d, "ann")["real",].messages]
    check_equal(have, [hashlib.sha256(m.body).hexdigest() for m in found], "bytes")
    print("%d real messages" % len(found))


@test()
def test_office(bench):
    d = Dovecot(bench, {u: "secret" for u in office.PEOPLE})
    total = 0
    for user, rows in office.office(3).items():
        done = fill_account(d, user, rows, strict=True)
        total += done.count
    check(total > 500, "messages: %d" % total)


@test()
def test_prefix_namespace(bench):
    d = Dovecot(bench, USERS, store="maildir", separator=".", prefix="INBOX.")
    done = fill_account(d, "ann", [boxes.Box("INBOX", messages.odd()[:3]), boxes.Box(
        "INBOX/child", messages.odd()[3:5]), boxes.Box("top/deep", messages.odd()[5:6])])
    state = state_of(d, "ann")
    check_equal({show_path(p): len(f.messages) for p, f in state.items() if f.selectable},
                {"INBOX": 3, "child": 2, "top/deep": 1}, "messages")
    check_equal(done.place("nul-last"), (("child",), 2), "place of a label")


@test()
def test_cyrus_and_8_bit_headers(bench):
    (mail,) = [m for m in messages.odd() if m.label == "8bit-latin1-header"]
    for eightbit, want in ("keep", mail.body), ("munge", mail.body.replace(b"\xfc", b"X").replace(
            b"\xdf", b"X")):
        c = Cyrus(bench, USERS, eightbit=eightbit)
        fill_account(c, "ann", [boxes.Box("INBOX", [mail])])
        check_equal(state_of(c, "ann")["INBOX",].messages[0].body.data, want, eightbit)
