//! `sigillo up`: the provider, until it is told to stop.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use embedded::{Config, signer::KeyFiles};
use serde_json::{Value, json};
use smime::{Anchors, Certificate};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

use super::{
    CommandError,
    client::{Door, Doors},
    now, print, print_json,
};
use crate::{
    cli::Up,
    demo::{Demo, DemoError},
    folder::{Access, Folder},
    http::{self, Listener},
};

/// Level and filter of the log.
const LOG_VARIABLE: &str = "SIGILLO_LOG";
/// Keys and certificates are smaller.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Runs the provider until SIGINT or SIGTERM.
///
/// # Errors
/// [`CommandError`] when it does not start.
pub fn run(args: &Up) -> Result<u8, CommandError> {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(provider(args))?;
    Ok(0)
}

async fn provider(args: &Up) -> Result<(), CommandError> {
    // 1. The folder, for us alone, and what is in it.
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal).into_iter();
    let (Some(interrupt), Some(terminate)) = (signals.next(), signals.next()) else { return Ok(()) };
    let (mut interrupt, mut terminate) = (interrupt.map_err(failed)?, terminate.map_err(failed)?);
    let folder = Folder::new(&args.data.data);
    let _alone = folder.claim()?;
    let (demo, made) = Demo::open(&folder, now())?;

    // 2. The provider. Its registry is complete before anything can be asked of it.
    let mut provider = embedded::Provider::open(folder.root(), config(&folder, &demo)?).map_err(failed)?;
    demo.register(provider.rim()).await?;
    provider.start().await.map_err(failed)?;

    // 3. The doors: they listen, then they are announced.
    let pem = |name: &str| Folder::read(&folder.pki(name), PEM_BYTES_MAX);
    let tls = http::tls(&pem("tls.pem")?, &pem("tls.key")?).map_err(failed)?;
    let listener = Listener::bind(args.listen, tls).await.map_err(failed)?;
    let doors = doors(&folder, listener.address());
    let (stop, stopped) = watch::channel(false);
    let router = http::router(provider.rim().clone(), &demo.mail_domain).map_err(failed)?;
    let serving = tokio::spawn(listener.serve(router, stopped));
    let text = serde_json::to_vec_pretty(&doors).map_err(io::Error::other)?;
    Folder::write(&folder.doors(), &text, Access::Public)?;
    announce(args, &folder, &demo, made, &doors)?;

    // 4. Until we are told: doors first, so that nothing new comes, then the workers.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    // What the file names is going: whoever reads it later finds no door, not a closed one.
    if let Err(error) = fs::remove_file(folder.doors()) {
        tracing::warn!(error = %error, "doors.json was not removed");
    }
    // Nobody listens only if it has ended already.
    let _ = stop.send(true);
    let drained = async {
        let served = serving.await.map_err(failed);
        provider.stop().await;
        served
    };
    // Told twice, it ends at once: what is under way is owed, and done after the next start.
    tokio::select! {
        drained = drained => drained,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

fn config(folder: &Folder, demo: &Demo) -> Result<Config, CommandError> {
    let ca = Folder::read(&folder.pki("ca.pem"), PEM_BYTES_MAX)?;
    let ca = Certificate::from_pem(&ca).map_err(failed)?;
    Ok(Config {
        keys: vec![KeyFiles {
            environment: demo.environment()?.id,
            key: folder.pki("provider.key"),
            chain: folder.pki("provider.pem"),
        }],
        anchors: Anchors::from_certificates(ca),
        limits: pec::check::Limits::default(),
        digests: String::new(),
    })
}

fn doors(folder: &Folder, https: SocketAddr) -> Doors {
    // An address for all interfaces is none to connect to, and the certificate names the loopback only.
    let ip = match https.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let url = format!("https://{}", SocketAddr::new(ip, https.port()));
    Doors {
        doors: BTreeMap::from([("https".to_owned(), Door { url })]),
        ca: folder.pki("ca.pem"),
        index: folder.index(),
    }
}

/// Says where everything is; the passwords only when they were made now.
fn announce(args: &Up, folder: &Folder, demo: &Demo, made: bool, doors: &Doors) -> io::Result<()> {
    if args.data.json {
        let accounts: Vec<Value> = demo
            .accounts
            .iter()
            .map(|account| match made {
                true => json!({ "address": account.address, "password": account.password }),
                false => json!({ "address": account.address }),
            })
            .collect();
        return print_json(&json!({
            "ready": true,
            "data": folder.root(),
            "domain": demo.domain,
            "accounts": accounts,
            "doors": doors,
            "scanner": "built-in",
        }));
    }
    print(&format!("provider  {}, domain {}", demo.provider, demo.domain))?;
    print(&format!("folder    {}", folder.root().display()))?;
    for account in &demo.accounts {
        let password = if made { format!("  password {}", account.password) } else { String::new() };
        print(&format!("account   {}{password}", account.address))?;
    }
    if made {
        print(&format!("          (shown once; kept in {})", folder.demo().display()))?;
    }
    for (name, door) in &doors.doors {
        print(&format!("{name:<9} {}", door.url))?;
    }
    print(&format!("ca        {}", doors.ca.display()))?;
    print(&format!("index     {}", doors.index.display()))?;
    print("scanner   built-in: the EICAR test file and a list of digests, no protection against viruses")?;
    print("ready     Ctrl-C ends it")
}

/// To stderr, without colours where nobody sees them.
fn log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
}

/// An error with its sources, on one line.
fn failed(error: impl std::error::Error) -> CommandError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    CommandError::Provider(text)
}

impl From<DemoError> for CommandError {
    fn from(error: DemoError) -> Self {
        failed(error)
    }
}
