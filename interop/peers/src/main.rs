//! Elements and users of two example services of the reference implementation, made with the public API: their messages and
//! cookies are as seen on the wire, so that sessions run, and fail over, between the two implementations.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod calcapp;
#[cfg(target_os = "linux")]
mod pingpong;
#[cfg(target_os = "linux")]
mod place;

#[cfg(target_os = "linux")]
use place::{Place, Problem};

#[cfg(target_os = "linux")]
const USAGE: &str = "\
An element or a user of an example service of the reference implementation, over SCTP

  rserpool-peer pingpong-element|pingpong-user|calcapp-element|calcapp-user OPTION...

  --registrar=URL    where a registrar is
  --listen=ADDRESS   elements: where they serve, at any port
  --id=0xID          elements: their identifier
  --amount=N         pingpong-element: how many messages it answers in a session before it fails
                     calcapp-element: how many calculations it does in a second
                     calcapp-user: how many calculations it asks for";

#[cfg(not(target_os = "linux"))]
fn main() -> Result<(), &'static str> {
    Err("there is no SCTP on this platform")
}

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> Result<(), Problem> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().ok_or(USAGE)?;
    let place = Place::read(arguments)?;
    match role.as_str() {
        "pingpong-element" => pingpong::element(&place).await,
        "pingpong-user" => pingpong::user(&place).await,
        "calcapp-element" => calcapp::element(&place).await,
        "calcapp-user" => calcapp::user(&place).await,
        _ => Err(USAGE.into()),
    }
}
