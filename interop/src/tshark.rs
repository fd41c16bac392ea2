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

fn objections(folder: &Path) -> io::Result<Vec<String>> {
    let mut seen = 0;
    let mut objections = Vec::new();
    for file in folder.read_dir()? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        seen += frames(&path, "asap || enrp")?.len();
        let messages = frames(&path, "(asap || enrp) && (_ws.expert || _ws.malformed)")?;
        objections.extend(messages.iter().map(|message| format!("{}: {message}", path.display())));
    }
    if seen == 0 { Err(io::Error::other("there is no message in the captures")) } else { Ok(objections) }
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
