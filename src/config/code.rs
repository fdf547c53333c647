//! The stable code of each problem that a configuration can have. A code is never given to another problem.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $number:literal, $about:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $number),* }
            }

            /// In a few words, for the docs' table.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about),* }
            }
        }
    };
}

codes! {
    // Files, keys, values.
    Syntax = "SG0001", "not TOML";
    Unreadable = "SG0002", "a file or folder cannot be read";
    UnknownKey = "SG0003", "unknown key";
    NotInThisVersion = "SG0004", "a key or value that a later version brings";
    WrongType = "SG0005", "a value of the wrong type";
    MissingKey = "SG0006", "a key is missing";
    UnknownValue = "SG0007", "a word that is not among those possible";
    BadDuration = "SG0008", "not a duration";
    BadSize = "SG0009", "not a size";
    OutOfRange = "SG0010", "a number, duration or size that is too small or too large";
    Duplicate = "SG0011", "a name or value stands twice";
    EmptyValue = "SG0012", "an empty text or list";
    BadName = "SG0013", "a name with characters that names do not have, or a reserved one";
    WrongVersion = "SG0014", "the configuration's version is not known";
    NoPolicies = "SG0015", "there is no policy file";
    BadVariable = "SG0016", "an environment variable that names no option";

    // The installation.
    BadAddress = "SG0101", "not an address and port";
    BadNetwork = "SG0102", "not a network";
    BadUrl = "SG0103", "not a URL of the kind that is wanted";
    NotHttps = "SG0104", "plain HTTP other than on loopback";
    LiteralSecret = "SG0105", "a secret in the configuration itself";
    UnreadableSecret = "SG0106", "a secret cannot be read";
    WeakSecret = "SG0107", "a secret that is empty, too short, or no key";
    ClientAuth = "SG0108", "no client authentication, or two";
    ParOff = "SG0109", "without pushed requests nothing above the base level is proven";
    Unsigned = "SG0110", "an algorithm that does not identify the signer";
    CertificateFile = "SG0120", "a file that holds no certificate that can be used";
    KeyMismatch = "SG0121", "a certificate and a key that do not belong together";
    NotValidNow = "SG0122", "a certificate that has expired, or is not valid yet";
    NotCovered = "SG0123", "no certificate is for a host";
    TlsInPart = "SG0124", "`listen_tls` without a certificate, or what belongs to it without `listen_tls`";
    NotOfStore = "SG0130", "a key of another session store than the one that is used";

    // Upstreams.
    ProtocolOfScheme = "SG0131", "a protocol that the scheme of the upstream's URLs cannot have";
    TlsWithoutHttps = "SG0132", "`tls` for an upstream that has no `https` URL";
    Unverified = "SG0133", "an upstream that is believed whatever certificate it shows";
    BadProbe = "SG0134", "a health check that nobody can be asked";

    // The admin listener.
    AdminHost = "SG0141", "not a host by which the admin listener can be called";
    AdminTaken = "SG0142", "an address that is both the admin listener's and the proxy's";
    SocketPath = "SG0143", "not a path that a socket can have";

    // The approver app.
    ApproverHost = "SG0151", "the approver app is on an app's host";

    // The ladder.
    NoLevels = "SG0201", "there is no level";
    BaseNotFirst = "SG0202", "a level other than the first is the base";
    Unobtainable = "SG0203", "no request obtains the level";
    ClaimsNotForced = "SG0204", "a proof by claims alone that nothing forces";
    EnrolWithoutAmr = "SG0205", "an enrolment cannot be told without `amr`";
    EmptyProof = "SG0206", "a proof that everything meets";
    TooManyLevels = "SG0207", "too many levels";
    ReservedParameter = "SG0208", "a parameter that stepgate sets itself";
    SeveralAcr = "SG0209", "several values are asked for at once";
    HoldWithoutEnrol = "SG0210", "`enrol_hold` without `enrol = \"hold\"`";

    // Apps and their routes.
    UnknownLevel = "SG0301", "no such level";
    UnknownUpstream = "SG0302", "no such upstream";
    UnknownNetwork = "SG0303", "no such network";
    UnknownHost = "SG0304", "no app has that host";
    HostTwice = "SG0305", "two apps have the same origin or host";
    NoLevelRequired = "SG0306", "a requirement without a level";
    BadPath = "SG0307", "not a path pattern";
    RefusedPath = "SG0308", "the canonical form refuses every request for that path";
    ReservedPath = "SG0309", "a path that stepgate answers itself";
    BadMethod = "SG0310", "a method that is not served";
    Overlap = "SG0311", "two routes match the same request and neither is narrower";
    Shadowed = "SG0312", "other routes cover a route wholly";
    Loosens = "SG0313", "a route demands less than a wider one";
    PublicAndRequire = "SG0314", "a public route that requires something";
    PublicMethod = "SG0315", "a public route with a method other than GET and HEAD";
    PublicUnderFloor = "SG0316", "a public route that a floor covers";
    PartOfHosts = "SG0317", "a floor names some of an app's hosts only";
    NeverMet = "SG0318", "a requirement that nobody can meet";
    BadHeader = "SG0319", "a header that cannot carry an identity";
    BadTemplate = "SG0320", "not a template";
    BadCookie = "SG0321", "a cookie name that cannot be an app's";
    GraceOfNothing = "SG0331", "`lapse_grace` without `on_lapse = \"grace\"`";

    // Bearers.
    AudienceTwice = "SG0501", "two apps take tokens for the same audience";
    WithoutBearer = "SG0502", "a key about bearers in an app that takes none";
    NoBearerMeets = "SG0503", "a requirement that no bearer ever meets";
    UnspeakableAcr = "SG0504", "an acr that no challenge can name";
    BadScope = "SG0505", "not a scope";

    // Behind another proxy.
    NobodyAsks = "SG0601", "an app behind another proxy, and no proxy that is trusted";
    NotForwarded = "SG0602", "a key that cannot hold behind another proxy";

    // Approvals.
    UnknownApproval = "SG0701", "no such approval";
    NeverApproved = "SG0702", "an approval that nobody can give";
    UnusedApproval = "SG0703", "an approval that no route asks for";
    BadSummary = "SG0704", "not a summary";
    SummaryField = "SG0705", "a field that a route's requests do not have";
    NotOfMode = "SG0706", "a key of another mode than the one that is used";
    TwoApprovals = "SG0707", "a request that would need two approvals";
    Unbindable = "SG0708", "a header that no approval can be bound to";
    BeyondWindow = "SG0709", "a field that a grant for a while does not hold to";
    BadTime = "SG0710", "not a time of day";
    UnknownZone = "SG0711", "not a time zone";
    LateEscalation = "SG0712", "an escalation that comes when the request is over";

    // Channels.
    UnknownChannel = "SG0801", "no such channel";
    FallbackLoop = "SG0802", "channels that fall back on each other in a circle";
    PrivateAddress = "SG0803", "an address that is not on the public internet, without `allow_private`";
    BadMailAddress = "SG0804", "not a mail address";
    MailToNobody = "SG0805", "mail that goes to nobody";
    PlainMail = "SG0806", "mail without TLS other than on loopback";
    UnusedChannel = "SG0807", "a channel by which nobody is told";
    NotDeciding = "SG0808", "a channel that cannot decide";
    NotTelling = "SG0809", "a channel that tells nobody";
    Elsewhere = "SG0810", "a key that cannot hold where Keycloak's word decides";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
