//! The calculation service: a user asks for a job of some calculations, the element accepts it, does it at its speed, and tells
//! when it is complete. Meanwhile each end may ask whether the other one is alive. How far the job is goes to the next element
//! in the cookie.
use std::time::Duration;

use bytes::{Buf, BufMut};
use rserpool::{PayloadProtocol, ServiceEvent, ServiceSession, SessionEvent};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::place::{Place, Problem};

const POOL: &str = "CalcAppPool";
const PROTOCOL: PayloadProtocol = PayloadProtocol(34);
/// How often an element hands out a cookie, and a user asks whether it is alive.
const PERIOD: Duration = Duration::from_millis(500);
const LENGTH: u16 = 24;

const REQUEST: u8 = 1;
const ACCEPT: u8 = 2;
const COMPLETE: u8 = 5;
const KEEP_ALIVE: u8 = 6;
const KEEP_ALIVE_ACK: u8 = 7;

/// A job, and how much of it is done: what all messages and the cookie tell.
#[derive(Clone, Copy, Default, Debug)]
struct Job {
    number: u32,
    size: u64,
    completed: u64,
}

pub(crate) async fn element(place: &Place) -> Result<(), Problem> {
    let speed = place.amount;
    place.serve(POOL, PROTOCOL, |session| calculate(session, speed)).await
}

/// Calculates by letting time pass.
async fn calculate(mut session: ServiceSession, speed: u64) -> Result<(), Problem> {
    let mut job: Option<Job> = None;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut calculated_at = Instant::now();
    loop {
        tokio::select! {
            event = session.recv() => match event? {
                None => return Ok(()),
                Some(ServiceEvent::Restored(cookie)) => {
                    let restored = Job::read(&mut &cookie[..])?;
                    println!("restored job={} size={} completed={}", restored.number, restored.size, restored.completed);
                    (job, calculated_at) = (Some(restored), Instant::now());
                    session.send(&restored.message(ACCEPT)).await?;
                }
                Some(ServiceEvent::Message(message)) => match read(&message)? {
                    (REQUEST, requested) => {
                        println!("accepted job={} size={}", requested.number, requested.size);
                        (job, calculated_at) = (Some(requested), Instant::now());
                        session.send(&requested.message(ACCEPT)).await?;
                    }
                    (KEEP_ALIVE, asked) => session.send(&asked.message(KEEP_ALIVE_ACK)).await?,
                    _ => {}
                },
                Some(_) => {}
            },
            now = ticks.tick() => {
                let Some(current) = &mut job else { continue };
                let elapsed = u64::try_from((now - calculated_at).as_millis())?;
                calculated_at = now;
                current.completed = current.size.min(current.completed + speed * elapsed / 1000);
                let done = *current;
                session.set_cookie(&done.cookie()).await?;
                if done.completed == done.size {
                    session.send(&done.message(COMPLETE)).await?;
                    job = None;
                }
            }
        }
    }
}

/// Asks for one job, and ends when it is complete.
pub(crate) async fn user(place: &Place) -> Result<(), Problem> {
    let mut session = place.session(POOL, PROTOCOL).await?;
    let job = Job { number: 1, size: place.amount, completed: 0 };
    session.send(&job.message(REQUEST)).await?;
    let mut ticks = interval(PERIOD);
    let mut has_cookie = false;
    loop {
        if !has_cookie && session.cookie().is_some() {
            has_cookie = true;
            println!("has a cookie");
        }
        tokio::select! {
            event = session.recv() => match event? {
                SessionEvent::FailedOver { from, to, cookie_echoed, .. } => {
                    println!("failed over from={from} to={to} cookie={cookie_echoed}");
                    let next = if cookie_echoed { KEEP_ALIVE } else { REQUEST };
                    session.send(&job.message(next)).await?;
                }
                SessionEvent::Message(message) => match read(&message)? {
                    (ACCEPT, accepted) => println!("accepted job={} by {}", accepted.number, session.target().identifier()),
                    (COMPLETE, complete) => {
                        println!("complete size={} by {}", complete.size, session.target().identifier());
                        return Ok(());
                    }
                    (KEEP_ALIVE, asked) => session.send(&asked.message(KEEP_ALIVE_ACK)).await?,
                    _ => {}
                },
                _ => {}
            },
            _ = ticks.tick() => session.send(&Job { size: 0, ..job }.message(KEEP_ALIVE)).await?,
        }
    }
}

impl Job {
    fn read(bytes: &mut &[u8]) -> Result<Self, Problem> {
        let number = bytes.try_get_u32()?;
        Ok(Self { number, size: bytes.try_get_u64()?, completed: bytes.try_get_u64()? })
    }

    fn cookie(self) -> Vec<u8> {
        let mut cookie = Vec::new();
        cookie.put_u32(self.number);
        cookie.put_u64(self.size);
        cookie.put_u64(self.completed);
        cookie
    }

    fn message(self, kind: u8) -> Vec<u8> {
        let mut message = vec![kind, 0];
        message.put_u16(LENGTH);
        message.extend(self.cookie());
        message
    }
}

/// The type of a message, and the job that it is about.
fn read(mut message: &[u8]) -> Result<(u8, Job), Problem> {
    let (kind, _flags, length) = (message.try_get_u8()?, message.try_get_u8()?, message.try_get_u16()?);
    let job = Job::read(&mut message)?;
    if length != LENGTH || !message.is_empty() {
        return Err(format!("a message of type {kind} has the length {length}").into());
    }
    Ok((kind, job))
}
