//! CLIENT …, byte by byte. Owns nothing but cases.

use crate::builtin::state::ReplyMode;
use crate::builtin::tests::{CLIENT_BYTES, Gateway, NAME_ERROR};
use crate::reply::texts;

/// Seen from a 7.0.15, but for SETINFO, NO-TOUCH and MAXAGE, which are newer.
#[test]
fn client_answers_of_one_line() {
    Gateway::new(None).client().check(&[
        ("CLIENT ID", ":1"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME a", "+OK"),
        ("CLIENT GETNAME", "$1\r\na"),
        ("CLIENT SETNAME ", "+OK"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME a\n", NAME_ERROR),
        ("CLIENT SETNAME é", NAME_ERROR),
        ("CLIENT SETINFO lib-name x", "+OK"),
        ("CLIENT SETINFO LIB-VER 1.0", "+OK"),
        (
            "CLIENT SETINFO LIB-VER é",
            "-ERR LIB-VER cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT SETINFO foo x", "-ERR Unrecognized option 'foo'"),
        (
            "CLIENT NO-EVICT on",
            "-ERR gateway: CLIENT NO-EVICT ON is refused: nodes do not know the gateway's clients, \
             and cannot spare one of them",
        ),
        ("CLIENT NO-EVICT OFF", "+OK"),
        ("CLIENT NO-EVICT x", "-ERR syntax error"),
        (
            "CLIENT NO-TOUCH on",
            "-ERR gateway: CLIENT NO-TOUCH ON is refused: it changes the state of a connection, and \
             clients share the gateway's connections",
        ),
        ("CLIENT NO-TOUCH off", "+OK"),
        ("CLIENT NO-TOUCH x", "-ERR syntax error"),
        ("CLIENT REPLY ON", "+OK"),
        ("CLIENT REPLY foo", "-ERR syntax error"),
        ("CLIENT GETREDIR", ":-1"),
        (
            "CLIENT TRACKINGINFO",
            "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0",
        ),
        ("CLIENT UNBLOCK 1", ":0"),
        ("CLIENT UNBLOCK -1 timeout", ":0"),
        ("CLIENT UNBLOCK 1 ERROR", ":0"),
        ("CLIENT UNBLOCK a", "-ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 1 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        (
            "CLIENT UNBLOCK 1 ERROR x",
            "-ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.",
        ),
        ("CLIENT CAPA redirect", "+OK"),
        ("CLIENT foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP."),
    ]);
}

#[test]
fn texts_of_clients_have_a_limit() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    let long = "x".repeat(1025);
    for request in ["CLIENT SETNAME", "CLIENT SETINFO lib-ver", "HELLO 3 SETNAME"] {
        let error = format!("-{}", texts::CLIENT_TEXT_LEN);
        client.check(&[(&format!("{request} {long}"), &error)]);
    }
    client.check(&[(&format!("CLIENT SETNAME {}", &long[1..]), "+OK")]);
}

#[test]
fn reply_modes() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    for (request, reply, mode) in [
        ("CLIENT REPLY SKIP", "", ReplyMode::SkipNext),
        ("CLIENT REPLY ON", "+OK\r\n", ReplyMode::On),
        ("CLIENT REPLY OFF", "", ReplyMode::Off),
        ("CLIENT REPLY SKIP", "", ReplyMode::Off),
        ("CLIENT REPLY ON", "+OK\r\n", ReplyMode::On),
    ] {
        assert_eq!(client.ask(request), reply);
        assert_eq!(client.state.replies, mode);
    }
}

