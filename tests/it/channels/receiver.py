"""Receives what the channels send, with libraries that others wrote, and prints one line of JSON for each.

    receiver.py webhook PORT KEY     Standard Webhooks' own verifier
    receiver.py mail PORT CERT KEY   aiosmtpd, which wants STARTTLS and a password before anything else
    receiver.py push PORT            a push service and the browser behind it: http_ece decrypts, cryptography checks who sent it
"""

import http.server
import json
import ssl
import sys
import time


def say(**what):
    print(json.dumps(what), flush=True)


def webhook(port, key):
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    verifier = Webhook(key)
    headers_of = ("webhook-id", "webhook-timestamp", "webhook-signature")

    def is_right(body, headers):
        try:
            verifier.verify(body, headers)
            return True
        except WebhookVerificationError:
            return False

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: self.headers[name] for name in headers_of}
            later = dict(headers, **{"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)})
            old = dict(headers, **{"webhook-timestamp": str(int(time.time()) - 3600)})
            say(
                right=is_right(body, headers),
                # What somebody makes of it who does not have the key.
                forged=[
                    is_right(body + b" ", headers),
                    is_right(body, dict(headers, **{"webhook-id": "msg_other"})),
                    is_right(body, later),
                    is_right(body, old),
                ],
                id=headers["webhook-id"],
                body=json.loads(body),
            )
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def mail(port, cert, key):
    import asyncio

    from aiosmtpd.smtp import SMTP, AuthResult

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            say(
                tls=session.ssl is not None,
                user=session.auth_data.login.decode() if session.auth_data else None,
                sender=envelope.mail_from,
                recipients=envelope.rcpt_tos,
                text=envelope.content.decode(),
            )
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        right = (data.login, data.password) == (b"stepgate", b"only-for-tests")
        return AuthResult(success=right, auth_data=data)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def serve():
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(
                Handler(),
                tls_context=context,
                require_starttls=True,
                auth_required=True,
                authenticator=authenticate,
            ),
            "127.0.0.1",
            port,
        )
        await server.serve_forever()

    asyncio.run(serve())


def push(port):
    import base64

    import http_ece
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    def encoded(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def decoded(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    key = ec.generate_private_key(ec.SECP256R1())
    auth = b"sixteen bytes of"
    form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    say(p256dh=encoded(key.public_key().public_bytes(*form)), auth=encoded(auth))

    def claims(authorization):
        scheme, rest = authorization.split(" ", 1)
        fields = dict(field.strip().split("=", 1) for field in rest.split(","))
        signed, signature = fields["t"].rsplit(".", 1)
        raw = decoded(signature)
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(fields["k"]))
        sender.verify(utils.encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
        header, body = (json.loads(decoded(part)) for part in signed.split("."))
        return dict(body, scheme=scheme, alg=header["alg"], key=fields["k"])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            text = http_ece.decrypt(body, private_key=key, auth_secret=auth, version="aes128gcm")
            say(text=text.decode(), sender=claims(self.headers["authorization"]), topic=self.headers["topic"])
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    kind, port, *rest = sys.argv[1:]
    {"webhook": webhook, "mail": mail, "push": push}[kind](int(port), *rest)
