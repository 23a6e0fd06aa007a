//! report.html in a browser: as wide as a phone and as a desk, nothing wrong and nothing too wide.
//!
//! The page has no script of its own, so the test adds one to a copy, which measures what the browser
//! has made of it. Without a browser it says so and tests nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::server::RedisServer;

use crate::run::{Run, sweep, sweep_of};
use crate::scripted_server::{Act, ScriptedServer};

/// Tells the width of the page and of the window, what is wider than the window without a way to
/// scroll it, and which charts have no height or text outside of them.
const PROBE: &str = r#"<script>
window.addEventListener('load', () => {
  const wide = document.documentElement.clientWidth;
  const inScroll = (e) => e.closest('.scroll') !== null;
  const found = { page: document.documentElement.scrollWidth, window: wide, wide: [], charts: 0, out: [] };
  for (const e of document.querySelectorAll('main *')) {
    const box = e.getBoundingClientRect();
    if (box.width > 0 && box.right > wide + 1 && !inScroll(e)) found.wide.push(e.tagName + '.' + e.className);
  }
  for (const svg of [...document.querySelectorAll('figure svg')].filter((e) => !e.closest('.legend'))) {
    const box = svg.getBoundingClientRect();
    if (box.width === 0) continue;
    if (box.height > 50) found.charts += 1;
    for (const text of svg.querySelectorAll('text')) {
      const own = text.getBoundingClientRect();
      if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1) {
        const gone = [own.left - box.left, box.right - own.right, own.top - box.top, box.bottom - own.bottom];
        found.out.push(`${svg.getAttribute('aria-label')}: ${text.textContent}: ${gone}`);
      }
    }
  }
  const out = document.createElement('pre');
  out.id = 'found';
  out.textContent = JSON.stringify(found);
  document.body.append(out);
});
</script></body>"#;

const WIDTHS: [u32; 2] = [390, 1280];

fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there)
}

/// What the probe found at a width. A window of a browser without a screen has a smallest width, so
/// the page is shown in a frame of the width that is wanted.
fn probed(browser: &str, folder: &Path, width: u32) -> Value {
    let frame = folder.join(format!("frame-{width}.html"));
    let text = format!(
        "<!DOCTYPE html><html><body style=\"margin:0\"><iframe id=\"page\" src=\"probed.html\" \
         style=\"border:0;width:{width}px;height:40000px\"></iframe><pre id=\"out\"></pre><script>\
         const page = document.getElementById('page');\
         const look = () => {{ const e = page.contentDocument.getElementById('found');\
         if (e) document.getElementById('out').textContent = e.textContent;\
         else setTimeout(look, 20); }}; page.addEventListener('load', look);</script></body></html>"
    );
    fs::write(&frame, text).unwrap();
    let output = Command::new("timeout")
        // One that hangs must not keep the others from being tested.
        .args(["180", browser, "--disable-dev-shm-usage"])
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        // Two files of one folder are of two origins otherwise.
        .arg("--allow-file-access-from-files")
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(["--window-size=1400,2000", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}", frame.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (dom, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(!log.contains(":CONSOLE"), "{log}");
    let found = dom.split("<pre id=\"out\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let json = found.unwrap_or_default();
    serde_json::from_str(json).unwrap_or_else(|_| panic!("the probe found nothing: {dom}\n{log}"))
}

/// The page of a run has so many charts, none of them cut off, and fits both widths.
fn assert_shown(browser: &str, run: &Run, charts: usize) {
    let folder = tempfile::tempdir().unwrap();
    let page = run.file("report.html");
    fs::write(folder.path().join("probed.html"), page.replace("</body>", PROBE)).unwrap();
    for width in WIDTHS {
        let found = probed(browser, folder.path(), width);
        assert_eq!(found["window"], width, "{found}");
        assert_eq!(found["page"], width, "the page is wider than the window: {found}");
        assert_eq!(found["wide"], Value::Array(Vec::new()), "at {width}");
        assert_eq!(found["out"], Value::Array(Vec::new()), "text outside a chart at {width}");
        assert_eq!(found["charts"], charts, "at {width}: {found}");
    }
}

#[test]
fn a_report_is_whole_at_the_width_of_a_phone_and_of_a_desk() {
    let Some(browser) = browser() else {
        println!("not tested here, for want of a browser: the report as a browser shows it");
        return;
    };
    let server = RedisServer::start(&[]);
    let address = server.address().to_string();
    // Throughput, payload, latency and spectrum of two operations; a timeline.
    let run = sweep(&address, &["--duration", "200ms", "--repeat", "2", "--to", "64Kb"]);
    run.expect_code(0);
    assert_shown(browser, &run, 6 + timelines(&run));
    // One size: spectra alone.
    let mix = ["--size", "1KiB", "--mix", "get:80,set:15,mget:5", "--key-distribution", "zipf"];
    let run = sweep(&address, &[&mix[..], &["--duration", "1s"]].concat());
    run.expect_code(0);
    assert_shown(browser, &run, 1 + timelines(&run));
    // The ratios beside those of a sweep.
    let list = format!("gateway={address},another-name-of-24-chars={address},third={address}");
    let load = ["--from", "16B", "--to", "1KiB", "--duration", "100ms"];
    let run = sweep_of(&[&["--compare", &list][..], &load].concat());
    run.expect_code(0);
    assert_shown(browser, &run, 7 + timelines(&run));
    let search = ["--size", "16B", "--ops", "set", "--rate-search", "--p99-limit", "1s"];
    let run = sweep(&address, &[&search[..], &["--duration", "100ms"]].concat());
    assert_shown(browser, &run, 1 + timelines(&run));
}

#[test]
fn a_report_of_failures_fits_too() {
    let Some(browser) = browser() else {
        println!(
            "not tested here, for want of a browser: a report of failures as a browser shows it"
        );
        return;
    };
    let server = ScriptedServer::start(|name, before| match (name, before % 3) {
        ("SET", 0) => Act::Refuse(
            "ERR a_long_word_without_any_blank_0123456789012345678901234567890123456789",
        ),
        _ => Act::Obey,
    });
    let load = ["--connections", "4", "--from", "16B", "--to", "64B", "--duration", "200ms"];
    let run = sweep(&server.address(), &load);
    run.expect_code(2);
    assert_shown(browser, &run, 6 + timelines(&run));
}

/// Timelines that are shown at any width: each is there twice, for broad and for narrow windows.
fn timelines(run: &Run) -> usize {
    run.file("report.html").matches("<figure class=\"chart wide").count()
}
