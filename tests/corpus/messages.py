"""Single messages that are hard to keep as they are, each with a label; always the same bytes."""

import random

from lib.imap import Mail

DAY = 86400
START = 1420452000  # Mon, 5 Jan 2015 10:00:00 UTC


def header(subject, number, more=b"", message_id=True):
    lines = [b"From: Ana Lima <ana@acme.example>", b"To: Bo Berg <bo@acme.example>",
             b"Subject: " + (subject if isinstance(subject, bytes) else subject.encode()),
             b"Date: Mon, 5 Jan 2015 10:%02d:%02d +0000" % (number // 60 % 60, number % 60)]
    if message_id:
        lines.append(b"Message-ID: <c%d@acme.example>" % number)
    return b"\r\n".join(lines) + b"\r\n" + more + b"\r\n"


def text(seed, size):
    """Lines of words, about `size` bytes, CRLF."""
    source = random.Random(seed)
    words = ("offer invoice meeting server draft monday contract street paper coffee answer "
             "number review quarter window garden project account message folder").split()
    out, length = [], 0
    while length < size:
        line = " ".join(source.choice(words) for _ in range(source.randint(3, 11)))
        out.append(line)
        length += len(line) + 2
    return ("\r\n".join(out) + "\r\n").encode()


def plain(number, size=400, flags=(), date=None, subject=None, label=""):
    return Mail(header(subject or "Message %d" % number, number) + text(number, size), flags,
                START + number * 61 if date is None else date, label)


def multipart(number, attachment_bytes, flags=()):
    """A mail with an attachment of random bytes in base64."""
    import base64
    data = random.Random(number).randbytes(attachment_bytes)
    coded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    border = b"=_b%d" % number
    body = (header("With an attachment, %d" % number, number,
                   b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"" + border
                   + b"\"\r\n")
            + b"--" + border + b"\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n--" + border
            + b"\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=\"plan %d.bin\"\r\n\r\n" % number
            + coded + b"--" + border + b"--\r\n")
    return Mail(body, flags, START + number * 61, "attachment-%d" % number)


def nested(depth):
    """message/rfc822 in message/rfc822, `depth` times."""
    body = header("the innermost", 7000) + b"here\r\n"
    for n in range(depth):
        body = header("around %d" % n, 7001 + n, b"MIME-Version: 1.0\r\nContent-Type: "
                      b"message/rfc822\r\n") + body
    return body


def odd():
    """Every message that some server or tool gets wrong."""
    rows = []

    def add(label, body, flags=(), date=None):
        rows.append(Mail(body, flags, START + len(rows) * 61 if date is None else date, label))

    add("8bit-latin1-header", header(b"Gr\xfc\xdfe aus M\xfcnchen", 1) + b"latin 1\r\n")
    add("8bit-utf8-header", header("Grüße aus München", 2) + b"utf 8\r\n")
    add("8bit-from", b"From: J\xf6rg <j@acme.example>\r\nSubject: from\r\n\r\nx\r\n")
    add("nul-body", header("nul in the body", 3) + b"before\0after\r\nline two\0\0\r\n")
    add("nul-last", header("nul at the end", 4) + b"end\0")
    add("nul-header", header(b"nul \0 in the subject", 5) + b"x\r\n")
    add("bare-lf-body", header("bare LF in the body", 6) + b"one\ntwo\nthree\r\n")
    add("bare-lf-all", (header("bare LF all over", 7) + b"one\r\ntwo\r\n").replace(b"\r\n", b"\n"))
    add("bare-cr-body", header("bare CR in the body", 8) + b"one\rtwo\r\rthree\r\n")
    add("mixed-ends", header("CR LF in all ways", 9) + b"a\r\nb\nc\rd\n\re\r\r\nf\r\n")
    add("no-message-id", header("no message id", 10, message_id=False) + b"draft\r\n", ("\\Draft",))
    add("equal-headers-1", header("equal headers", 11) + b"the one body\r\n")
    add("equal-headers-2", header("equal headers", 11) + b"another body\r\n")
    add("equal-headers-3", header("equal headers", 11) + b"the ore body\r\n")  # also equal in size
    for n in 1, 2:
        add("identical-%d" % n, header("identical", 12) + b"the very same\r\n", ("\\Seen",), START)
    for n, flags in (1, ("\\Seen", "Work")), (2, ("\\Flagged",)), (3, ()):
        add("identical-but-flags-%d" % n, header("identical but flags", 13) + b"same\r\n", flags,
            START + n)
    add("empty-body", header("empty body", 14))
    add("header-without-blank-line", header("no blank line", 15)[:-2])
    add("header-without-end", header("no line end at all", 16)[:-4])
    add("no-header", b"\r\nonly a body\r\n")
    add("not-a-header", b"this is no header at all\r\nnor this\r\n")
    add("one-byte", b"x")
    add("only-line-end", b"\r\n")
    add("no-final-newline", header("no final newline", 17) + b"the end")
    add("long-line", header("a line of 5000", 18) + b"y" * 5000 + b"\r\n")
    add("long-header-line", header("z" * 3000, 19) + b"x\r\n")
    add("many-headers", header("many headers", 20, b"".join(
        b"X-Trace-%d: %d\r\n" % (n, n * n) for n in range(300))) + b"x\r\n")
    add("folded-header", header("folded", 21, b"X-Long: one\r\n\ttwo\r\n   three\r\n") + b"x\r\n")
    add("mbox-from", b"From ana@acme.example Mon Jan  5 10:00:00 2015\r\n" + header("mbox", 22)
        + b"From here on\r\n>From there\r\n")
    add("dots", header("dots", 23) + b".\r\n..\r\n. x\r\n.\r\n")
    add("imap-in-body", header("commands", 24) + b"t9 DELETE Victim\r\na1 LOGOUT\r\n{10}\r\n"
        b"* 1 EXPUNGE\r\n)\r\nt1 OK done\r\n+ go\r\n")
    add("literal-at-end", header("literal", 25) + b"see {99+}\r\n")
    add("8bit-body", header("8 bit", 26) + bytes(range(1, 10)) + bytes(range(14, 256)) + b"\r\n")
    add("utf8-body", header("utf-8", 27, b"Content-Type: text/plain; charset=utf-8\r\n")
        + "日本語のメール\r\n".encode())
    add("nested", nested(40))
    add("bad-mime", header("bad mime", 28, b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
                           b"boundary=x\r\n") + b"--x\r\n--x--x\r\n--y\r\n")
    add("size-65535", padded(29, 65535))
    add("size-65536", padded(30, 65536))
    add("size-65537", padded(31, 65537))
    add("size-4096", padded(32, 4096))
    add("size-4097", padded(33, 4097))
    add("all-flags", header("all flags", 34) + b"x\r\n",
        ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"))
    add("keywords", header("keywords", 35) + b"x\r\n",
        ("$Forwarded", "$MDNSent", "NonJunk", "Work", "label-1", "a.b_c"))
    add("keyword-long", header("a long keyword", 36) + b"x\r\n", ("k" * 45,))
    add("date-1970", header("the first day", 37) + b"x\r\n", date=DAY)
    add("date-zone", header("another zone", 38) + b"x\r\n", date="17-Jul-2004 02:44:25 -0730")
    add("date-2037", header("far ahead", 39) + b"x\r\n", date=2130000000)
    add("date-leap", header("leap day", 40) + b"x\r\n", date="29-Feb-2016 23:59:59 +1400")
    return rows


def padded(number, size):
    """A message of exactly `size` bytes."""
    head = header("of %d bytes" % size, number)
    body = text(number, size - len(head))[:size - len(head) - 2]
    return head + body + b"\r\n"
