//! Whole configurations: files, variables and what comes of them together.

use std::time::Duration;

use super::{Config, Given, Loaded, Purpose, load};

/// Loads `text` as the file `slotway.toml`, whose folder is left out of the problems.
fn with_file(
    text: impl AsRef<[u8]>,
    environment: &[(&str, &str)],
    purpose: Purpose,
) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slotway.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
    let given = Given { file: Some(path), environment, flags: Vec::new() };
    let prefix = format!("{}/", folder.path().display());
    load(&given, purpose).map_err(|error| error.to_string().replace(&prefix, ""))
}

#[test]
fn a_file_may_set_everything() {
    let loaded = with_file(
        r#"
        workers = 2
        [topology]
        seeds = ["redis-1:6379", "redis-2"]
        username = "gateway"
        password = "node-secret"
        refresh_interval = "2s"
        [[listener]]
        bind = "0.0.0.0:7010"
        [[listener]]
        bind = "[::1]:7011"
        password = "client-secret"
        [admin]
        bind = "off"
        [limits]
        clients_max = 5
        bulk_bytes_max = "1mb"
        request_bytes_max = 2_097_152
        redirects_max = 0x10
        [timeouts]
        idle = "1m"
        failover_wait = 0
        [routing]
        cross_slot = "refuse"
        [log]
        level = "debug"
        format = "json"
        "#,
        &[],
        Purpose::Cluster,
    )
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.workers, 2);
    assert_eq!(config.topology.seeds[1].to_string(), "redis-2:6379");
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[0].password, None);
    assert_eq!(config.listeners[1].password.as_ref().unwrap().expose(), "client-secret");
    assert_eq!(config.admin.bind, None);
    assert_eq!((config.limits.bulk_bytes_max, config.limits.redirects_max), (1 << 20, 16));
    assert_eq!(config.limits.request_bytes_max, 2 << 20);
    assert_eq!(config.timeouts.idle, Some(Duration::from_secs(60)));
    assert_eq!(config.timeouts.failover_wait, Duration::ZERO);
    assert_eq!(config.timeouts.connect, Duration::from_secs(1));
    let shown = format!("{config:?}{}", loaded.report());
    assert!(!shown.contains("-secret"), "{shown}");
}

