//! A second opinion on every message in a capture: Wireshark's dissectors.
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Has tshark read all captures in a folder: it must find ASAP or ENRP in one of them, and nothing to object to.
///
/// # Panics
/// If it finds no message, a malformed one, or one worth an expert's warning.
#[allow(clippy::panic, reason = "this is how a test fails")]
pub fn no_message_is_objectionable(folder: &Path) {
    match objections(folder) {
        Ok(objections) if objections.is_empty() => {}
        Ok(objections) => panic!("{}: tshark objects:\n{}", folder.display(), objections.join("\n")),
        Err(error) => panic!("{}: {error}", folder.display()),
    }
}

/// Has tshark read all captures in a folder of a test in which all links are secured: what SCTP marks as ASAP or ENRP must be
/// TLS records, and there must be some (RFC 3436, RFC 5355 §2.11).
///
/// # Panics
/// If there is none, or a message in clear.
#[allow(clippy::panic, reason = "this is how a test fails")]
pub(crate) fn no_message_can_be_read(folder: &Path) {
    // To tshark, a record is a message whose type is the record's content type: 20 to 23 (RFC 8446 §5.1).
    let (records, messages) = ("> 19", "< 20");
    let found = |which: &str| {
        let of = |protocol: &str| format!("{protocol}.message_type {which}");
        in_captures(folder, &format!("{} || {}", of("asap"), of("enrp")))
    };
    match (found(records), found(messages)) {
        (Ok(records), Ok(messages)) if !records.is_empty() && messages.is_empty() => {}
        (Ok(_), Ok(messages)) => panic!(
            "{}: no TLS on SCTP, or messages in clear beside it:\n{}",
            folder.display(),
            messages.join("\n")
        ),
        (Err(error), _) | (_, Err(error)) => panic!("{}: {error}", folder.display()),
    }
}

fn objections(folder: &Path) -> io::Result<Vec<String>> {
    let seen = in_captures(folder, "asap || enrp")?;
    if seen.is_empty() {
        return Err(io::Error::other("there is no message in the captures"));
    }
    in_captures(folder, "(asap || enrp) && (_ws.expert || _ws.malformed)")
}

/// One line for each frame that the filter fits, in any of the captures.
fn in_captures(folder: &Path, filter: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in folder.read_dir()? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "pcap") {
            let frames = frames(&path, filter)?;
            found.extend(frames.iter().map(|frame| format!("{}: {frame}", path.display())));
        }
    }
    Ok(found)
}

/// One line for each frame that the filter fits.
fn frames(capture: &Path, filter: &str) -> io::Result<Vec<String>> {
    let fields = ["frame.number", "ip.src", "_ws.col.Info", "_ws.expert.message"];
    let read = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(["-Y", filter, "-T", "fields"])
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .stderr(Stdio::null())
        .output()?;
    // Its status says nothing: a capture that was cut short at its end is an error to it.
    Ok(String::from_utf8_lossy(&read.stdout).lines().map(str::to_owned).collect())
}
