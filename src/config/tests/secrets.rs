use super::*;

const GOOD: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

fn exposed(secrets: &WebhookSecrets) -> Vec<&str> {
    secrets.all().map(Secret::expose).collect()
}

fn webhook(
    ingest: &IngestConfig,
    environment: &Environment,
    data_dir: &Path,
) -> Option<WebhookSecrets> {
    ingest
        .webhook_secrets(environment, data_dir, &mut Vec::new())
        .unwrap()
}

#[test]
fn secret_is_never_printed() {
    let secret = Secret::new(" canary ").unwrap();
    assert_eq!(secret.expose(), "canary");
    assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
    assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[redacted]\"");
    assert_eq!(secret, Secret::new("canary").unwrap());
    assert_ne!(secret, Secret::new("canary2").unwrap());
    for text in ["", "  ", "a\nb", "a\0b"] {
        assert!(Secret::new(text).is_none(), "{text:?}");
    }
}

#[test]
fn short_webhook_secret_in_the_configuration_is_refused() {
    for config in [
        "[ingest]\nsecret = \"short\"\n",
        "[ingest]\nsecrets_accepted = [\"short\"]\n",
    ] {
        let text = complaint(config);
        assert!(
            text.contains("16 characters") && text.contains("`waldo-syncd "),
            "{text}"
        );
        assert!(!text.contains("short\""), "{text}");
    }
    // Waldo gives its own out: their length is not ours to judge.
    assert!(
        Folder::new("[waldo]\napi_key = \"k\"\nclient_secret = \"s\"\n")
            .load()
            .is_ok()
    );
}

#[test]
fn webhook_secret_file_may_hold_several_lines() {
    let folder = Folder::new("");
    let file = folder.write(
        "s",
        &format!("\u{feff}# old and new\r\n\r\n  {GOOD}  \r\n# x\n{OTHER}\n{GOOD}\n"),
    );
    let ingest = IngestConfig {
        secret_file: Some(file),
        secrets_accepted: vec![
            Secret::new(OTHER).unwrap(),
            Secret::new("third-secret-0123").unwrap(),
        ],
        ..IngestConfig::default()
    };
    let secrets = webhook(&ingest, &Environment::default(), folder.dir.path()).unwrap();
    assert_eq!(exposed(&secrets), [GOOD, OTHER, "third-secret-0123"]);
}

#[test]
fn webhook_secret_is_looked_for_in_order() {
    let folder = Folder::new("");
    let data = folder.dir.path();
    let mut ingest = IngestConfig::default();
    let none = Environment::default();
    assert_eq!(webhook(&ingest, &none, data), None);
    assert_eq!(
        ingest.webhook_secret_file(&none, data),
        Some(folder.path("webhook-secret"))
    );

    folder.write("webhook-secret", "in-the-data-directory");
    assert_eq!(
        exposed(&webhook(&ingest, &none, data).unwrap()),
        ["in-the-data-directory"]
    );

    std::fs::create_dir(folder.path("credentials")).unwrap();
    let credentials = variables(&[(
        "CREDENTIALS_DIRECTORY",
        folder.path("credentials").to_str().unwrap(),
    )]);
    assert_eq!(
        exposed(&webhook(&ingest, &credentials, data).unwrap()),
        ["in-the-data-directory"]
    );
    let credential = folder.write("credentials/webhook-secret", "a-systemd-credential");
    assert_eq!(
        exposed(&webhook(&ingest, &credentials, data).unwrap()),
        ["a-systemd-credential"]
    );
    assert_eq!(
        ingest.webhook_secret_file(&credentials, data),
        Some(credential.clone())
    );

    ingest.secret_file = Some(folder.write("s", "the-configured-file"));
    assert_eq!(
        exposed(&webhook(&ingest, &credentials, data).unwrap()),
        ["the-configured-file"]
    );

    ingest.secret_file = None;
    ingest.secret = Secret::new("in-the-configuration");
    assert_eq!(
        exposed(&webhook(&ingest, &credentials, data).unwrap()),
        ["in-the-configuration"]
    );
    assert_eq!(ingest.webhook_secret_file(&credentials, data), None);

    // systemd may show its credentials as readable by a group.
    set_mode(&credential, 0o440);
    let mut warnings = Vec::new();
    IngestConfig::default()
        .webhook_secrets(&credentials, data, &mut warnings)
        .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn bad_secret_files_are_refused_with_path_and_reason() {
    let folder = Folder::new("");
    let cases = [
        (
            "",
            "the secret file FILE is empty: `waldo-syncd init` makes a good webhook secret",
        ),
        (
            "\n# only a comment\n",
            "the secret file FILE is empty: `waldo-syncd init` makes a good webhook secret",
        ),
        (
            "0123456789abcde",
            "the secret file FILE holds a secret of fewer than 16 characters, which can be guessed: \
             `waldo-syncd init` makes a good one",
        ),
        (
            "0123456789abcdef\nshort\n",
            "the secret file FILE holds a secret of fewer than 16 characters, which can be guessed: \
             `waldo-syncd init` makes a good one",
        ),
        (
            "0123456789\0abcdef",
            "the secret file FILE holds control characters: write one secret a line, as text",
        ),
        (
            &"x".repeat(65 * 1024),
            "cannot read the secret file FILE: larger than 65536 bytes",
        ),
    ];
    for (text, expected) in cases {
        let file = folder.write("s", text);
        let ingest = IngestConfig {
            secret_file: Some(file.clone()),
            ..IngestConfig::default()
        };
        let error =
            ingest.webhook_secrets(&Environment::default(), Path::new("/d"), &mut Vec::new());
        let error = error
            .unwrap_err()
            .to_string()
            .replace(file.to_str().unwrap(), "FILE");
        assert_eq!(error, format!("ingest.secret_file: {expected}"));
    }
    std::fs::write(folder.path("s"), [0xff, 0xfe, 0x30]).unwrap();
    for path in [
        folder.path("s"),
        folder.path("missing"),
        folder.dir.path().to_owned(),
    ] {
        let ingest = IngestConfig {
            secret_file: Some(path.clone()),
            ..IngestConfig::default()
        };
        let error =
            ingest.webhook_secrets(&Environment::default(), Path::new("/d"), &mut Vec::new());
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!(
                "ingest.secret_file: cannot read the secret file {}: ",
                path.display()
            )),
            "{text}"
        );
    }
}

