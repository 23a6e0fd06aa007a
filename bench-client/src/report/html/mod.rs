//! `report.html`: one file without scripts that needs nothing else, for screens and paper.
//!
//! Owns the page: what comes first, the tiles, the tables. Charts are in `charts` and `timeline`,
//! drawn by `plot`; what is said in words is in `prose`. Invariant: everything from outside is
//! escaped, and nothing is fetched.

mod charts;
mod escape;
mod plot;
mod scale;
mod timeline;

use std::fmt::Write as _;

use self::escape::{escape, with_code};
use super::prose;
use super::table::{Table, title};
use crate::figures::{grouped, ms};
use crate::record::{Group, Record, groups};
use crate::size::short_label_of;

const STYLE: &str = include_str!("style.css");

/// Columns of the tables whose cells are red unless they are zero.
const COUNT_COLUMNS: [&str; 3] = ["errors", "misses", "wrong"];

/// The whole page.
pub(super) fn report(record: &Record) -> String {
    let mut html = head(record);
    summary(&mut html, record);
    tiles(&mut html, record);
    let charts = charts::all(record);
    if !charts.is_empty() {
        html += &format!("<h2>Figures</h2>\n<div class=\"charts\">\n{}</div>\n", charts.concat());
    }
    html += &timeline::charts(record).concat();
    if let Some(searches) = Table::searches(record) {
        let _ = writeln!(
            html,
            "<h2>Highest rates</h2>\n<p class=\"dim\">{}</p>",
            with_code(prose::SEARCHES)
        );
        table(&mut html, &searches);
    }
    ratios(&mut html, record);
    tables(&mut html, record);
    errors(&mut html, record);
    list(&mut html, "How it was measured", &prose::method(record));
    environment(&mut html, record);
    list(&mut html, "Not measured", &prose::NOT_MEASURED.map(str::to_owned));
    files(&mut html, record);
    let _ = write!(
        html,
        "<footer>{} {}, run {}</footer>\n</main>\n</body>\n</html>\n",
        escape(&record.tool),
        escape(&record.tool_version),
        escape(&record.run)
    );
    html
}

/// Where the load went, in a few words.
fn destination(record: &Record) -> String {
    let addresses: Vec<&str> =
        record.targets.iter().map(|target| target.address.as_str()).collect();
    addresses.join(", ")
}

fn head(record: &Record) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>Redis performance of {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(&destination(record))
    )
}

fn summary(html: &mut String, record: &Record) {
    let (class, word) = match record.verdict.valid {
        true => ("good", "Valid"),
        false => ("bad", "Not valid: do not quote these figures"),
    };
    let _ = write!(
        html,
        "<header>\n<span class=\"badge {class}\">{word}</span>\n<h1>{}</h1>\n\
         <p class=\"dim\">{}, started {}, took {}.</p>\n<pre>{}</pre>\n</header>\n",
        escape(&headline(record)),
        escape(&destination(record)),
        escape(&record.started),
        duration(record.took_s),
        escape(&record.command_line)
    );
    boxed(html, "bad", "Why these figures are not valid", &record.verdict.reasons);
    boxed(html, "note", "Before you use these figures", &record.warnings);
}

fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn boxed(html: &mut String, class: &str, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(html, "<div class=\"box {class}\"><b>{title}</b><ul>");
    for line in lines {
        let _ = write!(html, "<li>{}</li>", with_code(line));
    }
    *html += "</ul></div>\n";
}

