//! What is refused, by its code: a table for each language but English, which is what programs are told.

use crate::gate::words::Table;

/// German.
pub(super) const DE: Table = &[
    ("absent", NOT_SURE),
    ("repeated", NOT_SURE),
    ("malformed", NOT_SURE),
    ("not-plain", NOT_SURE),
    ("duplicate-key", NOT_SURE),
    ("encoded", NOT_SURE),
    ("content-type", NOT_SURE),
    ("ambiguous", NOT_SURE),
    (
        "method-override",
        "Darum kann niemand gebeten werden: Für die Anwendung könnte es eine Anfrage mit einer anderen Methode sein.",
    ),
    (
        "not-utf-8",
        "Die Anfrage enthält Zeichen, die sich nicht sicher lesen lassen. Sie wird nicht weitergegeben.",
    ),
    ("too-long", "Die Adresse ist zu lang."),
    ("not-origin-form", ADDRESS),
    ("control", ADDRESS),
    ("unencoded", ADDRESS),
    ("fragment", ADDRESS),
    ("bad-escape", ADDRESS),
    ("dot-segment", ADDRESS),
    ("encoded-slash", ADDRESS),
    ("encoded-dot", ADDRESS),
    ("encoded-percent", ADDRESS),
    ("encoded-semicolon", ADDRESS),
    ("semicolon", ADDRESS),
    ("backslash", ADDRESS),
    ("double-slash", ADDRESS),
    ("unescaped", ADDRESS),
    ("too-many-readings", ADDRESS),
    (
        "framing",
        "Wo die Zeilen oder der Inhalt der Anfrage enden, lässt sich verschieden lesen.",
    ),
    (
        "no-host",
        "Die Anfrage sagt nicht, für welchen Host sie ist.",
    ),
    ("unknown-host", "Dieser Host wird hier nicht bedient."),
    (
        "misdirected",
        "Diese Verbindung wurde für einen anderen Host aufgebaut.",
    ),
    (
        "unreadable-chain",
        "Ein Proxy auf dem Weg hat ein X-Forwarded-For oder Forwarded gesendet, das nicht zu lesen ist, oder zwei, die sich widersprechen.",
    ),
    (
        "connection-nomination",
        "Der Header Connection nennt einen Header, den nur der Proxy setzen darf.",
    ),
    (
        "header-too-large",
        "Der Kopf der Anfrage ist zu groß. Im Browser hilft es, die Cookies dieser Website zu löschen.",
    ),
    (
        "too-many-fields",
        "Der Kopf der Anfrage hat zu viele Felder.",
    ),
    ("method", "Diese Methode wird nicht bedient."),
    ("body-too-large", "Der Inhalt der Anfrage ist zu groß."),
    (
        "body-timeout",
        "Der Inhalt der Anfrage kam nicht rechtzeitig an.",
    ),
    (
        "ambiguous-identity",
        "Eine Ihrer Gruppen oder Rollen hat ein Komma im Namen; die Anwendung hielte sie für zwei.",
    ),
    (
        "behind-another-proxy",
        "Diese Anwendung ist über einen anderen Proxy zu erreichen, nicht über diesen.",
    ),
    ("internal", "Hier ist etwas schiefgegangen."),
    (
        "verify-stranger",
        "Das darf nur ein vertrauter Proxy fragen.",
    ),
    (
        "verify-incomplete",
        "Der Proxy sagt nicht, nach welcher Anfrage er fragt.",
    ),
    (
        "verify-repeated",
        "Der Proxy sagt etwas doppelt über die Anfrage, nach der er fragt.",
    ),
    (
        "verify-other-set",
        "Die Anfrage trägt einen Header, mit dem ein Proxy anderer Art sie beschriebe.",
    ),
    (
        "verify-unreadable",
        "Was der Proxy über die Anfrage sagt, ist nicht zu lesen.",
    ),
    (
        "verify-not-configured",
        "Diese Anwendung steht nicht hinter einem Proxy dieser Art.",
    ),
    (
        "verify-scheme",
        "Die Anwendung ist mit diesem Schema nicht zu erreichen.",
    ),
    (
        "verify-own-path",
        "Diese Adresse gehört zur Anmeldung, nicht zur Anwendung.",
    ),
    (
        "verify-disguised",
        "Die Anfrage trägt einen Header, den die Anwendung für einen halten könnte, den nur ein Proxy setzen darf.",
    ),
    (
        "upstream-unreachable",
        "Die Anwendung hinter dieser Adresse ist nicht zu erreichen.",
    ),
    (
        "upstream-tls",
        "Die Anwendung hinter dieser Adresse ist nicht zu erreichen: Die Verbindung zu ihr ist nicht sicher.",
    ),
    (
        "upstream-closed",
        "Die Anwendung hinter dieser Adresse hat die Verbindung beendet, bevor ihre Antwort vollständig war.",
    ),
    (
        "upstream-invalid",
        "Was die Anwendung hinter dieser Adresse geantwortet hat, lässt sich nicht als Antwort weitergeben.",
    ),
    (
        "upstream-connect-timeout",
        "Die Anwendung hinter dieser Adresse war nicht rechtzeitig zu erreichen.",
    ),
    (
        "upstream-timeout",
        "Die Anwendung hinter dieser Adresse hat nicht rechtzeitig geantwortet.",
    ),
    (
        "upstream-down",
        "Die Anwendung hinter dieser Adresse ist im Augenblick nicht in Betrieb.",
    ),
    ("cross-site", "Das darf nur eine Seite dieses Hosts."),
    (
        "break-glass-not-yours",
        "Sie gehören nicht zu denen, die das ohne Zustimmung weitergeben dürfen.",
    ),
    (
        "no-request",
        "Es ist nicht zu lesen, nach welcher Anfrage gefragt wird.",
    ),
    ("no-such-endpoint", "Diese Seite gibt es nicht."),
    ("no-such-level", "Diese Stufe gibt es nicht."),
    (
        "navigation-only",
        "Öffnen Sie diese Adresse in einem Tab des Browsers.",
    ),
    (
        "step-up",
        "Dafür wird zuerst eine stärkere oder frischere Anmeldung gebraucht.",
    ),
    (
        "store-unavailable",
        "Ob die Zustimmung schon verwendet wurde, lässt sich im Augenblick nicht sagen. Nichts wurde gesendet.",
    ),
    (
        "approval-over",
        "Die Zustimmung wurde inzwischen verwendet, zurückgenommen oder ist abgelaufen. Nichts wurde gesendet.",
    ),
    (
        "approval-of-another-request",
        "Was hier verlangt wird, hat sich geändert, seit jemand zugestimmt hat. Nichts wurde gesendet; bitten Sie noch einmal darum.",
    ),
    (
        "approval-not-seen",
        "Dem muss jemand zustimmen, und hinter einem anderen Proxy lässt sich niemandem zeigen, was es ist.",
    ),
    (
        "approval-of-a-stream",
        "Dem muss jemand zustimmen, und einer Verbindung, die offen bleibt, kann niemand zustimmen.",
    ),
    (
        "reason-required",
        "Sagen Sie, wofür Sie es brauchen: im Feld Stepgate-Reason.",
    ),
    (
        "reason-unreadable",
        "Das Feld Stepgate-Reason ist nicht eine Zeile UTF-8, prozentkodiert, von höchstens 500 Zeichen.",
    ),
    (
        "approval-reference",
        "Das Feld Stepgate-Approval ist nicht die Kennung einer einzigen Zustimmung.",
    ),
    (
        "approval-in-frame",
        "Dem muss jemand zustimmen. Öffnen Sie es in einem eigenen Tab, in dem Sie darauf warten können.",
    ),
    (
        "approval-denied-lately",
        "Jemand hat eben Nein dazu gesagt. Sprechen Sie miteinander, bevor Sie noch einmal darum bitten.",
    ),
    (
        "too-many-approvals",
        "Zu viele Ihrer Anfragen sind noch offen, haben eine Zustimmung, die nicht verwendet ist, oder wurden eben abgelehnt. Brechen Sie eine ab, verwenden Sie eine, oder warten Sie, bis eine vorbei ist.",
    ),
    (
        "approvals-full",
        "Im Augenblick ist kein Platz für eine weitere Anfrage. Niemand wurde gefragt.",
    ),
    (
        "another-approval-pending",
        "Etwas anderes wartet schon auf eine Zustimmung.",
    ),
    (
        "no-such-approval",
        "Eine solche Zustimmung haben Sie nicht.",
    ),
];

const ADDRESS: &str =
    "Die Adresse lässt sich auf mehr als eine Weise lesen und wird darum nicht weitergegeben.";

const NOT_SURE: &str = "Darum kann niemand gebeten werden: Ein Feld, das dafür gelesen wird, fehlt oder ließe sich verschieden lesen.";
