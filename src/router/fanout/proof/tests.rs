//! What proves that all masters were asked, case by case.

use super::*;
use crate::topology::Shard;
use crate::topology::map::Range;

fn node(id: &str) -> NodeAddress {
    let port = u16::from(id.as_bytes()[0]);
    NodeAddress { id: id.into(), address: ([127, 0, 0, 1], port).into(), name: id.into() }
}

/// `a` and `b` share the slots, `r` is a replica of `a`, `s` serves none.
fn map() -> ClusterMap {
    let shard = |id: &str, replicas: &[&str]| Shard {
        master: node(id),
        replicas: replicas.iter().map(|id| node(id)).collect(),
    };
    let ranges = vec![
        Range { first: 0, last: 99, shard: shard("a", &["r"]) },
        Range { first: 100, last: 16383, shard: shard("b", &[]) },
    ];
    ClusterMap::from_ranges(ranges, 3).with_spares(vec![node("s")])
}

fn owns(id: &str, slots: &str) -> Box<Ownership> {
    let line = format!("{id} h:1@2 myself,master - 0 0 3 connected {slots}");
    Box::new(Ownership::read(&line).expect("an own line"))
}

/// Node `id` owns `slots` throughout and says `reply`.
fn says(id: &str, slots: &str, reply: &str) -> Heard {
    counts(id, slots, &[], reply)
}

fn counts(id: &str, slots: &str, counts: &[i64], reply: &str) -> Heard {
    let (before, after) = (owns(id, slots), owns(id, slots));
    let reply = (!reply.is_empty()).then(|| reply.into());
    let answer = Answer::Whole { before, counts: counts.to_vec(), reply, after };
    Heard { node: node(id), role: Role::Master, answer }
}

fn no_answer(id: &str, role: Role, was_sent: bool) -> Heard {
    Heard { node: node(id), role, answer: Answer::Lost { was_sent } }
}