#[test]
fn secret_files_that_others_may_read_bring_a_warning() {
    let folder = Folder::new("");
    let path = folder.write("s", GOOD);
    for (mode, count) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o644, 1)] {
        set_mode(&path, mode);
        let mut warnings = Vec::new();
        read_secret_file(&path, &Environment::default(), &mut warnings).unwrap();
        assert_eq!(warnings.len(), count, "{mode:o} {warnings:?}");
        assert!(!warnings.iter().any(|warning| warning.contains(GOOD)));
    }
    let mut warnings = Vec::new();
    read_secret_file(&path, &Environment::default(), &mut warnings).unwrap();
    let shown = path.display();
    let expected = format!(
        "{shown} holds a secret and is readable by group or others (mode 0644): chmod 600 {shown}"
    );
    assert_eq!(warnings, [expected]);
}

#[test]
fn open_configuration_file_with_a_secret_in_it_brings_a_warning() {
    for (config, count) in [
        (format!("[ingest]\nsecret = \"{GOOD}\"\n"), 1),
        ("[ingest]\n".to_owned(), 0),
    ] {
        let folder = Folder::new(&config);
        assert_eq!(folder.load().unwrap().warnings.len(), 0);
        set_mode(&folder.path("config.toml"), 0o644);
        assert_eq!(folder.load().unwrap().warnings.len(), count);
    }
}

#[test]
fn hmac_key_and_token_come_from_file_or_credential() {
    let folder = Folder::new("");
    let at = folder.dir.path().to_str().unwrap().to_owned();
    let credentials = variables(&[("CREDENTIALS_DIRECTORY", &at)]);
    let mut warnings = Vec::new();
    let mut ingest = IngestConfig::default();
    let mut query = QueryConfig::default();
    assert_eq!(query.token(&credentials, &mut warnings).unwrap(), None);

    folder.write("hmac-key", GOOD);
    folder.write("query-token", OTHER);
    assert_eq!(
        query
            .token(&credentials, &mut warnings)
            .unwrap()
            .unwrap()
            .expose(),
        OTHER
    );
    query.token_file = Some(folder.write("token", "token-of-the-file"));
    assert_eq!(
        query
            .token(&credentials, &mut warnings)
            .unwrap()
            .unwrap()
            .expose(),
        "token-of-the-file"
    );

    // Without a header to look at there is nothing to check, which is worth a word.
    assert_eq!(ingest.hmac_key(&credentials, &mut warnings).unwrap(), None);
    assert_eq!(load(None, &credentials, &[]).unwrap().warnings.len(), 1);
    let header = [("ingest.hmac_header", "X-Signature".to_owned())];
    ingest = load(None, &credentials, &header).unwrap().config.ingest;
    assert_eq!(
        ingest
            .hmac_key(&credentials, &mut warnings)
            .unwrap()
            .unwrap()
            .expose(),
        GOOD
    );
    folder.write("hmac-key", "short");
    assert!(matches!(
        ingest.hmac_key(&credentials, &mut warnings),
        Err(ConfigError::SecretShort { .. })
    ));
    folder.write("hmac-key", &format!("{GOOD}\n{OTHER}\n"));
    let many = ingest.hmac_key(&credentials, &mut warnings);
    assert!(matches!(
        many,
        Err(ConfigError::SecretMany { count: 2, .. })
    ));
}

#[test]
fn waldo_credentials_come_together_or_not_at_all() {
    let folder = Folder::new("");
    let none = Environment::default();
    let mut warnings = Vec::new();
    let mut waldo = WaldoConfig::default();
    assert_eq!(waldo.credentials(&none, &mut warnings).unwrap(), None);
    waldo.api_key = Secret::new("key");
    let error = waldo
        .credentials(&none, &mut warnings)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "waldo.api_key is configured but waldo.client_secret is not: Waldo's login needs both"
    );
    waldo.client_secret_file = Some(folder.write("cs", "secret\n"));
    let found = waldo.credentials(&none, &mut warnings).unwrap().unwrap();
    assert_eq!(
        (found.api_key.expose(), found.client_secret.expose()),
        ("key", "secret")
    );

    folder.write("waldo-api-key", "k2");
    let at = folder.dir.path().to_str().unwrap().to_owned();
    let credentials = variables(&[("CREDENTIALS_DIRECTORY", &at)]);
    let error = WaldoConfig::default().credentials(&credentials, &mut warnings);
    assert!(matches!(
        error,
        Err(ConfigError::HalfCredentials { has: "api_key", .. })
    ));
    folder.write("waldo-client-secret", "s2");
    let found = WaldoConfig::default()
        .credentials(&credentials, &mut warnings)
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.api_key.expose(), found.client_secret.expose()),
        ("k2", "s2")
    );
    assert_eq!(warnings, Vec::<String>::new());
}
