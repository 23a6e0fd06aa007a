//! Command lines and variables, and what comes of them.

use super::*;
use crate::config::documented_keys;
use clap::CommandFactory;

fn parsed(line: &str, environment: &[(&str, &str)]) -> Result<Invocation, CliError> {
    let environment = environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
    parse(line.split(' ').map(OsString::from), environment)
}

fn run(line: &str, environment: &[(&str, &str)]) -> Config {
    match parsed(line, environment) {
        Ok(Invocation::Run(config)) => config,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_flags_are_well_formed_and_each_is_an_option() {
    Cli::command().debug_assert();
    let keys = documented_keys();
    let all = "slotway run --seed a --username u --password-file f --listen 127.0.0.1:1 \
               --admin off --workers 1 --client-password-file f --protected-mode false \
               --log-level warn --log-format json";
    let cli = Cli::try_parse_from(all.split_whitespace()).unwrap();
    let Command::Run(flags) = cli.command else { panic!() };
    let login = flags.login.given();
    let given = [flags.seeds.given(), login, flags.server.given(), flags.config.given()].concat();
    assert_eq!(given.len(), 10);
    let all = "slotway keeper --nodes a,b,c --replicas 0 --username u --password-file f --once \
               --wait 1s --dry-run --interval 1s --timeout 1s --forget-after 1h \
               --takeover-after 1h --admin off --log-level warn";
    let cli = Cli::try_parse_from(all.split_whitespace()).unwrap();
    let Command::Keeper(flags) = cli.command else { panic!() };
    let more = [flags.nodes.given(), flags.login.given(), flags.keeping.given()].concat();
    assert_eq!(more.len(), 11);
    let given = [given, more].concat();
    for flag in given {
        let (section, key) = flag.option.split_once('.').unwrap_or(("", flag.option));
        assert!(keys.iter().any(|k| k.section == section && k.key == key), "{}", flag.flag);
    }
}

#[test]
fn variables_named_in_help_exist() {
    let keys = documented_keys();
    for name in ["run", "local", "keeper", "topology", "check-config", "healthcheck"] {
        let mut cli = Cli::command();
        let help = cli.find_subcommand_mut(name).unwrap().render_long_help().to_string();
        for word in help.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            let known = keys.iter().any(|k| k.environment == word)
                || ["SLOTWAY_SEED", "SLOTWAY_CONFIG"].contains(&word);
            assert!(!word.starts_with("SLOTWAY_") || known, "{name}: {word}");
        }
    }
}

#[test]
fn a_flag_wins_over_the_environment() {
    let config = run(
        "slotway run --seed a:1 --seed b:2,c --workers 3 --listen 127.0.0.1:0 --listen [::1]:5",
        &[
            ("SLOTWAY_SEED", "z:9"),
            ("SLOTWAY_WORKERS", "8"),
            ("SLOTWAY_LISTENER_BIND", "0.0.0.0:1"),
            ("SLOTWAY_ADMIN_BIND", "off"),
        ],
    );
    let seeds: Vec<String> = config.topology.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(seeds, ["a:1", "b:2", "c:6379"]);
    assert_eq!(config.workers, 3);
    let binds: Vec<String> = config.listeners.iter().map(|l| l.bind.to_string()).collect();
    assert_eq!(binds, ["127.0.0.1:0", "[::1]:5"]);
    assert_eq!(config.admin.bind, None);
}

#[test]
fn who_asks_the_nodes_may_be_said_on_the_command_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let path = file.path().display();
    for line in ["run --seed a", "topology --seed a", "keeper --nodes a,b,c --replicas 0"] {
        let line = format!("slotway {line} --username gateway --password-file {path}");
        let config = match parsed(&line, &[]).unwrap() {
            Invocation::Run(config) | Invocation::Keeper(config) => config,
            Invocation::Topology { config, .. } => config,
            other => panic!("{other:?}"),
        };
        assert_eq!(config.topology.username.as_deref(), Some("gateway"), "{line}");
        assert_eq!(config.topology.password.as_ref().unwrap().expose(), "s3cret", "{line}");
    }
    // A local cluster has no password.
    assert!(parsed(&format!("slotway local --password-file {path}"), &[]).is_err());
}

#[test]
fn problems_of_flags_and_variables_come_together() {
    let error = parsed(
        "slotway run --workers many --listen here --log-level loud",
        &[("SLOTWAY_LIMITS_CLIENTS_MAX", "0"), ("SLOTWAY_CLIENTS_MAX", "1")],
    );
    let expected = "\
SLOTWAY_CLIENTS_MAX: unknown variable: did you mean SLOTWAY_LIMITS_CLIENTS_MAX?
SLOTWAY_LIMITS_CLIENTS_MAX: \"0\": must be at least 1
--listen: \"here\": \"here\" is not an address; write ip:port, for example \"127.0.0.1:7010\"
--workers: \"many\": not a whole number, at least 0 is needed
--log-level: \"loud\": write \"error\", \"warn\", \"info\" or \"debug\"
no seed: name at least one node of the cluster with --seed HOST:PORT, SLOTWAY_SEED or seeds in [topology]";
    assert_eq!(error.unwrap_err().to_string(), expected);
}

