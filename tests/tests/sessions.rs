//! What sessions do in a mailbox, broken at every call of a port, and at the same time as others and as `deliver`:
//! each operation happens or does not, as if one came after the other, and nothing is left over.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use std::sync::LazyLock;

use sigillo_tests::{
    interleave::every_order,
    journey::Step,
    sessions::{self, ALL, Session, Shown, look_closely},
    world::{Fault, Tap, Work, World, exec, perform},
};
use stages::{Job, mailbox::MailboxHead};

static START: LazyLock<(World, Job)> = LazyLock::new(sessions::world);

/// The mailbox once nothing is owed any more.
fn healed(world: &World) -> Shown {
    world.heal();
    let evidence = world.evidence();
    assert!(evidence.debts.is_empty(), "{:?}", evidence.debts);
    look_closely(world, &sessions::mailbox())
}

/// What one piece of work after the other leaves.
fn serial(work: &[&Work]) -> Shown {
    let world = START.0.fork();
    for work in work {
        world.perform(work);
    }
    healed(&world)
}

fn pack() -> Job {
    Job::Pack { row: MailboxHead::key_of(&sessions::mailbox()) }
}

/// A world whose INBOX owes packing.
fn busy() -> World {
    let world = START.0.fork();
    exec::run(sessions::be_busy(&world.rim(), &sessions::mailbox(), "INBOX", 256)).unwrap();
    world.queue.take(|job| *job == pack());
    world
}

/// Design §8: each call of a port is not done, done with its answer lost, or the last one before a crash.
fn break_everything(before: &World, work: &Work) {
    let step = Step { before: before.fork(), work: work.clone() };
    let (never, done) = (before.fork(), before.fork());
    done.perform(work);
    let (never, done) = (healed(&never), healed(&done));
    for (n, call) in step.calls().into_iter().enumerate() {
        for fault in Fault::ALL {
            let what = format!("{fault:?} at call {n}, {call}, of {}", step.name());
            let world = before.fork();
            let tap = Tap::breaking(n, fault);
            let result = exec::run(perform(&tap.on(world.rim()), work));
            let now = healed(&world);
            match result {
                Some(Ok(())) => assert_eq!(now, done, "{what}"),
                _ => assert!(now == done || now == never, "{what}: {now:#?}"),
            }
        }
    }
}

#[test]
fn every_fault_of_every_session() {
    for session in ALL {
        break_everything(&START.0, &Work::Session(*session));
    }
}

/// What sessions leave to be done later.
#[test]
fn every_fault_of_what_is_owed() {
    let world = busy();
    for session in [sessions::EXPUNGE, sessions::DELETE, sessions::DELETE_TRASH] {
        world.perform(&Work::Session(session));
    }
    let jobs = world.queue.drain();
    let is_owed = |job: &&Job| matches!(job, Job::Discard { .. });
    let owed: Vec<Job> = jobs.iter().filter(is_owed).cloned().chain([pack()]).collect();
    assert_eq!(owed.len(), 4, "{owed:?}");
    for job in owed {
        break_everything(&world, &Work::One(job));
    }
}

/// Runs two pieces of work in every order of their calls: the outcome is that of one after the other.
fn meet(before: &World, first: &Work, second: &Work, expected: &[Shown]) -> usize {
    let explored = every_order(before, first, second);
    for end in &explored.ends {
        end.run_until_idle();
        let now = healed(end);
        assert!(expected.contains(&now), "{first:?} and {second:?}: {now:#?} is none of {expected:#?}");
    }
    explored.ends.len()
}

fn meet_serially(first: Session, second: &Work) {
    let first = Work::Session(first);
    let expected = [serial(&[&first, second]), serial(&[second, &first])];
    assert!(meet(&START.0, &first, second, &expected) > 0);
}

/// Two sessions at the same time. A copy that meets a removal shows what was there before it.
#[test]
fn two_sessions_at_once() {
    for (n, first) in ALL.iter().enumerate() {
        for second in &ALL[n..] {
            meet_serially(*first, &Work::Session(*second));
        }
    }
}

/// A session while a letter is delivered into its folder.
#[test]
fn every_session_while_deliver_files() {
    for session in ALL {
        meet_serially(*session, &Work::One(START.1.clone()));
    }
}

/// Packing cannot be seen, whatever happens meanwhile: also when two pack at once.
#[test]
fn every_session_while_its_folder_is_packed() {
    let world = busy();
    for session in [
        sessions::READ_ALL,
        sessions::EXPUNGE,
        sessions::MOVE_ALL,
        sessions::MOVE_TO_ITSELF,
        sessions::APPEND,
        sessions::RENAME_INBOX,
    ] {
        let work = Work::Session(session);
        let done = world.fork();
        done.perform(&work);
        assert!(meet(&world, &work, &Work::One(pack()), &[healed(&done)]) > 0);
    }
    let same = healed(&world.fork());
    assert!(meet(&world, &Work::One(pack()), &Work::One(pack()), &[same]) > 0);
}

/// A folder that is deleted while it is packed leaves nothing.
#[test]
fn a_folder_is_deleted_while_it_is_packed() {
    let world = START.0.fork();
    exec::run(sessions::be_busy(&world.rim(), &sessions::mailbox(), "Vecchia/Sotto", 256)).unwrap();
    let jobs = world.queue.take(|job| matches!(job, Job::Pack { .. }));
    let delete = Work::Session(sessions::DELETE);
    let done = world.fork();
    done.perform(&delete);
    assert!(meet(&world, &delete, &Work::One(jobs[0].clone()), &[healed(&done)]) > 0);
    world.perform(&delete);
    let discard = world.queue.take(|job| matches!(job, Job::Discard { .. }));
    let left = healed(&world.fork());
    assert!(meet(&world, &Work::One(discard[0].clone()), &Work::One(jobs[0].clone()), &[left]) > 0);
}
