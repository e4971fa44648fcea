//! Lines in the log.

use std::os::unix::fs::MetadataExt;

use renga_supervision::{Entry, LineEnd, SegmentReader, Stream};

use crate::harness::{Dyno, Mounted};

#[test]
fn real_lines_keep_their_order_and_their_stream() {
    let dyno = Dyno::bash(
        "for i in 1 2 3; do echo out $i; sleep 0.02; echo err $i >&2; sleep 0.02; done; printf end",
    )
    .start();
    dyno.wait_exit();
    let seen: Vec<_> = dyno
        .records()
        .into_iter()
        .map(|record| (record.stream, String::from_utf8(record.data).unwrap(), record.end))
        .collect();
    let line = |stream, text: &str| (stream, text.to_owned(), LineEnd::Complete);
    let mut expected = Vec::new();
    for number in 1..=3 {
        expected.push(line(Stream::Stdout, &format!("out {number}")));
        expected.push(line(Stream::Stderr, &format!("err {number}")));
    }
    expected.push((Stream::Stdout, "end".into(), LineEnd::Cut));
    assert_eq!(seen, expected);
    let log = std::fs::metadata(dyno.files().log()).unwrap();
    assert_eq!((log.uid(), log.mode() & 0o777), (12_345, 0o500));
}

#[test]
fn real_long_lines_are_cut_and_nothing_of_them_is_missing() {
    let (_, lines) = Dyno::python("print('x' * 25000); print('short')").outcome();
    assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [10_000, 10_000, 5_000, 5]);
}

#[test]
fn real_a_storm_of_lines_loses_none() {
    let script = "
import sys, time
start = time.time()
for burst in range(40):
    for i in range(500): print('line', burst * 500 + i, 'x' * 100)
    sys.stdout.flush()
    time.sleep(max(0, start + (burst + 1) * 0.05 - time.time()))
print('took', time.time() - start)";
    let (exit, lines) = Dyno::python(script).outcome();
    assert_eq!(exit.code, 0);
    assert_eq!(lines.len(), 20_001);
    for (number, line) in lines[..20_000].iter().enumerate() {
        assert!(line.starts_with(&format!("line {number} ")), "{line}");
    }
    eprintln!("20,000 lines {}", lines[20_000]);
}

#[test]
fn real_output_beyond_the_rate_is_dropped_and_counted_to_the_line() {
    let mut dyno = Dyno::bash("seq 1 200000; sleep 1.5; echo late; seq 1 200000; echo last");
    dyno.spec.log_bytes_per_s = Some(256 * 1024);
    dyno.spec.log_bytes_max = 4 * 1024 * 1024;
    let dyno = dyno.start();
    assert_eq!(dyno.wait_exit().code, 0);
    let mut reader = SegmentReader::open(&dyno.files().log(), 0).unwrap();
    let (mut kept, mut lost) = (Vec::new(), 0);
    while let Some(entry) = reader.next_entry().unwrap() {
        match entry {
            Entry::Record(record) => kept.push(String::from_utf8(record.data).unwrap()),
            Entry::Gap { lost: missing } => lost += missing,
        }
    }
    assert_eq!(kept.len() as u64 + lost, 400_002, "{} kept", kept.len());
    assert!(lost > 300_000 && kept.len() > 15_000, "{lost} lost");
    assert!(kept.contains(&"late".to_owned()) && kept.last().unwrap() == "last");
}

#[test]
fn real_a_flood_never_stops_the_app_and_stays_in_its_bound() {
    let mut dyno = Dyno::bash("yes 'a line of a flood' | head -c 6000000; exit 4");
    dyno.spec.log_bytes_max = 1024 * 1024;
    let dyno = dyno.start();
    assert_eq!(dyno.wait_exit().code, 4);
    let files = std::fs::read_dir(dyno.files().log()).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 1024 * 1024, "{bytes}");
}

/// At 16 MiB a second this takes one and a half; nobody can be quicker. Unbounded it takes a tenth.
#[test]
fn real_a_flood_takes_no_more_of_the_machine_than_its_bound() {
    let mut dyno = Dyno::python(
        "
import os, sys, time
start = time.time()
for _ in range(24): sys.stdout.write('a line of a flood\\n' * (1048576 // 18))
sys.stdout.flush()
os._exit(7 if time.time() - start > 1.2 else 8)",
    );
    dyno.spec.log_bytes_per_s = Some(256 * 1024);
    dyno.spec.log_bytes_max = 1024 * 1024;
    assert_eq!(dyno.start().wait_exit().code, 7);
}

#[test]
fn real_a_full_disk_costs_lines_and_nothing_else() {
    let dyno = Dyno::bash("for i in $(seq 40000); do echo line $i; done; exit 3");
    let log = dyno.files().log();
    std::fs::create_dir(&log).unwrap();
    let _full = Mounted::tmpfs(&log, "size=400k");
    let dyno = dyno.start();
    assert_eq!(dyno.wait_exit().code, 3);
    let noted = dyno.supervisor_log();
    assert!(noted.contains("No space left") && noted.lines().count() < 10, "{noted}");
    // Every line has its number, kept or lost, so what is kept proves what the reader says is lost.
    let mut reader = SegmentReader::open(&log, 0).unwrap();
    let (mut kept, mut accounted) = (0, 0);
    while let Some(entry) = reader.next_entry().unwrap() {
        match entry {
            Entry::Gap { lost } => accounted += lost,
            Entry::Record(record) => {
                (kept, accounted) = (kept + 1, accounted + 1);
                assert_eq!(record.seq, accounted);
                assert_eq!(record.data, format!("line {accounted}").as_bytes());
            }
        }
    }
    assert!((1_000..40_000).contains(&kept), "{kept}");
}

#[test]
fn real_processes_that_stay_behind_can_not_hold_the_end_up() {
    let (exit, lines) = Dyno::bash("sleep 1000 & echo started; exit 5").outcome();
    assert_eq!(exit.code, 5);
    assert_eq!(lines, ["started"]);
}

#[test]
fn real_standard_output_can_be_opened_by_name_and_input_is_empty() {
    let (exit, lines) = Dyno::bash("echo one > /dev/stdout; echo two > /dev/stderr; cat; exit 6").outcome();
    assert_eq!(exit.code, 6);
    assert!(lines.contains(&"one".into()) && lines.contains(&"two".into()), "{lines:?}");
}
