//! Databases other than 0: each is a whole Redis, apart from all others.

use std::collections::BTreeSet;

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::{SLOTWAY, Site, alone, shared};
use crate::support::until;
use testkit::server::RedisServer;

/// What a cluster refuses and a lone server does: keys are anywhere.
const AS_A_SERVER: &[&str] = &[
    "MSET a 1 b 2 c 3|MGET a b c d|DEL a b|EXISTS a b c|UNLINK c|TOUCH a",
    "SET a 1|RENAME a b|GET b|RENAMENX b c|COPY c d|GET d|GET a",
    "MSETNX a 1 b 2|MSETNX b 3 c 4|MGET a b c",
    "SADD s 1 2 3|SADD t 2 3 4|SINTER s t|SUNIONSTORE u s t|SMEMBERS u|SDIFF s t|SINTERCARD 2 s t",
    "SMOVE s t 1|ZADD y 1 a|ZADD z 2 b|ZUNION 2 y z WITHSCORES|ZUNIONSTORE w 2 y z|ZRANGE w 0 -1",
    "PFADD p 1|PFADD q 2|PFCOUNT p q|PFMERGE r p q|PFCOUNT r",
    "SET a x|SET b y|BITOP AND c a b|GET c",
    "RPUSH l 1 2 3|LMOVE l m LEFT RIGHT|RPOPLPUSH l n|LMPOP 2 none l LEFT|LRANGE m 0 -1",
    "ZADD z 1 a 2 b|ZMPOP 2 none z MIN|ZRANGESTORE y z 0 -1|ZRANGE y 0 -1",
    "RPUSH l 1|BLPOP none l 0|BLPOP none l 0.05|RPUSH l 1|BLMPOP 0 2 none l LEFT|BRPOPLPUSH none l 0.05",
    "ZADD z 1 a|BZPOPMIN none z 0|BZPOPMAX none z 0.05|ZADD z 1 a|BZMPOP 0 2 none z MAX",
    "XADD x 1-1 f v|XADD y 1-1 f v|XREAD STREAMS x y 0 0|XREAD COUNT 1 BLOCK 50 STREAMS x none 0 $",
    "XADD x 1-1 f v|XGROUP CREATE x g 0|XREADGROUP GROUP g c STREAMS x >|XACK x g 1-1|XINFO GROUPS x",
    "XADD x 1-1 f v|XREADGROUP GROUP g c STREAMS x >|XACK x g 1|XPENDING x g|XINFO STREAM none",
    "RPUSH l 3 1 2|SORT l|SORT l STORE m|LRANGE m 0 -1|SORT l DESC LIMIT 0 2",
    "RPUSH l 1 2 3|MSET w1 30 w2 10 o1 a o3 c|HSET h1 f 5|HSET h2 f 1|SORT l BY w*|SORT l BY w* DESC|SORT l BY h*->f|\
     SORT l BY w* LIMIT 1 1|SORT l BY nosort GET # GET o* GET h*->f|SORT l GET o* STORE d|LRANGE d 0 -1|SORT l BY o* ALPHA|\
     SORT l BY o*|SORT l BY w* LIMIT 5 1|SORT l BY w* LIMIT -1 -1 STORE d|SORT_RO l GET x GET w*|SORT l DESC GET o*",
    "SET s x|SORT s BY w*|SORT s GET #|RPUSH l a|SORT l GET #|SORT l BY w* LIMIT x 1|SORT l BY w* STORE|SORT none BY w*|\
     SORT none GET # STORE d|SORT l ALPHA GET #|SORT_RO l BY w* STORE d|SADD t 3 1 2|SORT t BY w* GET # DESC|\
     ZADD z 1 b 2 a|SORT z BY nosort GET # DESC|MULTI|SORT t GET #|EXEC",
    "GEOADD g 13.3 38.1 a|GEOSEARCHSTORE h g FROMMEMBER a BYRADIUS 1 km|ZCARD h",
    "GEORADIUS g 13 38 200 km STORE i|GEORADIUS_RO g 13 38 200 km",
    "SET a 1|MULTI|SET b 2|INCR a|RENAME a c|MGET b c|EXEC|GET c",
    "RPUSH l 1|MULTI|LMPOP 2 none l LEFT|XREAD STREAMS none 0|DBSIZE|KEYS *|RANDOMKEY|EXEC",
    "SET a 1|WATCH a b|GET a|MULTI|SET c 1|EXEC|WATCH a|SET a 2|MULTI|GET a|EXEC",
    "SET a 1|SET b 2|EVAL return{redis.call('get',KEYS[1]),redis.call('get','b'),KEYS,ARGV} 1 a x y",
    "EVAL redis.call('mset','k1','v1','k2','v2')return(redis.call('mget','k1','k2','k3')) 0",
    "RPUSH l 1 2|EVAL return{redis.call('lmpop',2,'no','l','left'),redis.call('lrange','l',0,-1)} 0",
    "XADD x 1-1 f v|EVAL return(redis.call('xread','STREAMS','x','0')) 0",
    "ZADD y 1 a|EVAL return(redis.call('zunionstore','z',1,'y')) 0|EXISTS z y",
    "SET a 1|SET b 1|EVAL local--[[]]k=redis.call('keys','*')table.sort(k)return(k) 0|EVAL return(redis.call('dbsize')) 0",
    "SET a 1|EVAL return{redis.call('scan',0)[2],redis.call('randomkey')} 0",
    "MSET ab 1 ac 2 b 3|EVAL local--[[]]k=redis.call('keys',ARGV[1])table.sort(k)return(k) 0 a?",
    "MSET ab 1 ac 2 b 3|EVAL return(redis.call('keys',ARGV[1])) 0 [bx]|EVAL return(redis.call('keys','a[^b]')) 0",
    "SET a 1|RPUSH l 1|EVAL return(redis.call('scan',0,'type','list','match','*')[2]) 0",
    "EVAL return(redis.call('nosuch')) 0|EVAL return(redis.pcall('incr','a','b')) 0|EVAL return(KEYS[1]) 0",
    "EVAL return(1) -1|EVAL return(1) x|EVAL return(1) 2 a|EVALSHA ffffffffffffffffffffffffffffffffffffffff 0",
    "EVAL return(redis.sha1hex('a')) 0|EVAL return(#ARGV) 0 a b|EVAL return(redis.status_reply('fine')) 0",
    "SET a 1|EVALSHA 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 0|EVAL_RO return(redis.call('get',KEYS[1])) 1 a",
    "SET a 1|DBSIZE|KEYS *|KEYS [b-z]*|SCAN 0|SCAN 0 MATCH b*|SCAN 0 TYPE list|SCAN 0 TYPE string|SCAN x|SCAN 0 COUNT 0",
    "SET a 1|RANDOMKEY|FLUSHDB|DBSIZE|RANDOMKEY|KEYS *",
    "SET a 1 EX 100|TTL a|PERSIST a|TYPE a|OBJECT ENCODING a|DUMP none|STRLEN a|GETDEL a",
    "HSET h f v|HSCAN h 0|SADD s a|SSCAN s 0|HGETALL h",
    "EVAL return(redis.call()) 0|EVAL return(redis.pcall()) 0|EVAL redis.x=1 0|EVAL return(redis.x) 0",
    "EVAL local--[[]]a={}for--[[]]i=1,7999--[[]]do--[[]]a[i]=i--[[]]end--[[]]return(redis.call('rpush','l',unpack(a))) 0",
    "SELECT 3|SELECT 16|SELECT x|SELECT -1|MULTI|SELECT 3|EXEC",
    "SET a 1|COMMAND GETKEYS MSET a 1 b 2|OBJECT FREQ|GET|LCS a b",
];

