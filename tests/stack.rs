//! The files of `swarm/` and `docker/` agree with the program and with each other: hashes, metric
//! names, versions. What they do is tested by `make swarm-test`.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `docker stack deploy` without the script takes these hashes.
#[test]
fn the_stack_names_configs_by_what_is_in_them() {
    let check = Command::new(root().join("swarm/deploy")).arg("--check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// Words of rules and panels that are metrics of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("slotway_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let known: BTreeSet<&str> =
        slotway::metrics::documented().iter().map(|metric| metric.name).collect();
    for file in ["rules.yml", "rules.test.yml", "dashboard.json"] {
        let text = text(&format!("swarm/monitoring/{file}"));
        let used =
            metrics_in(&text.replace("\"slotway_error\"", "").replace("\\\"slotway_error\\\"", ""));
        assert!(used.len() > 5, "{file} names {used:?} only");
        for name in used {
            let family = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(known.contains(family), "{file} names {name}, which is no metric");
        }
    }
}

#[test]
fn every_alert_is_tested() {
    let (rules, tests) =
        (text("swarm/monitoring/rules.yml"), text("swarm/monitoring/rules.test.yml"));
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 7, "{alerts:?}");
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:");
        assert!(tests.contains(&fires), "no test in which {alert} fires");
    }
}

