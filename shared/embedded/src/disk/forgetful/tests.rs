use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

fn content(disk: &ForgetfulDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(&path(name)).ok()?;
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

#[test]
fn what_was_synced_with_its_name_is_there() {
    for seed in 0..50 {
        let disk = ForgetfulDisk::new(seed);
        disk.create_dir(&path("d")).unwrap();
        disk.sync_dir(&path("")).unwrap();
        let file = disk.create(&path("d/f")).unwrap();
        file.write_at(&[7; 3000], 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir(&path("d")).unwrap();
        disk.power_cut();
        assert_eq!(content(&disk, "d/f"), Some(vec![7; 3000]));
        assert_eq!(disk.list(&path("d")).unwrap(), ["f"]);
    }
}

#[test]
fn what_was_not_synced_survives_whole_in_part_or_not_at_all() {
    let mut outcomes = HashSet::new();
    for seed in 0..200 {
        let disk = ForgetfulDisk::new(seed);
        let file = disk.create(&path("f")).unwrap();
        file.write_at(b"durable", 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir(&path("")).unwrap();
        file.write_at(&[7; 2000], 7).unwrap();
        disk.power_cut();
        let found = content(&disk, "f").unwrap();
        assert!(found.starts_with(b"durable"));
        outcomes.insert(match &found[7..] {
            [] => "lost",
            rest if rest == [7; 2000] => "whole",
            rest if rest.iter().all(|b| *b == 7) => "short",
            _ => "with holes",
        });
    }
    assert_eq!(outcomes, HashSet::from(["lost", "whole", "short", "with holes"]));
}

#[test]
fn a_name_that_was_not_synced_may_be_lost_and_a_removal_may_come_back() {
    let (mut created, mut removed) = (HashSet::new(), HashSet::new());
    for seed in 0..50 {
        let disk = ForgetfulDisk::new(seed);
        disk.create(&path("old")).unwrap();
        disk.sync_dir(&path("")).unwrap();
        disk.create(&path("new")).unwrap().sync().unwrap();
        disk.remove(&path("old")).unwrap();
        assert!(content(&disk, "new").is_some() && content(&disk, "old").is_none(), "before the power cut");
        disk.power_cut();
        created.insert(content(&disk, "new").is_some());
        removed.insert(content(&disk, "old").is_some());
    }
    assert_eq!((created.len(), removed.len()), (2, 2));
}

#[test]
fn after_the_cut_nothing_works_until_the_power_is_back() {
    let disk = ForgetfulDisk::new(1);
    let file = disk.create(&path("f")).unwrap();
    file.write_at(b"a", 0).unwrap();
    assert_eq!(disk.changes(), 2);
    disk.cut_at(3);
    file.sync().unwrap();
    assert!(file.write_at(b"b", 1).is_err() && disk.is_dark());
    assert!(file.size().is_err() && file.sync().is_err());
    assert!(disk.list(&path("")).is_err() && disk.create(&path("g")).is_err());
    disk.power_cut();
    assert!(!disk.is_dark());
    assert!(file.write_at(b"c", 0).is_err(), "opened before the cut");
    assert!(disk.list(&path("")).is_ok());
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let lost = (0..50).filter(|&seed| {
        let disk = ForgetfulDisk::new(seed);
        let file = disk.create(&path("f")).unwrap();
        disk.sync_dir(&path("")).unwrap();
        file.write_at(&[7; 1000], 0).unwrap();
        disk.fail_at(disk.changes());
        assert!(file.sync().is_err());
        assert_eq!(content(&disk, "f"), Some(vec![7; 1000]), "the running process sees it still");
        file.sync().unwrap();
        disk.power_cut();
        content(&disk, "f") != Some(vec![7; 1000])
    });
    assert!(lost.count() > 10);
}
