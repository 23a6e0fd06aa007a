//! How many keys each database other than 0 has, about how large it is, and where it lives.
//!
//! Owns the asking, of the masters of the databases' slots, now and then. A database of millions of keys
//! must not keep its master busy for that: more than a thousand keys of a slot are counted by a sample.
//! Runs on the control thread. What DBSIZE says is exact, and is not this.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{ClusterMap, Topology};
use crate::backend::{BackendError, Connection, Identity};
use crate::database::{Database, Databases};
use crate::resp::Value;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(15);
/// The same while nothing is known yet.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Keys with the tag, their bytes, and whether that is by a sample. KEYS: the tag, for its slot; ARGV:
/// the slot. At most 1000 keys are looked at, and the memory of 50 is asked for.
const SCRIPT: &str = "local n=redis.call('cluster','countkeysinslot',ARGV[1]) \
    if n==0 then return {0,0,0} end \
    local t,c,b,m=KEYS[1],0,0,0 \
    local l=redis.call('cluster','getkeysinslot',ARGV[1],1000) \
    for _,k in ipairs(l) do if string.sub(k,1,#t)==t then c=c+1 \
    if m<50 then local u=redis.call('memory','usage',k) if u then b=b+u m=m+1 end end end end \
    local s=n>#l and 1 or 0 if s==1 then c=math.floor(n*c/#l+0.5) end \
    return {c,m>0 and math.floor(b/m*c) or 0,s}";

/// One database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DatabaseSize {
    /// Its number.
    pub database: usize,
    /// What its keys begin with at the nodes.
    pub tag: String,
    /// The slot of all its keys.
    pub slot: u16,
    /// The master of that slot, by its announced name.
    pub master: String,
    /// Its keys; an estimate where `is_estimate` says so.
    pub keys: u64,
    /// Bytes of memory that they take, estimated from some of them.
    pub memory_bytes: u64,
    /// There are more keys in the slot than were looked at.
    pub is_estimate: bool,
}

/// Who asks.
#[derive(Debug)]
pub struct DatabaseWatch {
    databases: Arc<Databases>,
    identity: Identity,
    timeout: Duration,
    connections: HashMap<SocketAddr, Connection>,
}

impl DatabaseWatch {
    /// Asks as `identity`; `timeout` bounds each connect and each answer.
    pub fn new(databases: Arc<Databases>, identity: Identity, timeout: Duration) -> DatabaseWatch {
        DatabaseWatch { databases, identity, timeout, connections: HashMap::new() }
    }

    /// Looks for ever, and notes what it sees.
    pub async fn run(mut self, topology: Arc<Topology>) {
        let mut is_first = true;
        while !self.databases.is_one() {
            let map = topology.map().load_full();
            let sizes = self.measure(&map).await;
            if is_first && sizes.len() == self.databases.tagged().len() {
                is_first = false;
                tell(&sizes);
            }
            topology.state().databases = sizes;
            sleep(if is_first { FIRST_INTERVAL } else { INTERVAL }).await;
        }
    }

    /// Asks for all databases once; those whose master does not answer are left out.
    pub async fn measure(&mut self, map: &ClusterMap) -> Vec<DatabaseSize> {
        let masters: Vec<SocketAddr> =
            map.shards().iter().map(|shard| shard.master.address).collect();
        self.connections.retain(|address, _| masters.contains(address));
        let (mut sizes, mut silent) = (Vec::new(), Vec::new());
        for database in Arc::clone(&self.databases).tagged() {
            let shard = map.shard_of(database.slot).and_then(|shard| map.shards().get(shard));
            let Some(master) = shard.map(|shard| &shard.master) else { continue };
            if silent.contains(&master.address) {
                continue;
            }
            match self.ask(master.address, database).await {
                Ok(Some((keys, memory_bytes, is_estimate))) => sizes.push(DatabaseSize {
                    database: database.number,
                    tag: String::from_utf8_lossy(&database.tag).into_owned(),
                    slot: database.slot.index() as u16,
                    master: master.name.to_string(),
                    keys,
                    memory_bytes,
                    is_estimate,
                }),
                Ok(None) => {}
                Err(_) => silent.push(master.address),
            }
        }
        sizes
    }

    /// What the script says. `None`: the slot is elsewhere, or the node may not run scripts.
    async fn ask(
        &mut self,
        master: SocketAddr,
        database: &Database,
    ) -> Result<Option<(u64, u64, bool)>, BackendError> {
        let mut connection = match self.connections.remove(&master) {
            Some(connection) => connection,
            None => Connection::open(master, &self.identity, self.timeout).await?,
        };
        let slot = database.slot.index().to_string();
        let request: [&[u8]; 5] =
            [b"EVAL", SCRIPT.as_bytes(), b"1", &database.tag, slot.as_bytes()];
        let reply = connection.ask(&request).await?;
        self.connections.insert(master, connection);
        let number = |value: &Value| value.as_int().and_then(|number| u64::try_from(number).ok());
        Ok(match reply.as_array() {
            Some([keys, bytes, sampled]) => number(keys)
                .zip(number(bytes))
                .map(|(keys, bytes)| (keys, bytes, number(sampled) == Some(1))),
            _ => None,
        })
    }
}

/// Keys that were there before are told of: they may be a database's of old, or may be meant as keys of
/// database 0, which does not show them.
fn tell(sizes: &[DatabaseSize]) {
    for size in sizes.iter().filter(|size| size.keys > 0).take(16) {
        tracing::info!(
            database = size.database,
            tag = size.tag,
            keys = size.keys,
            "keys that begin with this tag are this database's, and database 0 does not show them"
        );
    }
}