/// A file, and all that is said of it.
const BAD_FILES: &[(&str, &str)] = &[
    (
        "wokers = 1",
        "slotway.toml:1: unknown key \"wokers\" at the top of the file: did you mean \"workers\"?",
    ),
    (
        "\n[limit]\n",
        "slotway.toml:2: unknown key \"limit\" at the top of the file: did you mean \"limits\"?",
    ),
    (
        "[limits]\nclient_max = 3",
        "slotway.toml:2: unknown key \"client_max\" in [limits]: did you mean \"clients_max\"?",
    ),
    (
        "[limits]\nidle = \"1s\"",
        "slotway.toml:2: unknown key \"idle\" in [limits]: it belongs in [timeouts]",
    ),
    (
        "[log]\nworkers = 1",
        "slotway.toml:2: unknown key \"workers\" in [log]: it belongs at the top of the file, above the first table",
    ),
    (
        "[log]\ncolour = 1",
        "slotway.toml:2: unknown key \"colour\" in [log]: there are level, format",
    ),
    (
        "[listener]\nbind = \"127.0.0.1:1\"",
        "slotway.toml:1: a listener is a table of its own; write [[listener]] above its keys",
    ),
    ("log = \"info\"", "slotway.toml:1: \"log\" is a table; write [log]"),
    ("workers = 1025", "slotway.toml:1: workers = \"1025\": must be at most 1024"),
    ("workers = -1", "slotway.toml:1: workers = \"-1\": not a whole number, at least 0 is needed"),
    ("workers = true", "slotway.toml:1: workers: a boolean is no number"),
    ("workers = 1.5", "slotway.toml:1: workers: a float is no number"),
    ("workers = [1]", "slotway.toml:1: workers: an array is no number"),
    ("[limits]\nclients_max = 0", "slotway.toml:2: limits.clients_max = \"0\": must be at least 1"),
    (
        "[limits]\n\nbulk_bytes_max = \"lots\"",
        "slotway.toml:3: limits.bulk_bytes_max = \"lots\": not a size; write bytes or a unit of redis.conf, for example \"64kb\" or \"512mb\"",
    ),
    (
        "[limits]\nrequest_bytes_max = \"3gb\"",
        "slotway.toml:2: limits.request_bytes_max = \"3gb\": must be at most 2gb",
    ),
    (
        "[limits]\ninline_bytes_max = \"3gb\"",
        "slotway.toml:2: limits.inline_bytes_max (3gb) is larger than limits.request_bytes_max (1gb), of which it is a part",
    ),
    (
        "[limits]\nrequest_bytes_max = \"256mb\"",
        "slotway.toml:2: limits.bulk_bytes_max (512mb) is larger than limits.request_bytes_max (256mb), of which it is a part",
    ),
    (
        "[timeouts]\nconnect = 5",
        "slotway.toml:2: timeouts.connect = \"5\": a duration needs a unit; write \"5s\" or \"5ms\"",
    ),
    (
        "[timeouts]\nconnect = 0",
        "slotway.toml:2: timeouts.connect = \"0\": must be at least \"1ms\"",
    ),
    (
        "[timeouts]\ndrain = \"5s\"",
        "slotway.toml:2: timeouts.drain_delay (5s) must be shorter than timeouts.drain (5s), the deadline",
    ),
    (
        "[log]\nlevel = \"loud\"",
        "slotway.toml:2: log.level = \"loud\": write \"error\", \"warn\", \"info\" or \"debug\"",
    ),
    (
        "[admin]\nbind = \":7020\"",
        "slotway.toml:2: admin.bind = \":7020\": not an address; write \"0.0.0.0:7020\" for every interface or \"127.0.0.1:7020\" for this machine only, or \"off\" for none",
    ),
    (
        "[admin]\nbind = 7020",
        "slotway.toml:2: admin.bind: a number is no ip:port or \"off\"; write it in quotes",
    ),
    (
        "[admin]\nbind = \"127.0.0.1:7010\"",
        "slotway.toml:2: admin.bind 127.0.0.1:7010 and the listener 127.0.0.1:7010 need different ports; clients and operators do not share one",
    ),
    (
        "[[listener]]\nbind = \"0.0.0.0:1\"\n[[listener]]\nbind = \"10.0.0.1:1\"",
        "slotway.toml:4: listeners 0.0.0.0:1 and 10.0.0.1:1 need different ports",
    ),
    (
        "[topology]\nseeds = [\"a\", \"b:x\"]",
        "slotway.toml:2: topology.seeds: \"b:x\" is not a node: a port is 1 to 65535; write host:port, for example \"redis-1:6379\" or \"[::1]:6379\"",
    ),
    (
        "[topology]\nseeds = [1]",
        "slotway.toml:2: topology.seeds: write a list of host:port, each in quotes",
    ),
    (
        "[topology]\nusername = \"me\"",
        "slotway.toml:2: topology.username needs topology.password or topology.password_file",
    ),
    (
        "[topology]\npassword = \"\"",
        "slotway.toml:2: topology.password: is empty; give a value or leave it out",
    ),
    (
        "[topology]\npassword = 1234",
        "slotway.toml:2: topology.password: a number is no text; write it in quotes",
    ),
    ("[keeper]\nnodes = [\"a\", \"b\", \"a\"]", "slotway.toml:2: keeper.nodes names a:6379 twice"),
    (
        "[keeper]\nnodes = \"a,b,c,d,e\"\nreplicas = 1",
        "slotway.toml:3: keeper.nodes: 5 nodes with keeper.replicas = 1 make 2 masters; a cluster needs 3, so at least 6 nodes",
    ),
    (
        "[keeper]\nonce = \"yes\"",
        "slotway.toml:2: keeper.once = \"yes\": write \"true\" or \"false\"",
    ),
    ("[keeper]\nonce = 1", "slotway.toml:2: keeper.once: an integer is no true or false"),
    (
        "[topology]\npassword = \"x\"\npassword_file = \"/none\"",
        "slotway.toml:3: topology.password_file and topology.password are both given; keep one of them\nslotway.toml:3: topology.password_file = \"/none\": cannot read the file: No such file or directory (os error 2)",
    ),
];

#[test]
fn the_file_is_remembered_with_its_whole_path() {
    let loaded = with_file("[topology]\nseeds = [\"a\"]", &[], Purpose::Cluster).unwrap();
    let file = loaded.config.file.unwrap();
    assert!(file.is_absolute() && file.ends_with("slotway.toml"), "{}", file.display());
}

