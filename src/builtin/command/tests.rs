//! COMMAND …, byte by byte. Owns nothing but cases.

use crate::builtin::tests::Gateway;
use crate::reply::texts;

/// Each seen from a 7.0.15, but for the arity of GETKEYS, which is newer.
#[test]
fn command_keys() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    client.check(&[
        ("COMMAND GETKEYS get a", "*1\r\n$1\r\na"),
        ("COMMAND GETKEYS mset a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb"),
        ("COMMAND GETKEYS memory usage x", "*1\r\n$1\r\nx"),
        ("COMMAND GETKEYS eval x 0", "*0"),
        ("COMMAND GETKEYS eval x 1", "*0"),
        ("COMMAND GETKEYS eval x 1 a", "*1\r\n$1\r\na"),
        ("COMMAND GETKEYS get", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND GETKEYS zunion 5 a", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS foo a", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS client nosuch", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS client|list x", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS client list", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS client", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS client getname x", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS spublish a b", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYSANDFLAGS get a", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access"),
        (
            "COMMAND GETKEYSANDFLAGS set a b get",
            "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update",
        ),
    ]);
    client.ask("HELLO 3");
    client.check(&[
        ("COMMAND GETKEYS mget a b", "*2\r\n$1\r\na\r\n$1\r\nb"),
        (
            "COMMAND GETKEYSANDFLAGS lmove a b left left",
            "*2\r\n*2\r\n$1\r\na\r\n~3\r\n+RW\r\n+access\r\n+delete\r\n\
             *2\r\n$1\r\nb\r\n~2\r\n+RW\r\n+insert",
        ),
    ]);
}

/// Seen from a 7.0.15.
#[test]
fn command_rows() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    let get = "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\
               \r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n\
               $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\n\
               index\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n\
               *6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0";
    let list = "*10\r\n$11\r\nclient|list\r\n:-2\r\n*4\r\n+admin\r\n+noscript\r\n+loading\r\n\
                +stale\r\n:0\r\n:0\r\n:0\r\n*4\r\n+@admin\r\n+@slow\r\n+@dangerous\r\n\
                +@connection\r\n*1\r\n$23\r\nnondeterministic_output\r\n*0\r\n*0";
    client.check(&[
        (
            "COMMAND INFO GET nosuch client|nosuch get|x config| Client|LIST",
            &format!("*6\r\n{get}\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n{list}"),
        ),
        (
            "COMMAND INFO xread",
            "*1\r\n*10\r\n$5\r\nxread\r\n:-4\r\n*3\r\n+readonly\r\n+blocking\r\n+movablekeys\r\n:0\
             \r\n:0\r\n:0\r\n*4\r\n+@read\r\n+@stream\r\n+@slow\r\n+@blocking\r\n*0\r\n*1\r\n*6\r\n\
             $5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$7\
             \r\nkeyword\r\n$4\r\nspec\r\n*4\r\n$7\r\nkeyword\r\n$7\r\nSTREAMS\r\n$9\r\nstartfrom\
             \r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\
             \r\nlastkey\r\n:-1\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:2\r\n*0",
        ),
    ]);
    client.ask("HELLO 3");
    client.check(&[
        ("COMMAND INFO nosuch", "*1\r\n_"),
        (
            "COMMAND INFO zunion",
            "*1\r\n*10\r\n$6\r\nzunion\r\n:-3\r\n~2\r\n+readonly\r\n+movablekeys\r\n:0\r\n:0\r\n:0\
             \r\n~3\r\n+@read\r\n+@sortedset\r\n+@slow\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n\
             +RO\r\n+access\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\
             \r\n%1\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$6\r\nkeynum\r\n\
             $4\r\nspec\r\n%3\r\n$9\r\nkeynumidx\r\n:0\r\n$8\r\nfirstkey\r\n:1\r\n$7\r\nkeystep\r\n\
             :1\r\n~0",
        ),
    ]);
    let names = format!("COMMAND INFO{}", " get".repeat(4097));
    client.check(&[(&names, &format!("-{}", texts::TOO_MANY_NAMES))]);
}

#[test]
fn command_lists() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    let top = gateway.table.iter().filter(|(_, row)| !row.name.contains('|')).count();
    let array = |len: usize| format!("*{len}\r\n");
    assert_eq!(client.ask("COMMAND COUNT"), format!(":{top}\r\n"));
    assert!(client.ask("COMMAND").starts_with(&array(top)));
    assert_eq!(client.ask("COMMAND"), client.ask("COMMAND INFO"));
    assert!(client.ask("COMMAND LIST").starts_with(&array(gateway.table.len())));
    // Seen from a 7.0.15, in another order.
    client.check(&[
        (
            "COMMAND LIST FILTERBY PATTERN XR*",
            "*4\r\n$6\r\nxrange\r\n$5\r\nxread\r\n$10\r\nxreadgroup\r\n$9\r\nxrevrange",
        ),
        ("COMMAND LIST FILTERBY pattern client|l*", "*1\r\n$11\r\nclient|list"),
        (
            "COMMAND LIST FILTERBY ACLCAT HYPERLOGLOG",
            "*5\r\n$5\r\npfadd\r\n$7\r\npfcount\r\n$7\r\npfdebug\r\n$7\r\npfmerge\r\n$10\r\n\
             pfselftest",
        ),
        ("COMMAND LIST FILTERBY ACLCAT @hyperloglog", "*0"),
        ("COMMAND LIST FILTERBY ACLCAT nosuch", "*0"),
        ("COMMAND LIST FILTERBY MODULE x", "*0"),
        ("COMMAND LIST FILTERBY FOO x", "-ERR syntax error"),
        ("COMMAND LIST FILTERBY PATTERN", "-ERR syntax error"),
        ("COMMAND LIST FILTERBY PATTERN x y", "-ERR syntax error"),
        ("COMMAND LIST FOO", "-ERR syntax error"),
        ("COMMAND foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP."),
    ]);
    let long = format!("COMMAND LIST FILTERBY PATTERN {}", "x".repeat(257));
    client.check(&[(&long, &format!("-{}", texts::LONG_PATTERN))]);
}
