//! `sigillo gateway`: what it understands.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use super::{Care, Outgoing, parse_door, parse_host};
use crate::doors::{Kind, Place};

/// `sigillo gateway`
#[derive(Debug, Args)]
#[command(after_help = "\
The doors of sigillo up, on the tables, buckets and queues of a deployed stack, which it is told by
the same environment variables as the functions (SIGILLO_TABLE_LETTERS and so on; infra/gateway.yaml
sets them). It also works the queue before dispatch: letters to other systems go out here. Any
number of gateways may run. Doors are at the ports that the world knows them by.

A certificate in files is looked at every minute and at SIGHUP, one in Secrets Manager every five
minutes; there it is JSON: {\"certificate\": \"PEM, chain\", \"key\": \"PEM\"}. SIGTERM ends it cleanly;
whatever was under way is owed, and done by the others or by the next. Log: stderr, level by
SIGILLO_LOG (default info).

Example:
  sigillo gateway --environment Sigillo --host mail.gestore.example --tls-secret sigillo/doors")]
pub struct Gateway {
    /// Id of the provider environment, as in the stack's parameter Environment
    #[arg(long, value_name = "ID")]
    pub environment: String,
    /// The host name by which mail programs and other providers reach the doors: in greetings, settings, and what MX
    /// records must name
    #[arg(long, value_name = "NAME", value_parser = parse_host)]
    pub host: String,
    /// The address of the doors
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0")]
    pub listen: IpAddr,
    /// Where a door is to be instead, or off; may be repeated
    #[arg(long, value_name = "NAME=ADDR:PORT|off", value_parser = parse_door)]
    pub door: Vec<(Kind, Place)>,
    /// The certificate of the doors
    #[command(flatten)]
    pub tls: DoorsTls,
    /// Where messages on their way in are kept until they are stored
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub scratch: PathBuf,
    /// To other systems
    #[command(flatten)]
    pub outgoing: Outgoing,
    /// The clock, and what may be sent
    #[command(flatten)]
    pub care: Care,
    /// Log lines in JSON
    #[arg(long)]
    pub json: bool,
}

/// The certificate of the doors: two files, or a secret.
#[derive(Debug, Args)]
pub struct DoorsTls {
    /// Certificate of the doors, with intermediate ones behind it, in PEM
    #[arg(long, value_name = "FILE.pem", requires = "tls_key", required_unless_present = "tls_secret")]
    pub tls_certificate: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long, value_name = "FILE.key", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Both, in a secret of Secrets Manager: its name or ARN
    #[arg(long, value_name = "SECRET", conflicts_with = "tls_certificate")]
    pub tls_secret: Option<String>,
}
