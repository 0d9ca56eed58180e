//! The POP3 door (docs/pop3-door.md).

use std::sync::Arc;

use super::{Doors, DoorsError, Ground, Kind};

/// Opens it.
///
/// # Errors
/// [`DoorsError`]
pub async fn open(doors: &mut Doors, ground: &Ground) -> Result<(), DoorsError> {
    // What all sessions share, the locks of mailboxes among it.
    let door = pop3::Door::new(ground.rim.clone(), Arc::clone(&ground.accounts), Kind::POP3S.name);
    doors.open(Kind::POP3S, pop3::limits(), move |c| door.clone().serve(c)).await
}
