//! The command line of `compare`, and the checked plan made from it.
//!
//! Owns option names, defaults and limits. Knows nothing of how a plan is carried out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::cases::{self, Case};
use crate::command_line::parse_time_of_run;
use crate::load::Pace;
use crate::testbed::{Nodes, TestbedArgs};

const ROUNDS: u16 = 5;
const COUNTED: Duration = Duration::from_millis(2_000);
const WARM_UP: Duration = Duration::from_millis(300);
const QUICK_COUNTED: Duration = Duration::from_millis(800);
const QUICK_WARM_UP: Duration = Duration::from_millis(100);
/// The cluster that most cases run with; it has replicas unless told otherwise, others have none.
const USUAL_MASTERS: usize = 3;
const MASTERS_MAX: usize = 48;

/// Options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// What is started and measured.
    #[command(flatten)]
    testbed: TestbedArgs,
    /// Times each case is run with each proxy, one after the other; the medians are reported
    /// [default: 5; --quick: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: Option<u16>,
    /// What is run: VERB SIZE _pPIPELINE _cCLIENTS, such as get16_p16, set64k_p1, get16_c1000,
    /// mget10, mset100, mix16_p1; and idle [default: all that are in docs/performance.md].
    #[arg(long, value_name = "CASE,..", value_delimiter = ',')]
    cases: Vec<String>,
    /// Masters of the cluster. Three have a replica each, others none; without --cases the others
    /// run only get16_p1 and get16_p16.
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [3_usize, 12, 24])]
    masters: Vec<usize>,
    /// No replicas for three masters either: as many copies of a value as the lone Redis behind
    /// HAProxy keeps.
    #[arg(long)]
    without_replicas: bool,
    /// Counted time of each run [default: 2s; --quick: 800ms].
    #[arg(long, value_name = "TIME", value_parser = parse_time_of_run)]
    duration: Option<Duration>,
    /// One short round, with three masters only: what it takes to see that everything runs.
    #[arg(long)]
    quick: bool,
    /// Directory for peers.md and peers.json; those of an earlier run there are replaced.
    #[arg(long, value_name = "DIR", default_value = "target/bench-peers")]
    out: PathBuf,
}

/// What a comparison is to do.
pub(crate) struct Plan {
    /// What is started.
    pub(super) testbed: TestbedArgs,
    /// Rounds of each case.
    pub(super) rounds: u16,
    /// Times of each run.
    pub(super) pace: Pace,
    /// What is run with which cluster.
    pub(super) stages: Vec<Stage>,
    /// Where files go.
    pub(super) out: PathBuf,
}

/// What is run with one cluster, started for it.
#[derive(Debug)]
pub(super) struct Stage {
    /// Its nodes, and whether there is a lone Redis beside them.
    pub(super) nodes: Nodes,
    /// What is run.
    pub(super) cases: Vec<Case>,
}

impl Plan {
    /// Checks what the command line asks for.
    pub(crate) fn from_args(args: CompareArgs) -> Result<Plan> {
        let masters = if args.quick { vec![USUAL_MASTERS] } else { args.masters };
        let mut stages = Vec::new();
        for masters in masters {
            ensure!((3..=MASTERS_MAX).contains(&masters), "--masters: 3 to {MASTERS_MAX}");
            let usual = masters == USUAL_MASTERS;
            let nodes = Nodes { masters, replicas: usual && !args.without_replicas, lone: usual };
            let default = if usual { cases::ALL } else { cases::WIDE };
            let names = match args.cases.is_empty() {
                true => default.split(',').map(str::to_owned).collect(),
                false => args.cases.clone(),
            };
            let cases: Result<Vec<Case>, String> =
                names.iter().map(|name| Case::parse(name)).collect();
            // What a proxy keeps of earlier work would hide what idle clients take: they get
            // processes that have done nothing yet.
            let (idle, busy): (Vec<Case>, Vec<Case>) =
                cases.map_err(anyhow::Error::msg)?.into_iter().partition(Case::is_idle);
            let cases = [busy, idle].into_iter().filter(|cases| !cases.is_empty());
            stages.extend(cases.map(|cases| Stage { nodes, cases }));
        }
        let (rounds, counted, warm_up) = match args.quick {
            true => (1, QUICK_COUNTED, QUICK_WARM_UP),
            false => (ROUNDS, COUNTED, WARM_UP),
        };
        Ok(Plan {
            testbed: args.testbed,
            rounds: args.rounds.unwrap_or(rounds),
            pace: Pace { warm_up, counted: args.duration.unwrap_or(counted) },
            stages,
            out: args.out,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn plan(words: &[&str]) -> Result<Plan> {
        Plan::from_args(Words::try_parse_from(["compare"].iter().chain(words))?.args)
    }

    fn stages(words: &[&str]) -> Vec<(usize, bool, usize)> {
        let shape = |stage: &Stage| (stage.nodes.masters, stage.nodes.replicas, stage.cases.len());
        plan(words).unwrap().stages.iter().map(shape).collect()
    }

    #[test]
    fn idle_clients_and_other_clusters_have_stages_of_their_own() {
        let usual = cases::ALL.split(',').count() - 1;
        assert_eq!(stages(&[]), [(3, true, usual), (3, true, 1), (12, false, 2), (24, false, 2)]);
        assert_eq!(stages(&["--quick"]), [(3, true, usual), (3, true, 1)]);
        assert_eq!(stages(&["--cases", "get16_p1", "--masters", "6"]), [(6, false, 1)]);
        assert_eq!(stages(&["--quick", "--without-replicas"]), [(3, false, usual), (3, false, 1)]);
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for words in [
            &["--rounds", "0"][..],
            &["--masters", "2"],
            &["--masters", "49"],
            &["--cases", "del16"],
            &["--duration", "0"],
            &["--also", "mine"],
            &["--gateway", "PATH"],
        ] {
            assert!(plan(words).is_err(), "{words:?}");
        }
    }
}
