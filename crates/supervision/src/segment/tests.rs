use std::{fs::OpenOptions, io::Write, path::Path};

use super::*;

fn config(directory: &Path, total: u64) -> SegmentConfig {
    SegmentConfig {
        directory: directory.to_owned(),
        segment_bytes_max: 64 * 1024,
        total_bytes_max: total,
        access: Access::Group,
    }
}

fn line(data: &[u8]) -> NewRecord<'_> {
    NewRecord { at_us: 1, stream: Stream::Stdout, end: LineEnd::Complete, tag: NO_TAG, data }
}

fn drain(reader: &mut SegmentReader) -> Vec<Entry> {
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

fn texts(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| match entry {
        Entry::Record(record) => format!("{} {}", record.seq, String::from_utf8_lossy(&record.data)),
        Entry::Gap { lost } => format!("lost {lost}"),
    };
    entries.iter().map(text).collect()
}

#[test]
fn version_1_looks_like_this() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::open(config(temp.path(), 1 << 20)).unwrap();
    let record = NewRecord {
        at_us: 1_700_000_000_123_456,
        stream: Stream::Stderr,
        end: LineEnd::Complete,
        tag: *b"0123456789abcdef",
        data: b"hi",
    };
    writer.append(&record).unwrap();
    writer.flush().unwrap();
    let bytes = std::fs::read(temp.path().join("00000000000000000001.seg")).unwrap();
    let head = [b"RENGALG1".as_slice(), &1u64.to_le_bytes()].concat();
    let body = [
        [2, 0, 0, 0].as_slice(),
        &1u64.to_le_bytes(),
        &1_700_000_000_123_456i64.to_le_bytes(),
        &[2, 1, 0, 0],
        b"0123456789abcdef",
        b"hi",
    ]
    .concat();
    let crc = 0xbc47_cd73_u32.to_le_bytes();
    assert_eq!(crc32fast::hash(&body).to_le_bytes(), crc);
    assert_eq!(bytes, [head, crc.to_vec(), body].concat());
}

#[test]
fn a_reader_follows_through_rotations_and_can_start_anywhere() {
    let temp = tempfile::tempdir().unwrap();
    let mut reader = SegmentReader::open(temp.path(), 0).unwrap();
    assert_eq!(reader.next_entry().unwrap(), None);
    let mut writer = SegmentWriter::open(config(temp.path(), 64 << 20)).unwrap();
    let mut seen = Vec::new();
    for number in 1..=3000u64 {
        assert_eq!(
            writer.append(&line(format!("line {number} {}", "x".repeat(200)).as_bytes())).unwrap(),
            number
        );
        if number % 7 == 0 {
            writer.flush().unwrap();
            seen.extend(drain(&mut reader));
        }
    }
    writer.flush().unwrap();
    seen.extend(drain(&mut reader));
    let numbers = |entries: &[Entry]| -> Vec<u64> {
        entries.iter().map(|entry| if let Entry::Record(record) = entry { record.seq } else { 0 }).collect()
    };
    assert_eq!(numbers(&seen), (1..=3000).collect::<Vec<_>>());
    assert!(names::segments(temp.path()).unwrap().len() > 5, "it has rotated");
    for after in [0, 1, 250, 1499, 2999, 3000] {
        let mut late = SegmentReader::open(temp.path(), after).unwrap();
        assert_eq!(numbers(&drain(&mut late)), (after + 1..=3000).collect::<Vec<_>>(), "after {after}");
        assert_eq!(late.after_seq(), 3000);
    }
}

#[test]
fn the_bound_removes_the_oldest_and_readers_hear_how_many_are_gone() {
    let temp = tempfile::tempdir().unwrap();
    let bound = 256 * 1024;
    let mut writer = SegmentWriter::open(config(temp.path(), bound)).unwrap();
    let mut slow = SegmentReader::open(temp.path(), 0).unwrap();
    writer.append(&line(b"first")).unwrap();
    writer.flush().unwrap();
    assert_eq!(texts(&[slow.next_entry().unwrap().unwrap()]), ["1 first"]);
    for _ in 0..100 {
        writer.append(&line(&[b'y'; RECORD_BYTES_MAX])).unwrap();
        writer.flush().unwrap();
    }
    let bytes: u64 =
        std::fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= bound, "{bytes}");
    let entries = drain(&mut slow);
    let lost: u64 = entries.iter().map(|entry| if let Entry::Gap { lost } = entry { *lost } else { 0 }).sum();
    let records = entries.iter().filter(|entry| matches!(entry, Entry::Record(_))).count() as u64;
    assert_eq!(lost + records, 100);
    assert!(lost > 50 && records > 10, "{lost} lost, {records} kept");
}

