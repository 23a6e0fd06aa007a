//! What is noted of clients' scripts before they are sent on.
//!
//! Owns when a text is learned, and what SCRIPT EXISTS says: a script that the gateway can send to a
//! node that lacks it is there, as far as a client is concerned. The memory is the router's.

use std::sync::Arc;

use super::Session;
use super::dispatch::{Dispatch, Request};
use crate::command::Script;
use crate::reply::merge::Merge;
use crate::resp::frame::{open_array, split_frame};
use crate::resp::write;
use crate::router::fanout::proof::Kind;

impl Session {
    /// Takes note of what a request says of scripts. `None`: it is to be sent on.
    pub(super) fn note_script(&mut self, what: Script, request: Request<'_>) -> Option<Dispatch> {
        let scripts = Arc::clone(self.router().scripts());
        match what {
            Script::Eval => scripts.learn(request.args.get(1)),
            Script::Load => scripts.learn(request.args.get(2)),
            Script::Flush => scripts.forget(),
            Script::EvalSha | Script::Call | Script::KillFunction => {}
            Script::Exists => {
                let known: Vec<bool> =
                    request.args.iter().skip(2).map(|digest| scripts.knows(digest)).collect();
                let merge = move |parts: &[&[u8]]| exists(parts, &known);
                let how = (Kind::of(request.command), false, Merge::With(Box::new(merge)));
                return Some(self.ask_all(request, how));
            }
        }
        None
    }
}

/// Which scripts are at every node, or can be sent there.
fn exists(parts: &[&[u8]], known: &[bool]) -> Vec<u8> {
    let mut everywhere = vec![true; known.len()];
    for part in parts {
        let mut rest = open_array(part).map_or(&[][..], |(_, rest)| rest);
        for is_there in &mut everywhere {
            let item = split_frame(rest);
            *is_there &= item.is_some_and(|(item, _)| item == b":1\r\n");
            rest = item.map_or(&[], |(_, after)| after);
        }
    }
    let mut out = Vec::new();
    write::array_len(&mut out, known.len());
    for (is_there, is_known) in everywhere.iter().zip(known) {
        write::integer(&mut out, i64::from(*is_there || *is_known));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_there_when_all_have_it_or_can_be_sent_it() {
        let parts: [&[u8]; 2] = [b"*3\r\n:1\r\n:1\r\n:0\r\n", b"*3\r\n:1\r\n:0\r\n:0\r\n"];
        assert_eq!(exists(&parts, &[false; 3]), b"*3\r\n:1\r\n:0\r\n:0\r\n");
        assert_eq!(exists(&parts, &[false, true, false]), b"*3\r\n:1\r\n:1\r\n:0\r\n");
        assert_eq!(exists(&[b"*0\r\n"], &[false]), b"*1\r\n:0\r\n");
    }
}
