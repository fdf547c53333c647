//! What is said of each thing that can be wrong. One sound configuration, and for each case what is changed in it; the
//! messages are snapshots (`snapshots/`), named by the code that comes first.

use std::io;
use std::path::Path;
use std::sync::LazyLock;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use super::*;
use crate::model::time::Timestamp;

mod approvals;
mod channels;
mod ciba;

const INSTALLATION: &str = r#"version  = 1
listen   = ["127.0.0.1:8080"]

[keycloak]
issuer        = "https://sso.example.com/realms/corp"
client_id     = "stepgate"
client_secret = { file = "secret" }

[[levels]]
name  = "password"
base  = true
proof = { acr = ["1", "pwd"] }
ask   = { acr_values = "pwd" }

[[levels]]
name  = "mfa"
proof = { acr = ["2", "mfa"], amr_any = ["otp"] }
ask   = { acr_values = "mfa", prompt = "login" }

[[floors]]
id      = "deletes"
methods = ["DELETE"]
require = { level = "mfa" }

[networks]
office = ["192.0.2.0/24"]

[upstreams.erp]
url = "http://erp.internal:8080"
"#;

const APP: &str = r#"url      = "https://erp.example.com"
upstream = "erp"
require  = { level = "password", max_age = "8h" }
identity = { preset = "oauth2-proxy" }

[[routes]]
id     = "static"
path   = "/static/**"
public = true

[[routes]]
id      = "payments"
path    = "/payments/**"
methods = ["POST", "PUT"]
require = { level = "mfa", max_age = "15m", groups_any = ["clerks"] }
"#;

/// Name, and what is replaced by what in either file; an empty text is the file's end.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const LISTEN: &str = "listen   = [\"127.0.0.1:8080\"]";
const TRUSTED: &str = "listen   = [\"127.0.0.1:8080\"]\ntrusted_proxies = [\"127.0.0.1/32\"]";
const LISTEN_TLS: &str = "listen_tls = [\"0.0.0.0:8443\"]";
const CERTIFICATE: &str = "[[certificates]]\ncert = \"erp.pem\"\nkey  = { file = \"erp.key\" }\n";
const SECRET: &str = "client_secret = { file = \"secret\" }";
const ISSUER: &str = "\"https://sso.example.com/realms/corp\"";
const URL: &str = "url      = \"https://erp.example.com\"";
const UPSTREAM_URL: &str = "url = \"http://erp.internal:8080\"";
const PROOF: &str = "proof = { acr = [\"2\", \"mfa\"], amr_any = [\"otp\"] }";
const ASK: &str = "ask   = { acr_values = \"mfa\", prompt = \"login\" }";
const PATH: &str = "path    = \"/payments/**\"";
const METHODS: &str = "methods = [\"POST\", \"PUT\"]";
const REQUIRE: &str = "require = { level = \"mfa\", max_age = \"15m\", groups_any = [\"clerks\"] }";
const WHOLE: &str = "require  = { level = \"password\", max_age = \"8h\" }";
/// Instead of [`WHOLE`]: what a bearer can meet.
const BASE: &str = "require  = { level = \"password\" }";
const IDENTITY: &str = "identity = { preset = \"oauth2-proxy\" }";
const STATIC: &str = "path   = \"/static/**\"";
/// The end of the policy file.
const MORE_APP: &str = "\n<app>";
/// The end of the installation's file.
const MORE: &str = "\n<installation>";