#[test]
fn losses_of_the_writer_are_told_even_across_files() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::open(config(temp.path(), 64 << 20)).unwrap();
    let mut reader = SegmentReader::open(temp.path(), 0).unwrap();
    for round in 0..20 {
        writer.append(&line(&[b'z'; RECORD_BYTES_MAX])).unwrap();
        writer.lost(round);
        writer.flush().unwrap();
    }
    let entries = drain(&mut reader);
    let lost: u64 = entries.iter().map(|entry| if let Entry::Gap { lost } = entry { *lost } else { 0 }).sum();
    assert_eq!(lost, (0..19).sum::<u64>(), "the last loss shows with the record behind it");
    assert_eq!(entries.iter().filter(|entry| matches!(entry, Entry::Record(_))).count(), 20);
}

#[test]
fn a_torn_end_is_waited_for_and_cut_off_by_the_next_writer() {
    for torn in [1, 20, RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + 3] {
        let temp = tempfile::tempdir().unwrap();
        let mut writer = SegmentWriter::open(config(temp.path(), 1 << 20)).unwrap();
        writer.append(&line(b"whole")).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let mut half = Vec::new();
        encode(2, &line(b"never finished"), &mut half);
        let path = temp.path().join("00000000000000000001.seg");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&half[..torn]).unwrap();

        let mut reader = SegmentReader::open(temp.path(), 0).unwrap();
        assert_eq!(texts(&drain(&mut reader)), ["1 whole"], "torn at {torn}");
        let mut writer = SegmentWriter::open(config(temp.path(), 1 << 20)).unwrap();
        assert_eq!(writer.append(&line(b"instead")).unwrap(), 2);
        writer.flush().unwrap();
        assert_eq!(texts(&drain(&mut reader)), ["2 instead"], "torn at {torn}");
    }
}

#[test]
fn a_reader_that_is_ahead_of_a_crashed_machine_goes_on_with_what_is_new() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::open(config(temp.path(), 1 << 20)).unwrap();
    writer.append(&line(b"one")).unwrap();
    writer.flush().unwrap();
    let mut reader = SegmentReader::open(temp.path(), 500).unwrap();
    assert_eq!(drain(&mut reader), []);
    writer.append(&line(b"two")).unwrap();
    writer.flush().unwrap();
    assert_eq!(texts(&drain(&mut reader)), ["2 two"]);
}

#[test]
fn a_broken_record_costs_the_rest_of_its_file_and_no_more() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::open(config(temp.path(), 64 << 20)).unwrap();
    for _ in 0..10 {
        writer.append(&line(&[b'b'; RECORD_BYTES_MAX])).unwrap();
    }
    writer.flush().unwrap();
    let first = temp.path().join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&first).unwrap();
    let second_record = FILE_HEAD_BYTES + RECORD_HEAD_BYTES + RECORD_BYTES_MAX;
    bytes[second_record + 50] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let mut reader = SegmentReader::open(temp.path(), 0).unwrap();
    let entries = texts(&drain(&mut reader));
    assert!(entries[0].starts_with("1 b"));
    assert_eq!(entries[1], "lost 5", "records 2 to 6 shared the file");
    assert_eq!(entries.len(), 6);
}

#[test]
fn appending_is_cheap() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::open(config(temp.path(), 8 << 20)).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..1000 {
        for _ in 0..50 {
            writer.append(&line(&[b'r'; 220])).unwrap();
        }
        writer.flush().unwrap();
    }
    let each = started.elapsed() / 50_000;
    assert!(each.as_micros() < 100, "{each:?} a record");
    eprintln!("{each:?} a record, batches of 50");
}