#[test]
fn bad_files_are_refused_with_the_line_and_what_would_be_right() {
    for &(text, expected) in BAD_FILES {
        let error = with_file(text, &[], Purpose::Inspect).map(|_| ()).unwrap_err();
        assert_eq!(error, expected, "{text}");
    }
}

#[test]
fn all_problems_are_found_in_one_run() {
    let text = "workers = 9999\n[limits]\nclient_max = 1\nbulk_bytes_max = \"x\"\n\n[nope]\n[[listener]]\nbnd = 1\n";
    let error = with_file(text, &[("SLOTWAY_LOG_LEVEL", ""), ("SLOTWAY_X", "1")], Purpose::Cluster);
    let error = error.map(|_| ()).unwrap_err();
    let places: Vec<&str> =
        error.lines().map(|line| line.split_once(": ").map_or("", |(place, _)| place)).collect();
    assert_eq!(
        places,
        [
            "slotway.toml:1",
            "slotway.toml:3",
            "slotway.toml:4",
            "slotway.toml:6",
            "slotway.toml:8",
            "SLOTWAY_X",
            "SLOTWAY_LOG_LEVEL",
            "no seed"
        ],
        "{error}"
    );
}

#[test]
fn what_is_no_configuration_file_is_said() {
    let huge = "#".repeat((1 << 20) + 1);
    for (text, expected) in [
        (&b"workers = 1\n# \xff\n"[..], "slotway.toml:2: not UTF-8 text; save the file as UTF-8"),
        (
            huge.as_bytes(),
            "slotway.toml: the file is larger than 1048576 bytes; is it the right one?",
        ),
        (b"workers = \n", "slotway.toml:1: not TOML: "),
        (b"[log]\nlevel = info\n", "slotway.toml:2: not TOML: "),
        (b"workers = 1\nworkers = 2\n", "slotway.toml:2: not TOML: duplicate key"),
    ] {
        let error = with_file(text, &[], Purpose::Cluster).map(|_| ()).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, why) in [
        (folder.path().join("none.toml"), "No such file"),
        (folder.path().to_owned(), "Is a directory"),
    ] {
        let given = Given { file: Some(path), ..Given::default() };
        let error = load(&given, Purpose::Cluster).unwrap_err().to_string();
        assert!(error.contains("cannot read the file") && error.contains(why), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_both_are_checked() {
    let file = "workers = 1\n[limits]\nclients_max = 7\n[topology]\nseeds = [\"a\"]\n";
    let loaded = with_file(
        file,
        &[("SLOTWAY_WORKERS", "4"), ("SLOTWAY_TOPOLOGY_SEEDS", "b:1, c:2"), ("HOME", "/")],
        Purpose::Cluster,
    )
    .unwrap();
    assert_eq!((loaded.config.workers, loaded.config.limits.clients_max), (4, 7));
    assert_eq!(loaded.config.topology.seeds.len(), 2);
    let report = loaded.report();
    for (value, place) in [
        ("workers = 4", "SLOTWAY_WORKERS"),
        ("seeds = [\"b:1\", \"c:2\"]", "SLOTWAY_TOPOLOGY_SEEDS"),
        ("clients_max = 7", "slotway.toml:3"),
        ("redirects_max = 16", "default"),
    ] {
        let line = report.lines().find(|line| line.starts_with(value));
        assert!(line.is_some_and(|line| line.ends_with(place)), "{value}: {report}");
    }
    // An overridden value is still somebody's mistake.
    let error =
        with_file("workers = 5000", &[("SLOTWAY_WORKERS", "4")], Purpose::Inspect).map(|_| ());
    assert_eq!(error.unwrap_err(), "slotway.toml:1: workers = \"5000\": must be at most 1024");
}

#[test]
fn the_report_is_a_file_that_means_the_same() {
    let file = "[[listener]]\nbind = \"127.0.0.1:1\"\n[[listener]]\n[timeouts]\nidle = \"90s\"\n";
    let first = with_file(file, &[], Purpose::Inspect).unwrap();
    let second = with_file(first.report(), &[], Purpose::Inspect).unwrap();
    // It is another file, which says the same.
    let file = first.config.file.clone();
    assert_ne!(second.config.file, file);
    assert_eq!(first.config, Config { file, ..second.config });
}

#[test]
fn addresses_of_the_environment_keep_the_password_of_the_file() {
    let file = "[[listener]]\npassword = \"x\"\n";
    let bind = [("SLOTWAY_LISTENER_BIND", "127.0.0.1:1,127.0.0.1:2")];
    let loaded = with_file(file, &bind, Purpose::Inspect).unwrap();
    assert_eq!(loaded.config.listeners.len(), 2);
    assert!(loaded.config.listeners.iter().all(|listener| listener.password.is_some()));
    let mixed = format!("{file}[[listener]]\nbind = \"127.0.0.1:3\"\n");
    let error = with_file(&mixed, &bind, Purpose::Inspect).map(|_| ()).unwrap_err();
    assert!(error.starts_with("SLOTWAY_LISTENER_BIND: the listeners of the file have"), "{error}");
    let all = [bind[0], ("SLOTWAY_LISTENER_PASSWORD", "y")];
    let loaded = with_file(&mixed, &all, Purpose::Inspect).unwrap();
    assert!(loaded.config.listeners.iter().all(|l| l.password.is_some()));
}

#[test]
fn the_keeper_has_a_section_of_its_own() {
    let file = "[keeper]\nnodes = [\"a\", \"b\", \"c:7\"]\nreplicas = 0\nonce = true\nwait = 0\n";
    let variables = [("SLOTWAY_KEEPER_DRY_RUN", "true"), ("SLOTWAY_KEEPER_FORGET_AFTER", "1h")];
    let loaded = with_file(file, &variables, Purpose::Keeper).unwrap();
    let keeper = &loaded.config.keeper;
    assert_eq!((keeper.nodes.len(), keeper.replicas), (3, 0));
    assert!(keeper.once && keeper.dry_run && keeper.wait.is_none());
    assert_eq!(keeper.forget_after, Some(Duration::from_secs(3600)));
    assert!(loaded.report().contains("once = true"), "{}", loaded.report());
    let error = with_file("", &[], Purpose::Keeper).map(|_| ()).unwrap_err();
    assert!(error.starts_with("no nodes: name all nodes of the cluster"), "{error}");
}

#[test]
fn strange_variables_are_refused_and_those_of_platforms_are_not() {
    for (name, value, expected) in [
        ("SLOTWAY_LISTEN", "x", "unknown variable: did you mean SLOTWAY_LISTENER_BIND?"),
        ("SLOTWAY_WORKER", "1", "unknown variable: did you mean SLOTWAY_WORKERS?"),
        ("SLOTWAY_ADMIN", "x", "unknown variable: did you mean SLOTWAY_ADMIN_BIND?"),
        ("SLOTWAY_COLOUR", "x", "unknown variable; they are named"),
        ("SLOTWAY_SEED", "", "is set and empty"),
        ("SLOTWAY_TOPOLOGY_PASSWORD", "", "is empty"),
        ("SLOTWAY_LISTENER_BIND", "127.0.0.1:1,:2", "\":2\" is not an address"),
    ] {
        let error = with_file("", &[(name, value)], Purpose::Inspect).map(|_| ()).unwrap_err();
        assert!(error.starts_with(&format!("{name}: {expected}")), "{error}");
    }
    let twice = [("SLOTWAY_SEED", "a"), ("SLOTWAY_TOPOLOGY_SEEDS", "b")];
    let error = with_file("", &twice, Purpose::Inspect).map(|_| ()).unwrap_err();
    assert!(error.contains("SLOTWAY_SEED is set as well and means the same"), "{error}");
    for name in [
        "SLOTWAY_CONFIG",
        "SLOTWAY_BENCH_TARGET",
        "SLOTWAY_PORT",
        "SLOTWAY_PORT_7010_TCP_ADDR",
        "SLOTWAY_SERVICE_HOST",
        "SLOTWAY_SERVICE_PORT_REDIS",
        "SLOTWAY_KEEPER_PORT",
        "SLOTWAY_KEEPER_PORT_7020_TCP",
        "SLOTWAY_KEEPER_SERVICE_HOST",
    ] {
        with_file("", &[(name, "x")], Purpose::Inspect).unwrap();
    }
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let listeners = with_file(
        r#"
        [[listener]]
        bind = "0.0.0.0:1"
        [[listener]]
        bind = "0.0.0.0:2"
        protected_mode = false
        [[listener]]
        bind = "0.0.0.0:3"
        password = "x"
        "#,
        &[],
        Purpose::Inspect,
    )
    .unwrap()
    .config
    .listeners;
    for (peer, denied) in [
        ("127.0.0.1", false),
        ("127.9.9.9", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("10.0.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("2001:db8::1", true),
        ("0.0.0.0", true),
    ] {
        let denies = listeners.iter().map(|listener| listener.denies(peer.parse().unwrap()));
        assert_eq!(denies.collect::<Vec<_>>(), [denied, false, false], "{peer}");
    }
}

#[test]
fn addresses_given_elsewhere_keep_the_protection_of_the_file() {
    let bind = [("SLOTWAY_LISTENER_BIND", "0.0.0.0:1,0.0.0.0:2")];
    let file = "[[listener]]\nbind = \"0.0.0.0:9\"\nprotected_mode = false";
    let loaded = with_file(file, &bind, Purpose::Inspect).unwrap();
    assert!(loaded.config.listeners.iter().all(|listener| !listener.protected_mode));
    let page = loaded.report();
    assert_eq!(page.matches("protected_mode = false").count(), 2, "{page}");
    assert!(page.contains("slotway.toml:3"), "{page}");
    let page = with_file("", &[], Purpose::Inspect).unwrap().report();
    assert!(page.contains("protected_mode = true"), "{page}");
    let two = format!("{file}\n[[listener]]\nbind = \"0.0.0.0:8\"");
    let error = with_file(two, &bind, Purpose::Inspect).unwrap_err();
    assert!(error.contains("different protected_mode"), "{error}");
}

#[test]
fn old_names_are_read_with_a_warning() {
    let text = "batch_scheduling = false\n[timeouts]\npartial_replies = \"3ms\"\n";
    let environment =
        [("SLOTWAY_TIMEOUTS_NODE_SILENCE", "7s"), ("SLOTWAY_WORKER_FILL_PERCENT", "5")];
    let loaded = with_file(text, &environment, Purpose::Inspect).unwrap();
    let config = &loaded.config;
    assert!(!config.sched_batch);
    assert_eq!(config.timeouts.reply_coalesce_delay, Duration::from_millis(3));
    assert_eq!(config.timeouts.response_timeout, Duration::from_secs(7));
    assert_eq!(config.worker_scale_up_percent, 5);
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let wanted = [
        "slotway.toml:1: old name, which the next release will not read; write sched_batch",
        "slotway.toml:3: old name, which the next release will not read; write \
         timeouts.reply_coalesce_delay",
        "SLOTWAY_TIMEOUTS_NODE_SILENCE: old name, which the next release will not read; write \
         SLOTWAY_TIMEOUTS_RESPONSE_TIMEOUT",
        "SLOTWAY_WORKER_FILL_PERCENT: old name, which the next release will not read; write \
         SLOTWAY_WORKER_SCALE_UP_PERCENT",
    ];
    assert_eq!(warnings.len(), wanted.len(), "{warnings:?}");
    for (warning, wanted) in warnings.iter().zip(wanted) {
        assert!(warning.ends_with(wanted), "{warning}");
        assert!(loaded.report().contains(&format!("# {warning}")), "{}", loaded.report());
    }
}

#[test]
fn an_old_name_loses_to_a_later_place_and_never_stands_beside_the_new_one() {
    let text = "[timeouts]\nnode_silence = \"3s\"\n";
    let new = [("SLOTWAY_TIMEOUTS_RESPONSE_TIMEOUT", "9s")];
    let loaded = with_file(text, &new, Purpose::Inspect).unwrap();
    assert_eq!(loaded.config.timeouts.response_timeout, Duration::from_secs(9));
    assert_eq!(loaded.config.warnings.len(), 1);
    let both = format!("{text}response_timeout = \"4s\"\n");
    let wanted = "slotway.toml:2: old name of timeouts.response_timeout, which is given too; keep \
                  only the new one";
    assert_eq!(with_file(both, &[], Purpose::Inspect).unwrap_err(), wanted);
    let both = [new[0], ("SLOTWAY_TIMEOUTS_NODE_SILENCE", "9s")];
    let wanted = "SLOTWAY_TIMEOUTS_NODE_SILENCE: old name of timeouts.response_timeout, which is \
                  given too; keep only the new one";
    assert_eq!(with_file("", &both, Purpose::Inspect).unwrap_err(), wanted);
    let wrong = with_file("[timeouts]\nnode_silence = \"soon\"\n", &[], Purpose::Inspect);
    assert!(wrong.unwrap_err().starts_with("slotway.toml:2: timeouts.response_timeout = \"soon\""));
}
