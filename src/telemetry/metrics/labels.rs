//! The values that labels can have. What is not named here, or by the configuration, is no label: nothing that a client
//! sends can make a series.

use http::Method;

use crate::model::approval::Answer;

/// Label values that are known beforehand: each has a series from the start, and is found without a look-up.
pub trait Label: Copy + Send + Sync + 'static {
    const ALL: &'static [Self];

    fn name(self) -> &'static str;

    /// In [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $value:ident = $text:literal),* $(,)? })*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $name { $($(#[$note])* $value),* }

            impl Label for $name {
                const ALL: &'static [Self] = &[$(Self::$value),*];

                fn name(self) -> &'static str {
                    match self { $(Self::$value => $text),* }
                }

                fn index(self) -> usize {
                    self as usize
                }
            }
        )*
    };
}

labels! {
    /// Other tokens share one value: a client may invent them.
    MethodLabel {
        Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Patch = "PATCH", Delete = "DELETE", Options = "OPTIONS",
        Other = "other",
    }

    /// An upstream may answer with any number: the class is what is counted.
    StatusClass {
        /// The connection ended before an answer began.
        Nothing = "none",
        Informational = "1xx", Success = "2xx", Redirect = "3xx", ClientError = "4xx", ServerError = "5xx",
    }

    /// As in the access log.
    DecisionLabel {
        Allow = "allow", Login = "login", StepUp = "step-up", Approve = "approve", Deny = "deny",
        Unavailable = "unavailable",
        /// An endpoint of stepgate's own.
        Own = "own",
        /// Never a valid request.
        Refuse = "refuse",
    }

    /// What kind of client was told that more is needed.
    ChallengeKind {
        Page = "page", Frame = "frame", Htmx = "htmx", Grpc = "grpc", Program = "program",
    }

    /// What became of a notice on a channel.
    NotificationResult {
        Sent = "sent",
        /// For good: its fallback takes over, if it has one.
        Failed = "failed",
        Nobody = "nobody",
        /// Too many were under way.
        Dropped = "dropped",
        /// People had been told often enough of late: of what the requester asks for, or at all.
        Limited = "limited",
    }

    /// What a client can make grow, and was refused for.
    Limit {
        Connections = "connections",
        ConnectionsPerAddress = "connections_per_address",
        HeaderTime = "header_time",
        HeaderBytes = "header_bytes",
        HeaderCount = "header_count",
        BodyBytes = "body_bytes",
        BodyTime = "body_time",
        TargetLength = "target_length",
        StreamsPerConnection = "h2_streams",
        Resets = "h2_resets",
        LoginsInFlight = "logins_in_flight",
        LoginsPerMinute = "logins_per_minute",
        FlowsPerBrowser = "flows_per_browser",
        SessionsPerSubject = "sessions_per_subject",
        Bearers = "bearers",
    }

    /// How a login or a step-up that came back ended.
    CallbackResult {
        SignedIn = "signed-in",
        SteppedUp = "stepped-up",
        /// Back from the provider with less than is needed.
        Short = "short",
        UserSwitch = "user-switch",
        /// A level that nobody asked for, or another tab was faster: nothing changed.
        Kept = "kept",
        /// Somebody else is signed in here: nothing changed.
        AnotherUser = "another-user",
        /// A logout came between.
        LoggedOut = "logged-out",
        /// Too late, or a second time.
        Late = "late",
        /// The provider answered with an error, a user who cancels included.
        Refused = "refused",
        /// What came back is not this provider's, or not for this flow.
        Invalid = "invalid",
        Unavailable = "unavailable",
    }

    ApprovalOutcome {
        Asked = "asked", Approved = "approved", Denied = "denied", Reported = "reported", Expired = "expired",
        Cancelled = "cancelled", Revoked = "revoked", Consumed = "consumed",
    }

    /// What a channel said that decides itself.
    ChannelDecision {
        Approved = "approved", Denied = "denied", Reported = "reported",
        /// It was not taken.
        Refused = "refused",
        /// Keycloak asks a user.
        Asked = "asked",
        /// It could not be asked, or had no word in time.
        Failed = "failed",
    }

    /// Of what a client asks of a user by CIBA.
    SignInOutcome {
        Asked = "asked", Approved = "approved", Denied = "denied", Reported = "reported", Expired = "expired",
        /// Nobody was asked.
        Refused = "refused",
        /// Answered, and Keycloak was not told, or may not have been.
        Undelivered = "undelivered",
    }

    StepUpOutcome {
        Started = "started", Proven = "proven", Short = "short", Failed = "failed",
    }

    RefreshResult {
        Renewed = "renewed",
        /// `invalid_grant`: the session ended.
        Refused = "refused",
        /// Keycloak could not be asked; the session goes on.
        Failed = "failed",
    }

    /// Why a session ended before its time.
    SessionEnd {
        Logout = "logout", BackChannel = "back-channel", Refused = "refresh-refused", Grace = "refresh-grace",
        Identity = "refresh-changed-identity", UserSwitch = "user-switch", Operator = "operator",
        PerSubject = "sessions-per-subject",
    }

    BearerResult {
        Valid = "valid",
        /// Verified before.
        Cached = "cached",
        Invalid = "invalid",
        Unavailable = "unavailable",
    }

    /// Of Keycloak.
    OidcEndpoint {
        Discovery = "discovery", Keys = "keys", Pushed = "pushed-request", Token = "token",
        Introspection = "introspection", Ciba = "ciba",
    }

    OidcOutcome {
        /// An answer, be it a refusal of a user or a code.
        Answered = "answered",
        /// A status that says that it cannot (5xx, 429).
        Error = "error",
        Unreachable = "unreachable",
        NoAnswer = "no-answer",
    }

    StoreOp {
        Get = "get", Put = "put", Take = "take", Delete = "delete", Find = "find", Mark = "mark", Marked = "marked",
        Once = "once", Park = "park", Parked = "parked", Unpark = "unpark", DropParked = "drop-parked",
        PutApproval = "put-approval", Approval = "approval", ApprovalsOf = "approvals-of",
    }

    /// What became of a request that needed more than its session had, and had a body or might change something.
    ParkedResult {
        Kept = "kept",
        /// On to the app, with its user's word.
        Sent = "sent",
        /// By its user, or because another user came back.
        Dropped = "dropped",
        /// Larger than what is kept.
        TooLarge = "too-large",
        /// No room for it, or its user has parked too much already.
        Full = "full",
        /// From another site, or from nobody who is known.
        NotKept = "not-kept",
    }

    StoreResult {
        Done = "done",
        /// Nothing there, or somebody was faster.
        Absent = "absent",
        Unavailable = "unavailable",
    }

    /// Of a reload, of the configuration or of certificates.
    ReloadResult {
        Done = "done",
        /// The old one stays.
        Failed = "failed",
    }

    UpstreamFailure {
        Unreachable = "unreachable",
        Tls = "tls",
        Closed = "closed",
        Invalid = "invalid",
        ConnectTimeout = "connect-timeout",
        Timeout = "timeout",
        /// Every address is known not to work, so none was asked.
        Down = "down",
    }

    StreamLabel {
        WebSocket = "websocket", Events = "event-stream", Grpc = "grpc",
    }

    StreamEnd {
        /// By the client or by the app.
        Closed = "closed",
        Idle = "idle",
        /// It lapsed, or the route demands another one now.
        Level = "level",
        /// It ended, or the token is not good any more.
        Session = "session",
        /// What no sign-in gives is missing now.
        Permission = "permission",
        /// The store or Keycloak could not be asked.
        Unavailable = "unavailable",
        Stop = "stop",
    }
}

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }
}

