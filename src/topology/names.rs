//! Host names of nodes, resolved where the gateway runs.
//!
//! Owns the looking up, how long it may take, and the memory of names that did not resolve: a
//! cluster is asked many times a second while slots are not served, and the name server must not
//! be. Must not know what a name stands for in the cluster.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// How long a host name may take to resolve, and all of one view together.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A name that did not resolve is looked up again only after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Names of one view that are looked up, and that are remembered.
const NAMES_MAX: usize = 1024;
/// Longest host name (RFC 1035); longer ones and odd ones are none.
const HOST_BYTES_MAX: usize = 253;

/// Looks names up for everybody who asks one cluster.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// When a name was looked up in vain.
    failed: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Resolver {
    fn failed(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of these hosts, as far as there are any.
    pub(super) async fn resolve_all(&self, hosts: BTreeSet<&str>) -> HashMap<String, IpAddr> {
        let mut found = HashMap::new();
        let mut waiting = BTreeSet::new();
        for host in hosts.into_iter().take(NAMES_MAX).filter(|host| is_host(host)) {
            if let Ok(ip) = host.parse() {
                found.insert(host.to_owned(), ip);
            } else if self.is_due(host) {
                waiting.insert(host.to_owned());
            }
        }
        let mut looking: JoinSet<(String, Vec<IpAddr>)> = JoinSet::new();
        for host in waiting.clone() {
            looking.spawn(async move {
                let addresses = resolve(&host).await;
                (host, addresses)
            });
        }
        let all = async {
            while let Some(looked) = looking.join_next().await {
                let Ok((host, addresses)) = looked else { continue };
                if let Some(ip) = addresses.first() {
                    waiting.remove(&host);
                    found.insert(host, *ip);
                }
            }
        };
        // What takes too long counts as what has failed.
        let _ = tokio::time::timeout(RESOLVE_TIMEOUT, all).await;
        self.note_failed(waiting);
        found
    }

    fn is_due(&self, host: &str) -> bool {
        self.failed().get(host).is_none_or(|when| when.elapsed() >= RETRY_AFTER)
    }

    fn note_failed(&self, hosts: BTreeSet<String>) {
        let mut failed = self.failed();
        failed.retain(|_, when| when.elapsed() < RETRY_AFTER);
        for host in hosts {
            if failed.len() < NAMES_MAX {
                failed.insert(host, Instant::now());
            }
        }
    }
}

/// Whether a node may be called so.
fn is_host(host: &str) -> bool {
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(|b| b.is_ascii_graphic())
}

/// The addresses of a host. In Swarm `tasks.NAME` has those of a service's tasks, where `NAME`
/// may be a virtual one.
pub async fn resolve(host: &str) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    if !host.contains('.') && host != "localhost" {
        let tasks = look_up(&format!("tasks.{host}")).await;
        if !tasks.is_empty() {
            return tasks;
        }
    }
    look_up(host).await
}

async fn look_up(host: &str) -> Vec<IpAddr> {
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, 0))).await;
    match found {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_resolve_is_left_alone_for_a_while() {
        let resolver = Resolver::default();
        let long = "x".repeat(300);
        let hosts = ["127.0.0.9", "nobody.invalid", "a\nb", "", &long];
        let found = resolver.resolve_all(hosts.into()).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found["127.0.0.9"], IpAddr::from([127, 0, 0, 9]));
        assert!(!resolver.is_due("nobody.invalid") && resolver.is_due("other.invalid"));
        // What is no name was not looked up.
        assert_eq!(resolver.failed().len(), 1);
    }
}
