//! One page of SCAN: keys of one master, and proof that no master was left out.
//!
//! Owns the way from node to node. Whenever a node has no more keys, all masters are asked what they
//! own: if that is not what the map says, slots have moved since the scan began, and it begins again.

use std::rc::Rc;

use super::super::scan::{self, Layout, NODES_MAX, Position};
use super::super::{Router, reason};
use super::proof::Role;
use super::{Asker, Trying, WHAT_DO_YOU_OWN, declined, read};
use crate::backend::{Asked, Lane, LeaseError, NodeAddress};
use crate::metrics::Outcome;
use crate::reply::merge::{Holds, retain};
use crate::reply::texts;
use crate::resp::frame::{open_array, split_frame};
use crate::resp::{Args, write};
use crate::topology::{ClusterMap, Partition, Trigger};

/// How long to wait for a map that is true, before the client is told to begin again by the old one.
const FRESH_MAP: std::time::Duration = std::time::Duration::from_millis(250);

/// A request for a page.
pub struct ScanPage {
    /// The client's cursor.
    cursor: Vec<u8>,
    /// The words behind it, as they are.
    options: Vec<Vec<u8>>,
    asker: Asker,
    /// Which keys the client gets; none: all.
    is_shown: Option<Holds>,
}

impl ScanPage {
    /// The page that this request asks for.
    pub fn of(args: Args<'_>, asker: Asker, is_shown: Option<Holds>) -> ScanPage {
        let options = args.iter().skip(2).map(<[u8]>::to_vec).collect();
        ScanPage { cursor: args.get(1).to_vec(), options, asker, is_shown }
    }

    /// The page as the client gets it.
    fn shown(&self, page: Vec<u8>) -> Vec<u8> {
        let Some(is_shown) = &self.is_shown else { return page };
        let of_page = || {
            let (_, items) = open_array(&page)?;
            let (_, keys) = split_frame(items)?;
            let mut out = page[..page.len() - keys.len()].to_vec();
            out.extend_from_slice(&retain(keys, &**is_shown)?);
            Some(out)
        };
        of_page().unwrap_or(page)
    }

    fn request(&self, cursor: u64) -> Vec<u8> {
        let mut request = Vec::new();
        write::array_len(&mut request, 2 + self.options.len());
        write::bulk(&mut request, b"SCAN");
        write::bulk(&mut request, cursor.to_string().as_bytes());
        for option in &self.options {
            write::bulk(&mut request, option);
        }
        request
    }
}

/// One question.
fn asked<'a>(request: &'a [u8], asker: &Asker) -> Asked<'a> {
    let bytes_max = asker.writer.output_bytes_max();
    Asked { requests: request, count: 1, bytes_max, ends_with_error_at: None }
}

/// All masters in the order in which they are scanned.
fn nodes_of(map: &ClusterMap) -> Vec<&NodeAddress> {
    map.shards().iter().map(|shard| &shard.master).chain(map.spares()).collect()
}

fn layout_of(map: &ClusterMap) -> Layout {
    Layout::new(map.shards().len() + map.spares().len(), map.mark_with_spares())
}

impl Router {
    /// Scans on, and answers the client.
    pub async fn scan_page(self: Rc<Self>, page: ScanPage) {
        let (writer, seq) = (Rc::clone(&page.asker.writer), page.asker.seq);
        match self.next_page(&page).await {
            Ok(reply) => {
                let reply = page.shown(reply);
                let is_error = reply.first() == Some(&b'-');
                writer.deliver(seq, &reply, true);
                let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
                self.note_answered(page.asker.meta, outcome);
            }
            Err(text) => self.fail(&writer, seq, page.asker.meta.command, &text),
        }
    }

