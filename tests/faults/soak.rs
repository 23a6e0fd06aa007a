//! One fault after the other, by chance, under every kind of load: nothing lost, nothing twice, and
//! a gateway that is as it was.
//!
//! `make soak MINUTES=10` runs it for long; `CROWD=leavers` or another one beside clients that behave
//! badly (see [`crate::crowd`]). `SLOTWAY_SOAK_SEED` repeats the choices of a run; the
//! times at which they hit are the machine's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::firewall::Drops;
use crate::load::{Allowed, Load, Mix};
use crate::nodes::until;
use crate::site::Site;

const MIB: f64 = 1024.0 * 1024.0;
/// Memory may differ by so much from what it was after the first fault.
const GROWTH_MAX: f64 = 48.0 * MIB;

/// What the gateway's buffers may use.
const MEMORY_MAX: &str = "256mb";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    KillReplica,
    Freeze,
    FreezeShortly,
    CutOff,
    Promote,
    MoveSlots,
}

impl Fault {
    const ALL: [Fault; 7] = [
        Fault::Kill,
        Fault::Promote,
        Fault::MoveSlots,
        Fault::Freeze,
        Fault::FreezeShortly,
        Fault::KillReplica,
        Fault::CutOff,
    ];

    /// Whether it may cost a request that is under way.
    fn is_unplanned(self) -> bool {
        matches!(self, Fault::Kill | Fault::Freeze | Fault::CutOff)
    }

    /// Does it, and waits until the cluster is whole again and every stream goes on.
    fn strike(self, site: &mut Site, load: &Load, random: &mut fastrand::Rng) {
        let masters = site.masters();
        let master = masters[random.usize(..masters.len())];
        // A master that was replaced is a replica before the others have heard so.
        until("a replica of the master", || !site.replicas_of(master).is_empty());
        let replica = site.replicas_of(master)[0];
        let what =
            format!("{self:?} {}", if self == Fault::KillReplica { replica } else { master });
        match self {
            Fault::Kill | Fault::KillReplica => {
                let victim = if self == Fault::Kill { master } else { replica };
                site.kill(victim);
                site.wait_for_recovery(&what, load);
                site.run(victim);
            }
            Fault::Freeze => {
                site.freeze(master);
                site.wait_for_recovery(&what, load);
                site.thaw(master);
            }
            Fault::FreezeShortly => {
                // Too short to be replaced, and long enough to be suspected.
                site.freeze(master);
                std::thread::sleep(Duration::from_millis(600));
                site.thaw(master);
                site.wait_for_recovery(&what, load);
            }
            Fault::CutOff => {
                let drops = Drops::all_of(site.fleet.nodes[master].address.ip());
                site.cut_off(master);
                site.wait_for_recovery(&what, load);
                drop(drops);
                site.cut_in(master);
            }
            Fault::Promote => {
                site.promote(replica);
                site.wait_for_recovery(&what, load);
            }
            Fault::MoveSlots => {
                let to = masters[(random.usize(1..masters.len())
                    + masters.iter().position(|at| *at == master).unwrap())
                    % masters.len()];
                let slots = site.some_slots(master, random.usize(50..400));
                site.move_slots(&slots, master, to);
                site.move_slots(&slots, to, master);
                site.wait_for_recovery(&what, load);
            }
        }
        site.wait_until_whole();
        load.wait_for_progress(10);
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn faults_by_chance_lose_nothing_and_leave_the_gateway_as_it_was() {
    let minutes: f64 = setting("SLOTWAY_SOAK_MINUTES").unwrap_or(0.4);
    let seed: u64 = setting("SLOTWAY_SOAK_SEED").unwrap_or(7);
    eprintln!("soak: {minutes} minutes, SLOTWAY_SOAK_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let may_drop = Drops::are_allowed();
    let crowd: String = setting("SLOTWAY_SOAK_CROWD").unwrap_or_default();
    let mut site = Site::start_with(&[], &[("SLOTWAY_LIMITS_MEMORY_MAX", MEMORY_MAX)]);
    let crowd = Crowd::called(&crowd, site.gateway.clients);
    let load = Load::start(site.gateway.clients, Mix::ALL);
    let (start, mut struck) = (Instant::now(), BTreeMap::<Fault, usize>::new());
    let memory = |site: &Site| site.gateway.metric("process_resident_memory_bytes", "");
    let mut first = None;
    let mut round = 0;
    while start.elapsed().as_secs_f64() < minutes * 60.0 {
        // Each of them once; from then on by chance.
        let chosen =
            if round < Fault::ALL.len() { round } else { random.usize(..Fault::ALL.len()) };
        let fault = Fault::ALL[chosen];
        round += 1;
        if fault == Fault::CutOff && !may_drop {
            continue;
        }
        fault.strike(&mut site, &load, &mut random);
        *struck.entry(fault).or_default() += 1;
        first.get_or_insert_with(|| memory(&site));
        if round % 10 == 0 {
            eprintln!(
                "soak: {round} faults, {} answers, {:.1} MiB, {} descriptors",
                load.acked(),
                memory(&site) / MIB,
                site.gateway.metric("process_open_fds", ""),
            );
        }
    }
    let unplanned = struck.iter().filter(|(fault, _)| fault.is_unplanned());
    let unplanned = unplanned.map(|(_, count)| count).sum();
    if let Some(crowd) = crowd {
        crowd.leave();
        let first = first.unwrap();
        until("memory that is given back", || memory(&site) < first + GROWTH_MAX);
    }
    let last = memory(&site);
    let report = site.finish("soak", load, Allowed::Indeterminate(unplanned));
    let first = first.unwrap();
    eprintln!(
        "soak: {struck:?}; memory {:.1} MiB after the first fault, {:.1} at the end, {:.1} at rest; \
         longest gap {:.2} s",
        first / MIB,
        last / MIB,
        memory(&site) / MIB,
        report.gap().as_secs_f64()
    );
    assert!(last < first + GROWTH_MAX, "{first} bytes grew to {last}");
}