#[rustfmt::skip] // a table
const CASES: &[Case] = &[
    // Files, keys, values.
    ("SG0001-not-toml", &[(LISTEN, "listen   = [\"127.0.0.1:8080\"")]),
    ("SG0001-key-twice", &[(LISTEN, "listen   = []\nlisten   = []")]),
    ("SG0003-unknown-key", &[(LISTEN, "lisen    = [\"127.0.0.1:8080\"]")]),
    ("SG0003-unknown-key-in-a-route", &[(METHODS, "method  = [\"POST\"]")]),
    ("SG0003-unknown-requirement", &[(REQUIRE, "require = { level = \"mfa\", group_any = [\"clerks\"] }")]),
    ("SG0003-nothing-near", &[(METHODS, "colour  = \"red\"")]),
    ("SG0004-store-redis", &[(MORE, "[sessions]\nstore = \"redis\"\n")]),
    ("SG0141-not-a-host", &[(LISTEN, "listen   = [\"127.0.0.1:8080\"]\nadmin_listen = \"127.0.0.1:9901\"\nadmin_hosts = [\"http://stepgate.internal:9901/\"]")]),
    ("SG0141-hosts-of-nothing", &[(LISTEN, "listen   = [\"127.0.0.1:8080\"]\nadmin_hosts = [\"stepgate.internal\"]")]),
    ("SG0142-admin-is-the-proxy", &[(LISTEN, "listen   = [\"127.0.0.1:8080\"]\nadmin_listen = \"127.0.0.1:8080\"")]),
    ("SG0143-a-folder", &[(LISTEN, "listen   = [\"127.0.0.1:8080\"]\nadmin_socket = \"/run/stepgate/\"")]),
    ("SG0143-too-long", &[(LISTEN, "listen   = [\"127.0.0.1:8080\"]\nadmin_socket = \"/run/stepgate-stepgate-stepgate-stepgate-stepgate-stepgate-stepgate-stepgate-stepgate-stepgate/admin-socket.sock\"")]),
    ("SG0004-bearer-of-a-route", &[(METHODS, "methods = [\"POST\", \"PUT\"]\nbearer  = \"off\"")]),
    ("SG0005-wrong-type", &[(LISTEN, "listen   = 8080")]),
    ("SG0005-number-for-a-duration", &[(WHOLE, "require  = { level = \"password\", max_age = 15 }")]),
    ("SG0005-text-for-a-table", &[(WHOLE, "require  = \"password\"")]),
    ("SG0006-missing-key", &[("client_id     = \"stepgate\"\n", "")]),
    ("SG0006-essential-of-nothing", &[(ASK, "ask   = { essential = true, scope = [\"otp\"] }")]),
    ("SG0007-unknown-value", &[(MORE, "[sessions]\nstore = \"disk\"\n")]),
    ("SG0007-unknown-preset", &[(IDENTITY, "identity = { preset = \"oauth-proxy\" }")]),
    ("SG0007-unknown-relaxation", &[(UPSTREAM_URL, "url    = \"http://erp.internal:8080\"\naccept = [\"encoded-slahs\"]")]),
    ("SG0007-unknown-algorithm", &[(SECRET, "client_secret = { file = \"secret\" }\nalgorithms = [\"RS257\"]")]),
    ("SG0007-unknown-proxy", &[(IDENTITY, "forward_auth = \"ngnix\""), (LISTEN, TRUSTED)]),
    ("SG0007-unknown-challenge", &[(METHODS, "challenge = \"apis\"")]),
    ("SG0007-unknown-on-lapse", &[(METHODS, "on_lapse = \"kepe\"\nlapse_grace = \"30s\"")]),
    ("SG0331-grace-of-nothing", &[(METHODS, "lapse_grace = \"30s\"")]),
    ("SG0331-grace-of-close", &[(IDENTITY, "on_lapse = \"close\"\nlapse_grace = \"30s\"")]),
    ("SG0010-no-lapse-grace", &[(METHODS, "on_lapse = \"grace\"\nlapse_grace = \"0s\"")]),
    ("SG0006-cors-without-origins", &[(IDENTITY, "cors = {}")]),
    ("SG0103-cors-origin", &[(IDENTITY, "cors = { origins = [\"*\"] }")]),
    ("SG0008-no-unit", &[(WHOLE, "require  = { level = \"password\", max_age = \"15\" }")]),
    ("SG0008-wrong-unit", &[(WHOLE, "require  = { level = \"password\", max_age = \"15 minutes\" }")]),
    ("SG0009-not-a-size", &[(MORE, "[limits]\nheader_bytes = \"64kB\"\n")]),
    ("SG0010-zero", &[(MORE, "[sessions]\nidle = \"0s\"\n")]),
    ("SG0010-too-large", &[(MORE, "[limits]\nheader_bytes = \"1GiB\"\n")]),
    ("SG0010-park-budget", &[(MORE, "[park]\nbudget = \"1MiB\"\nbody_bytes = \"256KiB\"\n")]),
    ("SG0010-park-bytes", &[(IDENTITY, "park_bytes = \"16MiB\"")]),
    ("SG0010-park-lasts", &[(MORE, "[park]\nlasts = \"1h\"\n")]),
    ("SG0010-renew-before", &[(IDENTITY, "renew_before = \"1h\"")]),
    ("SG0011-level-twice", &[("name  = \"mfa\"", "name  = \"password\""), ("level = \"mfa\", max_age", "level = \"password\", max_age"), ("{ level = \"mfa\" }", "{ level = \"password\" }")]),
    ("SG0011-route-twice", &[("id      = \"payments\"", "id      = \"static\"")]),
    ("SG0011-floor-twice", &[(MORE, "[[floors]]\nid      = \"deletes\"\nmethods = [\"PUT\"]\nrequire = { level = \"mfa\" }\n")]),
    ("SG0011-method-twice", &[(METHODS, "methods = [\"POST\", \"POST\"]")]),
    ("SG0011-url-and-urls", &[(UPSTREAM_URL, "url  = \"http://erp.internal:8080\"\nurls = [\"http://erp2.internal:8080\"]")]),
    ("SG0011-header-twice", &[(IDENTITY, "identity = { X-User = \"{sub}\", x-user = \"{sub}\" }")]),
    ("SG0012-empty-list", &[(METHODS, "methods = []")]),
    ("SG0012-empty-text", &[("client_id     = \"stepgate\"", "client_id     = \"\"")]),
    ("SG0012-floor-of-nothing", &[(MORE, "[[floors]]\nid      = \"nothing\"\nrequire = {}\n")]),
    ("SG0013-bad-name", &[("id      = \"payments\"", "id      = \"pay ments\"")]),
    ("SG0013-reserved-name", &[("name  = \"mfa\"", "name  = \"anonymous\"")]),
    ("SG0014-version", &[("version  = 1", "version  = 2")]),
    // The installation.
    ("SG0101-address", &[(LISTEN, "listen   = [\"localhost\"]")]),
    ("SG0102-network", &[("office = [\"192.0.2.0/24\"]", "office = [\"the office\"]")]),
    ("SG0102-bits-behind-the-prefix", &[("office = [\"192.0.2.0/24\"]", "office = [\"192.0.2.7/24\"]")]),
    ("SG0103-not-a-url", &[(URL, "url      = \"erp.example.com\"")]),
    ("SG0103-more-than-an-origin", &[(URL, "url      = \"https://erp.example.com/erp\"")]),
    ("SG0103-issuer", &[(ISSUER, "\"https://sso.example.com/realms/corp/\"")]),
    ("SG0104-plain-http", &[(URL, "url      = \"http://erp.example.com\"")]),
    ("SG0104-plain-issuer", &[(ISSUER, "\"http://sso.example.com/realms/corp\"")]),
    ("SG0105-literal-secret", &[(SECRET, "client_secret = \"hunter2\"")]),
    ("SG0106-unreadable-secret", &[(SECRET, "client_secret = { file = \"elsewhere\" }")]),
    ("SG0106-unset-variable", &[(SECRET, "client_secret = { env = \"STEPGATE_SECRET\" }")]),
    ("SG0107-empty-secret", &[(SECRET, "client_secret = { file = \"empty\" }")]),
    ("SG0107-short-seal-key", &[(MORE, "[seal]\nkeys = [{ file = \"secret\" }]\n")]),
    ("SG0107-no-private-key", &[(SECRET, "client_key    = { file = \"secret\" }")]),
    ("SG0108-no-client-authentication", &[(SECRET, "")]),
    ("SG0108-two-client-authentications", &[(SECRET, "client_secret = { file = \"secret\" }\nclient_key    = { file = \"secret\" }")]),
    ("SG0109-par-off", &[(SECRET, "client_secret = { file = \"secret\" }\npar           = \"off\"")]),
    ("SG0110-symmetric-algorithm", &[(SECRET, "client_secret = { file = \"secret\" }\nalgorithms    = [\"HS256\"]")]),
    ("SG0120-no-certificate", &[(MORE, "[[certificates]]\ncert = \"secret\"\nkey  = { file = \"erp.key\" }\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0120-unreadable-certificate", &[(MORE, "[[certificates]]\ncert = \"elsewhere.pem\"\nkey  = { file = \"erp.key\" }\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0107-no-key", &[(MORE, "[[certificates]]\ncert = \"erp.pem\"\nkey  = { file = \"secret\" }\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0120-no-authority", &[(MORE, CERTIFICATE), (MORE, "[client_certificates]\nca = \"secret\"\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0121-key-of-another", &[(MORE, "[[certificates]]\ncert = \"erp.pem\"\nkey  = { file = \"old.key\" }\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0122-expired", &[(MORE, "[[certificates]]\ncert = \"old.pem\"\nkey  = { file = \"old.key\" }\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0123-not-covered", &[(MORE, CERTIFICATE), (LISTEN, LISTEN_TLS), (URL, "url      = \"https://erp.example.org:8443\"")]),
    ("SG0124-no-certificate", &[(LISTEN, LISTEN_TLS)]),
    ("SG0124-no-listener", &[(MORE, CERTIFICATE), (LISTEN, "hsts     = \"1d\"\nplain    = \"redirect\"")]),
    ("SG0130-path-of-memory", &[(MORE, "[sessions]\nstore = \"memory\"\npath  = \"/var/lib/stepgate\"\ncache = \"64MiB\"\n")]),
    // Upstreams.
    ("SG0120-unreadable-ca", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\ntls = { ca = \"elsewhere.pem\" }")]),
    ("SG0006-client-key", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\ntls = { client_cert = \"erp.pem\" }")]),
    ("SG0007-unknown-protocol", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\nprotocol = \"http2\"")]),
    ("SG0010-never-healthy", &[(UPSTREAM_URL, "url = \"http://erp.internal\"\nhealth = { healthy = 0 }")]),
    ("SG0013-server-name", &[(UPSTREAM_URL, "url = \"https://10.0.0.5\"\ntls = { server_name = \"https://erp.internal\" }")]),
    ("SG0131-h2-without-tls", &[(UPSTREAM_URL, "url = \"http://erp.internal:8080\"\nprotocol = \"h2\"")]),
    ("SG0131-h2c-with-tls", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\nprotocol = \"h2c\"")]),
    ("SG0132-tls-without-https", &[(UPSTREAM_URL, "url = \"http://erp.internal:8080\"\ntls = { ca = \"erp.pem\" }")]),
    ("SG0120-ca-without-certificate", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\ntls = { ca = \"secret\" }")]),
    ("SG0107-client-key", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\ntls = { client_cert = \"erp.pem\", client_key = { file = \"secret\" } }")]),
    ("SG0121-client-key-of-another", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\ntls = { client_cert = \"erp.pem\", client_key = { file = \"old.key\" } }")]),
    ("SG0133-unverified", &[(UPSTREAM_URL, "url = \"https://erp.internal\"\ntls = { insecure_skip_verify = true }")]),
    ("SG0134-no-path", &[(UPSTREAM_URL, "url = \"http://erp.internal\"\nhealth = { path = \"healthz\" }")]),
    ("SG0134-no-host", &[(UPSTREAM_URL, "url = \"http://erp.internal\"\nhealth = { path = \"/healthz\", host = \"http://erp\" }")]),
    ("SG0134-host-without-path", &[(UPSTREAM_URL, "url = \"http://erp.internal\"\nhealth = { host = \"erp\" }")]),
    // The approver app.
    ("SG0151-on-an-app", &[(MORE, "[approver_app]\nurl = \"https://ERP.example.com:8443\"\n")]),
    ("SG0006-approver-without-url", &[(MORE, "[approver_app]\nlevel = \"mfa\"\n")]),
    ("SG0103-approver-with-a-path", &[(MORE, "[approver_app]\nurl = \"https://approve.example.com/app\"\n")]),
    ("SG0123-approver-not-covered", &[(MORE, CERTIFICATE), (MORE, "[approver_app]\nurl = \"https://approve.example.com\"\n"), (LISTEN, LISTEN_TLS)]),
    ("SG0301-level-of-the-approver-app", &[(MORE, "[approver_app]\nurl   = \"https://approve.example.com\"\nlevel = \"mfaa\"\n")]),
    ("SG0318-approver-sent-nowhere", &[(PROOF, "proof = { kc_idp_hint = \"partner\", acr = \"mfa\" }"), (IDENTITY, "login = { kc_idp_hint = \"partner\" }"), (MORE, "[approver_app]\nurl = \"https://approve.example.com\"\n")]),
    // The ladder.
    ("SG0202-base-not-first", &[("name  = \"mfa\"", "name  = \"mfa\"\nbase  = true")]),
    ("SG0203-nothing-asks", &[(ASK, "")]),
    ("SG0203-asked-for-something-else", &[(ASK, "ask   = { acr_values = \"gold\", prompt = \"login\" }")]),
    ("SG0204-claims-not-forced", &[(PROOF, "proof = { claims = { auth-otp-form = true } }"), (ASK, "ask   = { scope = [\"auth-otp-form\"] }")]),
    ("SG0205-enrol-without-amr", &[(PROOF, "proof = { acr = [\"2\", \"mfa\"] }\nenrol = \"page\"")]),
    ("SG0206-empty-proof", &[(PROOF, "proof = {}")]),
    ("SG0208-reserved-parameter", &[(ASK, "ask   = { acr_values = \"mfa\", params = { prompt = \"none\" } }")]),
    ("SG0209-several-acr", &[(ASK, "ask   = { acr_values = \"pwd mfa\", prompt = \"login\" }")]),
    ("SG0210-hold-without-enrol", &[(PROOF, "proof = { acr = [\"2\", \"mfa\"], amr_any = [\"otp\"] }\nenrol_hold = \"24h\"")]),
    // Apps and their routes.
    ("SG0301-unknown-level", &[(REQUIRE, "require = { level = \"mfaa\" }")]),
    ("SG0302-unknown-upstream", &[("upstream = \"erp\"", "upstream = \"epr\"")]),
    ("SG0303-unknown-network", &[(REQUIRE, "require = { level = \"mfa\", networks_any = [\"offices\"] }")]),
    ("SG0304-unknown-host", &[(MORE, "[[floors]]\nid      = \"host\"\nhosts   = [\"erp.example.org\"]\npath    = \"/payments/**\"\nrequire = { level = \"mfa\" }\n")]),
    ("SG0305-host-twice", &[(URL, "urls     = [\"https://erp.example.com\", \"https://ERP.example.com:443\"]")]),
    ("SG0306-no-level-required", &[(WHOLE, "")]),
    ("SG0306-no-level-left", &[(REQUIRE, "require = { inherit = false, groups_any = [\"clerks\"] }")]),
    ("SG0307-bad-path", &[(PATH, "path    = \"/payments/**/release\"")]),
    ("SG0307-relative-path", &[(PATH, "path    = \"payments\"")]),
    ("SG0308-refused-path", &[(PATH, "path    = \"/payments/../x\"")]),
    ("SG0308-refused-without-relaxation", &[(PATH, "path    = \"/payments;v=1/x\"")]),
    ("SG0308-refused-floor", &[(MORE, "[[floors]]\nid      = \"parameters\"\npath    = \"/payments;v=1/**\"\nrequire = { level = \"mfa\" }\n")]),
    ("SG0309-reserved-floor", &[(MORE, "[[floors]]\nid      = \"ours\"\npath    = \"/.stepgate/me\"\nrequire = { level = \"mfa\" }\n")]),
    ("SG0309-reserved-path", &[(PATH, "path    = \"/.stepgate/x\"")]),
    ("SG0310-bad-method", &[(METHODS, "methods = [\"post\"]")]),
    ("SG0310-trace", &[(METHODS, "methods = [\"TRACE\"]")]),
    ("SG0311-overlap", &[(MORE_APP, "[[routes]]\nid   = \"releases\"\npath = \"/{what}/release\"\n[[routes]]\nid   = \"sevens\"\npath = \"/7/{what}\"\n")]),
    ("SG0312-shadowed", &[(MORE_APP, "[[routes]]\nid   = \"all\"\npath = \"/reports/**\"\n[[routes]]\nid   = \"root\"\npath = \"/reports\"\n[[routes]]\nid   = \"rest\"\npath = \"/reports/{id}/**\"\n")]),
    ("SG0313-loosens", &[(MORE_APP, "[[routes]]\nid      = \"drafts\"\npath    = \"/payments/drafts/**\"\nrequire = { level = \"password\", max_age = \"any\" }\n")]),
    ("SG0314-public-and-require", &[(STATIC, "path   = \"/static/**\"\nrequire = { level = \"mfa\" }")]),
    ("SG0315-public-method", &[(STATIC, "path   = \"/static/**\"\nmethods = [\"POST\"]")]),
    ("SG0316-public-under-floor", &[(MORE, "[[floors]]\nid      = \"all\"\npath    = \"/static/**\"\nrequire = { level = \"password\" }\n")]),
    ("SG0317-part-of-hosts", &[(URL, "urls     = [\"https://erp.example.com\", \"https://erp.example.org\"]"), (MORE, "[[floors]]\nid      = \"host\"\nhosts   = [\"erp.example.org\"]\npath    = \"/payments/**\"\nrequire = { level = \"mfa\" }\n")]),
    ("SG0318-never-met", &[(REQUIRE, "require = { level = \"mfa\", max_age = \"0s\" }")]),
    ("SG0318-nobody-is-sent-to-the-provider", &[(PROOF, "proof = { kc_idp_hint = \"partner\", acr = \"mfa\" }")]),
    ("SG0319-bad-header", &[(IDENTITY, "identity = { Host = \"{sub}\" }")]),
    ("SG0319-no-header", &[(IDENTITY, "identity = { \"X User\" = \"{sub}\" }")]),
    ("SG0320-bad-template", &[(IDENTITY, "identity = { X-User = \"{subject}\" }")]),
    ("SG0320-open-brace", &[(IDENTITY, "identity = { X-User = \"{sub\" }")]),
    ("SG0321-bad-cookie", &[(IDENTITY, "app_cookies = [\"JSESSION ID\"]")]),
    ("SG0321-our-cookie", &[(IDENTITY, "app_cookies = [\"__Host-stepgate\"]")]),
    // Bearers.
    ("SG0003-unknown-key-of-bearer", &[(IDENTITY, "bearer   = { audience = \"erp\", audiences = [\"crm\"] }"), (WHOLE, BASE)]),
    ("SG0005-bearer-of-another-type", &[(IDENTITY, "bearer   = true")]),
    ("SG0006-no-audience", &[(IDENTITY, "bearer   = {}"), (WHOLE, BASE)]),
    ("SG0007-bearer-on", &[(IDENTITY, "bearer   = \"on\"")]),
    ("SG0007-bearer-age", &[(IDENTITY, "bearer   = { audience = \"erp\" }\nbearer_age = \"iat\"")]),
    ("SG0007-dpop", &[(IDENTITY, "bearer   = { audience = \"erp\", dpop = \"always\" }\nbearer_age = \"auth_time\"")]),
    ("SG0110-symmetric-algorithm-of-bearers", &[(IDENTITY, "bearer   = { audience = \"erp\", algorithms = [\"RS256\", \"none\"] }\nbearer_age = \"auth_time\"")]),
    ("SG0313-loosens-scopes", &[(REQUIRE, "require = { level = \"mfa\", max_age = \"15m\", scopes_all = [\"payments\"] }"), (MORE_APP, "[[routes]]\nid      = \"drafts\"\npath    = \"/payments/drafts/**\"\nrequire = { level = \"mfa\", max_age = \"15m\" }\n")]),
    ("SG0502-without-bearer", &[(IDENTITY, "bearer   = \"off\"\nintrospect = true\nforward_token = true\nbearer_age = \"auth_time\"")]),
    ("SG0503-no-bearer-meets", &[(IDENTITY, "bearer   = { audience = \"erp\" }")]),
    ("SG0503-claims-only", &[(IDENTITY, "bearer   = { audience = \"erp\" }\nbearer_age = \"auth_time\""), (PROOF, "proof = { claims = { auth-otp-form = true } }"), (ASK, "ask   = { scope = [\"auth-otp-form\"], prompt = \"login\" }")]),
    ("SG0504-unspeakable-acr", &[(IDENTITY, "bearer   = { audience = \"erp\" }\nbearer_age = \"auth_time\""), (PROOF, "proof = { acr = [\"2\", \"m\\\"fa\"], amr_any = [\"otp\"] }"), (ASK, "ask   = { acr_values = \"2\", prompt = \"login\" }")]),
    ("SG0601-nobody-asks", &[(IDENTITY, "forward_auth = \"nginx\"")]),
    ("SG0602-app-cookies", &[(IDENTITY, "forward_auth = \"nginx\"\napp_cookies = [\"JSESSIONID\"]"), (LISTEN, TRUSTED)]),
    ("SG0602-body-of-a-route", &[(IDENTITY, "forward_auth = \"caddy\""), (METHODS, "methods = [\"POST\", \"PUT\"]\nbody_bytes = \"1KiB\""), (LISTEN, TRUSTED)]),
    ("SG0602-what-stays-open", &[(IDENTITY, "forward_auth = \"traefik\"\npark_bytes = \"1KiB\"\non_lapse = \"keep\""), (METHODS, "methods = [\"POST\", \"PUT\"]\npark_bytes = \"1KiB\"\non_lapse = \"grace\"\nlapse_grace = \"1m\""), (LISTEN, TRUSTED)]),
    ("SG0602-client-certificate", &[(IDENTITY, "forward_auth = \"envoy\"\nidentity = { X-Subject = \"{client_cert.subject}\" }"), (LISTEN, TRUSTED)]),
    ("SG0505-bad-scope", &[(REQUIRE, "require = { level = \"mfa\", scopes_all = [\"payments refunds\"] }")]),
    // All at once, over both files.
    ("SG0003-several-in-both-files", &[(LISTEN, "lisen    = [\"127.0.0.1:8080\"]"), (METHODS, "methods = [\"post\"]"), (WHOLE, "require  = { level = \"pasword\", max_age = \"8\" }")]),
];

/// Certificates and their keys, in PEM.
struct Certificates {
    erp: (String, String),
    old: (String, String),
}

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let issue = |not_after: i32| {
        let mut params = CertificateParams::new(["erp.example.com".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(not_after, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    };
    Certificates {
        erp: issue(2100),
        old: issue(2021),
    }
});

/// In 2026.
const NOW: Timestamp = Timestamp::from_unix(1_770_000_000);

fn read(path: &Path) -> io::Result<String> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("secret") => Ok("a-secret-of-tests".to_owned()),
        Some("empty") => Ok("\n".to_owned()),
        Some("vapid.key") => Ok("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw\n".to_owned()),
        Some("hook.key") => Ok("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".to_owned()),
        Some("decide.key") => Ok("whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB\n".to_owned()),
        Some("erp.pem") => Ok(CERTIFICATES.erp.0.clone()),
        Some("erp.key") => Ok(CERTIFICATES.erp.1.clone()),
        Some("old.pem") => Ok(CERTIFICATES.old.0.clone()),
        Some("old.key") => Ok(CERTIFICATES.old.1.clone()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn loaded(installation: &str, app: &str) -> Result<Loaded, Vec<Problem>> {
    let input = Input {
        sources: &[
            ("config/stepgate.toml", installation),
            ("policies/erp.toml", app),
        ],
        read: &read,
    };
    parse(&input, &Options::default().at(NOW))
}

fn all() -> impl Iterator<Item = &'static Case> {
    CASES
        .iter()
        .chain(approvals::CASES)
        .chain(channels::CASES)
        .chain(ciba::CASES)
}

fn changed(case: &Case) -> (String, String) {
    let mut files = (INSTALLATION.to_owned(), APP.to_owned());
    for (from, to) in case.1 {
        match *from {
            MORE => files.0 += &format!("\n{to}"),
            MORE_APP => files.1 += &format!("\n{to}"),
            from if files.0.contains(from) => files.0 = files.0.replacen(from, to, 1),
            from if files.1.contains(from) => files.1 = files.1.replacen(from, to, 1),
            from => panic!("{}: {from:?} stands nowhere", case.0),
        }
    }
    files
}

fn found(case: &Case) -> Vec<Problem> {
    let (installation, app) = changed(case);
    match loaded(&installation, &app) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    }
}

#[test]
fn the_sound_one_is_sound() {
    assert_eq!(problems(&loaded(INSTALLATION, APP)), "");
}

#[test]
fn the_approver_app_is_an_app_of_its_own() {
    let app = "\n[approver_app]\nurl = \"https://approve.example.com\"\n";
    let result = loaded(&(INSTALLATION.to_owned() + app), APP);
    assert_eq!(problems(&result), "");
    let config = result.unwrap().config;
    let place = config.place("approve.example.com").unwrap();
    assert!(config.is_approver(place));
    assert!(!config.is_approver(config.place("erp.example.com").unwrap()));
    let approver = config.approver_app.as_ref().unwrap();
    // The first level above the base.
    assert_eq!(config.ladder.name_of(approver.level), "mfa");
    let own = &config.apps[approver.app];
    let [route] = own.table.routes() else {
        panic!("{:?}", own.table.routes());
    };
    assert_eq!(route.requirement.rank, approver.level);
    assert!(config.upstreams.get(route.upstream).is_none());
    assert_eq!(config.policies().count(), 1);
    assert_eq!(own.park_bytes, [0]);
    // What holds in every app holds there.
    assert_eq!(own.table.floors().len(), 1);
}

#[test]
fn no_policy_file_is_called_like_the_approver_app() {
    let sources = [
        ("config/stepgate.toml", INSTALLATION),
        ("policies/approver_app.toml", APP),
    ];
    let input = Input {
        sources: &sources,
        read: &read,
    };
    let found = parse(&input, &Options::default()).err().unwrap();
    assert_eq!(found[0].code, Code::BadName, "{found:?}");
}

#[test]
fn a_sound_one_may_have_tls() {
    let installation = INSTALLATION.replace(LISTEN, LISTEN_TLS) + CERTIFICATE;
    let result = loaded(&installation, APP);
    assert_eq!(problems(&result), "");
    let config = result.unwrap().config;
    assert!(config.listen.is_empty() && config.plain == Plain::Redirect);
    assert!(config.certificates[0].names.cover("erp.example.com"));
}

#[test]
fn each_problem_is_told_with_its_place_and_what_to_do() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let mut others = Vec::new();
        for case in all() {
            let problems = found(case);
            let text: String = problems
                .iter()
                .map(|problem| problem.render(false) + "\n\n")
                .collect();
            let first = problems
                .first()
                .map_or("nothing", |problem| problem.code.as_str());
            if !case.0.starts_with(first) {
                others.push(format!("{} is {first}: {text}", case.0));
            }
            insta::assert_snapshot!(case.0, text);
        }
        assert!(others.is_empty(), "{}", others.join("\n"));
    });
}