fn said(mut client: Client, protocol: u8, script: &str) -> Vec<String> {
    client.line(&format!("HELLO {protocol}"));
    client.line("SELECT 3");
    client.line("FLUSHDB");
    let bytes = script.split('|').map(request).collect::<Vec<_>>().concat();
    let replies = client.exchange(&bytes, script.split('|').count());
    replies.into_iter().map(|(reply, _)| format!("{:?}", reply.unordered())).collect()
}

#[test]
fn a_database_is_as_a_lone_server() {
    let lone = RedisServer::start(&[]);
    let site = shared();
    for protocol in [2, 3] {
        for script in AS_A_SERVER {
            let of_a_server = said(Client::connect(lone.address()), protocol, script);
            let ours = said(site.gateway.client(), protocol, script);
            // Where a script has failed, the server's own line says less than it might.
            let plain = |said: Vec<String>| -> Vec<String> {
                said.into_iter()
                    .map(|text| text.split(" script: ").next().unwrap().to_owned())
                    .collect()
            };
            assert_eq!(plain(ours), plain(of_a_server), "RESP{protocol}: {script}");
        }
    }
}

#[test]
fn databases_are_apart_and_hidden_from_each_other() {
    let site = alone();
    let mut clients: Vec<Client> = (0..16)
        .map(|number| {
            let mut client = site.gateway.client();
            assert_eq!(client.line(&format!("SELECT {number}")), Reply::ok());
            client
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let mut pairs = vec!["MSET".to_owned()];
        (0..=number).for_each(|n| pairs.extend([format!("k:{n}"), number.to_string()]));
        client.ask(&pairs);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let keys: BTreeSet<String> = (0..=number).map(|n| format!("k:{n}")).collect();
        let listed = |reply: &Reply| reply.texts().into_iter().collect::<BTreeSet<String>>();
        assert_eq!(client.line("DBSIZE").int(), number as i64 + 1);
        assert_eq!(listed(&client.line("KEYS *")), keys);
        let (mut cursor, mut scanned) = ("0".to_owned(), BTreeSet::new());
        loop {
            let page = client.line(&format!("SCAN {cursor}"));
            scanned.extend(page.items()[1].texts());
            cursor = page.items()[0].text();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(scanned, keys);
        for _ in 0..5 {
            assert!(keys.contains(&client.line("RANDOMKEY").text()));
        }
        assert_eq!(client.line("GET k:0"), Reply::bulk(number.to_string()));
        let listed = client.line("CLIENT INFO").text();
        assert!(listed.contains(&format!(" db={number} ")), "{listed}");
    }
    let told = clients[0].line("INFO keyspace").text();
    for number in 0..16 {
        assert!(told.contains(&format!("db{number}:keys={},", number + 1)), "{told}");
    }
    // Each is emptied by itself, 0 too, and FLUSHALL empties all.
    assert_eq!(clients[5].line("FLUSHDB"), Reply::ok());
    assert_eq!(clients[0].line("FLUSHDB"), Reply::ok());
    let sizes: Vec<i64> = clients.iter_mut().map(|client| client.line("DBSIZE").int()).collect();
    let wanted = (0..16).map(|n| if n == 0 || n == 5 { 0 } else { n + 1 });
    assert_eq!(sizes, wanted.collect::<Vec<i64>>());
    assert_eq!(clients[0].line("RANDOMKEY"), Reply::Null);
    assert_eq!(clients[7].line("FLUSHALL"), Reply::ok());
    assert!(clients.iter_mut().all(|client| client.line("DBSIZE").int() == 0));
}

#[test]
fn no_key_of_database_0_can_be_another_databases() {
    let site = shared();
    let mut zero = site.gateway.client();
    let mut one = site.gateway.client();
    one.line("SELECT 1");
    one.line("SET apart:k v");
    let at_nodes: Vec<String> = (0..6)
        .flat_map(|node| site.cluster.node(node).line("KEYS *apart:k").texts())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let [key] = at_nodes.as_slice() else { panic!("{at_nodes:?}") };
    assert!(key.starts_with("{db1"), "{key}");
    for line in [
        format!("GET {key}"),
        format!("MGET a {key} b"),
        format!("SET {key} x"),
        format!("BLPOP {key} 1"),
        format!("WATCH {key}"),
        format!("HSCAN {key} 0"),
        format!("EVAL return(1) 1 {key}"),
    ] {
        let refused = zero.line(&line);
        assert!(refused.error().contains("SELECT 1"), "{line}: {refused:?}");
    }
    zero.line("MULTI");
    assert!(zero.line(&format!("GET {key}")).error().contains("SELECT 1"));
    zero.line("DISCARD");
    // In the database itself any name is a name.
    assert_eq!(one.line(&format!("SET {key} x")), Reply::ok());
    assert_eq!(one.line("GET apart:k"), Reply::bulk("v"));
    assert_eq!(one.line(&format!("DEL {key} apart:k")).int(), 2);
    zero.assert_in_step();
}

#[test]
fn scripts_have_the_sha1_that_their_clients_know() {
    let site = shared();
    let mut client = site.gateway.client();
    client.line("SELECT 2");
    let text = "redis.call('incr','sha:n') return redis.call('get','sha:n')";
    let digest = client.ask(&["SCRIPT", "LOAD", text]).text();
    assert_eq!(client.line(&format!("EVALSHA {digest} 0")), Reply::bulk("1"));
    assert_eq!(client.line(&format!("SCRIPT EXISTS {digest}")).items()[0].int(), 1);
    for node in 0..6 {
        site.cluster.node(node).line("SCRIPT FLUSH");
    }
    assert_eq!(client.line(&format!("EVALSHA {digest} 0")), Reply::bulk("2"));
    client.line("MULTI");
    client.line(&format!("EVALSHA {digest} 0"));
    assert_eq!(client.line("EXEC").texts(), ["3"]);
    // An error names it, and the line where it happened.
    let failing = "local a = 1\nreturn redis.call('get')";
    let said = client.ask(&["EVAL", failing, "0"]);
    let digest = client.ask(&["SCRIPT", "LOAD", failing]).text();
    assert!(said.error().contains(&digest), "{said:?}");
    let said = client.ask(&["EVAL", "return 1\nsyntax error here", "0"]);
    assert!(said.error().contains(":2:"), "{said:?}");
    let flagged =
        client.ask(&["EVAL", "#!lua flags=no-writes\nreturn redis.call('set','a','b')", "0"]);
    assert!(flagged.error().contains("read-only"), "{flagged:?}");
    assert_eq!(client.line("SCRIPT FLUSH"), Reply::ok());
    assert!(client.line(&format!("EVALSHA {digest} 0")).error().starts_with("NOSCRIPT"));
}

#[test]
fn functions_are_called_with_the_keys_of_the_database() {
    let site = Site::start(3, &[]);
    let library = "#!lua name=counting\nlocal function bump(keys, args)\n\
        redis.call('incr', 'fn:all')\nreturn redis.call('incrby', keys[1], args[1] or 1) end\n\
        redis.register_function('bump', bump)\n\
        redis.register_function{function_name='all', callback=function() return redis.call('get','fn:all') end, flags={'no-writes'}}";
    let mut client = site.gateway.client();
    assert_eq!(client.ask(&["FUNCTION", "LOAD", library]), Reply::bulk("counting"));
    for protocol in [2, 3] {
        client.line(&format!("HELLO {protocol}"));
        client.line("SELECT 3");
        client.line("FLUSHDB");
        assert_eq!(client.line("FCALL bump 1 fn:k").int(), 1);
        assert_eq!(client.line("FCALL BUMP 1 fn:k 5").int(), 6);
        assert_eq!(client.line("FCALL_RO all 0"), Reply::bulk("2"));
        assert_eq!(client.line("GET fn:k"), Reply::bulk("6"));
        client.line("SELECT 4");
        assert_eq!(client.line("FCALL all 0"), Reply::Null);
        assert_eq!(client.line("FCALL nosuch 0").error(), "ERR Function not found");
        assert_eq!(client.line("FCALL bump x a").error(), "ERR Bad number of keys provided");
        assert!(client.line("FCALL bump 2 a").error().contains("greater than number of args"));
        client.line("SELECT 0");
    }
    let replaced = library.replace("or 1", "or 100");
    client.ask(&["FUNCTION", "LOAD", "REPLACE", &replaced]);
    client.line("SELECT 3");
    assert_eq!(client.line("FCALL bump 1 fn:k").int(), 106);
    client.line("MULTI");
    assert!(client.line("FCALL bump 1 fn:k").error().contains("transaction"));
}

#[test]
fn events_are_told_in_the_database_of_their_key() {
    let site = Site::start(3, &[]);
    let mut client = site.gateway.client();
    client.line("CONFIG SET notify-keyspace-events KEA");
    let listen = |names: &[&str], command: &str| {
        let mut listener = site.gateway.client();
        let mut bytes = Vec::new();
        put(&mut bytes, &[&[command], names].concat());
        listener.exchange(&bytes, names.len());
        listener
    };
    let mut of_three = listen(&["__keyspace@3__:k", "__keyevent@3__:set"], "SUBSCRIBE");
    let mut of_zero = listen(&["__keyspace@0__:k", "__keyevent@0__:set"], "SUBSCRIBE");
    let mut of_all = listen(&["__keyevent@*__:set"], "PSUBSCRIBE");
    let mut of_keys = listen(&["__keyspace@3__:*"], "PSUBSCRIBE");
    let mut of_anything = listen(&["*"], "PSUBSCRIBE");
    client.line("SET k 0");
    client.line("SELECT 3");
    client.line("SET k 3");
    client.line("PUBLISH over x");
    let next = |listener: &mut Client| listener.reply().texts().join(" ");
    let mut two = [next(&mut of_three), next(&mut of_three)];
    two.sort();
    assert_eq!(two, ["message __keyevent@3__:set k", "message __keyspace@3__:k set"]);
    let mut two = [next(&mut of_zero), next(&mut of_zero)];
    two.sort();
    assert_eq!(two, ["message __keyevent@0__:set k", "message __keyspace@0__:k set"]);
    let mut two = [next(&mut of_all), next(&mut of_all)];
    two.sort();
    let begin = "pmessage __keyevent@*__:set";
    assert_eq!(
        two,
        [format!("{begin} __keyevent@0__:set k"), format!("{begin} __keyevent@3__:set k")]
    );
    assert_eq!(next(&mut of_keys), "pmessage __keyspace@3__:* __keyspace@3__:k set");
    let mut seen = BTreeSet::new();
    while seen.len() < 5 {
        assert!(seen.insert(next(&mut of_anything)), "twice");
    }
    assert!(seen.contains("pmessage * over x"), "{seen:?}");
    assert!(seen.contains("pmessage * __keyspace@3__:k set"), "{seen:?}");
}

#[test]
fn a_listener_has_a_database_and_there_may_be_one_only() {
    let site = Site::start(3, &[("SLOTWAY_LISTENER_DATABASE", "4")]);
    let mut client = site.gateway.client();
    client.line("SET k v");
    assert!(client.line("CLIENT INFO").text().contains(" db=4 "));
    client.line("SELECT 0");
    assert_eq!(client.line("GET k"), Reply::Null);
    assert_eq!(client.line("RESET"), Reply::Simple("RESET".to_owned()));
    assert_eq!(client.line("GET k"), Reply::bulk("v"));
    let lone = site.cluster.gateway(&[("SLOTWAY_ROUTING_DATABASES", "1")]);
    let mut client = lone.client();
    assert!(client.line("SELECT 1").error().contains("out of range"));
    assert_eq!(client.line("CONFIG GET databases").texts()[1], "1");
    // Then they are keys like any other.
    assert_eq!(client.line("DBSIZE").int(), 1);
}

/// While the slot of a database is on its way, what is about all of it waits until it is whole.
#[test]
fn a_database_that_moves_is_whole_or_waits() {
    let site = Site::start(3, &[]);
    let mut client = site.gateway.client();
    client.line("SELECT 1");
    for n in 0..200 {
        client.line(&format!("SET k:{n} v"));
    }
    let key = (0..3).find_map(|node| {
        let keys = site.cluster.node(node).line("KEYS *k:0").texts();
        keys.into_iter().next().map(|key| (node, key))
    });
    let (from, key) = key.unwrap();
    let to = (from + 1) % 3;
    let mut nodes = [site.cluster.node(from), site.cluster.node(to)];
    let slot = nodes[0].line(&format!("CLUSTER KEYSLOT {key}")).int();
    let ids = [0, 1].map(|at: usize| nodes[at].line("CLUSTER MYID").text());
    nodes[1].line(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0]));
    nodes[0].line(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1]));
    let port = site.cluster.nodes[to].port();
    let keys = nodes[0].line(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).texts();
    let moved = format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {}", keys.join(" "));
    let words: Vec<String> =
        moved.split(' ').map(|word| word.trim_matches('"').to_owned()).collect();
    assert_eq!(nodes[0].ask(&words), Reply::ok());
    // Single keys are found on either side.
    for n in 0..200 {
        assert_eq!(client.line(&format!("GET k:{n}")), Reply::bulk("v"));
    }
    client.send(&request("DBSIZE"));
    client.send(&request("EVAL return(redis.call('get','k:0')) 1 k:199"));
    client.send(&request("KEYS *"));
    let rest = nodes[0].line(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")).texts();
    let mut words = vec!["MIGRATE", "127.0.0.1"];
    let port = port.to_string();
    words.extend([port.as_str(), "", "0", "5000", "KEYS"]);
    words.extend(rest.iter().map(String::as_str));
    assert_eq!(nodes[0].ask(&words), Reply::ok());
    for node in [1, 0] {
        nodes[node].line(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[1]));
    }
    assert_eq!(client.reply().int(), 200);
    assert_eq!(client.reply(), Reply::bulk("v"));
    assert_eq!(client.reply().items().len(), 200);
    until("and afterwards too", || client.line("DBSIZE").int() == 200);
}

