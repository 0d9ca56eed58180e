//! The IMAP door (docs/imap-door.md).

use std::{net::IpAddr, sync::Arc, time::Duration};

use imap::{Host, NotIn, Times};
use net::Connection;
use stages::{
    Rim,
    accounts::{Accounts, Password, SignInRefused, SignedIn},
    registry::Mailbox,
};

use super::{Doors, DoorsError, Ground, Kind};

/// Octets of messages that are being appended, over all sessions.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

/// Opens it.
///
/// # Errors
/// [`DoorsError`]
pub async fn open(doors: &mut Doors, ground: &Ground) -> Result<(), DoorsError> {
    // What all sessions share.
    let host = Arc::new(Host::new(ground.rim.clone(), imap::Limits::default(), ROOM_BYTES));
    let ground = ground.clone();
    doors.open(Kind::IMAPS, limits(), move |c| session(c, host.clone(), ground.clone())).await
}

/// Connections stay open for days, many of one household or office behind one address.
fn limits() -> net::Limits {
    net::Limits {
        connections_max: 4096,
        connections_per_peer_max: 256,
        session: Duration::from_secs(7 * 24 * 3600),
        ..net::Limits::default()
    }
}

/// Serves one connection.
async fn session(connection: Connection, host: Arc<Host>, ground: Ground) {
    let peer = connection.peer.ip();
    let door = Door { accounts: ground.accounts, rim: ground.rim, peer };
    imap::serve(connection, host, door, Times::default()).await;
}

/// Who signs in at this connection.
struct Door {
    accounts: Arc<Accounts>,
    rim: Rim,
    peer: IpAddr,
}

impl imap::Accounts for Door {
    type SignedIn = SignedIn;

    async fn sign_in(&self, user: &str, password: &str) -> Result<SignedIn, NotIn> {
        let password = Password::new(password);
        let signed_in =
            self.accounts.sign_in(user, &password, self.peer, Kind::IMAPS.name, self.rim.now()).await;
        signed_in.map_err(|refused| match refused {
            SignInRefused::Wrong => NotIn::Wrong,
            SignInRefused::Wait(_) => NotIn::TooMany,
            SignInRefused::Stage(error) => NotIn::Stage(error),
        })
    }

    fn mailbox(signed_in: &SignedIn) -> &Mailbox {
        &signed_in.mailbox
    }

    async fn still(&self, signed_in: &SignedIn) -> bool {
        // Whether it may is not known when the registry does not answer: it is asked again.
        self.accounts.still(signed_in).await.unwrap_or(true)
    }
}