/// The group with the largest median of a figure.
fn best<'g, 'a>(
    groups: &'g [Group<'a>],
    figure: fn(&Group<'_>) -> Option<f64>,
) -> Option<(&'g Group<'a>, f64)> {
    let figures = groups.iter().filter_map(|group| Some((group, figure(group)?)));
    figures.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

fn rate(group: &Group<'_>) -> Option<f64> {
    group.median(|phase| Some(phase.ops_per_s))
}

fn payload(group: &Group<'_>) -> Option<f64> {
    group.median(|phase| Some(phase.megabytes_per_s))
}

/// One sentence that can be said aloud.
fn headline(record: &Record) -> String {
    let mut groups = groups(record);
    // Of a comparison it is about the first: the others are what that is held against.
    if let Some(first) = record.targets.first() {
        groups.retain(|group| group.target == first.name);
    }
    let (Some((most, requests)), Some((heaviest, bytes))) =
        (best(&groups, rate), best(&groups, payload))
    else {
        return "Nothing was measured".to_owned();
    };
    let mut text = format!(
        "{} {} requests a second of {}",
        grouped(three_digits(requests)),
        described(record, most),
        short_label_of(most.bytes)
    );
    for ratio in &record.comparison {
        let is_same = ratio.op == most.op && ratio.bytes == most.bytes;
        if let Some(spread) = ratio.ops_per_s.filter(|_| is_same) {
            let _ = write!(text, ", {} {:.2} times as many", ratio.target, spread.median);
        }
    }
    if let Some(limit) = record.options.p99_limit_ms.filter(|_| record.verdict.valid) {
        let _ = write!(text, " with 99 % of them under {limit} ms");
    }
    if record.sizes().len() > 1 {
        let _ = write!(
            text,
            "; up to {} of values at {}",
            payload_rate(bytes),
            short_label_of(heaviest.bytes)
        );
    }
    text
}

fn described(record: &Record, group: &Group<'_>) -> String {
    if record.targets.len() > 1 {
        format!("{} {}", group.target, group.op)
    } else {
        group.op.to_owned()
    }
}

/// More would claim more than a run can know.
fn three_digits(figure: f64) -> f64 {
    if figure < 1000.0 {
        return figure;
    }
    let power = 10_f64.powf(figure.log10().floor() - 2.0);
    (figure / power).round() * power
}

fn payload_rate(megabytes: f64) -> String {
    match megabytes {
        many if many >= 1000.0 => format!("{:.2} GB/s", many / 1000.0),
        many if many >= 10.0 => format!("{many:.0} MB/s"),
        few => format!("{few:.2} MB/s"),
    }
}

fn tiles(html: &mut String, record: &Record) {
    let groups = groups(record);
    *html += "<div class=\"tiles\">\n";
    let mut tile = |what: &str, figure: &str, unit: &str, place: &str| {
        let _ = writeln!(
            html,
            "<div class=\"tile\"><div class=\"what\">{}</div><div class=\"figure\">{} <small>{}</small>\
             </div><div class=\"where\">{}</div></div>",
            escape(what),
            escape(figure),
            escape(unit),
            escape(place)
        );
    };
    let size = |group: &Group<'_>| {
        format!("{}, {}", described(record, group), short_label_of(group.bytes))
    };
    tile_row(&groups, &mut tile, &size);
    let requests: u64 = record.phases.iter().map(|phase| phase.requests).sum();
    let bad: u64 = record.phases.iter().map(|phase| phase.bad()).sum();
    tile(
        "Failed requests",
        &grouped(bad as f64),
        "",
        &format!("errors, misses, wrong values; of {}", grouped(requests as f64)),
    );
    *html += "</div>\n";
}