#[test]
fn the_admin_port_is_asked_where_it_can_be_reached() {
    for (line, variable, admin) in [
        ("slotway healthcheck", None, "127.0.0.1:7020"),
        ("slotway healthcheck", Some("0.0.0.0:9"), "127.0.0.1:9"),
        ("slotway healthcheck", Some("[::]:9"), "[::1]:9"),
        ("slotway healthcheck --admin 10.0.0.1:8", Some("0.0.0.0:9"), "10.0.0.1:8"),
    ] {
        let environment: Vec<_> =
            variable.map(|value| ("SLOTWAY_ADMIN_BIND", value)).into_iter().collect();
        match parsed(line, &environment).unwrap() {
            Invocation::Healthcheck { admin: found, ready: false } => {
                assert_eq!(found.to_string(), admin);
            }
            other => panic!("{other:?}"),
        }
    }
    let error = parsed("slotway healthcheck --admin off", &[]).unwrap_err();
    assert!(error.to_string().starts_with("the admin port is off"));
}

#[test]
fn a_local_cluster_is_even_and_its_own() {
    for (line, replicas) in
        [("slotway local", 1), ("slotway local --nodes 8", 1), ("slotway local --nodes 3", 0)]
    {
        match parsed(line, &[]).unwrap() {
            Invocation::Local(options, _) => assert_eq!(options.replicas_per_master, replicas),
            other => panic!("{other:?}"),
        }
    }
    for nodes in [0, 2, 7, 62] {
        let error = parsed(&format!("slotway local --nodes {nodes}"), &[]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("--nodes: {nodes} nodes")));
    }
    let error = parsed("slotway local", &[("SLOTWAY_SEED", "a:1")]).unwrap_err();
    assert!(error.to_string().starts_with("SLOTWAY_SEED: a local cluster is started"));
}

#[test]
fn a_keeper_is_told_its_nodes() {
    let line = "slotway keeper --nodes a:1,b --nodes c --replicas 0 --once --wait 5s --admin off";
    match parsed(line, &[("SLOTWAY_KEEPER_INTERVAL", "3s"), ("SLOTWAY_KEEPER_REPLICAS", "1")]) {
        Ok(Invocation::Keeper(config)) => {
            let keeper = config.keeper;
            let nodes: Vec<String> = keeper.nodes.iter().map(ToString::to_string).collect();
            assert_eq!(nodes, ["a:1", "b:6379", "c:6379"]);
            assert_eq!((keeper.replicas, keeper.once, keeper.dry_run), (0, true, false));
            assert_eq!(keeper.wait, Some(std::time::Duration::from_secs(5)));
            assert_eq!(keeper.interval, std::time::Duration::from_secs(3));
            assert_eq!(config.admin.bind, None);
        }
        other => panic!("{other:?}"),
    }
    for (line, said) in [
        ("slotway keeper", "no nodes: name all nodes"),
        ("slotway keeper --nodes a,b,c", "--nodes: keeper.nodes: 3 nodes with keeper.replicas = 1"),
        (
            "slotway keeper --nodes a,b,a --replicas 0",
            "--replicas: keeper.nodes names a:6379 twice",
        ),
    ] {
        let error = parsed(line, &[]).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn what_cannot_be_allowed_is_a_problem_of_the_configuration() {
    let given = |names| [("SLOTWAY_ROUTING_ALLOW_COMMANDS", names)];
    let line = "slotway run --seed a";
    let config = run(line, &given("migrate, config set dir"));
    assert_eq!(config.routing.allow_commands, ["migrate", "config set dir"]);
    for names in ["migrate,nonsense", "config set", "shutdown", "get", "config set requirepass"] {
        for line in [line, "slotway check-config"] {
            let error = parsed(line, &given(names)).unwrap_err().to_string();
            let named = names.rsplit(',').next().unwrap();
            let start = "SLOTWAY_ROUTING_ALLOW_COMMANDS: routing.allow_commands: ";
            assert!(error.starts_with(&format!("{start}\"{named}\" ")), "{error}");
        }
    }
}

#[test]
fn an_old_flag_is_read_with_a_warning() {
    let words = ["slotway", "keeper", "--nodes", "a,b,c", "--replicas", "0", "--patience", "3s"];
    let invocation = parse(words.iter().map(|word| (*word).into()), Vec::new()).unwrap();
    let Invocation::Keeper(config) = invocation else { panic!("another command") };
    assert_eq!(config.keeper.timeout, std::time::Duration::from_secs(3));
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let wanted = "--patience: old name, which the next release will not read; write --timeout";
    assert_eq!(warnings, [wanted]);
    let both = words.iter().chain(&["--timeout", "3s"]);
    assert!(parse(both.map(|word| (*word).into()), Vec::new()).is_err());
}
