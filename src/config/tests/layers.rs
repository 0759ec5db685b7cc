use super::*;

#[test]
fn defaults_are_those_that_are_promised() {
    let config = load(None, &Environment::default(), &[]).unwrap().config;
    assert_eq!(config, Config::default());
    let shown: BTreeMap<String, String> = KEYS
        .iter()
        .map(|key| {
            (
                key.dotted(),
                key.value(&config)
                    .map(|v| v.to_string())
                    .unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("ingest.listen", "\"127.0.0.1:7311\""),
        ("ingest.secret", ""),
        ("ingest.secrets_accepted", "[]"),
        ("ingest.max_body", "\"1 MiB\""),
        ("query.listen", "\"127.0.0.1:7312\""),
        ("query.socket_mode", "\"0660\""),
        ("control.path", ""),
        ("gateway.listen", ""),
        ("waldo.api_url", "\"https://api.waldo.ai\""),
        ("waldo.poll_concurrency", "2"),
        ("requests.deadline", "\"15m\""),
        ("requests.give_up_after", "\"7d\""),
        ("requests.silence_after", "\"30m\""),
        ("store.queue_events", "10000"),
        ("store.queue_bytes", "\"64 MiB\""),
        ("store.max_lag", "100000"),
        ("retention.payloads", ""),
        ("retention.every", "\"1d\""),
        ("backup.keep", "7"),
        ("limits.max_connections", "1024"),
        ("limits.head_timeout", "\"10s\""),
        ("limits.body_timeout", "\"10s\""),
        ("limits.idle_timeout", "\"30s\""),
        ("limits.write_timeout", "\"30s\""),
        ("limits.drain_timeout", "\"5s\""),
        ("limits.max_head_bytes", "\"16 KiB\""),
        ("limits.max_head_fields", "64"),
        ("log.level", "\"info\""),
        ("log.format", ""),
    ];
    for (key, value) in expected {
        assert_eq!(shown[key], value, "{key}");
    }
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let folder = Folder::new(
        "[ingest]\nlisten = \"a:1\"\n[query]\nlisten = \"a:2\"\n[log]\nlevel = \"warn\"\n",
    );
    let environment = variables(&[
        ("WALDO_SYNCD_QUERY__LISTEN", "b:2"),
        ("WALDO_SYNCD_LOG__LEVEL", "debug"),
    ]);
    let flags = [
        ("log.level", "error".to_owned()),
        ("log.level", "trace".to_owned()),
    ];
    let loaded = load(Some(&folder.path("config.toml")), &environment, &flags).unwrap();
    assert_eq!(loaded.config.ingest.listen, "a:1");
    assert_eq!(loaded.config.query.listen, "b:2");
    assert_eq!(loaded.config.log.level, "trace");
    assert_eq!(
        loaded.origin("ingest.listen"),
        Some(Origin::File { line: 2 })
    );
    assert_eq!(loaded.origin("query.listen"), Some(Origin::Environment));
    assert_eq!(loaded.origin("log.level"), Some(Origin::Flag));
    assert_eq!(loaded.origin("log.format"), Some(Origin::Default));
    assert_eq!(loaded.origin("no.such"), None);
}

#[test]
fn every_key_can_come_from_a_variable_of_its_name() {
    for key in KEYS {
        let name = key.variable();
        assert_eq!(
            name,
            format!("WALDO_SYNCD_{}", key.dotted().replace('.', "__")).to_uppercase()
        );
        // No value is good for every key; that the key answers shows that the name is known.
        match load(None, &variables(&[(&name, "\u{1}")]), &[]) {
            Ok(loaded) => assert_eq!(loaded.origin(&key.dotted()), Some(Origin::Environment)),
            Err(error) => assert!(!error.to_string().contains("unknown"), "{error}"),
        }
    }
}

#[test]
fn missing_explicit_file_is_an_error() {
    let error = load(
        Some(Path::new("/no/such.toml")),
        &Environment::default(),
        &[],
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the configuration file /no/such.toml: "),
        "{error}"
    );
}

#[test]
fn relative_paths_start_at_the_file_or_the_current_directory() {
    let folder = Folder::new("[store]\ndata_dir = \"./data\"\n[backup]\ndir = \"/abs/b\"\n");
    let mut environment = variables(&[("WALDO_SYNCD_QUERY__SOCKET", "q.sock")]);
    environment.current_dir = PathBuf::from("/here");
    let flags = [("control.path", "../c.sock".to_owned())];
    let config = load(Some(&folder.path("config.toml")), &environment, &flags)
        .unwrap()
        .config;
    assert_eq!(config.store.data_dir, Some(folder.path("data")));
    assert_eq!(config.backup.dir, Some(PathBuf::from("/abs/b")));
    assert_eq!(config.query.socket, Some(PathBuf::from("/here/q.sock")));
    assert_eq!(config.control.path, Some(PathBuf::from("/here/../c.sock")));
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let cases = [
        (
            "\n[ingest]\nlisen = \"127.0.0.1:0\"\n",
            "unknown key \"lisen\" in section [ingest] of FILE, line 3: did you mean \"listen\"?",
        ),
        (
            "[ingets]\n",
            "unknown section [ingets] in FILE, line 1: did you mean [ingest]?",
        ),
        (
            "[ingest]\napi_url = \"x\"\n",
            "unknown key \"api_url\" in section [ingest] of FILE, line 2: did you mean \"api_url\" in section [waldo]?",
        ),
        (
            "[gateway]\nzzz = 1\n",
            "unknown key \"zzz\" in section [gateway] of FILE, line 2: known keys there are listen",
        ),
        (
            "max_body = 1\n",
            "key \"max_body\" stands outside of any section in FILE, line 1: did you mean \"max_body\" in section [ingest]?",
        ),
        (
            "listen = 1\n",
            "key \"listen\" stands outside of any section in FILE, line 1: did you mean \"listen\" in section [ingest] or [query] or [gateway]?",
        ),
        (
            "ingest_listen = 1\n",
            "key \"ingest_listen\" stands outside of any section in FILE, line 1: did you mean \"listen\" in section [ingest]?",
        ),
        (
            "log = 1\n",
            "section [log] of FILE, line 1, is not a section: write [log] and its keys below",
        ),
        (
            "[[log]]\n",
            "section [log] of FILE, line 1, is not a section: write [log] and its keys below",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(complaint(config), expected);
    }
    let unlike = complaint("zzz = 1\n");
    assert!(
        unlike.contains("the nearest key is \"") && unlike.contains("\" in section ["),
        "{unlike}"
    );
    assert!(complaint("[xyz]\n").contains("known sections are ingest, query, control"));
}

#[test]
fn unknown_variables_are_refused_and_others_left_alone() {
    let error = load(None, &variables(&[("WALDO_SYNCD_INGEST__LISEN", "x")]), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown variable WALDO_SYNCD_INGEST__LISEN in the environment: did you mean WALDO_SYNCD_INGEST__LISTEN?"
    );
    let others = variables(&[
        ("WALDO_SYNCD_NOTE", "x"),
        ("PATH__X", "y"),
        ("WALDO__SYNCD", "z"),
    ]);
    assert_eq!(load(None, &others, &[]).unwrap().config, Config::default());
    let error = from_flags(&[("ingest.lisen", "x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown key \"ingest.lisen\" on the command line: did you mean ingest.listen?"
    );
}

#[test]
fn bad_values_say_what_where_and_what_is_expected() {
    assert_eq!(
        complaint("[ingest]\n\nlisten = 7311\n"),
        "bad value 7311 for \"listen\" in section [ingest] of FILE, line 3: \
         expected an address as host:port, such as \"127.0.0.1:7311\" or \"[::1]:7311\""
    );
    let error = load(
        None,
        &variables(&[("WALDO_SYNCD_REQUESTS__DEADLINE", "soon")]),
        &[],
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "bad value \"soon\" for the variable WALDO_SYNCD_REQUESTS__DEADLINE: \
         expected a duration above zero, such as \"15m\""
    );
    let error = from_flags(&[("query.listen", "x")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("bad value \"x\" for query.listen on the command line: "),
        "{error}"
    );
    let long = complaint(&format!("[log]\nlevel = \"{}\u{7f}\n\"", "é".repeat(80)));
    assert!(!long.contains('\u{7f}'), "{long}");
}

#[test]
fn all_problems_are_told_at_once() {
    let folder = Folder::new(
        "[ingest]\nlisen = 1\nmax_body = \"1 byte\"\n[nope]\n[query]\nlisten = \"\"\nhosts = [\"a b\"]\n",
    );
    let environment = variables(&[("WALDO_SYNCD_X__Y", "1")]);
    let error = load(
        Some(&folder.path("config.toml")),
        &environment,
        &[("log.level", "loud".to_owned())],
    );
    let error = error.unwrap_err();
    assert_eq!(error.problems().len(), 7, "{error}");
    assert_eq!(error.to_string().lines().count(), 7);
    let errors = complaint("[log]\nlevel = \nformat = \n");
    assert!(
        errors.contains("bad TOML in FILE, line 2: ") && errors.contains("line 3: "),
        "{errors}"
    );
}

#[test]
fn errors_never_repeat_a_secret() {
    let canary = "canary-5f2c91";
    let cases = [
        format!("[ingest]\nsecret = {canary:?} x\n"),
        format!("[ingest]\nsecret = {canary}\n"),
        format!("[ingest]\nsecret = {canary:?}\nlisen = 1\n"),
        format!("[ingest]\nsecret = [{canary:?}]\n"),
        format!("[ingest]\nsecrets_accepted = {canary:?}\n"),
        format!("[ingest]\nsecert = {canary:?}\n"),
        format!("[waldo]\napi_url = \"https://user:{canary}@api.waldo.ai\"\n"),
        format!("[waldo]\napi_key = {canary:?}\napi_key = {canary:?}\n"),
    ];
    for config in cases {
        let folder = Folder::new(&config);
        let error = folder.load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains(canary), "{error:?}");
    }
    let environment = variables(&[("WALDO_SYNCD_INGEST__SECRET", canary)]);
    let error = load(None, &environment, &[]).unwrap_err();
    assert!(!format!("{error:?} {environment:?}").contains(canary));
}

#[test]
fn keys_that_exclude_or_need_each_other_are_checked() {
    let secret = "secret = \"0123456789abcdef\"";
    let cases = [
        (
            format!("[ingest]\n{secret}\nsecret_file = \"s\"\n"),
            "ingest.secret (file, line 2) and ingest.secret_file (file, line 3) are both set: keep one of them",
        ),
        (
            "[waldo]\napi_key = \"k\"\napi_key_file = \"k\"\n".to_owned(),
            "waldo.api_key (file, line 2) and waldo.api_key_file (file, line 3) are both set: keep one of them",
        ),
        (
            "[ingest]\nhmac_header = \"X-Sig\"\n".to_owned(),
            "ingest.hmac_header (file, line 2) is set without ingest.hmac_key_file: set both or neither",
        ),
        (
            "[ingest]\nhmac_key_file = \"k\"\n".to_owned(),
            "ingest.hmac_key_file (file, line 2) is set without ingest.hmac_header: set both or neither",
        ),
        (
            "[query]\nlisten = \"\"\n".to_owned(),
            "query.listen (file, line 2) is empty and query.socket is not set: \
             apps could not read at all; set one of them",
        ),
        (
            "[backup]\nevery = \"1d\"\n".to_owned(),
            "backup.every (file, line 2) is set without backup.dir: say where backups go",
        ),
        (
            "[store]\nqueue_bytes = \"64 KiB\"\n".to_owned(),
            "store.queue_bytes (file, line 2) is 64 KiB but ingest.max_body is 1 MiB: the queue must hold one body",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(complaint(&config), expected);
    }
    let good = "[query]\nlisten = \"\"\nsocket = \"/q\"\n[ingest]\nhmac_header = \"X-Sig\"\nhmac_key_file = \"k\"\n";
    assert!(Folder::new(good).load().is_ok());
}

#[test]
fn higher_layer_can_unset_what_a_lower_one_set() {
    let folder = Folder::new("[ingest]\nsecret_file = \"s\"\n");
    let environment = variables(&[
        ("WALDO_SYNCD_INGEST__SECRET_FILE", ""),
        ("WALDO_SYNCD_INGEST__SECRET", "0123456789abcdef"),
    ]);
    let loaded = load(Some(&folder.path("config.toml")), &environment, &[]).unwrap();
    assert_eq!(loaded.config.ingest.secret_file, None);
    assert_eq!(
        loaded.config.ingest.secret.unwrap().expose(),
        "0123456789abcdef"
    );
}

#[test]
fn nothing_is_expanded() {
    let folder = Folder::new("[ingest]\nsecret_file = \"${HOME}/~/s\"\n");
    let environment = variables(&[("HOME", "/home/x")]);
    let config = load(Some(&folder.path("config.toml")), &environment, &[])
        .unwrap()
        .config;
    assert_eq!(config.ingest.secret_file, Some(folder.path("${HOME}/~/s")));
}

proptest::proptest! {
    #[test]
    fn any_text_is_loaded_or_refused(
        section in "[a-z]{1,8}|ingest|query|waldo|store",
        key in "[a-z_]{1,8}|listen|max_body|hosts|api_url|queue_bytes",
        value in "\\PC{0,20}|\"\\PC{0,20}\"|\\[\\PC{0,8}\\]|-?[0-9_]{1,24}|\"[0-9]{1,24} ?[a-zA-Z]{0,4}\"",
        junk in "\\PC{0,20}",
    ) {
        for text in [format!("[{section}]\n{key} = {value}\n"), format!("{junk}\n[{section}]\n{junk}"), junk] {
            if let Ok(loaded) = load_text(Path::new("/f"), &text) {
                let again = load_text(Path::new("/f"), &show(&loaded));
                proptest::prop_assert_eq!(again.unwrap().config, loaded.config);
            }
        }
    }
}