    async fn next_page(self: &Rc<Self>, page: &ScanPage) -> Result<Vec<u8>, String> {
        let mut trying = Trying::new();
        loop {
            self.catch_up();
            let map = self.map();
            let (layout, nodes) = (layout_of(&map), nodes_of(&map));
            if !map.is_complete() || nodes.len() > NODES_MAX {
                return Err(self.why_not_complete().to_owned());
            }
            let position = layout.read(&page.cursor).ok_or(texts::SCAN_CURSOR)?;
            let node = nodes.get(position.node).ok_or(texts::NOT_COMPLETE)?;
            let request = page.request(position.cursor);
            let asked = asked(&request, &page.asker);
            let reply = self.ask_node(node, (page.asker.protocol, Lane::Quick), &asked).await;
            let why = match reply.map(|frames| declined(&mut frames.concat())) {
                Ok(Ok(reply)) if reply.first() == Some(&b'-') => return Ok(reply),
                Ok(Ok(reply)) => return self.go_on(page, (&map, layout), position, &reply).await,
                Ok(Err(text)) => text,
                Err(LeaseError { error, .. }) => {
                    tracing::debug!(node = %node.name, %error, "a node has not answered");
                    if let Some(text) = error.answer() {
                        return Err(text.to_owned());
                    }
                    error.turned_away().map_or(texts::UNREACHABLE, reason::text).to_owned()
                }
            };
            self.topology().want_refresh(Trigger::NodeTrouble);
            trying.pause(self, why).await?;
        }
    }

    /// The client's page, with the cursor of the next one.
    async fn go_on(
        self: &Rc<Self>,
        page: &ScanPage,
        (map, layout): (&ClusterMap, Layout),
        position: Position,
        reply: &[u8],
    ) -> Result<Vec<u8>, String> {
        let (cursor, keys) = scan::open(reply).ok_or(texts::SCAN_REPLY)?;
        let next = if cursor != 0 {
            Some(layout.tell(Position { cursor, ..position }))
        } else {
            match self.partition(map, &page.asker).await {
                Some(partition) => after(position, map, &partition).map(|next| layout.tell(next)),
                None => Some(self.beginning(map).await),
            }
        };
        match next {
            None => Ok(scan::close(0, keys)),
            Some(None) => Err(texts::SCAN_REPLY.to_owned()),
            Some(Some(cursor)) => Ok(scan::close(cursor, keys)),
        }
    }

    /// What the masters own now, when that is what the map says.
    async fn partition(self: &Rc<Self>, map: &ClusterMap, asker: &Asker) -> Option<Partition> {
        let mut owned = Vec::with_capacity(map.shards().len());
        let mut asking = tokio::task::JoinSet::new();
        for shard in map.shards() {
            let (router, node) = (Rc::clone(self), shard.master.clone());
            let asker = asker.clone();
            asking.spawn_local(async move {
                let asked = asked(WHAT_DO_YOU_OWN, &asker);
                let answer = router.ask_node(&node, (asker.protocol, Lane::Quick), &asked).await;
                answer.ok().map(|frames| read(Role::Master, false, 0, frames))
            });
        }
        while let Some(joined) = asking.join_next().await {
            owned.push(joined.ok()??.into_ownership()?);
        }
        let nodes = nodes_of(map);
        let is_known = |id: &str| nodes.iter().any(|node| *node.id == *id);
        Partition::of(&owned).filter(|partition| {
            partition.mark == map.mark() && partition.open.iter().all(|open| is_known(&open.to))
        })
    }

    /// The first cursor of a scan, by a map that is newer than this one if there is one soon.
    async fn beginning(&self, map: &ClusterMap) -> Option<u64> {
        self.stats().unproved.add(1);
        let mut changes = self.topology().changes();
        self.topology().want_refresh(Trigger::Moved);
        if self.topology().map().load().version == map.version {
            // None came: the next page finds out.
            let _ = tokio::time::timeout(FRESH_MAP, changes.changed()).await;
        }
        layout_of(&self.topology().map().load()).tell(Position::default())
    }
}

/// Where to go on when the node at `position` has no more keys; `None` at the end. Behind the last
/// master come those that keys of moving slots go to.
fn after(position: Position, map: &ClusterMap, partition: &Partition) -> Option<Position> {
    let Position { node, again, .. } = position;
    if !again && node + 1 < map.shards().len() {
        return Some(Position { node: node + 1, ..Position::default() });
    }
    let nodes = nodes_of(map);
    let is_target = |node: &NodeAddress| partition.open.iter().any(|open| *open.to == *node.id);
    let from = if again { node + 1 } else { 0 };
    let next = nodes.iter().skip(from).position(|node| is_target(node))?;
    Some(Position { node: from + next, cursor: 0, again: true })
}
