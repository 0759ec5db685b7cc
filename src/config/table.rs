//! The option table: every key with its type, default, check, what it expects and one line of help.
//!
//! Invariant: this is the only place that lists keys. The structs, their defaults, the names in files, variables and
//! flags, the nearest-name search, `config show` and the example file's comments all come from here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::check;
use super::secret::Secret;
use super::value::{ByteSize, FileMode, LogFormat, Raw, Setting, Single};

/// One row of the table.
pub struct Key {
    /// The section it stands in.
    pub section: &'static str,
    /// Its name in that section.
    pub name: &'static str,
    /// What a good value is, with an example: the end of "expected ...".
    pub expects: &'static str,
    /// Whether its value is never to be shown.
    pub secret: bool,
    /// One line.
    pub help: &'static str,
    set: fn(&mut Config, &Raw, &Path) -> Option<()>,
    get: fn(&Config) -> Option<toml::Value>,
}

impl Key {
    /// `ingest.listen`
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `WALDO_SYNCD_INGEST__LISTEN`
    pub fn variable(&self) -> String {
        let (section, name) = (self.section, self.name);
        format!("WALDO_SYNCD_{section}__{name}").to_ascii_uppercase()
    }

    /// The key's value, None when absent; secrets come redacted.
    pub fn value(&self, config: &Config) -> Option<toml::Value> {
        (self.get)(config)
    }

