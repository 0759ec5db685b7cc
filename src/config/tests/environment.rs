use super::*;

#[test]
fn file_is_searched_in_order() {
    let folder = Folder::new("");
    let user = folder.path("user");
    std::fs::create_dir(&user).unwrap();
    let mut environment = Environment {
        system_config: Some(folder.path("system.toml")),
        user_config_dir: Some(user.clone()),
        current_dir: folder.dir.path().to_owned(),
        ..Environment::default()
    };
    assert_eq!(environment.config_file(None).unwrap(), None);
    let in_home = folder.write("user/config.toml", "");
    assert_eq!(environment.config_file(None).unwrap(), Some(in_home));
    let system = folder.write("system.toml", "");
    assert_eq!(environment.config_file(None).unwrap(), Some(system.clone()));
    let explicit = environment
        .config_file(Some(Path::new("config.toml")))
        .unwrap();
    assert_eq!(explicit, Some(folder.path("config.toml")));
    // Something that is no folder on the way is an answer other than "not there" or "there".
    environment.system_config = Some(system.join("x\0"));
    assert!(matches!(
        environment.config_file(None),
        Err(ConfigError::Unreadable { .. })
    ));
}

#[test]
fn directories_follow_systemd_then_the_user() {
    let mut environment = variables(&[]);
    let mut store = StoreConfig::default();
    assert!(matches!(
        environment.data_dir(&store),
        Err(ConfigError::NoDataDir)
    ));
    let data = Path::new("/data");
    assert_eq!(environment.runtime_dir(data), data);
    environment.user_data_dir = Some(PathBuf::from("/home/x/.local/share/waldo-syncd"));
    environment.user_runtime_dir = Some(PathBuf::from("/run/user/1/waldo-syncd"));
    assert_eq!(
        environment.data_dir(&store).unwrap(),
        Path::new("/home/x/.local/share/waldo-syncd")
    );
    // The user's runtime directory goes with the user's own data directory, and with no other.
    let users_own = Path::new("/home/x/.local/share/waldo-syncd");
    assert_eq!(
        environment.runtime_dir(users_own),
        Path::new("/run/user/1/waldo-syncd")
    );
    assert_eq!(environment.runtime_dir(data), data);
    for (name, value) in [
        ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
        ("RUNTIME_DIRECTORY", "/run/a:/run/b"),
    ] {
        environment
            .variables
            .insert(name.to_owned(), value.to_owned());
    }
    assert_eq!(
        environment.data_dir(&store).unwrap(),
        Path::new("/var/lib/a")
    );
    assert_eq!(environment.runtime_dir(data), Path::new("/run/a"));
    let mut control = ControlConfig::default();
    assert_eq!(
        environment.control_path(&control, data),
        Path::new("/run/a/control.sock")
    );
    store.data_dir = Some(PathBuf::from("/mine"));
    control.path = Some(PathBuf::from("/mine/c"));
    assert_eq!(environment.data_dir(&store).unwrap(), Path::new("/mine"));
    assert_eq!(
        environment.control_path(&control, data),
        Path::new("/mine/c")
    );
}

#[test]
fn process_environment_is_captured() {
    let environment = Environment::from_process();
    assert!(environment.current_dir.is_absolute());
    assert_eq!(
        environment.system_config.as_deref(),
        Some(Path::new("/etc/waldo-syncd/config.toml"))
    );
    assert_eq!(environment.variables.get("PATH").cloned(), process_path());
    if let Some(dir) = environment.user_data_dir {
        assert!(dir.ends_with("waldo-syncd"));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what was captured is compared with what is there"
)]
fn process_path() -> Option<String> {
    std::env::var("PATH").ok()
}
