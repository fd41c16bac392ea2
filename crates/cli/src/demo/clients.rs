//! Clients that ask all the time, each in a conversation of its own, and what became of their requests.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rserpool::wire::PeIdentifier;
use rserpool::{PoolUser, TimerProfile};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cluster::{Cluster, POOL};
use crate::conversation::Conversation;
use crate::failure::Failure;

/// How many clients: as many as elements, so that the policy gives each element one.
const CLIENTS: usize = 4;
/// Between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(4);
/// How long an element may be silent.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// How long a request may take in all before it is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients at work.
pub(super) struct Clients {
    records: Arc<Mutex<Vec<Record>>>,
    working: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

/// What one client has seen.
#[derive(Clone, Default)]
struct Record {
    /// When the request was sent that was answered last.
    asked: Option<Instant>,
    /// Who answered it.
    partner: Option<PeIdentifier>,
    outcome: Outcome,
}

/// What became of requests.
#[derive(Clone, Default)]
pub(super) struct Outcome {
    /// Answered rightly.
    pub(super) answered: u64,
    /// Never answered, or wrongly.
    pub(super) lost: u64,
    /// How often a request had to be put again, to another element.
    pub(super) repeated: u64,
    /// The longest time from a request to its answer.
    pub(super) longest: Duration,
}

impl Clients {
    /// Starts them, all with one pool user.
    pub(super) async fn start(cluster: &Cluster) -> Result<Self, Failure> {
        let user = PoolUser::builder()
            .registrars(cluster.asap_endpoints())
            .timers(TimerProfile::Fast)
            .patience(PATIENCE)
            .build()
            .await?;
        let records = Arc::new(Mutex::new(vec![Record::default(); CLIENTS]));
        let stop = Arc::new(AtomicBool::new(false));
        let mut working = JoinSet::new();
        for client in 0..CLIENTS {
            let mut conversation = Conversation::new(user.pool(POOL), PATIENCE, ANSWER_WITHIN);
            // One after the other, so that each gets an element of its own.
            conversation.open().await?;
            working.spawn(work(client, conversation, Arc::clone(&records), Arc::clone(&stop)));
        }
        Ok(Self { records, working, stop })
    }

    /// How many requests were answered so far.
    pub(super) fn answered(&self) -> u64 {
        lock(&self.records).iter().map(|record| record.outcome.answered).sum()
    }

    /// Whether every client was answered a request that it sent after `moment`.
    pub(super) fn served_since(&self, moment: Instant) -> bool {
        lock(&self.records).iter().all(|record| record.asked.is_some_and(|asked| asked > moment))
    }

    /// The elements that answer at the moment.
    pub(super) fn partners(&self) -> Vec<PeIdentifier> {
        lock(&self.records).iter().filter_map(|record| record.partner).collect()
    }

    /// Lets every client finish its request, and adds up.
    pub(super) async fn finish(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        while self.working.join_next().await.is_some() {}
        let mut total = Outcome::default();
        for Record { outcome, .. } in &*lock(&self.records) {
            total.answered += outcome.answered;
            total.lost += outcome.lost;
            total.repeated += outcome.repeated;
            total.longest = total.longest.max(outcome.longest);
        }
        total
    }
}

/// One client: asks, waits for the answer, asks again.
async fn work(
    client: usize,
    mut conversation: Conversation,
    records: Arc<Mutex<Vec<Record>>>,
    stop: Arc<AtomicBool>,
) {
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let question = format!("client {client} asks for the {number}th time\n");
        let asked = Instant::now();
        let answer = conversation.ask(question.as_bytes()).await;
        if let Some(record) = lock(&records).get_mut(client) {
            match answer {
                Ok(answer) if answer.line == question.as_bytes() => {
                    record.outcome.answered += 1;
                    record.outcome.repeated += u64::from(answer.repeats);
                    record.outcome.longest = record.outcome.longest.max(asked.elapsed());
                    record.asked = Some(asked);
                    record.partner = Some(answer.element);
                }
                Ok(_) | Err(_) => record.outcome.lost += 1,
            }
        }
        sleep(PAUSE).await;
    }
}

fn lock(records: &Mutex<Vec<Record>>) -> MutexGuard<'_, Vec<Record>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}
