//! Against a real Redis nothing fails, and everything is left as the old client's readers expect.

use crate::figures::{check_raw_file, check_results_file};
use crate::run::sweep;
use crate::schema::{summary_schema, violations};
use crate::scripted_server::{Act, ScriptedServer};
use testkit::server::{RedisServer, free_address};

#[test]
fn a_whole_sweep_leaves_sixteen_sizes_in_every_file_and_no_keys() {
    let server = RedisServer::start(&[]);
    let run = sweep(&server.address().to_string(), &["--duration", "300ms", "--client-id", "7"]);
    run.expect_code(0);
    assert_eq!(
        run.files(),
        [
            "hdr",
            "report.html",
            "report.md",
            "results-get-client7.txt",
            "results-raw-get-client7.txt",
            "results-raw-set-client7.txt",
            "results-set-client7.txt",
            "summary.csv",
            "summary.json",
            "timeseries.csv"
        ]
    );
    let labels: Vec<u64> = (7..=22).map(|power| 1 << power).collect();
    for name in ["set", "get"] {
        check_results_file(&run.file(&format!("results-{name}-client7.txt")), &labels);
        check_raw_file(&run.file(&format!("results-raw-{name}-client7.txt")), &labels);
    }
    let phases = run.phases();
    assert_eq!(phases.len(), 32);
    for (place, phase) in phases.iter().enumerate() {
        assert_eq!(phase["op"], ["SET", "GET"][place % 2]);
        assert_eq!(phase["bits"], labels[place / 2]);
        assert_eq!(phase["bytes"], labels[place / 2] / 8);
        assert!(phase["ops"].as_u64() > Some(0) && phase["requests"] == phase["ops"], "{phase}");
        for counter in ["errors", "misses", "wrong"] {
            assert_eq!(phase[counter], 0, "{phase}");
        }
        assert_eq!(phase["latency_ms"]["samples"], phase["ops"]);
    }
    let summary = run.json("summary.json");
    assert_eq!(
        (&summary["schema_version"], &summary["verdict"]["valid"]),
        (&2.into(), &true.into())
    );
    assert!(summary["targets"][0]["info_at_start"]["redis_version"].is_string());
    assert_eq!(run.file("summary.csv").lines().count(), 33);
    // Notes follow, and the way to the report.
    assert!(run.stdout().lines().count() > 1 + 32);
    assert!(run.stderr().lines().count() >= 32 && run.stderr().contains("ETA"));
    let report = run.file("report.md");
    for part in ["**Valid.**", "not corrected for coordinated omission", "Not measured", "4 Mbit"] {
        assert!(report.contains(part), "{part}");
    }
    assert_eq!(server.client().line("DBSIZE").int(), 0);
}

#[test]
fn gets_alone_find_every_key_and_keep_leaves_them() {
    let server = RedisServer::start(&[]);
    let options = ["--duration", "100ms", "--ops", "get", "--from", "16B", "--to", "32B"];
    let run = sweep(
        &server.address().to_string(),
        &[&options[..], &["--keys", "300", "--keep"]].concat(),
    );
    run.expect_code(0);
    assert_eq!(server.client().line("DBSIZE").int(), 600);
    assert_eq!(run.json("summary.json")["unmeasured"]["keys_filled"], 600);
    assert_eq!(run.sum("GET", "misses"), 0);
    assert!(!run.files().iter().any(|name| name.contains("-set-")));
}

#[test]
fn in_bytes_the_old_load_is_sent_under_the_old_labels() {
    let server = RedisServer::start(&[]);
    let options = ["--duration", "100ms", "--units", "bytes", "--from", "128", "--to", "256"];
    let run = sweep(&server.address().to_string(), &options);
    run.expect_code(0);
    check_results_file(&run.file("results-set-client1.txt"), &[128, 256]);
    assert_eq!(run.phases()[0]["bytes"], 128);
}

#[test]
fn pipelines_and_threads_give_the_same_files() {
    let server = RedisServer::start(&[]);
    // A phase needs one reply at least: what is under way at once is a small part of what even a
    // busy machine moves within its second.
    let load = ["--connections", "5", "--pipeline", "7", "--threads", "3", "--seed", "9"];
    let sizes = ["--from", "64KiB", "--to", "128KiB", "--duration", "1s", "--warmup", "50ms"];
    let run = sweep(&server.address().to_string(), &[load, sizes].concat());
    run.expect_code(0);
    assert_eq!(run.phases().len(), 4);
}