#[test]
fn client_list() {
    let gateway = Gateway::new(None);
    let mut first = gateway.client();
    let mut second = gateway.client();
    second.ask("CLIENT SETNAME two");
    second.ask("CLIENT SETINFO LIB-NAME driver(x)");
    second.ask("CLIENT SETINFO LIB-VER 1.2");
    second.ask("HELLO 3");
    let line = |id: u64, name: &str, cmd: &str, resp: u8, lib: (&str, &str)| {
        // The request that is being answered counts.
        let request = if cmd == "hello" { 0 } else { 26 };
        let memory = CLIENT_BYTES + request;
        format!(
            "id={id} addr=127.0.0.1:{} laddr=127.0.0.1:6379 fd=-1 name={name} age=0 idle=0 \
             flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf={request} qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem={memory} events=r cmd={cmd} user=default \
             redir=-1 resp={resp} lib-name={} lib-ver={}\n",
            39_999 + id,
            lib.0,
            lib.1
        )
    };
    let two = line(2, "two", "hello", 3, ("driver(x)", "1.2"));
    let both = format!("{}{two}", line(1, "", "client|list", 2, ("", "")));
    let longer = both.replace("qbuf=26 ", "qbuf=48 ");
    let longer = longer.replace(
        &format!("tot-mem={} ", CLIENT_BYTES + 26),
        &format!("tot-mem={} ", CLIENT_BYTES + 48),
    );
    let bulk = |text: &str| format!("${}\r\n{text}", text.len());
    let info = line(1, "", "client|info", 2, ("", ""));
    first.check(&[
        ("CLIENT INFO", &bulk(&info)),
        ("CLIENT LIST", &bulk(&both)),
        // A longer request.
        ("CLIENT LIST TYPE normal", &bulk(&longer)),
        ("CLIENT LIST TYPE master", "$0\r\n"),
        ("CLIENT LIST TYPE replica", "$0\r\n"),
        ("CLIENT LIST TYPE pubsub", "$0\r\n"),
        ("CLIENT LIST ID 2 9 -1 0", &bulk(&two)),
        ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT LIST TYPE a\r\nb", "-ERR Unknown client type 'a  b'"),
        ("CLIENT LIST TYPE", "-ERR syntax error"),
        ("CLIENT LIST ID", "-ERR syntax error"),
        ("CLIENT LIST ID a", "-ERR Invalid client ID"),
        ("CLIENT LIST ID 007", "-ERR Invalid client ID"),
        ("CLIENT LIST FOO", "-ERR syntax error"),
        ("CLIENT LIST TYPE normal ID 1", "-ERR syntax error"),
    ]);
    assert_eq!(second.ask("CLIENT LIST TYPE master"), "=4\r\ntxt:\r\n");
    assert_eq!(
        second.ask("CLIENT TRACKINGINFO"),
        "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n"
    );
    let many = format!("CLIENT LIST ID{}", " 1".repeat(4097));
    first.check(&[(&many, &format!("-{}", texts::TOO_MANY_IDS))]);
}

#[test]
fn client_kill() {
    let gateway = Gateway::new(None);
    let mut me = gateway.client();
    let others: Vec<_> = (0..3).map(|n| gateway.enter(&format!("10.0.0.{n}:5"))).collect();
    let mapped = gateway.enter("[::ffff:10.0.0.9]:5");
    // Seen from a 7.0.15, but for MAXAGE, which is newer.
    me.check(&[
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
        ("CLIENT KILL ID", "-ERR No such client"),
        ("CLIENT KILL ID 99", ":0"),
        ("CLIENT KILL ID a", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ADDR 1.2.3.4:5", ":0"),
        ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT KILL TYPE pubsub", ":0"),
        ("CLIENT KILL USER foo", "-ERR No such user 'foo'"),
        ("CLIENT KILL SKIPME foo", "-ERR syntax error"),
        ("CLIENT KILL ID 1 ADDR", "-ERR syntax error"),
        ("CLIENT KILL FOO 1", "-ERR syntax error"),
        ("CLIENT KILL MAXAGE a", "-ERR maxage is not an integer or out of range"),
        ("CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0"),
        ("CLIENT KILL MAXAGE 1000 USER default SKIPME no", ":0"),
    ]);
    assert!(!others.iter().any(|other| other.is_killed()));
    me.check(&[
        ("CLIENT KILL 10.0.0.0:5", "+OK"),
        ("CLIENT KILL 10.0.0.0:5", "-ERR No such client"),
        ("CLIENT KILL 10.0.0.9:5", "+OK"),
        ("CLIENT KILL ID 3 ADDR 10.0.0.2:5", ":0"),
        ("CLIENT KILL ID 3 LADDR 127.0.0.1:6379", ":1"),
        ("CLIENT KILL TYPE normal USER default", ":1"),
    ]);
    assert!(others.iter().all(|other| other.is_killed()) && mapped.is_killed());
    assert!(!me.state.closing);
    me.check(&[("CLIENT KILL TYPE normal SKIPME no", ":1")]);
    assert!(me.state.closing && !me.state.info.is_killed());
    me.state.closing = false;
    me.check(&[("CLIENT KILL 127.0.0.1:40000", "+OK")]);
    assert!(me.state.closing);
}
