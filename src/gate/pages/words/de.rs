//! German.

use crate::gate::words::Table;

pub(super) const WORDS: Table = &[
    // Auf mehreren Seiten.
    ("go_on", "Weiter"),
    ("try_again", "Noch einmal versuchen"),
    ("confirm", "Bestätigen"),
    ("reason", "Grund"),
    ("sign_in", "Anmelden"),
    ("sign_out", "Abmelden"),
    ("signed_in_as", "Sie sind als {user} angemeldet."),
    ("to_start", "Zur Startseite"),
    ("to_app", "Zurück zur Anwendung"),
    ("continue_as", "Weiter als {user}"),
    (
        "form_dropped",
        "Das Formular, das dafür aufbewahrt war, wurde verworfen; die Anwendung hat es nicht gesehen.",
    ),
    // Anmelden.
    ("continue_title", "Sie sind angemeldet"),
    (
        "continue_about",
        "Als {user}. Diese Anmeldung war schon abgeschlossen; hier ist nichts mehr zu tun.",
    ),
    (
        "continue_others",
        "Mehrere Tabs dieses Browsers haben darum gebeten. Wohin wollte dieser?",
    ),
    ("continue_go", "Weiter"),
    ("failed_cancelled_title", "Die Anmeldung wurde abgebrochen"),
    (
        "failed_cancelled",
        "Es hat sich nichts geändert: Sie sind so angemeldet wie zuvor.",
    ),
    (
        "failed_late_title",
        "Diese Anmeldung hat zu lange gedauert oder wurde schon verwendet",
    ),
    (
        "failed_late",
        "Eine Anmeldung muss innerhalb von zehn Minuten abgeschlossen werden, in dem Browser, in dem sie begann, und zählt einmal. Beginnen Sie noch einmal; meist dauert es nur einen Augenblick.",
    ),
    ("failed_invalid_title", "Der Anmeldung war nicht zu trauen"),
    (
        "failed_invalid",
        "Die Antwort des Anmeldedienstes hat die Prüfung nicht bestanden und wurde nicht verwendet. Beginnen Sie noch einmal. Geschieht es ein zweites Mal, sagen Sie es denen, die diesen Dienst betreiben, und nennen Sie die Nummer unten.",
    ),
    (
        "failed_provider-error_title",
        "Die Anmeldung hat nicht geklappt",
    ),
    (
        "failed_provider-error",
        "Der Anmeldedienst sagt, dass er das nicht kann. Versuchen Sie es gleich noch einmal. Bleibt es dabei, sagen Sie es denen, die diesen Dienst betreiben, und nennen Sie die Nummer unten.",
    ),
    (
        "unavailable_title",
        "Anmelden ist im Augenblick nicht möglich",
    ),
    (
        "unavailable_about",
        "Der Dienst, der prüft, wer Sie sind, antwortet nicht. Sie sind nicht abgemeldet, und nichts ist verloren. Versuchen Sie es gleich noch einmal.",
    ),
    ("many_title", "Zu viele Anmeldungen auf einmal"),
    (
        "many_about",
        "Aus Ihrem Netz kommen mehr Anmeldungen, als bearbeitet werden können. Versuchen Sie es in {span} noch einmal.",
    ),
    (
        "tabs_title",
        "Schließen Sie die Anmeldung in einem anderen Tab ab",
    ),
    (
        "tabs_about",
        "Fünf Tabs dieses Browsers melden sich schon an. Schließen Sie eine dieser Anmeldungen ab; diese Seite geht dann von selbst weiter.",
    ),
    (
        "tabs_forgotten",
        "Eine liegen gelassene Anmeldung ist nach zehn Minuten vergessen.",
    ),
    ("tabs_go", "Jetzt versuchen"),
    ("else_title", "Hier ist jemand anderes angemeldet"),
    (
        "else_about",
        "Während Sie sich anmeldeten, hat sich {user} in diesem Browser angemeldet. Es wurde nichts geändert: Dieser Browser gehört weiterhin {user}.",
    ),
    ("switched_title", "Sie sind jetzt {user}"),
    (
        "switched_about",
        "Die Anmeldung wurde mit einem anderen Konto abgeschlossen, als sie begann. Die frühere Sitzung ist beendet, und nichts davon wurde übernommen.",
    ),
    // Bestätigen, wer es ist.
    ("being_title", "Bestätigen Sie in Ihrem anderen Tab"),
    (
        "being_about",
        "Hierfür wird {need} gebraucht, und ein anderer Tab dieses Browsers fragt Sie gerade danach. Sobald Sie dort bestätigt haben, geht diese Seite von selbst weiter.",
    ),
    ("being_here", "Stattdessen hier bestätigen"),
    ("done_title", "Bestätigt"),
    (
        "done_about",
        "Die Seite, die danach gefragt hat, geht von selbst weiter. Sie können dieses Fenster schließen.",
    ),
    ("frame_title", "Hierfür wird {need} gebraucht"),
    (
        "frame_about",
        "Dieser Teil der Seite kann erst gezeigt werden, wenn Sie bestätigt haben. Das muss außerhalb des Rahmens geschehen.",
    ),
    (
        "enough_title",
        "Hierfür wird eine stärkere Anmeldung gebraucht",
    ),
    (
        "enough_enrolled_title",
        "Ihr neuer Faktor ist eingerichtet; benutzen Sie ihn jetzt",
    ),
    (
        "enough_old_title",
        "Hierfür wird eine frische Bestätigung gebraucht",
    ),
    ("enough_have", "Sie haben"),
    ("enough_nothing", "nichts"),
    ("enough_need", "Gebraucht wird"),
    (
        "enough_need_recent",
        "{need}, bestätigt innerhalb von: {span}",
    ),
    (
        "enough_enrolled",
        "Sie haben gerade eingerichtet: {need}. Einrichten zählt nicht als Benutzen: Bestätigen Sie noch einmal, dann sind Sie durch.",
    ),
    (
        "enough_held",
        "Sie haben erst vor Kurzem eingerichtet: {need}. Zu Ihrer Sicherheit öffnet ein neuer Faktor dies noch nicht. Waren Sie es nicht selbst, sagen Sie es sofort Ihrer Administration.",
    ),
    (
        "enough_provider",
        "Ihr Konto gehört zu einer anderen Organisation, und die Bestätigung muss von dort kommen. Melden Sie sich ab und über sie wieder an.",
    ),
    (
        "enough_old",
        "Ihre Bestätigung ist dafür zu lange her, oder es ist nicht bekannt, wann sie war.",
    ),
    (
        "enough_refused",
        "Sie haben sich angemeldet, aber der Anmeldedienst hat nicht gewährt: {need}. Vielleicht haben Sie es noch nicht eingerichtet; richten Sie es dann in Ihrem Konto ein, oder fragen Sie Ihre Administration.",
    ),
    ("enough_confirm", "Jetzt bestätigen"),
    ("forbidden_title", "Das dürfen Sie nicht öffnen"),
    (
        "forbidden_user",
        "Sie sind als {user} angemeldet. Eine neue Anmeldung würde daran nichts ändern.",
    ),
    (
        "forbidden_networks_any",
        "Es lässt sich nur aus bestimmten Netzen öffnen, und Sie sind in keinem davon:",
    ),
    (
        "forbidden_groups_any",
        "Es ist für Mitglieder einer dieser Gruppen:",
    ),
    (
        "forbidden_groups_all",
        "Es ist für Mitglieder aller dieser Gruppen:",
    ),
    (
        "forbidden_roles_any",
        "Es ist für alle, die eine dieser Rollen haben:",
    ),
    (
        "forbidden_roles_all",
        "Es ist für alle, die alle diese Rollen haben:",
    ),
    (
        "forbidden_scopes_any",
        "Die Anmeldung müsste einen dieser Scopes tragen:",
    ),
    (
        "forbidden_scopes_all",
        "Die Anmeldung müsste alle diese Scopes tragen:",
    ),
    ("forbidden_claims", "Ihr Konto müsste haben:"),
    (
        "forbidden_ask",
        "Wenn Sie meinen, dass Sie Zugang haben sollten, fragen Sie Ihre Administration, und nennen Sie die Nummer unten.",
    ),
    ("forbidden_else", "Als jemand anderes anmelden"),
    // Die eigene Sitzung.
    ("me_user", "Angemeldet als"),
    ("me_groups", "Gruppen"),
    ("me_ends", "Endet"),
    ("me_ends_in", "in {most}, oder nach {idle} ohne Benutzung"),
    ("me_levels", "Wie Sie bestätigt haben, dass Sie es sind"),
    ("me_proven_now", "gerade eben bestätigt"),
    ("me_proven", "vor {span} bestätigt"),
    (
        "me_held",
        "vorhanden; wann es bestätigt wurde, ist nicht bekannt",
    ),
    ("me_lapsed", "nicht mehr gültig"),
    ("me_missing", "nicht bestätigt"),
    ("me_left", ", gilt noch {span}"),
    ("logout_title", "Abmelden?"),
    ("logout_stay", "Angemeldet bleiben"),
    ("out_title", "Sie sind abgemeldet"),
    (
        "out_both",
        "Schließen Sie diesen Tab, oder melden Sie sich wieder an.",
    ),
    (
        "out_here",
        "Jedenfalls hier. Dem Anmeldedienst konnte es nicht gesagt werden; vielleicht sind Sie dort noch angemeldet. Schließen Sie an einem gemeinsam benutzten Rechner den Browser.",
    ),
    // Aufbewahrte Formulare.
    ("kept_title", "Was Sie gesendet haben, ist aufbewahrt"),
    (
        "kept_about",
        "Zuerst wird {need} gebraucht. Danach werden Sie jetzt gefragt, und dann, ob es gesendet werden soll.",
    ),
    ("send_title", "Jetzt senden?"),
    (
        "send_about",
        "Sie sind als {user} angemeldet. Was Sie vorher gesendet haben, wurde aufbewahrt und hat die Anwendung noch nicht erreicht.",
    ),
    ("send_to", "An"),
    ("send_action", "Aktion"),
    ("send_what", "Was"),
    ("send_bare", "nichts als die Anfrage selbst"),
    (
        "send_form",
        "das Formular, wie Sie es ausgefüllt haben, {size}",
    ),
    ("send_kept", "Aufbewahrt"),
    ("send_left", "noch {span}"),
    ("send_now", "Jetzt senden"),
    ("send_drop", "Nicht senden"),
    ("still_title", "Es ist noch aufbewahrt"),
    (
        "still_about",
        "Die Anwendung hinter dieser Adresse, die ihre Betreiber als {upstream} kennen, ist nicht zu erreichen. Von dem, was Sie gesendet haben, ist dort nichts angekommen; es wird noch {span} aufbewahrt.",
    ),
    ("gone_sent_title", "Das wurde schon gesendet"),
    (
        "gone_sent",
        "Es ging an die Anwendung, als Sie es sagten, und wird kein zweites Mal gesendet. Was daraus wurde, weiß die Anwendung.",
    ),
    ("gone_title", "Hier ist nichts aufbewahrt"),
    (
        "gone_about",
        "Es gibt nichts zu senden: Es wurde verworfen, Sie haben sich inzwischen abgemeldet, oder es ist länger her als {lasts}. In der Anwendung wurde nichts geändert.",
    ),
    ("another_title", "Das hatten nicht Sie zu senden"),
    (
        "another_about",
        "Jemand anderes hat es in diesem Browser gesendet. Sie sind als {user} angemeldet; darum wurde es verworfen, und die Anwendung hat es nicht gesehen.",
    ),
    ("unsent_title", "Das wurde noch nicht gesendet"),
    (
        "unsent_about",
        "Für das, was Sie getan haben ({method}), wird {need} gebraucht. Darum wurde nichts an die Anwendung weitergegeben und dort nichts geändert.",
    ),
    (
        "unsent_large",
        "Aufbewahrt werden konnte es auch nicht: Es ist größer als {most}.",
    ),
    (
        "unsent_room",
        "Aufbewahrt werden konnte es auch nicht: Im Augenblick ist schon zu viel aufbewahrt.",
    ),
    (
        "unsent_nobody",
        "Es wurde auch nicht aufbewahrt: Hier ist niemand angemeldet, wem es gehören könnte.",
    ),
    (
        "unsent_foreign",
        "Es wurde auch nicht aufbewahrt: Es kam nicht von einer Seite dieser Website.",
    ),
    ("unsent_off", "Es wurde auch nicht aufbewahrt."),
    (
        "unsent_then",
        "Bestätigen Sie in einem neuen Tab, kommen Sie mit der Zurück-Taste Ihres Browsers wieder zum Formular, und senden Sie es noch einmal.",
    ),
    ("unsent_go", "In einem neuen Tab bestätigen"),
    // Wozu jemand Ja sagen muss.
    ("asked_title", "Dem muss jemand zustimmen"),
    (
        "asked_about",
        "Wer zustimmen kann, wurde gefragt. Auf der nächsten Seite sehen Sie, wie es steht.",
    ),
    ("other_title", "Etwas anderes wartet auf ein Ja"),
    (
        "other_mine",
        "Sie haben schon um dies gebeten, und noch hat niemand darüber entschieden:",
    ),
    (
        "other_elsewhere",
        "Sie haben in einer anderen Sitzung um dies gebeten, und noch hat niemand darüber entschieden. Spätestens in {span} ist es vorbei:",
    ),
    (
        "other_about",
        "Es wird immer um eine Sache auf einmal gebeten. Was Sie jetzt gesendet haben, hat die Anwendung nicht erreicht.",
    ),
    ("other_look", "Sehen, wie es steht"),
    ("other_replace", "Das abbrechen und um dies bitten"),
    ("other_cancel", "Das abbrechen"),
    ("why_title", "Sagen Sie, wofür Sie das brauchen"),
    (
        "why_about",
        "Jemand muss dem erst zustimmen. Gefragt wird, sobald Sie gesagt haben, wofür; bis jetzt wurde nichts gesendet.",
    ),
    ("why_reason", "Wofür brauchen Sie es?"),
    ("why_ask", "Darum bitten"),
    ("wait_pending", "Wartet auf eine Zustimmung"),
    ("wait_approved", "Es wurde zugestimmt"),
    ("wait_denied", "Es wurde nicht zugestimmt"),
    ("wait_expired", "Die Zeit ist um"),
    ("wait_cancelled", "Sie haben es abgebrochen"),
    ("wait_revoked", "Die Zustimmung wurde zurückgenommen"),
    ("wait_consumed", "Es wurde gesendet"),
    (
        "wait_pick",
        "Wer zustimmt, wählt diese Zahl aus. Nennen Sie sie niemandem, der nicht gefragt wurde:",
    ),
    (
        "wait_type",
        "Wer zustimmt, gibt diese Zahl ein. Nennen Sie sie niemandem, der nicht gefragt wurde:",
    ),
    ("wait_who", "Wer zustimmen kann"),
    ("wait_self", "Sie selbst, auf einem anderen Ihrer Geräte"),
    ("wait_group", "alle in {group}"),
    (
        "wait_device",
        "Sie selbst, auf Ihrem anderen Gerät; dort steht {code}",
    ),
    (
        "wait_window",
        "Eine Zustimmung gilt für jede solche Anfrage ({span}), nicht nur für diese eine.",
    ),
    (
        "wait_holds",
        "Sie gilt noch für jede solche Anfrage ({span}), so oft Sie eine senden. Jede wird festgehalten.",
    ),
    ("wait_also", "Auch, seit {at} (vor {span})"),
    ("wait_also_now", "Auch, seit {at}"),
    ("wait_glass", "Es kann nicht warten"),
    (
        "wait_glass_about",
        "Sie dürfen das ohne Zustimmung weitergeben. Alle, die hätten zustimmen können, finden es mit Ihrem Namen in der App für Zustimmungen und erfahren es dort, wo sie von Anfragen erfahren. Es wird mit Ihrem Grund festgehalten.",
    ),
    ("wait_glass_reason", "Ihr Grund"),
    ("wait_glass_go", "Ohne Zustimmung weiter"),
    ("wait_so_far", "Bisher"),
    ("wait_given", "{given} von {need}"),
    ("wait_left", "Restliche Zeit"),
    (
        "wait_left_then",
        "{span}; dann ist es vorbei, und nichts wird gesendet",
    ),
    (
        "wait_about",
        "Diese Seite sieht von selbst wieder nach und geht weiter, wenn zugestimmt wurde. Sie können sie verlassen und zurückkommen.",
    ),
    ("wait_look", "Noch einmal nachsehen"),
    ("wait_cancel", "Abbrechen"),
    ("wait_remind", "Erinnern"),
    (
        "wait_reminded_now",
        "Eben wurde noch einmal Bescheid gesagt.",
    ),
    (
        "wait_reminded",
        "Vor {span} wurde noch einmal Bescheid gesagt.",
    ),
    (
        "wait_remind_again",
        "Noch einmal Bescheid sagen können Sie in {span}.",
    ),
    (
        "wait_limited",
        "Diesmal wurde niemandem Bescheid gesagt: Das war zuletzt oft genug. Im Eingang steht es trotzdem.",
    ),
    ("wait_link", "Link für alle, die entscheiden"),
    (
        "wait_link_about",
        "Zum Weitergeben von Hand. Für niemand anderen öffnet er etwas, und die Zahl enthält er nicht.",
    ),
    ("wait_copy", "Link kopieren"),
    ("wait_copied", "Kopiert."),
    (
        "wait_goes",
        "Es geht jetzt weiter zur Anwendung. Geschieht nichts, ist es vorbei in: {span}.",
    ),
    (
        "wait_program",
        "Das Programm, das darum gebeten hat, sendet es weiter. Zeit dafür: {span}.",
    ),
    ("wait_wrong_number", "Die Zahl war zu oft falsch."),
    ("wait_reported", "Jemand hat es als verdächtig gemeldet."),
    ("wait_reported_by", "{who} hat es als verdächtig gemeldet."),
    ("wait_no", "Jemand hat Nein gesagt."),
    ("wait_no_by", "{who} hat Nein gesagt."),
    ("wait_reason", "Der Grund: {reason}"),
    (
        "wait_talk",
        "Nichts wurde gesendet. Sprechen Sie miteinander, bevor Sie noch einmal darum bitten.",
    ),
    (
        "wait_answered",
        "Die Anwendung hat mit {status} geantwortet.",
    ),
    (
        "wait_unknown",
        "Was die Anwendung daraus gemacht hat, ist nicht bekannt. Sehen Sie dort nach, bevor Sie noch einmal darum bitten: Es wird kein zweites Mal gesendet.",
    ),
    (
        "wait_late",
        "Niemand hat rechtzeitig zugestimmt, oder es wurde nicht rechtzeitig verwendet.",
    ),
    (
        "wait_taken_back",
        "Jemand hat die Zustimmung zurückgenommen, bevor sie verwendet wurde.",
    ),
    (
        "wait_again",
        "Nichts wurde gesendet. Um noch einmal darum zu bitten, senden Sie es noch einmal.",
    ),
    // Was abgewiesen wird.
    ("refused_title", "Diese Anfrage wurde abgewiesen"),
    ("refused_404", "Hier ist nichts"),
    ("refused_500", "Etwas ist schiefgegangen"),
    (
        "refused_check",
        "Prüfen Sie die Adresse, und versuchen Sie es noch einmal.",
    ),
    ("silent_title", "Die Anwendung antwortet nicht"),
    ("silent_about", "Ihre Betreiber kennen sie als {upstream}."),
];