#[test]
fn tools_read_them_as_json() {
    let case = CASES.last().unwrap();
    let all: Vec<_> = found(case).iter().map(Problem::to_json).collect();
    insta::assert_snapshot!("several_as_json", format!("{:#}", Value::from(all)));
}

/// Those without a place in one of the two files are tried below.
#[test]
fn no_code_is_without_a_case() {
    let elsewhere = [
        Code::Unreadable,
        Code::NoPolicies,
        Code::BadVariable,
        Code::NoLevels,
        Code::TooManyLevels,
        Code::AudienceTwice,
    ];
    for code in Code::ALL {
        let told = all().any(|case| case.0.starts_with(code.as_str()));
        assert!(told || elsewhere.contains(code), "{code}: {}", code.about());
        assert!(!(told && elsewhere.contains(code)), "{code} has a case");
    }
}

#[test]
fn what_stands_in_no_file_is_told_too() {
    let mut told = String::new();
    let mut note = |code: Code, result: Result<Loaded, Vec<Problem>>| {
        let problems = result.err().unwrap_or_default();
        let found = problems.iter().find(|problem| problem.code == code);
        let text = found.map(|problem| problem.render(false));
        told += &format!("{}\n\n", text.unwrap_or_else(|| panic!("no {code}")));
    };
    let sources = [
        ("config/stepgate.toml", INSTALLATION),
        ("policies/erp.toml", APP),
    ];
    let input = |sources| Input {
        sources,
        read: &read,
    };
    let none = parse(&input(&[]), &Options::default());
    note(Code::Unreadable, none);
    note(
        Code::Unreadable,
        load(Path::new("nowhere/stepgate.toml"), &Options::default()),
    );
    let without_app = parse(&input(&sources[..1]), &Options::default());
    note(Code::NoPolicies, without_app);

    let takes = |host: &str| {
        let bearer = "bearer = { audience = \"erp\" }\nbearer_age = \"auth_time\"\nidentity";
        APP.replace("identity", bearer)
            .replace("erp.example.com", host)
    };
    let (erp, crm) = (takes("erp.example.com"), takes("crm.example.com"));
    let one_audience = Input {
        sources: &[
            ("config/stepgate.toml", INSTALLATION),
            ("policies/erp.toml", &erp),
            ("policies/crm.toml", &crm),
        ],
        read: &read,
    };
    let problems = parse(&one_audience, &Options::default()).err();
    let first = problems.unwrap().into_iter().next();
    assert_eq!(first.map(|problem| problem.code), Some(Code::AudienceTwice));

    let (head, rest) = INSTALLATION.split_once("[[levels]]").unwrap();
    let (_, tail) = rest.split_once("[networks]").unwrap();
    let without_levels = format!("{head}[networks]{tail}");
    note(Code::NoLevels, loaded(&without_levels, APP));

    let more: String = (0..300)
        .map(|index| format!("\n[[levels]]\nname = \"l{index}\"\nproof = {{ acr = \"{index}x\" }}\nask = {{ acr_values = \"{index}x\" }}\n"))
        .collect();
    note(
        Code::TooManyLevels,
        loaded(&(INSTALLATION.to_owned() + &more), APP),
    );

    let variable = |name: &str, value: &str| Options {
        environment: vec![(name.to_owned(), value.to_owned())],
        ..Options::default()
    };
    let wrong = variable("STEPGATE__KEYCLOAK____CLIENT_ID", "x");
    note(Code::BadVariable, parse(&input(&sources), &wrong));
    insta::assert_snapshot!("in_no_file", told);

    let right = variable("STEPGATE__KEYCLOAK__CLIENT_ID", "another");
    let config = parse(&input(&sources), &right).unwrap().config;
    assert_eq!(config.keycloak.client_id, "another");
}