#[test]
fn the_dashboard_is_json_with_panels_that_have_a_place_of_their_own() {
    let board: serde_json::Value =
        serde_json::from_str(&text("swarm/monitoring/dashboard.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    let places: BTreeSet<String> = panels.iter().map(|p| p["gridPos"].to_string()).collect();
    assert!(panels.len() > 10 && ids.len() == panels.len() && places.len() == panels.len());
}

/// A gateway that is stopped has the time it needs.
#[test]
fn the_stack_waits_longer_than_a_gateway_drains() {
    let page = Command::new(env!("CARGO_BIN_EXE_slotway"))
        .arg("check-config")
        .arg(root().join("swarm/slotway.toml"))
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&page.stdout).into_owned() + &String::from_utf8_lossy(&page.stderr);
    // The password is a secret that only a task has.
    assert!(page.status.success() || said.contains("/run/secrets/redis_password"), "{said}");
    assert!(!said.contains("unknown"), "{said}");
    assert!(text("swarm/slotway.toml").contains("drain = \"30s\""));
    assert!(text("swarm/stack.yml").contains("stop_grace_period: 45s"));
}

/// Eight nodes are set up as six are.
#[test]
fn the_nodes_of_both_stack_files_are_alike() {
    let lines = |path: &str, from: &str, to: &str| -> Vec<String> {
        let text = text(path);
        let (_, rest) = text.split_once(from).unwrap();
        let (part, _) = rest.split_once(to).unwrap();
        let code = part.lines().filter(|line| !line.trim_start().starts_with('#'));
        code.map(str::to_owned).filter(|line| !line.is_empty()).collect()
    };
    let six = lines("swarm/stack.yml", "x-redis: &redis\n", "x-slotway:");
    assert_eq!(six, lines("swarm/stack.eight.yml", "x-redis: &redis\n", "services:"));
}

/// The gateway of the stack takes its part of what the container may use, whatever that is set to.
#[test]
fn the_stack_leaves_the_memory_budget_to_the_limit_of_the_container() {
    let (stack, settings) = (text("swarm/stack.yml"), text("swarm/slotway.toml"));
    let code = |text: &str| -> String {
        let is_code = |line: &&str| !line.trim_start().starts_with('#');
        text.lines().filter(is_code).map(|line| line.to_lowercase() + "\n").collect()
    };
    assert!(!code(&stack).contains("memory_max") && !code(&settings).contains("memory_max"));
    let (_, gateway) = stack.split_once("\n  gateway:\n").unwrap();
    let (gateway, _) = gateway.split_once("\nnetworks:").unwrap();
    assert!(code(gateway).contains("limits: {memory: "), "{gateway}");
}

/// An operator who is woken by an alert about memory finds what to do.
#[test]
fn the_docs_say_what_to_do_about_memory() {
    let docs = text("docs/configuration.md");
    for alert in ["MemoryNearLimit", "ClientsCutForMemory", "ClientsWaitLong"] {
        assert!(docs.contains(&format!("| `{alert}` | ")), "{alert}");
        assert!(text("swarm/monitoring/rules.yml").contains(&format!("- alert: {alert}\n")));
    }
    let board = text("swarm/monitoring/dashboard.json");
    for metric in ["slotway_memory_bytes", "slotway_memory_max_bytes", "slotway_upstream_waiting"] {
        assert!(board.contains(metric), "no panel shows {metric}");
    }
}

#[test]
fn the_image_says_the_version_of_the_program() {
    let version = format!("ARG VERSION={}", slotway::version::VERSION);
    assert!(text("docker/Dockerfile").contains(&version), "docker/Dockerfile lacks {version}");
}

/// A copy of `swarm/`, and a `docker` that only remembers that it was called.
struct Bare {
    folder: tempfile::TempDir,
}

impl Bare {
    fn new() -> Bare {
        use std::os::unix::fs::PermissionsExt;
        let bare = Bare { folder: tempfile::tempdir().unwrap() };
        let (from, to) = (root().join("swarm"), bare.root());
        assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
        let _ = fs::remove_dir_all(bare.root().join("swarm/local"));
        fs::create_dir(bare.root().join("bin")).unwrap();
        let docker = bare.root().join("bin/docker");
        fs::write(&docker, "#!/bin/sh\necho \"$*\" >> \"$0.called\"\nexit 1\n").unwrap();
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
        bare
    }

    fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Every path in the folder.
    fn paths(&self) -> BTreeSet<PathBuf> {
        let (mut found, mut folders) = (BTreeSet::new(), vec![self.root()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                found.insert(entry.path());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found
    }

    /// All programs below `swarm/`.
    fn scripts(&self) -> Vec<PathBuf> {
        let paths =
            self.paths().into_iter().filter(|path| path.starts_with(self.root().join("swarm")));
        let is_script = |path: &PathBuf| {
            path.is_file() && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!"))
        };
        paths.filter(is_script).collect()
    }

    fn run(&self, script: &PathBuf, words: &[&str]) -> std::process::Output {
        let path =
            format!("{}:{}", self.root().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(script);
        command.args(words).current_dir(self.root()).env("PATH", path).output().unwrap()
    }
}

#[test]
fn every_script_tells_what_it_is_for_and_does_nothing_else() {
    let bare = Bare::new();
    let before = bare.paths();
    let scripts = bare.scripts();
    assert!(scripts.len() >= 8, "{scripts:?}");
    for script in scripts {
        let name = script.file_name().unwrap().to_string_lossy().into_owned();
        for words in [&["--help"][..], &["-h"], &["--dry-run", "--help"], &["somewhere", "--help"]]
        {
            let done = bare.run(&script, words);
            let said = String::from_utf8(done.stdout).unwrap();
            assert!(done.status.success(), "{name} {words:?}: {:?}", done.status);
            assert!(said.contains(&format!("/{name}")) && !said.contains("#!"), "{name}: {said}");
            assert_eq!(bare.paths(), before, "{name} {words:?} did something");
        }
    }
}

/// What a script does not know it refuses first: no engine is asked, no file is made.
#[test]
fn no_script_begins_with_words_it_does_not_know() {
    let bare = Bare::new();
    let before = bare.paths();
    for script in bare.scripts() {
        let name = script.file_name().unwrap().to_string_lossy().into_owned();
        let mut unknown = vec![
            vec!["--nonsense"],
            vec!["--dry-run", "--nonsense"],
            vec!["no-such-thing", "--nonsense"],
            vec!["no-such-thing", "nor-this"],
        ];
        unknown.extend(match name.as_str() {
            "backup" => vec![vec![], vec!["--dry-run"]],
            "restore" => vec![vec![], vec!["no-such-folder"], vec!["--yes"], vec!["--yes", "none"]],
            "scale" => vec![vec![], vec!["7"], vec!["8", "no-such-file.yml"]],
            "render" => vec![vec![], vec!["--own"], vec!["--own", "10.0.0.1"]],
            "up" => vec![vec!["--down", "more"], vec!["no-such-file.yml"]],
            "deploy" => vec![vec!["--check", "more"], vec!["no-such-file.yml"]],
            _ => vec![vec!["no-such-file.yml"]],
        });
        for words in unknown {
            let done = bare.run(&script, &words);
            let said = String::from_utf8(done.stderr).unwrap();
            assert!(!done.status.success() && !said.is_empty(), "{name} {words:?}: {said}");
            assert_eq!(bare.paths(), before, "{name} {words:?} did something");
        }
    }
}

/// A stranger who reads the repository learns no password of any stack.
#[test]
fn no_password_is_in_the_repository_and_without_one_there_is_no_stack() {
    let files = fs::read_dir(root().join("swarm")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    let found: Vec<_> = names.iter().filter(|name| name.ends_with("-password")).collect();
    assert_eq!(found, ["rotate-password"], "{names:?}");
    assert!(text(".gitignore").lines().any(|line| line == "/swarm/local"));
    for file in ["swarm/stack.yml", "swarm/bench.yml"] {
        let text = text(file);
        let (_, secrets) = text.split_once("\nsecrets:\n").unwrap();
        let (names, files): (Vec<_>, Vec<_>) = (
            secrets.lines().filter(|line| line.contains(" name: ")).collect(),
            secrets.lines().filter(|line| line.contains(" file: ")).collect(),
        );
        assert!(!names.is_empty() && names.len() == files.len(), "{secrets}");
        for line in [names, files].concat() {
            // Whatever else stands there, the last variable must be given.
            let last = line.rsplit("${").next().unwrap();
            // A `-` in the words behind it would make a default of what follows.
            let is_needed = last.contains("PASSWORD_") && last.contains(":?");
            assert!(is_needed && !last.contains('-'), "{file}: {line}");
        }
    }
    let gateway = text("swarm/slotway.toml");
    let (_, listener) = gateway.split_once("[[listener]]").unwrap();
    assert!(listener.contains("password_file = \"/run/secrets/client_password\""), "{listener}");
    assert!(!gateway.contains("protected_mode"), "{gateway}");
}

#[test]
fn passwords_are_made_once_at_random_and_not_shown() {
    use std::os::unix::fs::PermissionsExt;
    let (bare, other) = (Bare::new(), Bare::new());
    let made = |bare: &Bare| -> Vec<String> {
        let done = bare.run(&bare.root().join("swarm/deploy"), &["--variables"]);
        let said = format!(
            "{}{}",
            String::from_utf8(done.stdout).unwrap(),
            String::from_utf8(done.stderr).unwrap()
        );
        assert!(done.status.success(), "{said}");
        let read = |name: &str| {
            let file = bare.root().join("swarm/local").join(name);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(said.contains(&format!("='{}'", file.display())), "{said}");
            let password = fs::read_to_string(&file).unwrap();
            assert!(!said.contains(&password), "it is shown: {said}");
            assert!(password.len() == 64 && password.bytes().all(|b| b.is_ascii_hexdigit()));
            password
        };
        ["redis-password", "client-password"].map(read).to_vec()
    };
    let first = made(&bare);
    assert_eq!(made(&bare), first, "made twice");
    let all: BTreeSet<String> = [first, made(&other)].concat().into_iter().collect();
    assert_eq!(all.len(), 4, "not at random");
    // A dry run, and a file that is named and is not there, make none.
    let bare = Bare::new();
    let deploy = bare.root().join("swarm/deploy");
    let before = bare.paths();
    bare.run(&deploy, &["--dry-run"]);
    let mut missing = Command::new(&deploy);
    let missing = missing.env("REDIS_PASSWORD_FILE", "none").env("CLIENT_PASSWORD_FILE", "none");
    let done = missing.output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && said.contains("there is no password in"), "{said}");
    let docker = bare.root().join("bin/docker.called");
    let after: BTreeSet<_> = bare.paths().into_iter().filter(|path| *path != docker).collect();
    assert_eq!(after, before);
}
