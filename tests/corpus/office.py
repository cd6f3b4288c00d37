"""An invented office's mail, for the demo and for timing: several mailboxes, plausible and the
same at each run. All addresses end in acme.example."""

import base64
import random
import time

from corpus.boxes import Box
from lib.imap import Mail

PEOPLE = {"ana": "Ana Lima", "bo": "Bo Berg", "eva": "Eva Novák", "jan": "Jan Kowalski",
          "mia": "Mia Rossi", "tom": "Tom O'Hara", "zoe": "Zoë Martin", "lee": "Lee Park"}
DOMAIN = "acme.example"
SUBJECTS = """Invoice %d for the second quarter|Minutes of Monday's meeting
Draft of the contract, version %d
Your order %d has been shipped|Lunch on Thursday?
Server room: power cut on the %dth
Re-launch of the website, open points|Travel costs %d|Angebot %d für die neue Halle
Photos of the summer party|Fehlerbericht %d|New phone list|Holiday plan for week %d
Compte rendu de la réunion|Offer %d: printers|Reminder: time sheets
Question about ticket %d""".replace("\n", "|").split("|")
SENTENCES = """Thank you for the quick answer.|Please find the document attached.
Could you have a look at it before Friday?|I have moved the meeting to three o'clock.
The figures of last month are in the table.|We still wait for the signature of the customer.
Let us talk about that tomorrow.|The delivery has arrived, two parts are missing.
Anbei die Unterlagen wie besprochen.|Das passt mir gut, bis dann.|Viele Grüße aus München
The new version is on the test server.|Nothing urgent, whenever you have time.
I will be out of office on Monday.|Merci beaucoup et à bientôt.""".replace("\n", "|").split("|")
FILES = [("contract.pdf", "application/pdf", b"%PDF-1.4\n"),
         ("table.xlsx", "application/zip", b"PK"), ("photo.jpg", "image/jpeg", b"\xff\xd8\xff\xe0"),
         ("notes.txt", "text/plain", b"Notes\n")]
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def encoded(words):
    """A header text, in an encoded word where it needs one."""
    if words.isascii():
        return words
    return "=?utf-8?B?%s?=" % base64.b64encode(words.encode()).decode()


def mail_date(at):
    t = time.gmtime(at)
    return "%s, %d %s %d %02d:%02d:%02d +0000" % (DAYS[t.tm_wday], t.tm_mday, MONTHS[t.tm_mon - 1],
                                                 t.tm_year, t.tm_hour, t.tm_min, t.tm_sec)


class Writer:
    """Writes one person's mail."""

    def __init__(self, user, seed):
        self.user, self.random, self.number = user, random.Random("%s %s" % (user, seed)), 0
        self.at = 1672531200 + self.random.randint(0, 86400)
        self.threads = []

    def address(self, user):
        return "%s <%s@%s>" % (encoded(PEOPLE[user]), user, DOMAIN)

    def mail(self, sent=False, attach=0.15, draft=False):
        r = self.random
        self.number += 1
        self.at += r.randint(600, 40000)
        other = r.choice([p for p in PEOPLE if p != self.user])
        sender, to = (self.user, other) if sent else (other, self.user)
        subject, reply = r.choice(SUBJECTS), None
        subject = subject % r.randint(1, 30) if "%d" in subject else subject
        if self.threads and r.random() < 0.4:
            reply, subject = r.choice(self.threads)
        own_id = "<%d.%s@%s>" % (self.number, self.user, DOMAIN)
        self.threads = (self.threads + [(own_id, subject)])[-20:]
        head = ["From: " + self.address(sender), "To: " + self.address(to),
                "Subject: " + encoded(("Re: " if reply else "") + subject),
                "Date: " + mail_date(self.at)]
        if not draft:
            head.insert(0, "Received: from mx.%s by mail.%s; %s" % (DOMAIN, DOMAIN,
                                                                   mail_date(self.at + 2)))
            head.append("Message-ID: " + own_id)
        if reply:
            head.append("In-Reply-To: " + reply)
        body = self.body(head, PEOPLE[sender], r.random() < attach)
        return Mail(body, self.flags(sent, draft), self.at + 3)

    def flags(self, sent, draft):
        r, flags = self.random, []
        if sent or r.random() < 0.85:
            flags.append("\\Seen")
        if draft:
            flags.append("\\Draft")
        if not sent and r.random() < 0.3:
            flags.append("\\Answered")
        if r.random() < 0.05:
            flags.append("\\Flagged")
        if r.random() < 0.06:
            flags.append(r.choice(("$Forwarded", "NonJunk", "work", "later")))
        return tuple(flags)

    def body(self, head, name, attach):
        r = self.random
        text = "\r\n".join(r.choice(SENTENCES) for _ in range(r.randint(2, 25)))
        text = "Hello,\r\n\r\n%s\r\n\r\n-- \r\n%s\r\n" % (text, name)
        head = head + ["MIME-Version: 1.0"]
        if not attach:
            head += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
            return ("\r\n".join(head) + "\r\n\r\n" + text).encode()
        name, kind, magic = r.choice(FILES)
        data = magic + r.randbytes(r.choice((3000, 20000, 90000, 300000)))
        border = "=_%d_%s" % (self.number, self.user)
        head.append('Content-Type: multipart/mixed; boundary="%s"' % border)
        coded = base64.encodebytes(data).replace(b"\n", b"\r\n")
        return (("\r\n".join(head) + "\r\n\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Content-Transfer-Encoding: 8bit\r\n\r\n%s--%s\r\nContent-Type: %s\r\n"
                 "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; "
                 "filename=\"%s\"\r\n\r\n" % (border, text, border, kind, name)).encode()
                + coded + b"--" + border.encode() + b"--\r\n")


def office(users=6, scale=1.0, seed=1):
    """{user: [Box]}; about 300 messages a user at scale 1."""
    out = {}
    for n, user in enumerate(list(PEOPLE)[:users]):
        w = Writer(user, seed)

        def some(count, w=w, **how):
            return [w.mail(**how) for _ in range(max(1, int(count * scale)))]
        boxes = [Box("INBOX", some(90 + 15 * n), True), Box("Sent", some(60, sent=True), True,
                                                           "\\Sent"),
                 Box("Drafts", some(3, sent=True, draft=True), True, "\\Drafts"),
                 Box("Archive/2022", some(50), True), Box("Archive/2023", some(40), True),
                 Box("Projects/Website relaunch", some(20)), Box("Projects/New hall", some(12))]
        if n % 2:
            boxes += [Box("Rechnungen & Angebote", some(15), True), Box("Büro", some(8))]
        if n % 3 == 0:
            boxes.append(Box("Trash", some(10), True, "\\Trash"))
        out[user] = boxes
    return out
