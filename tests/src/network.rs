//! Providers that send to each other: what one of them has sent comes in at the door of another, octet for octet.

use stages::{door::Arrival, ports::Destination};

use crate::world::{Evidence, Provider, World, letters};

/// Providers on one clock.
pub struct Network {
    worlds: Vec<World>,
    /// How many errands of each world were handed over.
    handed: Vec<usize>,
    /// What went to ordinary mail.
    ordinary: Vec<Arrival>,
}

impl Network {
    /// Of these providers.
    #[must_use]
    pub fn of(worlds: Vec<World>) -> Self {
        let handed = vec![0; worlds.len()];
        Self { worlds, handed, ordinary: Vec::new() }
    }

    /// The world of a provider.
    ///
    /// # Panics
    /// If it is not in this network.
    #[must_use]
    pub fn world(&self, provider: &Provider) -> &World {
        let found = self.worlds.iter().find(|w| w.provider.record == provider.record);
        found.expect("a provider of this network")
    }

    /// What went to ordinary mail, in order.
    #[must_use]
    pub fn ordinary(&self) -> &[Arrival] {
        &self.ordinary
    }

    /// Works until nobody has a hint and nothing is on its way.
    ///
    /// # Panics
    /// If a job fails.
    pub fn settle(&mut self) {
        loop {
            self.worlds.iter().for_each(World::run_until_idle);
            if !self.hand_over() {
                return;
            }
        }
    }

    /// Works until nobody owes anything, with all clocks moved to where something is due next.
    ///
    /// # Panics
    /// If a job fails.
    pub fn finish(&mut self) {
        loop {
            self.settle();
            let due = self.worlds.iter().flat_map(|w| w.facts.debts()).map(|d| d.due).min();
            let Some(due) = due else { return };
            for world in &self.worlds {
                world.clock.advance_to(due);
                world.perform(&crate::world::Work::Hints);
            }
        }
    }

    /// Brings what was sent to where it goes. Answers whether there was anything.
    fn hand_over(&mut self) -> bool {
        let mut some = false;
        for n in 0..self.worlds.len() {
            let carried = self.worlds[n].carrier.carried();
            for errand in carried.into_iter().skip(self.handed[n]) {
                self.handed[n] += 1;
                some = true;
                let arrival = letters::arrival(errand.reverse_path, errand.recipients, errand.message);
                let there = match &errand.destination {
                    Destination::Provider { record, .. } => {
                        self.worlds.iter().find(|w| w.provider.record == record)
                    }
                    Destination::Own | Destination::Ordinary { .. } => None,
                };
                match there {
                    Some(world) => drop(world.arrive(arrival).expect("a door that takes it")),
                    None => self.ordinary.push(arrival),
                }
            }
        }
        some
    }

    /// What a provider shows, once nobody owes anything.
    ///
    /// # Panics
    /// If what it shows is not lawful.
    #[must_use]
    pub fn evidence(&self, provider: &Provider) -> Evidence {
        let evidence = self.world(provider).evidence();
        evidence.assert_lawful();
        evidence
    }
}
