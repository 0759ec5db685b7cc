use super::*;

#[test]
fn show_reads_back_and_tells_origins_without_secrets() {
    let folder = Folder::new(
        "[ingest]\nsecrets_accepted = [\"canary-0123456789\"]\nallow_from = [\"10.1.2.3/8\"]\n\
         [retention]\npayloads = \"365d\"\n[store]\ndata_dir = \"da'ta \\\"x\\\"\"\n[log]\nformat = \"json\"\n",
    );
    let environment = variables(&[("WALDO_SYNCD_QUERY__HOSTS", "A.example, b.example")]);
    let flags = [("ingest.listen", "127.0.0.1:0".to_owned())];
    let loaded = load(Some(&folder.path("config.toml")), &environment, &flags).unwrap();
    let text = show(&loaded);
    assert!(text.starts_with(&format!(
        "# file: {}\n",
        folder.path("config.toml").display()
    )));
    for line in [
        "listen = \"127.0.0.1:0\" # flag",
        "listen = \"127.0.0.1:7312\" # default",
        "secrets_accepted = [\"[redacted]\"] # file",
        "hosts = [\"a.example\", \"b.example\"] # environment",
        "payloads = \"365d\" # file",
        "allow_from = [\"10.0.0.0/8\"] # file",
        "secret = \"\" # default",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let json = show_json(&loaded);
    assert_eq!(json.len(), KEYS.len());
    assert_eq!(json[0]["key"], "ingest.listen");
    assert_eq!(json[0]["value"], "127.0.0.1:0");
    assert_eq!(json[0]["origin"], "flag");
    assert_eq!(json[1]["value"], serde_json::Value::Null);
    assert_eq!(json[3]["line"], 2);
    assert!(!text.contains("canary") && !serde_json::to_string(&json).unwrap().contains("canary"));
    assert!(!format!("{loaded:?}").contains("canary"));

    let again = Folder::new(&text.replace("[\"[redacted]\"]", "[\"canary-0123456789\"]"));
    assert_eq!(again.load().unwrap().config, loaded.config);
}

#[test]
fn template_fills_in_the_secret_file() {
    let path = Path::new("/etc/it's \"here\"/webhook-secret");
    let folder = Folder::new(&template(path));
    let config = folder.load().unwrap().config;
    assert_eq!(config.ingest.secret_file.as_deref(), Some(path));
    let mut rest = config;
    rest.ingest.secret_file = None;
    assert_eq!(rest, Config::default());
}

#[test]
fn table_is_well_formed() {
    let names: std::collections::BTreeSet<String> = KEYS.iter().map(Key::dotted).collect();
    assert_eq!(names.len(), KEYS.len());
    for key in KEYS {
        assert!(
            !key.help.is_empty() && key.help.ends_with('.') && !key.help.contains('\n'),
            "{}",
            key.dotted()
        );
        assert!(
            !key.expects.is_empty() && !key.expects.ends_with('.'),
            "{}",
            key.dotted()
        );
    }
    let secret: Vec<_> = KEYS
        .iter()
        .filter(|key| key.secret)
        .map(Key::dotted)
        .collect();
    assert_eq!(
        secret,
        [
            "ingest.secret",
            "ingest.secrets_accepted",
            "waldo.api_key",
            "waldo.client_secret"
        ]
    );
}