#[test]
fn a_password_is_used_and_never_written_down() {
    let server = RedisServer::start(&["--requirepass", "s3cret-word"]);
    let options = ["--duration", "100ms", "--to", "128", "--password", "s3cret-word"];
    let run = sweep(&server.address().to_string(), &options);
    run.expect_code(0);
    for name in run.files().iter().filter(|name| *name != "hdr") {
        assert!(!run.file(name).contains("s3cret-word"), "{name}");
    }
    let named =
        sweep(&server.address().to_string(), &[&options[..], &["--username", "default"]].concat());
    named.expect_code(0);
    let refused = sweep(&server.address().to_string(), &["--password", "other"]);
    refused.expect_code(1);
    assert!(refused.stderr().contains("AUTH refused"), "{}", refused.stderr());
}

#[test]
fn an_open_loop_says_whether_its_rate_was_held() {
    let server = RedisServer::start(&[]);
    let sizes = ["--duration", "300ms", "--to", "128", "--ops", "set"];
    let run = sweep(&server.address().to_string(), &[&sizes[..], &["--rate", "200"]].concat());
    let phase = run.phases().remove(0);
    let held = phase["achieved_pct"].as_f64().unwrap() >= 99.0;
    // Whether it is held depends on the machine; what is said of it does not.
    run.expect_code(if held { 0 } else { 3 });
    assert_eq!(phase["offered_per_s"], 200.0);
    assert_eq!(phase["service_ms"]["samples"], phase["latency_ms"]["samples"]);
    assert!(phase["ops"].as_u64() <= Some(60));

    let beyond =
        sweep(&server.address().to_string(), &[&sizes[..], &["--rate", "10000000"]].concat());
    beyond.expect_code(3);
    assert!(beyond.stdout().contains("NOT VALID"), "{}", beyond.stdout());
}

#[test]
fn without_a_target_nothing_is_measured() {
    let run = sweep(&free_address().to_string(), &[]);
    run.expect_code(1);
    assert!(run.stderr().contains("no Redis to measure"), "{}", run.stderr());
    assert!(run.files().is_empty());
}

#[test]
fn a_mix_is_one_row_with_its_commands_in_it() {
    let server = RedisServer::start(&[]);
    let load = ["--size", "1KiB", "--keys", "100", "--duration", "500ms", "--repeat", "2"];
    let mix = ["--mix", "get:70,set:20,mget:5,mset:5", "--batch", "4", "--pipeline", "5"];
    for more in [&[][..], &["--protocol", "3", "--key-distribution", "zipf"]] {
        let run = sweep(&server.address().to_string(), &[&load[..], &mix, more].concat());
        run.expect_code(0);
        let summary = run.json("summary.json");
        assert_eq!(violations(&summary_schema(), &summary), Vec::<String>::new());
        assert_eq!(summary["options"]["mix"], "get:70,set:20,mget:5,mset:5");
        assert_eq!(run.phases().len(), 2);
        let phase = run.phases().remove(0);
        assert_eq!((&phase["op"], &phase["bytes"]), (&"mix".into(), &1024.into()));
        let commands = phase["commands"].as_array().unwrap();
        let figure = |name: &str, of: &str| {
            let command = commands.iter().find(|command| command["command"] == name).unwrap();
            command[of].as_u64().unwrap()
        };
        let all = ["GET", "SET", "MGET", "MSET"];
        let sum: u64 = all.iter().map(|name| figure(name, "requests")).sum();
        assert_eq!(sum, phase["requests"].as_u64().unwrap());
        assert!(all.iter().all(|name| figure(name, "ops") > 0), "{phase}");
        assert!(figure("GET", "ops") > figure("SET", "ops"), "{phase}");
        assert_eq!(phase["misses"], 0);
        // The keys of a batch count as payload each.
        let values: u64 = figure("GET", "ops")
            + figure("SET", "ops")
            + 4 * (figure("MGET", "ops") + figure("MSET", "ops"));
        let expected = values as f64 * 1024.0 / 1e6 / phase["elapsed_s"].as_f64().unwrap();
        let found = phase["megabytes_per_s"].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        assert!(run.file("report.md").contains("By command:"));
        assert!(run.file("report.html").contains("mix by command"));
        assert!(!run.files().iter().any(|name| name.starts_with("results")));
    }
    assert_eq!(server.client().line("DBSIZE").int(), 0);
}

