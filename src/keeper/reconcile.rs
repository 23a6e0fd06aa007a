//! From what was seen of all nodes to what is to be done now.
//!
//! Owns the one decision: form, heal, wait, or leave alone. Pure: the same snapshot gives the same
//! verdict to every keeper.

use std::time::Instant;

use super::plan::Shape;
use super::snapshot::{Limits, Listed, Memory, Verdict, members};
use super::{form, heal};
use crate::slot::SLOTS;

/// More reasons help nobody.
const PROBLEMS_MAX: usize = 20;

/// What is to be done now.
pub(super) fn reconcile(
    listed: &[Listed],
    shape: Shape,
    limits: Limits,
    memory: &Memory,
    now: Instant,
) -> Verdict {
    let members = members(listed);
    let mut verdict = Verdict {
        is_formed: members.iter().any(|member| member.view.covered() == SLOTS),
        ..Verdict::default()
    };
    note_missing(listed, &mut verdict);
    if !verdict.is_formed {
        if members.len() < listed.len() {
            let text = "a cluster is formed when all nodes of the list are there";
            verdict.problems.push(text.to_owned());
        } else {
            match form::next(&members, shape) {
                Ok(forming) => {
                    verdict.steps = forming.steps;
                    verdict.problems = forming.lacks;
                    verdict.problems.truncate(PROBLEMS_MAX);
                    return verdict;
                }
                Err((member, why)) => {
                    let text = format!(
                        "node {} is not empty: {why}. A cluster is only formed of nodes without \
                         data; it is left as it is",
                        member.name
                    );
                    verdict.problems.push(text.clone());
                    verdict.refusal.get_or_insert(text);
                }
            }
        }
    }
    heal::reunite(&members, memory, now, &mut verdict);
    if verdict.is_formed {
        heal::redirect(&members, &mut verdict.steps);
        let bounds = (limits, memory, now);
        heal::join(&members, listed, &mut verdict);
        heal::give_masters(&members, listed.len(), &mut verdict);
        heal::take_over(&members, bounds, &mut verdict);
        heal::reasons(&members, memory, now, &mut verdict);
        heal::forget(&members, listed, bounds, &mut verdict);
        let Verdict { steps, problems, .. } = &mut verdict;
        heal::spread_word(&members, steps, problems);
        let mut used = members.iter().filter(|member| !member.view.is_alone());
        verdict.is_ok = used.all(|member| member.view.is_ok);
    }
    verdict.problems.truncate(PROBLEMS_MAX);
    verdict
}

fn note_missing(listed: &[Listed], verdict: &mut Verdict) {
    for node in listed {
        let Err(missing) = &node.seen else { continue };
        let text = format!("node {}: {missing}", node.name);
        if !missing.may_pass() {
            verdict.refusal.get_or_insert(text.clone());
        }
        verdict.problems.push(text);
    }
}
