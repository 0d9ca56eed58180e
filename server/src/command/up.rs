//! `sigillo up`: the provider, until it is told to stop.

mod announce;

use std::{fs, io, net::SocketAddr, sync::Arc};

use carrier::{Dns, SmtpCarrier};
use embedded::{Config, signer::KeyFiles};
use machine::{Argon2Passwords, BuiltinScanner, Clamd, ClamdAddress};
use net::Tls;
use smime::{Anchors, Certificate};
use stages::{accounts::Accounts, ports::Scanner, rates::Rates};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, failed, now};
use crate::{
    backup::Backups,
    cli::{Outgoing, Up},
    demo::Demo,
    doors::{Doors, Ground, Kind, Places, file::DoorsFile, open_mail},
    folder::{Access, Folder},
    http,
    index::{keep_fresh, source},
    operator::{Office, Token},
    rates,
    revocation::Lists,
    sealing,
    settings::Published,
    timekeeper,
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
    log(false);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(provider(args))?;
    Ok(0)
}

async fn provider(args: &Up) -> Result<(), CommandError> {
    // 1. The folder, for us alone, and what is in it.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let folder = Folder::new(&args.data.data);
    let _alone = folder.claim()?;
    let (demo, made) = Demo::open(&folder, now())?;

    // 2. The provider. Its registry is complete before anything can be asked of it.
    let limits = args.letters.limits().map_err(CommandError::Usage)?;
    let mut provider = embedded::Provider::open(
        folder.root(),
        config(&folder, &demo, scanner(args.clamd.as_ref()).await?, limits)?,
    )
    .map_err(failed)?;
    provider.rim_mut().carrier = Arc::new(way_out(&args.outgoing, &demo.mail_domain)?);
    let accounts = Accounts::open(provider.rim().clone(), Arc::new(Argon2Passwords::default())).await;
    let accounts = Arc::new(accounts.map_err(failed)?);
    demo.register(provider.rim(), &accounts).await?;
    // Before anything is judged.
    let rim = provider.rim().clone();
    let lists = Lists::open(Arc::clone(&rim.verifier), folder.clone(), &rim.directory.index(), now());
    let lists = tokio::spawn(lists.keep_fresh(rim));
    provider.start().await.map_err(failed)?;

    let stamps = args.timestamps.as_ref().zip(args.timestamps_ca.as_ref());
    let stamps = stamps.map(|(url, ca)| sealing::authority(url, ca)).transpose().map_err(failed)?;
    let (rim, environment) = (provider.rim().clone(), demo.environment()?.id);
    let seals = tokio::spawn(sealing::keep(rim, folder.clone(), environment, stamps));

    let directory = args.directory.as_ref().map(|file| source(file)).transpose().map_err(failed)?;
    let directory = directory.map(|index| tokio::spawn(keep_fresh(index, folder.clone(), now)));

    // 3. The doors: they listen, then they are announced.
    let tls = Tls::from_files(&folder.pki("tls.pem"), &folder.pki("tls.key")).map_err(failed)?;
    let rates = Arc::new(Rates::new(provider.rim().clone(), args.care.limits()));
    let saving = tokio::spawn(rates::keep(Arc::clone(&rates)));
    let clock = tokio::spawn(timekeeper::watch(provider.rim().clone(), args.care.time_server.clone()));
    let (rim, name) = (provider.rim().clone(), demo.mail_domain.clone());
    let ground = Ground { rim, accounts, rates: Arc::clone(&rates), tls: tls.clone(), name };
    let mut doors = Doors::new(tls, Places::new(args.listen, &args.door));
    let token = Token::draw(provider.rim().ids.as_ref());
    open_mail(&mut doors, &ground, folder.root(), args.outgoing.dns).await.map_err(failed)?;
    // The last, since it tells mail programs of the others.
    let file = DoorsFile::new(&folder, &args.host, doors.opened());
    let office = office(&ground.accounts, args.outgoing.dns, Some(&args.host), &demo)?;
    let backups = Some(Backups::new(provider.backup_source(), folder.clone()));
    let office = Office { backups, ..office };
    let domains = tokio::spawn(office.clone().keep_domains());
    let router = http::router(
        ground,
        token.clone(),
        office,
        Published::new(&demo.provider, &file),
        args.index_url.clone(),
    );
    let https = doors.open(Kind::HTTPS, http::limits(), move |c| http::session(c, router.clone()));
    https.await.map_err(failed)?;
    doors.keep_certificate_fresh(hangup);
    let file = DoorsFile::new(&folder, &args.host, doors.opened());
    let text = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
    Folder::write(&folder.operator(), token.as_str().as_bytes(), Access::Private)?;
    Folder::write(&folder.doors(), &text, Access::Public)?;
    announce::announce(args, &folder, &demo, made, &file)?;

    // 4. Until we are told: doors first, so that nothing new comes, then the workers.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    // What the files name is going: whoever reads them later finds no door, not a closed one.
    for file in [folder.doors(), folder.operator()] {
        if let Err(error) = fs::remove_file(&file) {
            tracing::warn!(error = %error, file = %file.display(), "a file was not removed");
        }
    }
    let drained = async {
        domains.abort();
        clock.abort();
        lists.abort();
        seals.abort();
        if let Some(task) = directory {
            task.abort();
        }
        doors.drain().await;
        saving.abort();
        rates::save(&rates).await;
        provider.stop().await;
    };
    // Told twice, it ends at once: what is under way is owed, and done after the next start.
    tokio::select! {
        () = drained => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// clamd where one is named, else the built-in scanner, which says what it is not.
async fn scanner(clamd: Option<&ClamdAddress>) -> Result<Arc<dyn Scanner>, CommandError> {
    let Some(address) = clamd else {
        tracing::warn!(
            "the built-in scanner knows EICAR and a list of digests: it is no protection against viruses"
        );
        return Ok(Arc::new(BuiltinScanner::new("").map_err(failed)?));
    };
    let clamd = Clamd::new(address.clone());
    // A daemon that is not up yet is no reason to stay closed: letters wait for it.
    match clamd.ask_version().await {
        Ok(version) => tracing::info!(version, "clamd scans"),
        Err(error) => tracing::warn!(error = %error, "letters wait for the scanner"),
    }
    Ok(Arc::new(clamd))
}

pub(super) fn config(
    folder: &Folder,
    demo: &Demo,
    scanner: Arc<dyn Scanner>,
    limits: pec::check::Limits,
) -> Result<Config, CommandError> {
    let ca = Folder::read(&folder.pki("ca.pem"), PEM_BYTES_MAX)?;
    let ca = Certificate::from_pem(&ca).map_err(failed)?;
    Ok(Config {
        keys: vec![KeyFiles {
            environment: demo.environment()?.id,
            key: folder.pki("provider.key"),
            chain: folder.pki("provider.pem"),
        }],
        anchors: Anchors::from_certificates(ca),
        limits,
        scanner,
    })
}

/// What an operator's work is done with. The hosts of MX records: the name of the doors, and the provider mail domain,
/// which they greet with.
pub(super) fn office(
    accounts: &Arc<Accounts>,
    dns: Option<SocketAddr>,
    host: Option<&String>,
    demo: &Demo,
) -> Result<Office, CommandError> {
    Ok(Office {
        accounts: Arc::clone(accounts),
        names: Arc::new(Dns::new(dns).map_err(failed)?),
        hosts: host.into_iter().chain([&demo.mail_domain]).cloned().collect(),
        environment: demo.environment()?.id,
        backups: None,
    })
}

/// The way out. `name` is the host that the doors greet with.
pub(super) fn way_out(args: &Outgoing, name: &str) -> Result<SmtpCarrier, CommandError> {
    let roots = match &args.smtp_out_ca {
        Some(path) => Some(Folder::read(path, PEM_BYTES_MAX)?),
        None => None,
    };
    let standard = carrier::Config::new(name);
    let config = carrier::Config { dns: args.dns, port: args.smtp_out_port, roots, ..standard };
    SmtpCarrier::new(config).map_err(failed)
}

/// To stderr, without colours where nobody sees them; in JSON, one object a line, for who collects them.
pub(super) fn log(json: bool) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi);
    if json { log.json().init() } else { log.init() }
}