#[test]
fn an_upstream_has_what_its_tables_say() {
    let of = |lines: &str| {
        let installation = INSTALLATION.replace(UPSTREAM_URL, lines);
        let loaded = loaded(&installation, APP).unwrap();
        assert_eq!(problems(&Ok(loaded)), "");
        let mut config = self::loaded(&installation, APP).unwrap().config;
        config.upstreams.remove(0)
    };
    let plain = of(UPSTREAM_URL);
    assert_eq!(plain.protocol, Protocol::Http1);
    assert!(plain.tls.verify && plain.tls.ca.is_none() && plain.health.is_none());
    let whole = of("url = \"https://10.0.0.5\"\nprotocol = \"auto\"\n\
         tls = { ca = \"erp.pem\", server_name = \"erp.internal\", client_cert = \"erp.pem\", client_key = { file = \"erp.key\" } }\n\
         health = { path = \"/healthz?deep=1\", host = \"erp\", interval = \"3s\", timeout = \"500ms\", healthy = 1, unhealthy = 9 }");
    assert_eq!(whole.protocol, Protocol::Auto);
    assert_eq!(whole.tls.ca.unwrap().len(), 1);
    assert_eq!(whole.tls.client.unwrap().chain.len(), 1);
    let health = whole.health.unwrap();
    assert_eq!((health.healthy, health.unhealthy), (1, 9));
    assert_eq!(health.path.as_deref(), Some("/healthz?deep=1"));
}

/// Where only a look is taken, an authority may be missing; then nobody is believed.
#[test]
fn an_unreadable_authority_is_never_the_systems() {
    let lines = "url = \"https://erp.internal\"\ntls = { ca = \"elsewhere.pem\" }";
    let installation = INSTALLATION.replace(UPSTREAM_URL, lines);
    let input = Input {
        sources: &[
            ("config/stepgate.toml", &installation),
            ("policies/erp.toml", APP),
        ],
        read: &read,
    };
    let options = Options {
        secrets: Secrets::Optional,
        ..Options::default()
    };
    let loaded = parse(&input, &options).unwrap();
    assert_eq!(loaded.warnings[0].code, Code::CertificateFile);
    assert!(
        loaded.config.upstreams[0]
            .tls
            .ca
            .as_ref()
            .is_some_and(|roots| roots.is_empty())
    );
}
