//! A session that survives the death of its server: `cargo run -p rserpool-examples --example client REGISTRAR…`.
//! Sends each line of its input and prints the answer. Kill the server that it talks to, and type on.
use std::error::Error;
use std::time::Duration;

use rserpool::{PoolUser, TimerProfile};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let user =
        PoolUser::builder().registrars(std::env::args().skip(1)).timers(TimerProfile::Fast).build().await?;
    let mut session = user.pool("counter").session().await?;
    println!("talking to {}", session.target().identifier());

    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        // Sent again to the next server when this one fails before it has answered.
        let answer = session.request(line.as_bytes(), Duration::from_secs(1)).await?;
        println!("{} says {}", session.target().identifier(), String::from_utf8_lossy(&answer));
    }
    Ok(())
}