fn asked(proof: &Proof) -> String {
    let questions = proof.questions(&map());
    let shown = questions.iter().map(|question| {
        let counts: String = question.counts.iter().map(|slot| format!("+{slot}")).collect();
        let quiet = if question.with_command { "" } else { "?" };
        format!("{}{quiet}{counts}", question.node.id)
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn done(parts: &[&str], twice: bool) -> Next {
    Next::Done(parts.iter().map(|part| part.as_bytes().to_vec()).collect(), twice)
}

fn moving() -> Next {
    Next::Wait(texts::SLOTS_MOVING.to_owned())
}

const KINDS: [Kind; 4] = [Kind::Count, Kind::Collect, Kind::Erase, Kind::PerNode];

#[test]
fn kinds_follow_from_the_row() {
    let table = crate::command::CommandTable::builtin();
    let cases = [
        ("dbsize", Kind::Count),
        ("keys", Kind::Collect),
        ("flushall", Kind::Erase),
        ("flushdb", Kind::Erase),
        ("script|load", Kind::PerNode),
        ("function|load", Kind::PerNode),
        ("config|set", Kind::PerNode),
    ];
    for (name, kind) in cases {
        let row = table.by_name(name).and_then(|id| table.get(id)).expect("a row");
        assert_eq!(Kind::of(row), kind, "{name}");
    }
}

#[test]
fn masters_that_own_all_slots_while_they_answer_are_all_masters() {
    for kind in KINDS {
        let mut proof = Proof::new(kind, false, false);
        assert_eq!(asked(&proof), "a b");
        let heard = vec![says("a", "0-99", ":1"), says("b", "100-16383", ":2")];
        assert_eq!(proof.take(heard), done(&[":1", ":2"], false), "{kind:?}");
    }
}

#[test]
fn a_slot_of_nobody_has_all_asked_again_and_spares_too() {
    for kind in [Kind::Count, Kind::Collect, Kind::Erase] {
        let mut proof = Proof::new(kind, false, false);
        let heard = vec![says("a", "1-99", ":1"), says("b", "100-16383", ":2")];
        assert_eq!(proof.take(heard), moving());
        assert_eq!(asked(&proof), "a b s");
        let heard =
            vec![says("a", "1-99", ":1"), says("b", "100-16383", ":2"), says("s", "0", ":3")];
        assert_eq!(proof.take(heard), done(&[":1", ":2", ":3"], false), "{kind:?}");
    }
}

#[test]
fn a_slot_of_two_is_of_nobody_for_certain() {
    let mut proof = Proof::new(Kind::Count, false, false);
    let heard = vec![says("a", "0-100", ":1"), says("b", "100-16383", ":2")];
    assert_eq!(proof.take(heard), moving());
}

#[test]
fn a_node_that_loses_a_slot_while_it_answers_proves_nothing() {
    for kind in [Kind::Count, Kind::Collect, Kind::Erase, Kind::PerNode] {
        let mut proof = Proof::new(kind, false, false);
        let (before, after) = (owns("a", "0-99"), owns("a", "0-98"));
        let answer = Answer::Whole { before, counts: vec![], reply: Some(b":1".into()), after };
        let changed = Heard { node: node("a"), role: Role::Master, answer };
        assert_eq!(proof.take(vec![changed, says("b", "99-16383", ":2")]), moving());
    }
}

#[test]
fn a_master_that_has_become_a_replica_owns_nothing() {
    let mut proof = Proof::new(Kind::Erase, false, false);
    let mut heard = vec![says("a", "0-99", "+OK"), says("b", "100-16383", "+OK")];
    if let Answer::Whole { before, after, .. } = &mut heard[0].answer {
        (before.is_master, after.is_master) = (false, false);
    }
    assert_eq!(proof.take(heard), moving());
}

#[test]
fn nodes_that_keys_go_to_are_asked_once_more() {
    for kind in [Kind::Collect, Kind::Erase] {
        let mut proof = Proof::new(kind, false, false);
        let heard = vec![says("a", "0-99 [5->-s]", "a"), says("b", "100-16383 [7-<-a]", "b")];
        assert_eq!(proof.take(heard), Next::Again);
        assert_eq!(asked(&proof), "b s");
        let heard = vec![says("b", "7 100-16383", "b2"), says("s", "[5-<-a]", "s2")];
        assert_eq!(proof.take(heard), done(&["a", "b", "b2", "s2"], true), "{kind:?}");
    }
}

#[test]
fn a_node_that_keys_went_to_and_that_has_lost_the_slot_proves_nothing() {
    let mut proof = Proof::new(Kind::Erase, false, false);
    let heard = vec![says("a", "0-99 [5->-b]", "+OK"), says("b", "100-16383 [5-<-a]", "+OK")];
    assert_eq!(proof.take(heard), Next::Again);
    assert_eq!(proof.take(vec![says("b", "100-16383", "+OK")]), moving());
    assert_eq!(asked(&proof), "a b s");
    // A mark that was left behind is none of a move.
    let stale = vec![says("a", "0-99 [5->-b]", "+OK"), says("b", "100-16383", "+OK")];
    assert_eq!(proof.take(stale), Next::Again);
    let parts = ["+OK"; 3];
    assert_eq!(proof.take(vec![says("b", "100-16383", "+OK")]), done(&parts, true));
    let mut proof = Proof::new(Kind::Erase, false, false);
    // And one that the map does not know, and that is not asked therefore.
    let open = || vec![says("a", "0-99 [5->-x]", "+OK"), says("b", "100-16383", "+OK")];
    assert_eq!(proof.take(open()), Next::Again);
    assert_eq!(asked(&proof), "");
    assert_eq!(proof.take(Vec::new()), moving());
}

#[test]
fn keys_of_moving_slots_are_counted_until_none_moves() {
    let mut proof = Proof::new(Kind::Count, false, false);
    let (a, b) = ("0-99 [5->-b]", "100-16383 [5-<-a]");
    assert_eq!(proof.take(vec![says("a", a, ":9"), says("b", b, ":9")]), Next::Again);
    assert_eq!(asked(&proof), "a+5 b+5");
    let round = |at_a: i64, at_b: i64, replies: [&str; 2]| {
        vec![counts("a", a, &[at_a], replies[0]), counts("b", b, &[at_b], replies[1])]
    };
    assert_eq!(proof.take(round(4, 1, [":4", ":11"])), Next::Again);
    // One has moved: it may have been counted at neither.
    assert_eq!(proof.take(round(3, 2, [":3", ":12"])), moving());
    assert_eq!(proof.take(round(3, 2, [":3", ":12"])), done(&[":3", ":12"], false));
}

#[test]
fn a_spare_that_keys_go_to_is_counted_too() {
    let mut proof = Proof::new(Kind::Count, false, false);
    let heard = vec![says("a", "0-99 [5->-s]", ":9"), says("b", "100-16383", ":9")];
    assert_eq!(proof.take(heard), Next::Again);
    assert_eq!(asked(&proof), "a+5 b+5 s+5");
}

#[test]
fn an_error_is_the_answer_whatever_the_map() {
    for kind in KINDS {
        let mut proof = Proof::new(kind, false, false);
        let heard = vec![says("a", "0-9", "-ERR no"), says("b", "100-16383", "-ERR no")];
        assert_eq!(proof.take(heard), done(&["-ERR no", "-ERR no"], false), "{kind:?}");
    }
}

#[test]
fn what_changes_nodes_runs_once_at_each() {
    let mut proof = Proof::new(Kind::PerNode, true, false);
    let heard = vec![says("a", "1-99", "+1"), says("b", "100-16383", "+2")];
    assert_eq!(proof.take(heard), moving());
    assert_eq!(asked(&proof), "a? b? s");
    let heard = vec![says("a", "1-99", ""), says("b", "100-16383", ""), says("s", "0", "+3")];
    assert_eq!(proof.take(heard), done(&["+1", "+2", "+3"], false));
}

#[test]
fn a_node_that_does_not_answer_is_waited_for_and_the_others_are_not_asked_twice() {
    let lost = || Next::Wait(texts::UNREACHABLE.to_owned());
    let mut proof = Proof::new(Kind::PerNode, true, false);
    let heard = vec![no_answer("a", Role::Master, false), says("b", "100-16383", "+2")];
    assert_eq!(proof.take(heard), lost());
    assert_eq!(asked(&proof), "a b?");
    // It may have run.
    let heard = vec![no_answer("a", Role::Master, true), says("b", "100-16383", "")];
    assert_eq!(proof.take(heard), Next::Fail(texts::INDETERMINATE.to_owned()));
    // Removing all keys a second time changes nothing.
    let mut proof = Proof::new(Kind::Erase, true, false);
    let heard = vec![no_answer("a", Role::Master, true), says("b", "100-16383", "+OK")];
    assert_eq!(proof.take(heard), lost());
}

#[test]
fn replicas_are_asked_where_they_are_reached() {
    let mut proof = Proof::new(Kind::PerNode, true, true);
    assert_eq!(asked(&proof), "a b r");
    let heard = vec![
        says("a", "0-99", "+1"),
        says("b", "100-16383", "+2"),
        no_answer("r", Role::Replica, true),
    ];
    assert_eq!(proof.take(heard), done(&["+1", "+2"], false));
    let mut proof = Proof::new(Kind::PerNode, true, true);
    let replica = Answer::OfReplica(b"+3".to_vec());
    let heard = vec![
        says("a", "0-99", "+1"),
        says("b", "100-16383", "+2"),
        Heard { node: node("r"), role: Role::Replica, answer: replica },
    ];
    assert_eq!(proof.take(heard), done(&["+1", "+2", "+3"], false));
}

#[test]
fn a_replica_that_the_map_does_not_know_is_waited_for() {
    let mut proof = Proof::new(Kind::PerNode, true, true);
    let mut heard = vec![says("a", "0-99", "+1"), says("b", "100-16383", "+2")];
    for name in ["r", "n"] {
        if let Answer::Whole { before, after, .. } = &mut heard[0].answer {
            before.replicas.push(name.into());
            after.replicas.push(name.into());
        }
    }
    heard.push(no_answer("r", Role::Replica, false));
    assert_eq!(proof.take(heard.clone()), moving());
    // One more look at the map, and it is there. Nobody is asked twice.
    assert_eq!(asked(&proof), "a? b? s r");
    for heard in &mut heard {
        if let Answer::Whole { reply, .. } = &mut heard.answer {
            *reply = None;
        }
    }
    let new = Answer::OfReplica(b"+3".to_vec());
    heard.push(Heard { node: node("n"), role: Role::Replica, answer: new });
    assert_eq!(proof.take(heard), done(&["+1", "+2", "+3"], false));
}

/// Node `id`, which is done, owns `slots` and has this replica.
fn has_replica(id: &str, slots: &str, replica: &str) -> Heard {
    let mut heard = says(id, slots, "");
    if let Answer::Whole { before, after, .. } = &mut heard.answer {
        before.replicas.push(replica.into());
        after.replicas.push(replica.into());
    }
    heard
}

#[test]
fn a_master_that_becomes_a_replica_while_it_answers_is_not_asked_again() {
    let mut proof = Proof::new(Kind::PerNode, true, true);
    let mut deposed = says("a", "0-99", "+1");
    if let Answer::Whole { after, .. } = &mut deposed.answer {
        (after.is_master, after.slots) = (false, Vec::new());
    }
    let replica = Answer::OfReplica(b"+3".to_vec());
    let heard = vec![
        deposed,
        says("b", "100-16383", "+2"),
        Heard { node: node("r"), role: Role::Replica, answer: replica },
    ];
    assert_eq!(proof.take(heard), moving());
    let heard = vec![has_replica("r", "0-99", "a"), says("b", "100-16383", "")];
    assert_eq!(proof.take(heard), done(&["+1", "+2", "+3"], false));
}

#[test]
fn a_spare_that_does_not_answer_is_not_missed() {
    let mut proof = Proof::new(Kind::Erase, false, false);
    assert_eq!(proof.take(vec![says("a", "0-9", "+OK")]), moving());
    let heard = vec![
        says("a", "0-99", "+OK"),
        says("b", "100-16383", "+OK"),
        no_answer("s", Role::Spare, true),
    ];
    assert_eq!(proof.take(heard), done(&["+OK", "+OK"], false));
}
