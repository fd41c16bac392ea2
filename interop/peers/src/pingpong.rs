//! The ping-pong service: each ping has a number, each pong the number of the ping and that of the reply. The number of the
//! next reply is the state of a session, and goes to the next element in the cookie.
use std::time::Duration;

use bytes::{Buf, BufMut};
use rserpool::{PayloadProtocol, ServiceEvent, ServiceSession};
use tokio::time::sleep;

use crate::place::{Place, Problem};

const POOL: &str = "PingPongPool";
const PROTOCOL: PayloadProtocol = PayloadProtocol(33);
const PING: u8 = 1;
const PONG: u8 = 2;
/// What cookies begin with; the number of the next reply follows.
const COOKIE: &[u8] = b"<PP-TD1>";
const PAUSE: Duration = Duration::from_millis(200);
const ANSWERED: Duration = Duration::from_secs(5);

/// Ends each session after some messages, as an element that fails: the next one must go on.
pub(crate) async fn element(place: &Place) -> Result<(), Problem> {
    let fails_after = place.amount;
    place.serve(POOL, PROTOCOL, |session| answer(session, fails_after)).await
}

async fn answer(mut session: ServiceSession, messages: u64) -> Result<(), Problem> {
    let (mut next_reply, mut answered) = (1_u64, 0);
    while let Some(event) = session.recv().await? {
        match event {
            ServiceEvent::Restored(cookie) => {
                let mut state = cookie.strip_prefix(COOKIE).ok_or("a cookie of another service")?;
                next_reply = state.try_get_u64()?;
                println!("restored next={next_reply}");
            }
            ServiceEvent::Message(message) => {
                let (number, data) = read(PING, &message)?;
                session.send(&write(PONG, &[number, next_reply], data)?).await?;
                next_reply += 1;
                session.set_cookie(&[COOKIE, &next_reply.to_be_bytes()].concat()).await?;
                answered += 1;
                if answered == messages {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sends pings for ever, each after the answer to the one before, and prints the answers.
pub(crate) async fn user(place: &Place) -> Result<(), Problem> {
    let mut session = place.session(POOL, PROTOCOL).await?;
    for number in 1_u64.. {
        let pong = session.request(&write(PING, &[number], b"data")?, ANSWERED).await?;
        let (answered, mut rest) = read(PONG, &pong)?;
        let reply = rest.try_get_u64()?;
        if (answered, rest) != (number, b"data") {
            return Err(format!("the answer to ping {number} is to ping {answered}, with {rest:?}").into());
        }
        println!("ping {number} reply {reply} from {}", session.target().identifier());
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The number of a message of this type, and what follows it.
fn read(wanted: u8, mut message: &[u8]) -> Result<(u64, &[u8]), Problem> {
    let whole = message.len();
    let (kind, _flags, length) = (message.try_get_u8()?, message.try_get_u8()?, message.try_get_u16()?);
    if kind != wanted || usize::from(length) != whole {
        return Err(format!("a message of type {kind} and length {length}, of {whole} bytes").into());
    }
    Ok((message.try_get_u64()?, message))
}

fn write(kind: u8, numbers: &[u64], data: &[u8]) -> Result<Vec<u8>, Problem> {
    let length = 4 + 8 * numbers.len() + data.len();
    let mut message = Vec::with_capacity(length);
    message.put_u8(kind);
    message.put_u8(0);
    message.put_u16(u16::try_from(length)?);
    numbers.iter().for_each(|number| message.put_u64(*number));
    message.put_slice(data);
    Ok(message)
}