fn tile_row(
    groups: &[Group<'_>],
    tile: &mut impl FnMut(&str, &str, &str, &str),
    size: &impl Fn(&Group<'_>) -> String,
) {
    if let Some((group, figure)) = best(groups, rate) {
        tile("Most requests", &grouped(figure), "/s", &size(group));
    }
    if let Some((group, figure)) = best(groups, payload) {
        let figure = payload_rate(figure);
        let (number, unit) = figure.split_once(' ').unwrap_or((&figure, ""));
        tile("Most payload", number, unit, &size(group));
    }
    let smallest = groups.iter().map(|group| group.bytes).min();
    let small: Vec<&Group<'_>> =
        groups.iter().filter(|group| Some(group.bytes) == smallest).collect();
    let p99 = |group: &Group<'_>| group.median(|phase| phase.latency_ms.p99);
    let slowest = small
        .into_iter()
        .filter_map(|group| Some((group, p99(group)?)))
        .max_by(|(_, one), (_, other)| one.total_cmp(other));
    if let Some((group, figure)) = slowest {
        let p50 = group.median(|phase| phase.latency_ms.p50);
        let p50 = p50.map_or_else(String::new, |p50| format!("; half within {} ms", ms(p50)));
        tile("99 % of requests within", &ms(figure), "ms", &format!("{}{p50}", size(group)));
    }
}

fn ratios(html: &mut String, record: &Record) {
    if let (Some(ratios), Some(first)) = (Table::ratios(record), record.targets.first()) {
        let _ = write!(
            html,
            "<h2>By {}</h2>\n<p class=\"dim\">{}</p>\n",
            escape(&first.name),
            with_code(prose::RATIOS)
        );
        table(html, &ratios);
    }
}

fn tables(html: &mut String, record: &Record) {
    let _ = write!(
        html,
        "<h2>Table</h2>\n<p class=\"dim\">{} {}</p>\n",
        with_code(prose::latency_kind(record)),
        with_code(prose::COLUMNS)
    );
    for op in record.ops() {
        for target in &record.targets {
            let title = title(record, target, op);
            let _ = writeln!(html, "<h3>{}</h3>", escape(&title));
            table(html, &Table::full(record, &target.name, op));
            if let Some(commands) = Table::commands(record, &target.name, op) {
                let _ = writeln!(html, "<h3>{} by command</h3>", escape(&title));
                table(html, &commands);
            }
        }
    }
}

fn table(html: &mut String, table: &Table) {
    *html += "<div class=\"scroll\" tabindex=\"0\"><table class=\"data\"><thead><tr>";
    for name in &table.header {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(name));
    }
    *html += "</tr></thead><tbody>\n";
    for row in &table.rows {
        *html += "<tr>";
        for (name, cell) in table.header.iter().zip(row) {
            let is_bad = COUNT_COLUMNS.contains(name) && cell != "0";
            let class = if is_bad { " class=\"bad\"" } else { "" };
            let _ = write!(html, "<td{class}>{}</td>", escape(cell));
        }
        *html += "</tr>\n";
    }
    *html += "</tbody></table></div>\n";
}

fn errors(html: &mut String, record: &Record) {
    let rows = prose::errors(record);
    if rows.is_empty() {
        return;
    }
    *html += "<h2>Errors</h2>\n";
    let facts: Vec<prose::Fact> =
        rows.into_iter().map(|[place, count, text]| (format!("{place}: {count}"), text)).collect();
    fact_table(html, &facts, false);
}

fn list(html: &mut String, title: &str, lines: &[String]) {
    let _ = write!(html, "<h2>{}</h2>\n<ul class=\"prose\">\n", escape(title));
    for line in lines {
        let _ = writeln!(html, "<li>{}</li>", with_code(line));
    }
    *html += "</ul>\n";
}

fn environment(html: &mut String, record: &Record) {
    *html += "<h2>Environment</h2>\n";
    fact_table(html, &prose::environment(record), false);
}

fn files(html: &mut String, record: &Record) {
    *html += "<h2>Files beside this page</h2>\n";
    fact_table(html, &prose::files(record), true);
}

fn fact_table(html: &mut String, facts: &[prose::Fact], is_linked: bool) {
    *html += "<div class=\"scroll\"><table class=\"facts\"><tbody>\n";
    for (name, value) in facts {
        let name = match is_linked {
            true => format!("<a href=\"{0}\">{0}</a>", escape(name)),
            false => with_code(name),
        };
        let _ = writeln!(html, "<tr><td>{name}</td><td>{}</td></tr>", with_code(value));
    }
    *html += "</tbody></table></div>\n";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    /// Every element that is opened is closed, in order.
    fn check_nesting(html: &str) {
        const VOID: [&str; 7] = ["meta", "link", "!DOCTYPE", "line", "circle", "rect", "polyline"];
        let mut open: Vec<&str> = Vec::new();
        let without_style = html.split("<style>").next().unwrap().to_owned()
            + html.split("</style>").nth(1).unwrap();
        for piece in without_style.split('<').skip(1) {
            let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("a tag ends: {piece}"));
            let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap();
            if tag.starts_with('/') {
                let last = open.pop().map(str::to_owned);
                assert_eq!(last.as_deref(), Some(name), "{piece}");
            } else if !tag.ends_with('/') && !(VOID[..3].contains(&name)) {
                // The list of names lives as long as the text.
                open.push(Box::leak(name.to_owned().into_boxed_str()));
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_page_is_whole_and_alone() {
        let html = report(&sample::record());
        check_nesting(&html);
        for outside in ["http:", "https:", "<script", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert_eq!(html.matches("<figure").count(), 8);
        assert!(!html.contains("NaN") && !html.contains(">inf"));
        // The processor's name is not markup.
        assert!(html.contains("Fast &lt;9000&gt;"));
    }

    #[test]
    fn a_comparison_has_its_ratios_as_chart_and_table() {
        let html = report(&sample::comparison());
        check_nesting(&html);
        assert!(html.contains("<h2>By gateway</h2>") && html.contains("0.500 – 0.500"));
        assert!(html.contains("Requests per second, by gateway"));
        let headline = headline(&sample::comparison());
        assert!(headline.starts_with("60,100 gateway GET requests"), "{headline}");
        assert!(headline.contains(" of 16 B, other 0.50 times as many; up to "), "{headline}");
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let mut record = sample::record();
        record.verdict.valid = false;
        record.verdict.reasons = vec!["SET at 16 B: <all> failed".into()];
        record.warnings = vec!["the `target` evicted keys".into()];
        record.phases[0].errors = 12;
        record.phases[0].errors_by_text = [("ERR <script>".to_owned(), 12)].into();
        let html = report(&record);
        check_nesting(&html);
        let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text}"));
        assert!(place("SET at 16 B: &lt;all&gt; failed") < place("<div class=\"tiles\">"));
        assert!(place("the <code>target</code> evicted keys") < place("<div class=\"tiles\">"));
        assert!(html.contains("<td class=\"bad\">12</td>") && html.contains("ERR &lt;script&gt;"));
    }

    #[test]
    fn a_run_without_a_phase_has_a_page_too() {
        let mut record = sample::record();
        record.phases.clear();
        let html = report(&record);
        check_nesting(&html);
        assert!(html.contains("Nothing was measured"));
    }

    #[test]
    fn a_headline_does_not_claim_too_much() {
        assert_eq!(grouped(three_digits(61_234.0)), "61,200");
        assert_eq!(payload_rate(2_912.3), "2.91 GB/s");
    }
}
