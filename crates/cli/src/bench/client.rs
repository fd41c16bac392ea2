//! The clients of a measurement: each keeps its requests outstanding until time is up.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rserpool::transport::{self, Link};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::load::Script;
use super::{Measurement, Outcome};
use crate::failure::Failure;

/// ASAP_ENDPOINT_KEEP_ALIVE (RFC 5352 §2.2).
const ENDPOINT_KEEP_ALIVE: u8 = 0x07;
/// The R bit of a registration response; resolution responses have the A bit there, which is never set without a
/// subscription.
const REJECTED: u8 = 0x01;
/// How long responses may take after time is up.
const GRACE: Duration = Duration::from_secs(10);
/// A latency is kept to three digits, up to a minute.
const LONGEST_NANOSECONDS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// Runs all clients, client `n` with `script(n)`.
pub(super) async fn measure(
    measurement: &Measurement,
    script: impl Fn(u32) -> Result<Script, Failure>,
) -> Result<Outcome, Failure> {
    let (mut clients, links) = (Vec::new(), measurement.links()?);
    for client in 0..measurement.connections {
        let link = transport::connect(&measurement.registrar, &links).await?;
        clients.push((link, script(client)?));
    }
    let (started, pipeline) = (Instant::now(), measurement.pipeline as usize);
    let mut running = JoinSet::new();
    for (link, script) in clients {
        running.spawn(run(link, script, pipeline, started + measurement.seconds));
    }
    let mut total = Outcome { responses: 0, rejected: 0, elapsed: Duration::ZERO, latency: histogram()? };
    let everybody = async {
        while let Some(ended) = running.join_next().await {
            let one = ended??;
            total.responses += one.responses;
            total.rejected += one.rejected;
            total.latency.add(&one.latency)?;
        }
        Ok::<_, Failure>(())
    };
    match timeout(measurement.seconds + GRACE, everybody).await {
        Ok(ended) => ended?,
        Err(_) => {
            return Err(Failure::new(format!("{}: the registrar stopped answering", measurement.registrar)));
        }
    }
    total.elapsed = started.elapsed();
    Ok(total)
}

/// One client. Responses come in the order of the requests, so the oldest request is the one that is answered.
async fn run(link: Link, script: Script, pipeline: usize, deadline: Instant) -> Result<Outcome, Failure> {
    let (mut reader, writer) = link.split();
    let queue = writer.queue();
    let writing = tokio::spawn(writer.run());
    let mut outcome = Outcome { responses: 0, rejected: 0, elapsed: Duration::ZERO, latency: histogram()? };
    // When requests went out, and how many at once.
    let mut sent: VecDeque<(Instant, usize)> = VecDeque::new();
    let (mut outstanding, mut next) = (0, 0);
    let mut now = Instant::now();
    loop {
        if now < deadline {
            let room = pipeline - outstanding;
            let run = next * script.request_length..(next + room) * script.request_length;
            queue.push(script.requests.slice(run))?;
            queue.try_flush();
            sent.push_back((now, room));
            next = (next + room) % pipeline;
            outstanding = pipeline;
        } else if outstanding == 0 {
            break;
        }
        // A read may bring nothing but keep-alives, or part of a response.
        let before = outstanding;
        while outstanding == before {
            if !reader.fill().await? {
                return Err(Failure::new("the registrar closed a connection"));
            }
            now = Instant::now();
            while let Some(message) = reader.next_message()? {
                let (message_type, flags) = (message.first().copied(), message.get(1).copied().unwrap_or(0));
                if message_type == Some(script.response) && outstanding > 0 {
                    outstanding -= 1;
                    outcome.responses += 1;
                    outcome.rejected += u64::from(flags & REJECTED);
                } else if message_type == Some(ENDPOINT_KEEP_ALIVE) {
                    queue.push(script.keep_alive_acks.clone())?;
                    queue.try_flush();
                }
            }
        }
        outcome.answered(&mut sent, now, before - outstanding);
    }
    queue.push(script.farewell)?;
    queue.close();
    writing.await??;
    // What the farewell is answered with may be left unread, the connection itself not.
    reader.drain().await;
    Ok(outcome)
}

impl Outcome {
    /// Notes the latency of the `count` oldest requests.
    fn answered(&mut self, sent: &mut VecDeque<(Instant, usize)>, now: Instant, mut count: usize) {
        while let Some((at, left)) = sent.front_mut().filter(|_| count > 0) {
            let these = count.min(*left);
            let nanoseconds =
                u64::try_from(now.duration_since(*at).as_nanos()).unwrap_or(LONGEST_NANOSECONDS);
            self.latency.saturating_record_n(nanoseconds.max(1), these as u64);
            count -= these;
            *left -= these;
            if *left == 0 {
                sent.pop_front();
            }
        }
    }
}

fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, DIGITS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_from_the_oldest_request_on() {
        let latency = histogram().expect("valid bounds");
        let mut outcome = Outcome { responses: 0, rejected: 0, elapsed: Duration::ZERO, latency };
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut sent = VecDeque::from([(start, 2), (after(10), 2)]);
        outcome.answered(&mut sent, after(20), 3);
        assert_eq!(sent, [(after(10), 1)]);
        assert_eq!(outcome.latency.len(), 3);
        assert_eq!(outcome.latency.max() / 10_000_000, 2, "the oldest took 20 ms");
        assert_eq!(outcome.latency.min() / 9_990_000, 1, "the third one 10 ms");
    }
}
