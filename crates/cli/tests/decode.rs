//! `rserpool decode`: vectors to their meaning and back, and what is said of garbage.
mod support;

use support::{json, run, run_bytes};

/// ASAP_REGISTRATION (RFC 5352 §2.2.1) of element 0x12345678 in `EchoPool`: 30 s, TCP 127.0.0.1:7, weight 5.
const REGISTRATION: &str = "0100003c 0009000c 4563686f506f6f6c \
    000a002c 12345678 00000000 0000001e 00050010 00070000 000100087f000001 0008000c 00000002 00000005";
/// ENRP_PRESENCE (RFC 5353 §2.1) of registrar 1: checksum 29a5, reached at TCP 192.0.2.1:9901.
const PRESENCE: &str =
    "0100002c 00000001 00000000 000f0006 29a50000 000b0018 00000001 00050010 26ad0000 00010008c0000201";

fn decode(protocol: &str, hex: &str, more: &[&str]) -> support::Ended {
    run(&[&["decode", "--protocol", protocol], more].concat(), hex)
}

fn compact(hex: &str) -> String {
    hex.split_whitespace().collect()
}

#[test]
fn an_asap_message_is_told_with_every_field() {
    let ended = decode("asap", REGISTRATION, &["--json"]);
    assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
    let value = json(&ended);
    assert_eq!(value["protocol"], "asap");
    assert_eq!(value["message"], "ASAP_REGISTRATION");
    assert_eq!(value["pool_handle"], "EchoPool");
    assert_eq!(value["element"]["identifier"], "0x12345678");
    assert_eq!(value["element"]["life_seconds"], 30.0);
    assert_eq!(value["element"]["user_transport"]["url"], "tcp://127.0.0.1:7");
    assert_eq!(value["element"]["policy"]["spec"], "wrr:5");
    assert_eq!(value["reencoded"], compact(REGISTRATION));
}

#[test]
fn the_dialect_says_what_the_numbers_mean() {
    let value = json(&decode("asap", REGISTRATION, &["--json", "--dialect", "rsplib"]));
    assert_eq!(value["element"]["life_seconds"], 0.03, "a registration life is in milliseconds there");
}

#[test]
fn an_enrp_message_is_told_with_sender_and_checksum() {
    let value = json(&decode("enrp", PRESENCE, &["--json"]));
    assert_eq!(value["message"], "ENRP_PRESENCE");
    assert_eq!(value["sender"], "0x00000001");
    assert_eq!(value["receiver"], "0x00000000");
    assert_eq!(value["checksum"], "29a5");
    assert_eq!(value["server_information"]["transport"]["url"], "tcp://192.0.2.1:9901");
    assert_eq!(value["reencoded"].as_str().map(|hex| hex.trim_end_matches('0').len() > 80), Some(true));
}

#[test]
fn the_owner_of_an_element_is_told_with_it() {
    // ENRP_HANDLE_UPDATE and ENRP_HANDLE_TABLE_RESPONSE of an element of pe-a.
    let element = "00090008 6563686f 000a0028 00000001 1a2b3c4d 0000001e 00050010 00500000 00010008 c0000201 \
        00080008 00000001 80400008 70652d61";
    let update = format!("04000048 1a2b3c4d 00000000 00000000 {element}");
    let value = json(&decode("enrp", &update, &["--json"]));
    assert_eq!(value["element"]["owner"], "pe-a");
    assert_eq!(value["reencoded"], compact(&update));
    let table = format!("03000044 1a2b3c4d 00000000 {element}");
    let value = json(&decode("enrp", &table, &["--json"]));
    assert_eq!(value["pools"][0]["elements"][0]["owner"], "pe-a");
}

#[test]
fn people_get_an_outline() {
    let text = decode("asap", REGISTRATION, &[]).stdout;
    assert!(text.contains("message: ASAP_REGISTRATION\n"), "{text}");
    assert!(text.contains("element:\n  identifier: 0x12345678\n"), "{text}");
}

#[test]
fn a_skipped_parameter_that_wants_a_report_is_listed() {
    // ASAP_HANDLE_RESOLUTION of `echo` with a parameter of type 0xc001: skip and report (RFC 5354 §3).
    let value = json(&decode("asap", "05000010 00090008 6563686f c0010004", &["--json"]));
    assert_eq!(value["message"], "ASAP_HANDLE_RESOLUTION");
    assert_eq!(value["unrecognized"][0]["code"], "0x0001");
    assert_eq!(value["unrecognized"][0]["information"], "c0010004");
}

#[test]
fn garbage_is_told_with_offset_reason_and_cause() {
    // A message type 0x7f: discard and report (RFC 5354 §4).
    let ended = decode("asap", "7f000004", &["--json"]);
    assert_eq!(ended.status, Some(1));
    let value = json(&ended);
    assert_eq!(value["error"]["offset"], 0);
    assert_eq!(value["error"]["reason"], "unknown message type 0x7f");
    assert_eq!(value["error"]["cause"]["name"], "unrecognized message");
    assert_eq!(value["error"]["cause"]["information"], "7f000004");

    let short = decode("enrp", "0100", &[]);
    assert_eq!(short.status, Some(1));
    assert!(short.stdout.contains("reason: 2 bytes needed, 0 left"), "{}", short.stdout);
}

#[test]
fn text_that_is_no_hex_is_refused() {
    let ended = decode("asap", "hello", &["--json"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("no hex of a message"), "{}", ended.stderr);
    let raw = run_bytes(&["decode", "--protocol", "asap"], &[1, 0, 0, 0xff]);
    assert_eq!((raw.status, raw.stdout.as_str()), (Some(1), ""));
    assert!(raw.stderr.contains("in hex"), "{}", raw.stderr);
}
