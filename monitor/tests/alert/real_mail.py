"""A real mail server (aiosmtpd) that takes mail over STARTTLS from one user, and says in one line of JSON on its output
what Python's own parser finds in it. Arguments: port, certificate, key, user, password."""

import email.policy
import json
import ssl
import struct
import sys
import zlib

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

PORT, CERTIFICATE, KEY, USER, PASSWORD = sys.argv[1:]


def picture(content):
    """Reads a PNG as the standard says and returns its size; every checksum must be right."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size = 8, b"", None
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, chunk = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + chunk)
        if kind == b"IHDR":
            size = struct.unpack(">II", chunk[:8])
        data += chunk if kind == b"IDAT" else b""
        at += 12 + length
    width, height = size
    assert len(zlib.decompress(data)) == height * (1 + width * 4)
    return [width, height]


def part(message):
    """Describes a part of a mail, and those within it."""
    kind = message.get_content_type()
    found = {"type": kind, "defects": [str(defect) for defect in message.defects]}
    if message.is_multipart():
        found["parts"] = [part(inner) for inner in message.iter_parts()]
    elif kind.startswith("text/"):
        found["text"] = message.get_content().replace("\r\n", "\n")
    else:
        found["id"] = message["Content-ID"]
        found["disposition"] = message.get_content_disposition()
        found["picture"] = picture(message.get_content())
    return found


class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        found = {
            "encrypted": session.ssl is not None,
            "user": session.auth_data.login.decode(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name: str(value) for name, value in message.items()},
            "to_header": [address.addr_spec for address in message["To"].addresses],
            "defects": [str(defect) for value in message.values() for defect in value.defects],
            "body": part(message),
        }
        print(json.dumps(found), flush=True)
        return "250 OK queued as real-1"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
    return AuthResult(success=is_right, handled=is_right, auth_data=data)


tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(CERTIFICATE, KEY)
controller = Controller(
    Handler(),
    hostname="127.0.0.1",
    port=int(PORT),
    tls_context=tls,
    require_starttls=True,
    authenticator=authenticate,
    auth_required=True,
)
controller.start()
print("ready", flush=True)
# Until whoever started us closes our input, or ends.
sys.stdin.read()
controller.stop()
