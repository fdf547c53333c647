"""Receives what the channels send, with libraries that others wrote, and prints one line of JSON for each.

    receiver.py webhook PORT KEY     Standard Webhooks' own verifier
    receiver.py mail PORT CERT KEY   aiosmtpd, which wants STARTTLS and a password before anything else
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
        return AuthResult(success=(data.login, data.password) == (b"stepgate", b"only-for-tests"))

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


if __name__ == "__main__":
    kind, port, *rest = sys.argv[1:]
    {"webhook": webhook, "mail": mail}[kind](int(port), *rest)
