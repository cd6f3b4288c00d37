"""Modified UTF-7 of folder names (RFC 3501, 5.1.3). Broken names stay as their raw bytes."""

import base64


def encode(text):
    """str -> bytes as on the wire; bytes pass as they are."""
    if isinstance(text, bytes):
        return text
    out, pending = [], []

    def flush():
        if pending:
            raw = "".join(pending).encode("utf-16-be")
            out.append(b"&" + base64.b64encode(raw).rstrip(b"=").replace(b"/", b",") + b"-")
            pending.clear()

    for char in text:
        if 0x20 <= ord(char) <= 0x7e:
            flush()
            out.append(b"&-" if char == "&" else char.encode())
        else:
            pending.append(char)
    flush()
    return b"".join(out)


def decode(raw):
    """bytes -> str; None where the name is not well-formed."""
    out, at = [], 0
    while at < len(raw):
        byte = raw[at]
        if byte != 0x26:
            if not 0x20 <= byte <= 0x7e:
                return None
            out.append(chr(byte))
            at += 1
            continue
        end = raw.find(b"-", at)
        if end < 0:
            return None
        coded = raw[at + 1:end]
        if not coded:
            out.append("&")
        else:
            try:
                padded = coded.replace(b",", b"/") + b"=" * (-len(coded) % 4)
                text = base64.b64decode(padded, validate=True).decode("utf-16-be")
            except ValueError:
                return None
            if encode(text) != b"&" + coded + b"-":
                return None
            out.append(text)
        at = end + 1
    text = "".join(out)
    return text if encode(text) == raw else None


def show(raw):
    """A name for people and for keys: decoded, or the raw bytes one to one."""
    text = decode(raw)
    return raw.decode("latin-1") if text is None else text
