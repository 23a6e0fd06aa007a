//! PUBSUB …: who is subscribed to what, as the clients of this gateway are.
//!
//! Owns the form of the answers. Who is subscribed is the census's to say.

use super::answer::{Answer, LocalEnv, help};
use crate::command::{PubSub, Topic};
use crate::resp::{Args, write};

/// PUBSUB HELP, in Redis's words.
const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
];

/// Carries out a subcommand; see [`super::answer`].
pub(super) fn answer(
    what: PubSub,
    args: Args<'_>,
    env: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) -> Answer {
    match what {
        PubSub::Help => help(out, "PUBSUB", HELP),
        PubSub::Channels => return channels(Topic::Channel, args, env, out),
        PubSub::ShardChannels => return channels(Topic::Shard, args, env, out),
        PubSub::NumSub => numbers(Topic::Channel, args, env, out),
        PubSub::ShardNumSub => numbers(Topic::Shard, args, env, out),
        PubSub::NumPat if args.len() == 2 => {
            write::integer(out, env.census.sizes()[Topic::Pattern as usize] as i64);
        }
        PubSub::NumPat => {
            return Err("ERR wrong number of arguments for 'pubsub|numpat' command".into());
        }
    }
    Ok(())
}

fn channels(topic: Topic, args: Args<'_>, env: &LocalEnv<'_>, out: &mut Vec<u8>) -> Answer {
    if args.len() > 3 {
        let name = if topic == Topic::Shard { "SHARDCHANNELS" } else { "CHANNELS" };
        return Err(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
        )
        .into());
    }
    let names = env.census.names(topic, (args.len() == 3).then(|| args.get(2)));
    write::array_len(out, names.len());
    names.iter().for_each(|name| write::bulk(out, name));
    Ok(())
}

fn numbers(topic: Topic, args: Args<'_>, env: &LocalEnv<'_>, out: &mut Vec<u8>) {
    // Redis answers with an array in either protocol.
    write::array_len(out, (args.len() - 2) * 2);
    for channel in args.iter().skip(2) {
        write::bulk(out, channel);
        write::integer(out, i64::try_from(env.census.clients(topic, channel)).unwrap_or(i64::MAX));
    }
}
