//! The gateway against a lone Redis: the same random requests, the same bytes in reply.
//!
//! Both run in the same order from empty, in pipelines of random depth, from a fixed seed. What
//! cannot be equal by nature is not in [`commands`], which says why.

mod commands;

use commands::{FAMILIES, Order};

use crate::support::client::{Client, put};
use crate::support::reply::Reply;
use crate::support::site::alone;
use testkit::server::RedisServer;

const REQUESTS: usize = 4_000;
const PIPELINE_MAX: usize = 60;

/// Makes requests out of templates.
struct Maker {
    random: fastrand::Rng,
}

struct Made {
    words: Vec<Vec<u8>>,
    order: Order,
}

impl Maker {
    fn request(&mut self) -> Made {
        let family = &FAMILIES[self.random.usize(..FAMILIES.len())];
        let (order, template) = family.templates[self.random.usize(..family.templates.len())];
        let mut words: Vec<Vec<u8>> = Vec::new();
        for word in template.split(' ') {
            match word.strip_suffix("...") {
                // A word that may come several times, with what is before it in the brackets.
                Some(group) => {
                    for _ in 0..self.random.usize(1..=5) {
                        words.extend(group.split('+').map(|word| self.word(word, family.name)));
                    }
                }
                None => words.push(self.word(word, family.name)),
            }
        }
        // Now and then a word too few.
        if words.len() > 2 && self.random.u8(..100) < 2 {
            words.pop();
        }
        Made { words, order }
    }

    fn word(&mut self, word: &str, family: &str) -> Vec<u8> {
        let random = &mut self.random;
        let digits = |number: i64| number.to_string().into_bytes();
        match word {
            "KEY" => self.key(family, ""),
            "TAGGED" => self.key(family, "{same}"),
            "VALUE" => [&b"b\"i'n\r\n"[..], &[random.u8(..), random.u8(..)]].concat(),
            "LONG" => crate::support::noise(random.u64(..), random.usize(..20_000)),
            "MEMBER" => format!("m{}", random.u8(..12)).into_bytes(),
            "NUMBER" => digits(random.i64(-20..100)),
            "INDEX" => digits(random.i64(-6..12)),
            "FEW" => digits(random.i64(0..8)),
            "OFFSET" => digits(random.i64(0..200)),
            "SCORE" => match random.u8(..8) {
                0 => b"inf".to_vec(),
                1 => format!("{}", random.f64() * 100.0).into_bytes(),
                _ => digits(random.i64(-10..50)),
            },
            "LOWEST" => [&b"-inf"[..], b"(3", b"0", b"-5"][random.usize(..4)].to_vec(),
            "HIGHEST" => [&b"+inf"[..], b"(30", b"20", b"50"][random.usize(..4)].to_vec(),
            "LEXMIN" => [&b"-"[..], b"[m1", b"(m2"][random.usize(..3)].to_vec(),
            "LEXMAX" => [&b"+"[..], b"[m5", b"(m7"][random.usize(..3)].to_vec(),
            "ONEBIT" => digits(random.i64(0..2)),
            "ID" => format!("{}-{}", random.u8(1..60), random.u8(..4)).into_bytes(),
            "LATER" => digits(4_000_000_000 + random.i64(0..1000)),
            "LATER_MS" => digits(4_000_000_000_000 + random.i64(0..1000)),
            "PLACE" => format!("{:.3}", random.f64() * 20.0).into_bytes(),
            "SIDE" => [&b"LEFT"[..], b"RIGHT"][random.usize(..2)].to_vec(),
            // A word that is as it is; `_` stands for a space.
            plain => plain.replace('_', " ").into_bytes(),
        }
    }

    /// Mostly a key of the family's own type; the others bring WRONGTYPE.
    fn key(&mut self, family: &str, tag: &str) -> Vec<u8> {
        let other = FAMILIES[self.random.usize(..FAMILIES.len())].name;
        let family = if self.random.u8(..100) < 90 { family } else { other };
        format!("{tag}{family}:{}", self.random.u8(..5)).into_bytes()
    }
}

fn shown(words: &[Vec<u8>]) -> String {
    let words: Vec<String> =
        words.iter().map(|word| word[..word.len().min(60)].escape_ascii().to_string()).collect();
    words.join(" ")
}

/// Some replies are lists without an order; all others must have the same bytes.
fn is_same(order: Order, ours: &(Reply, Vec<u8>), theirs: &(Reply, Vec<u8>)) -> bool {
    ours.1 == theirs.1
        || (order == Order::None && ours.0.unordered() == theirs.0.unordered())
        || (order == Order::Pairs && pairs(&ours.0) == pairs(&theirs.0))
}

fn pairs(reply: &Reply) -> Vec<String> {
    let mut pairs: Vec<String> = match reply {
        Reply::Map(pairs) => pairs.iter().map(|(a, b)| format!("{a:?} {b:?}")).collect(),
        Reply::Array(flat) => flat.chunks(2).map(|pair| format!("{pair:?}")).collect(),
        other => return vec![format!("{other:?}")],
    };
    pairs.sort();
    pairs
}

fn compare(gateway: &mut Client, redis: &mut Client, seed: u64) {
    let mut maker = Maker { random: fastrand::Rng::with_seed(seed) };
    let (mut done, mut errors) = (0, 0);
    while done < REQUESTS {
        let depth = maker.random.usize(1..=PIPELINE_MAX);
        let made: Vec<Made> = (0..depth).map(|_| maker.request()).collect();
        let mut bytes = Vec::new();
        made.iter().for_each(|request| put(&mut bytes, &request.words));
        let ours = gateway.exchange(&bytes, depth);
        let theirs = redis.exchange(&bytes, depth);
        for (at, request) in made.iter().enumerate() {
            assert!(
                is_same(request.order, &ours[at], &theirs[at]),
                "seed {seed}, request {}: {}\nthe gateway: {}\nRedis:       {}",
                done + at,
                shown(&request.words),
                ours[at].1.escape_ascii(),
                theirs[at].1.escape_ascii(),
            );
            errors += usize::from(matches!(theirs[at].0, Reply::Error(_)));
        }
        done += depth;
    }
    // Were most of them errors, little would have been compared.
    assert!(errors * 3 < done, "{errors} of {done} replies are errors");
}

fn compare_all(hello: &str, seeds: std::ops::Range<u64>) {
    let (site, redis) = (alone(), RedisServer::start(&[]));
    let (mut ours, mut theirs) = (site.gateway.client(), redis.client());
    for seed in seeds {
        for client in [&mut ours, &mut theirs] {
            client.line(hello);
            assert_eq!(client.line("FLUSHALL"), Reply::ok());
        }
        compare(&mut ours, &mut theirs, seed);
        assert_eq!(ours.line("DBSIZE"), theirs.line("DBSIZE"), "seed {seed}");
        let same = ours.line("KEYS *").unordered() == theirs.line("KEYS *").unordered();
        assert!(same, "seed {seed}: other keys");
    }
}

#[test]
fn replies_are_those_of_one_redis_in_resp2() {
    compare_all("HELLO 2", 0..3);
}

#[test]
fn replies_are_those_of_one_redis_in_resp3() {
    compare_all("HELLO 3", 3..6);
}