#[test]
fn batches_write_and_read_every_key_in_either_protocol() {
    let server = RedisServer::start(&["--requirepass", "s3cret-word"]);
    for protocol in ["2", "3"] {
        let load = ["--size", "16B", "--keys", "60", "--duration", "400ms", "--keep"];
        let batches = ["--ops", "mset,mget", "--batch", "7", "--password", "s3cret-word"];
        let run = sweep(
            &server.address().to_string(),
            &[&load[..], &batches, &["--protocol", protocol]].concat(),
        );
        run.expect_code(0);
        assert!(run.sum("MSET", "ops") > 9 && run.sum("MGET", "ops") > 0);
        // An MSET that was acknowledged has written its keys, so none were left to write.
        assert_eq!(run.json("summary.json")["unmeasured"]["keys_filled"], 0);
    }
    let mut client = server.client();
    client.line("AUTH s3cret-word");
    assert_eq!(client.line("DBSIZE").int(), 120);
    assert!(client.line("INFO commandstats").text().contains("cmdstat_hello"));
}

#[test]
fn the_highest_rate_is_looked_for_and_confirmed() {
    let server = RedisServer::start(&[]);
    let load = ["--size", "16B", "--ops", "get", "--connections", "4", "--duration", "150ms"];
    // Whatever the machine, a second is enough for a rate that it holds.
    let run = sweep(
        &server.address().to_string(),
        &[&load[..], &["--rate-search", "--p99-limit", "1s"]].concat(),
    );
    let summary = run.json("summary.json");
    assert_eq!(violations(&summary_schema(), &summary), Vec::<String>::new());
    let phase = run.phases().remove(0);
    let search = &phase["rate_search"];
    let tries = search["tries"].as_array().unwrap();
    assert!((2..=52).contains(&tries.len()), "{search}");
    assert_eq!(tries[0]["rate_per_s"], 1000);
    let last = tries.last().unwrap();
    let confirmed = search["confirmed"].as_bool().unwrap();
    run.expect_code(if confirmed { 0 } else { 3 });
    assert_eq!((&last["full"], &last["held"]), (&true.into(), &confirmed.into()), "{search}");
    assert_eq!(phase["offered_per_s"], last["rate_per_s"].as_f64().unwrap());
    for name in ["report.md", "report.html"] {
        assert!(run.file(name).contains("Highest rates"), "{name}");
    }
    assert!(run.stdout().contains("Highest rates:"), "{}", run.stdout());
}

#[test]
fn a_rate_that_nobody_could_hold_is_said_to_be_none() {
    let server = ScriptedServer::start(|name, _| match name {
        "SET" => Act::Stall(30),
        _ => Act::Obey,
    });
    let load = ["--size", "16B", "--ops", "set", "--connections", "2", "--duration", "100ms"];
    let run =
        sweep(&server.address(), &[&load[..], &["--rate-search", "--p99-limit", "1ms"]].concat());
    run.expect_code(3);
    assert!(run.stdout().contains("no rate was found"), "{}", run.stdout());
    let search = run.phases()[0]["rate_search"].clone();
    assert_eq!(search["confirmed"], false);
    assert!(search["tries"].as_array().unwrap().iter().all(|one| one["held"] == false), "{search}");
}

#[test]
fn a_file_of_commands_is_replayed_with_its_keys() {
    let server = RedisServer::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("commands.log");
    let log = "# three of four are good\nSET name \"a b\"\nLPUSH name x\nHGETALL nothing\nINCR n\n";
    std::fs::write(&file, log).unwrap();
    let load = ["--replay", file.to_str().unwrap(), "--duration", "300ms", "--connections", "3"];
    for protocol in ["2", "3"] {
        let options =
            [&load[..], &["--max-error-pct", "40", "--protocol", protocol, "--pipeline", "2"]];
        let run = sweep(&server.address().to_string(), &options.concat());
        run.expect_code(0);
        let summary = run.json("summary.json");
        assert_eq!(violations(&summary_schema(), &summary), Vec::<String>::new());
        assert_eq!(summary["options"]["replay"]["commands"], 4);
        let phase = run.phases().remove(0);
        assert_eq!((&phase["op"], &phase["bytes"]), (&"replay".into(), &0.into()));
        let (ops, errors) = (run.sum("replay", "ops"), run.sum("replay", "errors"));
        assert!(errors > 0 && ops.abs_diff(3 * errors) <= 60, "{ops} {errors}");
        let texts = phase["errors_by_text"].as_object().unwrap();
        assert!(texts.keys().all(|text| text.starts_with("WRONGTYPE")), "{texts:?}");
        assert!(run.file("report.md").contains("4 commands of"));
    }
    let mut client = server.client();
    assert_eq!(client.line("GET name").text(), "a b");
    assert_eq!(client.line("DBSIZE").int(), 2);
    std::fs::write(&file, "PING\nMONITOR\n").unwrap();
    let refused = sweep(&server.address().to_string(), &load);
    refused.expect_code(64);
    assert!(refused.stderr().contains("line 2: MONITOR"), "{}", refused.stderr());
}
