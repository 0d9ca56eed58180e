//! The SMTP doors: submission for users, exchange with everybody else (docs/smtp-door.md). The protocol is `::smtp`'s;
//! here is what stands behind it.

mod answer;
mod authentication;
mod exchange;
mod submission;

use std::{path::Path, sync::Arc, time::Duration};

use ::smtp::server::{Door, Provider, Role, Room, Settings, Times};
use net::{Connection, Limits};

pub use authentication::Authenticator;
use exchange::Exchange;
use submission::Submission;

use super::{Doors, DoorsError, Ground, Kind};

/// Octets of messages on their way in on disk, over all SMTP doors, in MiB.
const ROOM_DISK_MIB: usize = 2048;
/// Octets of whole messages while they are stored, over all SMTP doors, in MiB.
const ROOM_MEMORY_MIB: usize = 256;

/// Opens `smtps` and `submission` for users, `smtp` for everybody else. What is on its way in at all of them is in the
/// provider's folder, in files without names.
///
/// # Errors
/// [`DoorsError`]
pub async fn open(
    doors: &mut Doors,
    ground: &Ground,
    folder: &Path,
    authenticator: Option<Authenticator>,
) -> Result<(), DoorsError> {
    let largest_mib =
        usize::try_from(ground.rim.limits.technical_bytes_max >> 20).unwrap_or(usize::MAX >> 20);
    let room = Room::new(folder.to_owned(), ROOM_DISK_MIB, ROOM_MEMORY_MIB.max(largest_mib + 1));
    for kind in [Kind::SMTPS, Kind::SUBMISSION] {
        let provider = Submission::new(ground.clone(), kind);
        let door = door(Role::Submission, ground, &room, provider);
        doors.open(kind, limits(), move |c| session(c, Arc::clone(&door))).await?;
    }
    let provider = Exchange::new(ground.clone(), authenticator);
    let door = door(Role::Exchange, ground, &room, provider);
    doors.open(Kind::SMTP, limits(), move |c| session(c, Arc::clone(&door))).await
}

fn limits() -> Limits {
    Limits { session: Duration::from_secs(3600), ..Limits::default() }
}

fn door<P: Provider>(role: Role, ground: &Ground, room: &Room, provider: P) -> Arc<Door<P>> {
    let size_bytes_max = ground.rim.limits.technical_bytes_max;
    let settings = Arc::new(Settings { size_bytes_max, ..Settings::new(role, &ground.name) });
    Arc::new(Door { settings, times: Times::default(), room: room.clone(), provider })
}

async fn session<P: Provider>(connection: Connection, door: Arc<Door<P>>) {
    door.serve(connection).await;
}
