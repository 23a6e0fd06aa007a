//! What CLIENT TRACKING objects to, word by word. Owns nothing but cases, each seen from a 7.0.15.

use super::*;

fn read_line(line: &str, current: Option<&Tracking>) -> Result<Wanted, Cow<'static, str>> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let bytes = words.concat();
    let mut end = 0;
    let place = |word: &&[u8]| {
        end += word.len() as u32;
        (end - word.len() as u32, end)
    };
    let ranges: Vec<(u32, u32)> = words.iter().map(place).collect();
    read(Args::new(&bytes, &ranges), current, |id| id == 7)
}

fn on(line: &str, current: Option<&Tracking>) -> Tracking {
    match read_line(&format!("CLIENT TRACKING ON{line}"), current) {
        Ok(Wanted::On(tracking)) => tracking,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn options_are_read() {
    assert!(matches!(read_line("CLIENT TRACKING off BCAST", None), Ok(Wanted::Off)));
    let tracking = on(" redirect 7 OPTIN noloop", None);
    assert_eq!((tracking.redirect, tracking.options.mode), (7, TrackingMode::OptIn));
    assert!(tracking.options.no_loop);
    assert_eq!(on("", Some(&tracking)).options, TrackingOptions::default());
    let some = on(" BCAST PREFIX b PREFIX ab", None);
    let more = on(" BCAST PREFIX x", Some(&some));
    let prefixes: Vec<&[u8]> = more.options.prefixes.iter().map(Vec::as_slice).collect();
    assert_eq!(prefixes, [&b"ab"[..], b"b", b"x"]);
    assert!(on(" BCAST", Some(&more)).options.prefixes.contains(&b""[..]));
}

#[test]
fn objections_are_those_of_redis() {
    let bcast = on(" BCAST PREFIX ab PREFIX b", None);
    let (all, opt_in) = (on("", None), on(" OPTIN", None));
    let too_many = " PREFIX p".repeat(PREFIXES_MAX + 1);
    for (line, current, error) in [
        ("maybe", None, SYNTAX),
        ("ON what", None, SYNTAX),
        ("OFF PREFIX", None, SYNTAX),
        ("ON REDIRECT", None, SYNTAX),
        ("ON REDIRECT abc", None, NOT_AN_INTEGER),
        ("ON REDIRECT 8", None, NO_SUCH_CLIENT),
        ("ON REDIRECT -7", None, NO_SUCH_CLIENT),
        ("ON REDIRECT 7 REDIRECT 7", None, TWO_REDIRECTS),
        ("ON PREFIX a", None, PREFIX_WITHOUT_BCAST),
        ("ON BCAST", Some(&all), SWITCHES_BCAST),
        ("ON OPTIN", Some(&bcast), SWITCHES_BCAST),
        ("ON BCAST OPTIN", None, BCAST_AND_OPT),
        ("ON OPTIN OPTOUT", None, BOTH_OPTS),
        ("ON OPTOUT", Some(&opt_in), SWITCHES_OPT),
        (
            "ON BCAST PREFIX abc",
            Some(&bcast),
            "ERR Prefix 'abc' overlaps with an existing prefix 'ab'. Prefixes for a single client \
             must not overlap.",
        ),
        (
            "ON BCAST PREFIX c PREFIX cd",
            None,
            "ERR Prefix 'c' overlaps with another provided prefix 'cd'. Prefixes for a single \
             client must not overlap.",
        ),
        (&format!("ON BCAST{too_many}"), None, texts::TOO_MANY_PREFIXES),
    ] {
        let said = read_line(&format!("CLIENT TRACKING {line}"), current);
        assert_eq!(said.map(|_| ()).unwrap_err(), error, "{line}");
    }
}

#[test]
fn caching_fits_the_mode() {
    let (mut opt_in, mut opt_out) = (on(" OPTIN", None), on(" OPTOUT", None));
    assert_eq!(caching(b"yes", None), Err(NOT_CACHING.into()));
    assert_eq!(caching(b"no", Some(&mut opt_in)), Err(CACHING_NO.into()));
    assert_eq!(caching(b"x", Some(&mut opt_in)), Err(SYNTAX.into()));
    assert_eq!(caching(b"YES", Some(&mut opt_out)), Err(CACHING_YES.into()));
    assert!(!opt_in.caching);
    assert_eq!(caching(b"yes", Some(&mut opt_in)), Ok(()));
    assert!(opt_in.caching);
    assert!(caching(b"NO", Some(&mut opt_out)).is_ok() && opt_out.caching);
}

#[test]
fn a_client_is_told_what_it_has_asked_for() {
    let told = |tracking: Option<&Tracking>, is_broken| {
        let mut out = Vec::new();
        info(tracking, is_broken, Protocol::Resp2, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.split("\r\n").filter(|l| !l.starts_with(['$'])).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(None, false), "*6 flags *1 off redirect :-1 prefixes *0 ");
    let mut tracking = on(" REDIRECT 7 OPTIN NOLOOP", None);
    tracking.caching = true;
    assert_eq!(
        told(Some(&tracking), true),
        "*6 flags *5 on optin caching-yes noloop broken_redirect redirect :7 prefixes *0 "
    );
    let tracking = on(" BCAST PREFIX b PREFIX a", None);
    assert_eq!(told(Some(&tracking), false), "*6 flags *2 on bcast redirect :0 prefixes *2 a b ");
}

#[test]
fn keys_of_all_databases_are_meant_and_shown_as_clients_know_them() {
    let databases = Databases::new(3, "db");
    let tag = String::from_utf8(databases.tagged()[0].tag.to_vec()).unwrap();
    let options = on(" BCAST PREFIX b PREFIX a", None).options;
    let told = for_nodes(&options, &databases).prefixes;
    assert_eq!(told.len(), 6);
    assert!(told.contains(&b"a"[..]) && told.contains(format!("{tag}b").as_bytes()));
    // One that begins with another is left out.
    let options = on(" BCAST PREFIX {", None).options;
    assert_eq!(for_nodes(&options, &databases).prefixes.len(), 1);
    assert_eq!(for_nodes(&on(" BCAST", None).options, &databases).prefixes.len(), 1);
    let keys = |keys: &[&str]| {
        let mut out = Vec::new();
        write::array_len(&mut out, keys.len());
        keys.iter().for_each(|key| write::bulk(&mut out, key.as_bytes()));
        out
    };
    let sent = keys(&["{t}x", &format!("{tag}y"), "z"]);
    assert_eq!(shown_keys(&sent, &databases), Some(keys(&["{t}x", "y", "z"])));
    assert_eq!(shown_keys(&keys(&["z"]), &databases), None);
    assert_eq!(shown_keys(&sent, &Databases::new(1, "db")), None);
}