#[test]
fn topology_says_where_a_database_is_and_how_large() {
    let site = Site::start(3, &[]);
    let mut client = site.gateway.client();
    client.line("SELECT 5");
    let mut bytes = Vec::new();
    for n in 0..3000 {
        put(&mut bytes, &["SET", &format!("k:{n}"), "v"]);
    }
    client.exchange(&bytes, 3000);
    client.line("SELECT 6");
    client.line("SET k v");
    let seed = site.cluster.nodes[0].to_string();
    let asked = std::process::Command::new(SLOTWAY)
        .args(["topology", "--json", "--seed", &seed])
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let of = |number: usize| told["databases"][number - 1].clone();
    assert_eq!(of(5)["database"], 5);
    assert_eq!(of(5)["tag"], "{db5.607}");
    // All keys of the slot are the database's, so the sample is of nothing else.
    assert_eq!((of(5)["keys"].as_u64(), of(5)["is_estimate"].as_bool()), (Some(3000), Some(true)));
    let bytes = of(5)["memory_bytes"].as_u64().unwrap();
    assert!((90_000..600_000).contains(&bytes), "{bytes}");
    assert_eq!((of(6)["keys"].as_u64(), of(6)["is_estimate"].as_bool()), (Some(1), Some(false)));
    assert_eq!(of(1)["keys"], 0);
    let key = format!("{}k:0", of(5)["tag"].as_str().unwrap());
    let masters = (0..3)
        .filter(|&node| site.cluster.node(node).line(&format!("EXISTS {key}")) == Reply::Int(1));
    let names: Vec<String> = masters.map(|node| site.cluster.nodes[node].to_string()).collect();
    assert_eq!(names, [of(5)["master"].as_str().unwrap()]);
}
