//! Outcome D: ordinary mail. Each mailbox takes it, inside an anomaly envelope, or refuses it (spec 5.3, 0.2 D13); who
//! sent it is told what was refused.

use pec::{original, reception::CheckLine};

use super::{Incoming, addressed::Addressed, bounce};
use crate::{
    Rim, StageError, acts,
    ids::Side,
    log::{About, Event},
    rim::Draft,
};

impl Incoming {
    pub(super) async fn ordinary(
        self,
        rim: &Rim,
        reason: String,
        addressed: Vec<Addressed>,
        virus: Option<String>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        let facts = original::facts(&self.bytes);
        let about = self.about_itself(&facts, "");
        let mut draft = Draft::new();

        // 1. Infected: it never reaches a mailbox, and nobody is told (spec 0.2 D11).
        if let Some(virus) = virus {
            tracing::error!(incoming = %self.id, "infected ordinary mail was dropped");
            draft.append(self.virus_entry(rim, about, &virus, checks));
            self.close(&mut draft, "dropped", None, facts.client_id)?;
            return rim.commit(draft).await;
        }

        // 2. A bounce that quotes a letter of ours is logged against it, and reaches mailboxes that refuse ordinary
        //    mail: users would lose their non-delivery reports (spec 5.6, 0.2 D13, D17).
        let bounced = bounce::quoted(rim, &self.bytes, &self.transaction).await?;
        if let Some(head) = &bounced {
            tracing::error!(incoming = %self.id, "a letter of ours bounced");
            // D22: the letter is ours. Who issued the report is not known.
            let sending = rim.environment(&head.environment).await?.provider_name;
            let about = About::letter(&head.letter, &sending, "").of(&self.transaction.forward_paths);
            let mut entry = self.entry(about, Event::Received, &[]).with("kind", "bounce");
            entry.side = Side::Origin;
            draft.append(entry);
        }

        // 3. Who takes it gets it wrapped; who does not is in the log.
        let takes =
            |a: &&Addressed| a.takes_ordinary().is_some() || (bounced.is_some() && a.open().is_some());
        let (takers, refusing): (Vec<_>, Vec<_>) = addressed.iter().partition(takes);
        if !refusing.is_empty() || takers.is_empty() {
            let about = about.clone().of(refusing.iter().map(|a| &a.address));
            draft.append(self.entry(about, Event::OrdinaryRefused, checks).with("reason", reason.clone()));
            self.tell_the_sender(rim, &mut draft, &facts, &refusing).await?;
        }
        let outcome = match self.wrap(rim, &facts, reason.clone(), &takers)? {
            Some(act) => {
                let about = about.of(takers.iter().map(|a| &a.address));
                draft.append(self.entry(about, Event::Received, checks).with("reason", reason));
                draft.insert(&act, Some(acts::owed(&act)))?;
                "ordinary"
            }
            None => "dropped",
        };
        self.close(&mut draft, outcome, Some(self.partition()), facts.client_id)?;
        rim.commit(draft).await
    }
}