impl StatusClass {
    /// 0: no answer.
    pub fn of(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
            _ => Self::Nothing,
        }
    }
}

impl ChannelDecision {
    pub fn of(answer: Answer) -> Self {
        match answer {
            Answer::Yes => Self::Approved,
            Answer::No => Self::Denied,
            Answer::Report => Self::Reported,
        }
    }
}

impl DecisionLabel {
    /// As the access log spells it; a word that is none of them was never a decision.
    pub fn of(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|label| label.name() == name)
            .unwrap_or(Self::Refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in_order<L: Label>() -> bool {
        L::ALL
            .iter()
            .enumerate()
            .all(|(index, label)| label.index() == index)
    }

    #[test]
    fn an_index_is_the_place_in_the_list() {
        assert!(
            is_in_order::<MethodLabel>()
                && is_in_order::<Limit>()
                && is_in_order::<DecisionLabel>()
        );
    }

    #[test]
    fn whatever_a_client_or_an_app_says_has_a_label() {
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(MethodLabel::from(&odd), MethodLabel::Other);
        for (status, class) in [
            (0, "none"),
            (101, "1xx"),
            (204, "2xx"),
            (599, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(StatusClass::of(status).name(), class);
        }
        assert_eq!(DecisionLabel::of("allow"), DecisionLabel::Allow);
        assert_eq!(DecisionLabel::of("step-up"), DecisionLabel::StepUp);
        assert_eq!(DecisionLabel::of("?"), DecisionLabel::Refuse);
    }
}
