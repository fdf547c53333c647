//! German.

use crate::gate::words::Table;

pub(super) const WORDS: Table = &[
    // Around every page.
    ("inbox", "Eingang"),
    ("history", "Verlauf"),
    ("devices", "Meine Geräte"),
    ("menu", "Seiten"),
    ("signed_in", "Angemeldet als {user}"),
    ("to_inbox", "Zum Eingang"),
    ("news", "Auf dieser Seite hat sich etwas geändert."),
    // Spans of time.
    ("ago", "vor {span}"),
    ("just_now", "gerade eben"),
    ("left", "noch {span}"),
    // Lists.
    ("waiting", "Wartet auf Sie"),
    ("nothing_waiting", "Nichts wartet auf Sie."),
    ("passed", "Ohne Zustimmung weitergegeben"),
    (
        "passed_about",
        "Sie hätten gefragt werden können. Jemand, der es darf, hat nicht gewartet.",
    ),
    ("asked", "Worum Sie gebeten haben"),
    (
        "nothing_asked",
        "In den letzten Tagen haben Sie um nichts gebeten.",
    ),
    ("decided", "Worüber Sie entschieden haben"),
    (
        "nothing_decided",
        "In den letzten Tagen haben Sie über nichts entschieden.",
    ),
    ("asked_by", "{who} bittet darum"),
    (
        "needs_level",
        "Eine Anfrage. Um sie zu lesen, bestätigen Sie Ihre Identität: {level}",
    ),
    // Web Push.
    ("push", "In diesem Browser"),
    (
        "push_about",
        "Der Browser kann Ihnen sagen, dass etwas wartet, auch wenn diese Seite geschlossen ist. Mehr sagt er nicht.",
    ),
    ("push_on", "Sagen Sie es mir"),
    ("push_off", "Nicht mehr sagen"),
    ("push_test", "Test schicken"),
    ("push_is_on", "Dieser Browser sagt es Ihnen."),
    ("push_is_off", "Dieser Browser sagt es Ihnen nicht mehr."),
    ("push_sent", "Ein Test ist unterwegs."),
    (
        "push_failed",
        "Das ging nicht. Erlaubt der Browser Benachrichtigungen dieser Seite?",
    ),
    // States.
    ("state_pending", "Wartet"),
    ("state_approved", "Genehmigt"),
    ("state_denied", "Abgelehnt"),
    ("state_reported", "Als verdächtig gemeldet"),
    ("state_number", "Abgelehnt: Die Zahl war falsch"),
    ("state_expired", "Abgelaufen"),
    ("state_cancelled", "Zurückgezogen"),
    ("state_revoked", "Widerrufen"),
    ("state_consumed", "Ausgeführt"),
    ("state_untold", "Nicht weitergegeben"),
    (
        "about_pending",
        "Es geht weiter, sobald genügend Personen zugestimmt haben.",
    ),
    (
        "about_approved",
        "Es geht weiter, sobald {who} darauf zurückkommt, innerhalb von: {span}. Danach verfällt die Zustimmung.",
    ),
    (
        "about_denied",
        "Es wurde nichts ausgeführt. Wer gefragt hat, weiß es und kann später erneut fragen.",
    ),
    (
        "about_reported",
        "Es wurde nichts ausgeführt. Die Meldung steht im Protokoll, für alle, die dieses System betreuen.",
    ),
    (
        "about_number",
        "Es wurde nichts ausgeführt. Wer gefragt hat, kann erneut fragen; dann gilt eine andere Zahl.",
    ),
    (
        "about_expired",
        "Es wurde nichts ausgeführt: Die Antwort kam nicht rechtzeitig oder wurde nicht rechtzeitig genutzt. Wer gefragt hat, kann erneut fragen.",
    ),
    (
        "about_cancelled",
        "Es wurde nichts ausgeführt: {who} hat es zurückgezogen.",
    ),
    (
        "about_revoked",
        "Es wurde nichts ausgeführt: Die Zustimmung wurde vor ihrer Nutzung widerrufen.",
    ),
    (
        "about_consumed",
        "Es wurde mit Zustimmung einmal ausgeführt. Die Anwendung antwortete mit {status}.",
    ),
    (
        "about_consumed_unknown",
        "Es wurde einmal an die Anwendung gesendet; was sie geantwortet hat, ist nicht bekannt.",
    ),
    // One request.
    ("question", "Stimmen Sie zu?"),
    ("what", "Was"),
    ("who", "Wer fragt"),
    ("why", "Angegebener Grund"),
    ("app", "In der Anwendung"),
    ("route", "Art der Anfrage"),
    ("address", "Von der Adresse"),
    ("when", "Gefragt"),
    ("time_left", "Restliche Zeit"),
    ("lately", "Zuletzt gefragt"),
    (
        "lately_text",
        "{count}-mal in den letzten 24 Stunden, davon {denied}-mal abgelehnt",
    ),
    (
        "lately_once",
        "in den letzten 24 Stunden nur dieses eine Mal",
    ),
    ("votes", "Bisher zugestimmt"),
    ("escalated", "Auch andere wurden gefragt"),
    ("votes_text", "{yes} von {need}"),
    (
        "window_about",
        "Eine Zustimmung gilt für jede solche Anfrage dieser Person ({span}), nicht nur für eine.",
    ),
    ("vote_yes", "{name} hat zugestimmt"),
    ("vote_no", "{name} hat abgelehnt"),
    ("vote_report", "{name} hat es gemeldet"),
    ("mine_yes", "Sie haben zugestimmt."),
    ("mine_no", "Sie haben abgelehnt."),
    ("mine_report", "Sie haben es gemeldet."),
    (
        "own_request",
        "Sie haben selbst darum gebeten, deshalb entscheidet jemand anderes. Die Zahl, falls es eine gibt, steht auf der Seite, auf der Sie gefragt haben.",
    ),
    // A sign-in elsewhere.
    ("sign_in_question", "Sind Sie das?"),
    ("sign_in_what", "{client} möchte wissen, ob Sie es sind."),
    ("sign_in_message", "Dort steht"),
    ("sign_in_client", "Wer fragt"),
    ("sign_in_detail", "Es sagt ({name})"),
    ("sign_in_scope", "Es bekäme"),
    (
        "sign_in_compare",
        "Sagen Sie nur Ja, wenn {client} Ihnen gerade dasselbe zeigt und Sie selbst damit begonnen haben.",
    ),
    (
        "sign_in_begun",
        "Sagen Sie nur Ja, wenn Sie bei {client} gerade selbst etwas begonnen haben.",
    ),
    ("sign_in_yes", "Ja, das bin ich"),
    (
        "sign_in_report_about",
        "Beendet es sofort und löst einen Alarm aus. Eine Viertelstunde lang kann Sie niemand so fragen.",
    ),
    (
        "sign_in_approved",
        "Sie haben Ja gesagt; {client} erfährt es gleich.",
    ),
    (
        "sign_in_consumed",
        "Sie haben Ja gesagt, und {client} hat es erfahren.",
    ),
    (
        "sign_in_denied",
        "Sie haben Nein gesagt. {client} bekommt nichts.",
    ),
    (
        "sign_in_reported",
        "Sie haben es gemeldet. {client} bekommt nichts, und die Meldung steht im Protokoll.",
    ),
    (
        "sign_in_expired",
        "Es kam keine Antwort zur rechten Zeit: {client} bekommt nichts.",
    ),
    (
        "sign_in_untold",
        "Ihre Antwort konnte nicht weitergegeben werden. Solange {client} nichts anderes sagt, hat es nichts bekommen; beginnen Sie dort von vorn.",
    ),
    // Forms.
    ("yes", "Zustimmen"),
    ("no", "Ablehnen"),
    ("take_back", "Zurückziehen"),
    ("report", "Melden: Das sieht falsch aus"),
    ("report_own", "Melden: Das war ich nicht"),
    (
        "report_about",
        "Beendet die Anfrage sofort und löst einen Alarm aus.",
    ),
    ("reason", "Ihr Grund"),
    ("reason_optional", "Ihr Grund (freiwillig)"),
    ("reason_no", "Grund angeben"),
    ("pick", "Welche Zahl sieht {who}?"),
    (
        "pick_about",
        "Fragen Sie nach, telefonisch oder persönlich. Raten Sie nicht: Eine falsche Zahl lehnt die Anfrage ab.",
    ),
    ("type", "Die Zahl, die {who} sieht"),
    (
        "type_about",
        "Fragen Sie nach, telefonisch oder persönlich: {digits} Ziffern. Falsche Zahlen, die noch möglich sind, von allen zusammen: {tries}; die letzte lehnt die Anfrage ab.",
    ),
    // What somebody asked for and decides on by a device of their own.
    (
        "pick_own",
        "Welche Zahl sehen Sie dort, wo Sie gefragt haben?",
    ),
    (
        "pick_own_about",
        "Sie steht auf der Seite, auf der Sie gefragt haben, auf Ihrem anderen Gerät. Wenn Sie um nichts gebeten haben, lehnen Sie ab. Raten Sie nicht: Eine falsche Zahl lehnt die Anfrage ab.",
    ),
    (
        "type_own_about",
        "Sie steht auf der Seite, auf der Sie gefragt haben, auf Ihrem anderen Gerät, und hat {digits} Ziffern. Wenn Sie um nichts gebeten haben, lehnen Sie ab. Falsche Zahlen, die noch möglich sind: {tries}; die letzte lehnt die Anfrage ab.",
    ),
    (
        "sign_needs_script",
        "Zum Zustimmen unterschreibt dieser Browser mit dem Schlüssel Ihres Geräts, und dafür braucht er sein Skript. Zum Ablehnen braucht er nichts.",
    ),
    (
        "sign_failed",
        "Dieser Browser konnte nicht unterschreiben. Es wurde nichts entschieden. Laden Sie die Seite neu, und melden Sie sich an, wenn danach gefragt wird.",
    ),
    (
        "device_signs",
        "Dieser Browser unterschreibt Ihre Antwort als eines Ihrer Geräte.",
    ),
    (
        "device_missing",
        "Es wurde nichts entschieden: Ihre eigene Zustimmung muss eines Ihrer Geräte unterschreiben.",
    ),
    (
        "device_none",
        "Dieser Browser ist keines Ihrer Geräte oder keines mehr; er kann ablehnen, aber nicht zustimmen.",
    ),
    (
        "device_same",
        "Sie haben in genau dieser Anmeldung darum gebeten oder dieses Gerät in ihr hinzugefügt. Entscheiden Sie auf einem anderen Gerät, auf dem Sie sich eigens angemeldet haben. Zum Ablehnen brauchen Sie kein anderes.",
    ),
    ("device_new", "Dieses Gerät ist zu neu, um zu entscheiden."),
    (
        "device_weak",
        "Dieses Gerät wurde mit einem schwächeren Nachweis hinzugefügt, als diese Anfrage braucht. Entfernen Sie es, und fügen Sie es neu hinzu.",
    ),
    (
        "device_stale",
        "Es ist nichts geschehen: Was dieser Browser unterschrieben hat, ist zu alt oder wurde schon benutzt. Versuchen Sie es noch einmal.",
    ),
    (
        "device_forged",
        "Es ist nichts geschehen: Das hat dieses Gerät nicht unterschrieben.",
    ),
    // My devices.
    (
        "devices_about",
        "Manche Anfragen brauchen Ihre eigene Zustimmung von einem zweiten Gerät. Ein Gerät ist ein Browser: Fügen Sie den auf Ihrem Telefon hinzu, und Sie entscheiden dort über das, worum Sie hier gebeten haben.",
    ),
    ("devices_none", "Sie haben keines hinzugefügt."),
    ("device_here", "dieser Browser"),
    ("device_added", "Hinzugefügt"),
    ("device_used", "zuletzt entschieden"),
    ("device_unused", "hat noch nicht entschieden"),
    ("device_wait", "Es kann entscheiden in {span}"),
    ("device_remove", "Entfernen"),
    ("device_remove_it", "Entfernen: {name}"),
    ("device_rename", "Anders nennen"),
    ("device_rename_do", "Speichern"),
    ("device_name", "Name"),
    (
        "device_name_about",
        "Woran Sie es wiedererkennen, zum Beispiel: mein Telefon.",
    ),
    ("device_add", "Diesen Browser hinzufügen"),
    (
        "device_too_many",
        "Sie haben so viele Geräte, wie man haben kann. Entfernen Sie eines, um ein anderes hinzuzufügen.",
    ),
    (
        "device_known",
        "Dieses Gerät wurde schon hinzugefügt. Es wurde nichts geändert.",
    ),
    (
        "device_full",
        "Im Moment können keine Geräte mehr hinzugefügt werden. Sagen Sie es denen, die dieses System betreuen.",
    ),
    (
        "device_no_sid",
        "Ihre Anmeldungen lassen sich hier nicht unterscheiden, deshalb kann kein Gerät hinzugefügt werden. Sagen Sie es denen, die dieses System betreuen.",
    ),
    (
        "confirm_device",
        "Um diesen Browser zu Ihren Geräten hinzuzufügen, bestätigen Sie Ihre Identität: {level}.",
    ),
    (
        "enrol_about",
        "Dieser Browser erzeugt einen Schlüssel, den er nie herausgibt, und unterschreibt damit Ihre Entscheidungen. Tun Sie das auf einem Gerät, das nur Sie benutzen, und nicht auf dem, auf dem Sie fragen.",
    ),
    (
        "enrol_cooldown",
        "Entscheiden kann es nach: {span}. Bis dahin sagen Ihnen Ihre anderen Geräte, dass es hinzugefügt wurde.",
    ),
    (
        "enrol_needs_script",
        "Ein Gerät hinzuzufügen braucht das Skript dieser Seite und einen Browser, der einen Schlüssel aufbewahren kann.",
    ),
    (
        "enrol_failed",
        "Dieser Browser konnte nicht hinzugefügt werden. Ein privates Fenster oder eines, das alles vergisst, kann keinen Schlüssel aufbewahren.",
    ),
    ("to_devices", "Zu meinen Geräten"),
    ("fresh", "Zu Ihren Geräten wurde hinzugefügt:"),
    (
        "fresh_about",
        "Wenn Sie das nicht waren, entfernen Sie es sofort, und sagen Sie es denen, die dieses System betreuen.",
    ),
    ("removed", "Eines Ihrer Geräte wurde vor {span} entfernt."),
    ("removed_now", "Eines Ihrer Geräte wurde gerade entfernt."),
    (
        "removed_about",
        "Wenn Sie das nicht waren, sagen Sie es denen, die dieses System betreuen: Jemand anders könnte als Sie angemeldet sein.",
    ),
    ("try", "Ausprobieren"),
    (
        "try_about",
        "Allen Browsern, die Ihnen sagen sollen, dass etwas wartet, wird jetzt etwas gesagt.",
    ),
    ("try_sent", "Ein Test ist unterwegs."),
    (
        "try_nobody",
        "Noch soll Ihnen kein Browser etwas sagen. Das schalten Sie in jedem von ihnen im Eingang ein.",
    ),
    (
        "try_nowhere",
        "Hier kann Browsern nichts gesagt werden: Diese Installation hat kein Web Push.",
    ),
    (
        "try_failed",
        "Der Test konnte nicht verschickt werden. Im Eingang steht trotzdem alles.",
    ),
    // What did not work.
    (
        "refused_over",
        "Es war schon beendet, bevor Ihre Antwort kam.",
    ),
    (
        "refused_expired",
        "Die Zeit war abgelaufen, bevor Ihre Antwort kam.",
    ),
    (
        "refused_requester",
        "Sie haben selbst darum gebeten, deshalb entscheidet jemand anderes.",
    ),
    (
        "refused_voted",
        "Sie haben schon geantwortet; jede Person antwortet einmal.",
    ),
    ("refused_no_reason", "Ein Grund ist nötig."),
    ("refused_no_number", "Die Zahl ist nötig."),
    (
        "refused_wrong_number",
        "Die Zahl ist falsch. Verbleibende Versuche: {tries}.",
    ),
    (
        "refused_last_number",
        "Die Zahl ist falsch, und es gibt keinen Versuch mehr: Die Anfrage ist abgelehnt.",
    ),
    (
        "refused_other",
        "Diese Antwort kann nicht angenommen werden.",
    ),
    (
        "refused_form",
        "Das Formular kann nicht gelesen werden. Es wurde nichts entschieden.",
    ),
    (
        "refused_cross_site",
        "Nur eine Seite dieses Hosts kann entscheiden. Es wurde nichts entschieden.",
    ),
    ("nothing_here", "Hier ist nichts"),
    (
        "nothing_here_about",
        "Es existiert nicht, ist längst vorbei, oder Sie entscheiden nicht darüber.",
    ),
    ("not_done", "Das hat nicht geklappt"),
    ("confirm", "Bestätigen Sie Ihre Identität"),
    (
        "confirm_level",
        "Um diese Anfrage zu sehen und darüber zu entscheiden, brauchen Sie: {level}.",
    ),
    ("confirm_go", "Bestätigen"),
    (
        "confirm_again",
        "Es wurde nichts entschieden: Bestätigen Sie zuerst Ihre Identität. Danach kommen Sie zur Anfrage zurück.",
    ),
    ("go_on", "Weiter"),
    (
        "unavailable",
        "Das lässt sich im Moment nicht sagen. Es wurde nichts entschieden.",
    ),
];
