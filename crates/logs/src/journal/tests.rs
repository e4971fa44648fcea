use std::{fs::OpenOptions, io::Write};

use super::*;

const SMALL: Rotation = Rotation { records_min: 10, bytes_min: 0 };

fn all_live(_: &Origin) -> bool {
    true
}

fn add(writer: &mut JournalWriter, origin: Origin, seq: u64) {
    let payload = format!("{seq}");
    let record = NewRecord { kind: Kind::Data, origin, seq, payload: payload.as_bytes() };
    writer.append(&record, &all_live).unwrap();
}

fn drain(reader: &mut JournalReader) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        seen.push(match item {
            Item::Record(record) => String::from_utf8(record.payload).unwrap(),
            Item::Lost(count) => format!("lost {count}"),
        });
    }
    seen
}

#[test]
fn records_and_positions_survive_at_least_one_full_file() {
    let temp = tempfile::tempdir().unwrap();
    let quiet = [7; 16];
    let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
    add(&mut writer, quiet, 41);
    for seq in 1..=95 {
        add(&mut writer, ROUTER, seq);
        writer.flush(&all_live).unwrap();
        drop(writer);
        writer = JournalWriter::open(temp.path(), SMALL).unwrap();
        assert_eq!(writer.position(&ROUTER), Some(seq));
        // Its only record has long gone with its file.
        assert_eq!(writer.position(&quiet), Some(41));
    }
    let seen = drain(&mut JournalReader::open_oldest(temp.path()).unwrap());
    let expected: Vec<String> = (80..=95).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
    assert_eq!(files(temp.path()).unwrap(), [81, 91]);
}

#[test]
fn readers_follow_and_say_what_they_missed() {
    let temp = tempfile::tempdir().unwrap();
    let mut reader = JournalReader::open(temp.path(), 0).unwrap();
    assert!(drain(&mut reader).is_empty());
    let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
    let mut expected = Vec::new();
    for seq in 1..=25 {
        add(&mut writer, ROUTER, seq);
        assert!(drain(&mut reader).is_empty(), "not flushed");
        writer.flush(&all_live).unwrap();
        expected.push(seq.to_string());
        assert_eq!(drain(&mut reader), [seq.to_string()]);
    }
    for seq in 26..=100 {
        add(&mut writer, ROUTER, seq);
        writer.flush(&all_live).unwrap();
    }
    let seen = drain(&mut reader);
    // The open file was read to its end although it had been removed.
    assert_eq!(&seen[..6], ["26", "27", "28", "29", "30", "lost 60"]);
    assert_eq!((seen[6].as_str(), seen.last().unwrap().as_str(), seen.len()), ("91", "100", 16));
    assert_eq!(reader.last_id(), 100);
    let mut resumed = JournalReader::open(temp.path(), 97).unwrap();
    assert_eq!(drain(&mut resumed), ["98", "99", "100"]);
    let mut ahead = JournalReader::open(temp.path(), 5_000).unwrap();
    assert!(drain(&mut ahead).is_empty());
    add(&mut writer, ROUTER, 101);
    writer.flush(&all_live).unwrap();
    assert_eq!(drain(&mut ahead), ["101"]);
}

#[test]
fn a_torn_end_is_cut_off_and_its_number_used_again() {
    for torn in [1, RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + 1] {
        let temp = tempfile::tempdir().unwrap();
        let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
        add(&mut writer, ROUTER, 1);
        writer.flush(&all_live).unwrap();
        let mut half = Vec::new();
        let record = NewRecord { kind: Kind::Data, origin: ROUTER, seq: 2, payload: b"never" };
        encode(&record, 2, &mut half);
        let file = path(temp.path(), 1);
        OpenOptions::new().append(true).open(&file).unwrap().write_all(&half[..torn]).unwrap();
        let mut reader = JournalReader::open(temp.path(), 0).unwrap();
        assert_eq!(drain(&mut reader), ["1"], "{torn}");
        let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
        assert_eq!(writer.position(&ROUTER), Some(1));
        add(&mut writer, ROUTER, 2);
        writer.flush(&all_live).unwrap();
        assert_eq!(drain(&mut reader), ["2"], "{torn}");
    }
}

#[test]
fn a_file_without_a_head_costs_its_records_alone() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
    for seq in 1..=12 {
        add(&mut writer, ROUTER, seq);
        writer.flush(&all_live).unwrap();
    }
    drop(writer);
    std::fs::write(path(temp.path(), 11), b"").unwrap();
    let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
    assert_eq!(writer.position(&ROUTER), Some(10));
    add(&mut writer, ROUTER, 11);
    writer.flush(&all_live).unwrap();
    assert_eq!(drain(&mut JournalReader::open(temp.path(), 9).unwrap()), ["10", "11"]);
}

#[test]
fn nothing_comes_behind_the_finish() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
    add(&mut writer, STEPS, 1);
    let finish = NewRecord { kind: Kind::Finish, origin: PLATFORM, seq: 0, payload: b"" };
    writer.append(&finish, &all_live).unwrap();
    add(&mut writer, STEPS, 2);
    writer.flush(&all_live).unwrap();
    drop(writer);
    let mut writer = JournalWriter::open(temp.path(), SMALL).unwrap();
    assert!(writer.finished());
    add(&mut writer, STEPS, 3);
    writer.flush(&all_live).unwrap();
    assert_eq!(drain(&mut JournalReader::open(temp.path(), 0).unwrap()), ["1", ""]);
}
