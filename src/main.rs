//! The `slotway` program: reads the command line, sets up logging, does what was asked.
//!
//! Owns exit codes and what is printed: 0 done, 1 it did not work, 2 it was not asked properly.
//! Knows nothing of Redis.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use slotway::cli::{self, CliError, Invocation};
use slotway::config::{Config, Level, LogFormat, Secret};
use slotway::server::Stop;
use slotway::{docs, healthcheck, local, top, topology_report};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FAILED: u8 = 1;
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    use_small_pages();
    let invocation = match cli::parse(std::env::args_os(), std::env::vars_os().collect()) {
        Ok(invocation) => invocation,
        Err(error) => return refuse(error),
    };
    match carry_out(invocation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It says all of it, its causes too.
            eprintln!("slotway: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Keeps memory in pages of 4 KiB. With huge ones a gateway without clients takes 30 MiB instead of
/// 12; GETs in pipelines of 64 cost the same with either. The allocator, which has begun before
/// this, asks for none (its feature `no_thp`): two that it had got already were 2.6 MiB too many.
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    // A system that cannot do it only takes more memory.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn refuse(error: CliError) -> ExitCode {
    match error {
        // Help and the version are errors to clap, and go to stdout with code 0.
        CliError::Usage(error) => {
            // Nobody is left to be told that stdout is closed.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(MISUSED))
        }
        CliError::Unaskable(_) => {
            eprintln!("{error}");
            ExitCode::from(FAILED)
        }
        CliError::Config(_) | CliError::Nodes(_) => {
            eprintln!("{error}");
            ExitCode::from(MISUSED)
        }
    }
}

fn carry_out(invocation: Invocation) -> Result<()> {
    match invocation {
        Invocation::Run(config) => {
            let _flushed_at_end = start_logging(&config);
            block_on(serve_until_signal(config))
        }
        Invocation::Local(options, config) => {
            let _flushed_at_end = start_logging(&config);
            let announce = |guide: &str| {
                // Nobody is left to be told that stdout is closed.
                let _ = print(guide);
            };
            block_on(async { Ok(local::run(options, config, serve, announce).await?) })
        }
        Invocation::Keeper(config) => {
            let _flushed_at_end = start_logging(&config);
            block_on(keep_until_signal(config))
        }
        Invocation::Topology { config, json } => block_on(show_topology(config, json)),
        Invocation::CheckConfig(page) => print(&page),
        Invocation::Healthcheck { admin, ready } => Ok(healthcheck::ask(admin, ready)?),
        Invocation::Top { admin, password, interval } => {
            block_on(show_top(admin, password, interval))
        }
        Invocation::Docs { write: None } => print(&docs::all()),
        Invocation::Docs { write: Some(folder) } => {
            let changed = docs::write(&folder)?;
            print(&changed.iter().map(|page| format!("{}\n", page.display())).collect::<String>())
        }
    }
}

/// What goes wrong on the way is in the one error; events are for those who ask for them.
async fn show_topology(config: Config, json: bool) -> Result<()> {
    let _flushed_at_end = (config.log.level == Level::Debug).then(|| start_logging(&config));
    let report = topology_report::ask(&config).await?;
    let page =
        if json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    print(&page)
}

/// A screen of its own, so that what was there before is there again afterwards.
const SCREEN: (&str, &str) = ("\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l");
/// Columns where a terminal does not tell, and lines are not to be cut.
const WIDTH_UNKNOWN: usize = 1000;

/// Shows what a gateway does, until a signal.
async fn show_top(
    admin: SocketAddr,
    password: Option<Secret>,
    interval: Option<Duration>,
) -> Result<()> {
    let first = top::ask(admin, password.as_ref())?;
    let Some(interval) = interval.filter(|_| std::io::stdout().is_terminal()) else {
        return print(&top::page(&first, WIDTH_UNKNOWN));
    };
    print(SCREEN.0)?;
    let looking = async {
        loop {
            let size = rustix::termios::tcgetwinsize(std::io::stdout());
            let width = size.map_or(WIDTH_UNKNOWN, |size| usize::from(size.ws_col));
            let page = match top::ask(admin, password.as_ref()) {
                Ok(overview) => top::page(&overview, width),
                Err(error) => format!("{error}\n"),
            };
            print(&format!("\x1b[H{}\x1b[J", page.replace('\n', "\x1b[K\r\n")))?;
            tokio::time::sleep(interval).await;
        }
    };
    let ended: Result<()> = tokio::select! {
        ended = looking => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    print(SCREEN.1)?;
    ended
}

/// Serves until `shutdown` is cancelled, and all is finished then.
async fn serve(config: Config, shutdown: CancellationToken) -> Result<()> {
    let (stop, stopped) = watch::channel(Stop::No);
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stop.send_replace(Stop::Drain);
        // As long as the gateway runs, there is somebody who may ask for more.
        stop.closed().await;
    });
    Ok(slotway::run(config, stopped, |_| ()).await?)
}

/// Serves until a signal: the first one drains, a second one ends it at once.
async fn serve_until_signal(config: Config) -> Result<()> {
    Ok(slotway::run(config, signals()?, |_| ()).await?)
}

/// Keeps a cluster until a signal, or tells what it would do.
async fn keep_until_signal(config: Config) -> Result<()> {
    if config.keeper.dry_run {
        return print(&slotway::preview_keep(&config).await?);
    }
    Ok(slotway::keep(&config, signals()?).await?)
}

/// What the signals of an operator ask for.
fn signals() -> Result<watch::Receiver<Stop>> {
    let (stop, stopped) = watch::channel(Stop::No);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for next in [Stop::Drain, Stop::Now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.send_replace(next);
        }
    });
    Ok(stopped)
}

/// The main thread does not serve: one small runtime is enough for it.
fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Prints to stdout. A reader that has gone away (`slotway … | head`) is no failure.
fn print(page: &str) -> Result<()> {
    match std::io::stdout().write_all(page.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Events go to stderr through a thread of their own, and are dropped when it cannot keep up: a
/// terminal that is not read must not stop a worker. Dropping the guard writes what is left.
fn start_logging(config: &Config) -> WorkerGuard {
    let log = &config.log;
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(std::io::stderr());
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let events = tracing_subscriber::fmt().with_max_level(level).with_writer(writer);
    match log.format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            events.with_ansi(colours).init();
        }
        LogFormat::Json => events.json().flatten_event(true).init(),
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    guard
}