    /// Sets the key; None when the value is not what the key expects. Relative paths start at `base`.
    pub(super) fn set(&self, config: &mut Config, raw: &Raw, base: &Path) -> Option<()> {
        (self.set)(config, raw, base)
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

// A row reads: name: type = default, check, what is expected. The doc comment is the help.
macro_rules! options {
    ($(
        #[doc = $about:literal]
        $section:ident: $Section:ident {
            $( #[doc = $help:literal] $name:ident: $ty:ty = $default:expr, $check:expr, $expects:literal; )+
        }
    )+) => {
        /// The whole configuration, one member a section.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Config { $( #[doc = $about] pub $section: $Section, )+ }

        $(
            #[doc = $about]
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section { $( #[doc = $help] pub $name: $ty, )+ }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $( $name: $default, )+ }
                }
            }
        )+

        /// The sections in the order of the file, each with one line of help.
        pub const SECTIONS: &[(&str, &str)] = &[$( (stringify!($section), $about.trim_ascii()), )+];

        /// Every key, in the order of the file.
        pub const KEYS: &[Key] = &[$($(
            Key {
                section: stringify!($section),
                name: stringify!($name),
                expects: $expects,
                secret: <<$ty as Setting>::One as Single>::SECRET,
                help: $help.trim_ascii(),
                set: |config, raw, base| {
                    config.$section.$name = <$ty as Setting>::read(raw, &|raw| {
                        <<$ty as Setting>::One as Single>::read(raw)
                            .map(|one| one.based_on(base))
                            .and_then($check)
                    })?;
                    Some(())
                },
                get: |config| Setting::show(&config.$section.$name),
            },
        )+)+];
    };
}

options! {
    /// Where Waldo's webhooks come in.
    ingest: IngestConfig {
        /// Address that takes webhooks; port 0 takes a free one.
        listen: String = "127.0.0.1:7311".to_owned(), check::address,
            r#"an address as host:port, such as "127.0.0.1:7311" or "[::1]:7311""#;
        /// The webhook secret itself; `secret_file` keeps it out of this file.
        secret: Option<Secret> = None, check::long_secret,
            "a text of at least 16 characters on one line; `waldo-syncd init` makes a good one";
        /// File with the webhook secret.
        secret_file: Option<PathBuf> = None, check::any,
            r#"a path, such as "/etc/waldo-syncd/webhook-secret""#;
        /// Further webhook secrets that are still taken, for a change of secret without a gap.
        secrets_accepted: Vec<Secret> = Vec::new(), check::long_secret,
            "a list of texts of at least 16 characters each; `waldo-syncd webhook-url --rotate` makes good ones";
        /// Header that carries an HMAC-SHA256 of the body, in hex or base64.
        hmac_header: Option<String> = None, check::header_name,
            r#"the name of a header, such as "X-Signature""#;
        /// File with the key of that HMAC.
        hmac_key_file: Option<PathBuf> = None, check::any,
            r#"a path, such as "/etc/waldo-syncd/hmac-key""#;
        /// Largest webhook body that is taken.
        max_body: ByteSize = ByteSize::mib(1), check::body_size,
            r#"a size from 1 KiB to 64 MiB, such as "1 MiB""#;
        /// Networks that may send webhooks; an empty list allows all.
        allow_from: Vec<IpNet> = Vec::new(), check::any,
            r#"a list of networks, such as ["203.0.113.0/24", "2001:db8::/32"]"#;
        /// Proxies whose X-Forwarded-For and Forwarded headers are believed.
        trusted_proxies: Vec<IpNet> = Vec::new(), check::any,
            r#"a list of networks, such as ["127.0.0.1/32", "10.0.0.0/8"]"#;
    }
    /// Where local apps read.
    query: QueryConfig {
        /// Address of the read-only API and the status page; "" turns it off when `socket` is set.
        listen: String = "127.0.0.1:7312".to_owned(), check::address_or_empty,
            r#"an address as host:port, such as "127.0.0.1:7312", or "" together with a socket"#;
        /// Unix socket that serves the same.
        socket: Option<PathBuf> = None, check::socket_path,
            r#"a path of at most 107 bytes, such as "/run/waldo-syncd/query.sock""#;
        /// Mode of that socket, in octal.
        socket_mode: FileMode = FileMode(0o660), check::any,
            r#"an octal mode in quotes, such as "0660""#;
        /// File with a bearer token that readers must then present.
        token_file: Option<PathBuf> = None, check::any,
            r#"a path, such as "/etc/waldo-syncd/query-token""#;
        /// Names besides the loopback ones that the Host header may have.
        hosts: Vec<String> = Vec::new(), check::host_name,
            r#"a list of host names without a port, such as ["status.example.com"]"#;
        /// Origins of web pages that may read through a browser.
        cors_origins: Vec<String> = Vec::new(), check::origin,
            r#"a list of origins without a path, such as ["https://app.example.com"]"#;
    }
    /// Where local apps and `waldo-syncd outbound` write.
    control: ControlConfig {
        /// The control socket; "" puts control.sock in the runtime directory.
        path: Option<PathBuf> = None, check::socket_path,
            r#"a path of at most 107 bytes, such as "/run/waldo-syncd/control.sock""#;
    }
    /// Calls to Waldo's API through this machine.
    gateway: GatewayConfig {
        /// Address that forwards calls to Waldo; "" is off, "127.0.0.1:7313" is usual.
        listen: Option<String> = None, check::address,
            r#"an address as host:port, such as "127.0.0.1:7313", or "" for off"#;
    }
    /// Waldo's API and the credentials for it.
    waldo: WaldoConfig {
        /// Where Waldo's API is.
        api_url: String = "https://api.waldo.ai".to_owned(), check::origin,
            r#"http:// or https:// and a host without path, query or user, such as "https://api.waldo.ai""#;
        /// The API key itself; `api_key_file` keeps it out of this file.
        api_key: Option<Secret> = None, check::any,
            "the API key from Waldo's dashboard, as text on one line";
        /// File with the API key.
        api_key_file: Option<PathBuf> = None, check::any,
            r#"a path, such as "/etc/waldo-syncd/waldo-api-key""#;
        /// The client secret itself; `client_secret_file` keeps it out of this file.
        client_secret: Option<Secret> = None, check::any,
            "the client secret from Waldo's dashboard, as text on one line";
        /// File with the client secret.
        client_secret_file: Option<PathBuf> = None, check::any,
            r#"a path, such as "/etc/waldo-syncd/waldo-client-secret""#;
        /// Calls to Waldo at the same time when asking for overdue answers.
        poll_concurrency: usize = 2, check::up_to::<16>,
            "a whole number from 1 to 16, such as 2";
    }
    /// When a call to Waldo counts as late, and as lost.
    requests: RequestsConfig {
        /// Time after which a request without an outcome is overdue.
        deadline: Duration = seconds(15 * MINUTE), check::above_zero,
            r#"a duration above zero, such as "15m""#;
        /// Time past the deadline after which it counts as expired.
        give_up_after: Duration = seconds(7 * DAY), check::above_zero,
            r#"a duration above zero, such as "7d""#;
        /// Time without any webhook, while requests are pending, that brings a warning.
        silence_after: Duration = seconds(30 * MINUTE), check::above_zero,
            r#"a duration above zero, such as "30m""#;
    }
    /// The database and the queue in front of it.
    store: StoreConfig {
        /// Directory of the database; "" takes systemd's state directory or the user's data directory.
        data_dir: Option<PathBuf> = None, check::any,
            r#"a path, such as "/var/lib/waldo-syncd""#;
        /// Webhooks that may wait to be written; past that the answer is 503.
        queue_events: usize = 10_000, check::at_least_one,
            "a whole number above zero, such as 10000";
        /// Bytes of webhooks that may wait to be written.
        queue_bytes: ByteSize = ByteSize::mib(64), check::some_bytes,
            r#"a size above zero, such as "64 MiB""#;
        /// Events that may be stored but not yet visible; past that the answer is 503.
        max_lag: u64 = 100_000, check::at_least_one,
            "a whole number above zero, such as 100000";
    }
    /// How long payloads are kept.
    retention: RetentionConfig {
        /// Age past which payloads are dropped; "" keeps them for ever.
        payloads: Option<Duration> = None, check::above_zero,
            r#"a duration above zero, such as "365d", or "" to keep them for ever"#;
        /// How often old payloads are looked for.
        every: Duration = seconds(DAY), check::above_zero,
            r#"a duration above zero, such as "1d""#;
    }
    /// Backups made by the daemon itself.
    backup: BackupConfig {
        /// Directory for backups.
        dir: Option<PathBuf> = None, check::any,
            r#"a path, such as "/var/backups/waldo-syncd""#;
        /// How often a backup is made; "" makes none by itself.
        every: Option<Duration> = None, check::above_zero,
            r#"a duration above zero, such as "1d", or "" for none"#;
        /// Newest backups that are kept; older ones are removed.
        keep: u32 = 7, check::at_least_one,
            "a whole number above zero, such as 7";
    }
    /// Limits of every listener.
    limits: LimitsConfig {
        /// Connections at the same time on each listener.
        max_connections: usize = 1024, check::up_to::<65_536>,
            "a whole number from 1 to 65536, such as 1024";
        /// Time to send the head of a request; the first one of a connection has it from the accept on.
        head_timeout: Duration = seconds(10), check::above_zero,
            r#"a duration above zero, such as "10s""#;
        /// Time to send the body of a request.
        body_timeout: Duration = seconds(10), check::above_zero,
            r#"a duration above zero, such as "10s""#;
        /// Time a connection may stay open between two requests.
        idle_timeout: Duration = seconds(30), check::above_zero,
            r#"a duration above zero, such as "30s""#;
        /// Time a client may leave an answer unread.
        write_timeout: Duration = seconds(30), check::above_zero,
            r#"a duration above zero, such as "30s""#;
        /// Time that answers in flight get at a stop.
        drain_timeout: Duration = seconds(5), check::above_zero,
            r#"a duration above zero, such as "5s""#;
        /// Largest request head that is taken.
        max_head_bytes: ByteSize = ByteSize::kib(16), check::head_size,
            r#"a size from 8 KiB to 1 MiB, such as "16 KiB""#;
        /// Header fields a request may have.
        max_head_fields: usize = 64, check::up_to::<1_000>,
            "a whole number from 1 to 1000, such as 64";
    }
    /// The daemon's own log.
    log: LogConfig {
        /// Least level that is logged.
        level: String = "info".to_owned(), check::log_level,
            r#"one of "off", "error", "warn", "info", "debug" and "trace""#;
        /// How lines are written; "" picks by where they go.
        format: Option<LogFormat> = None, check::any,
            r#"one of "text", "json" and "journal", or "" to pick by where the lines go"#;
    }
}
