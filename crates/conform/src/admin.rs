//! The administrative service: one GET request at a time over HTTP/1.0, which needs no library.
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::outcome::{Problem, Verdict};
use crate::tester::Tester;

/// What `path` answers, as status and text.
pub(crate) async fn text(tester: &Tester, path: &str) -> Verdict<(u16, String)> {
    let Some(address) = &tester.session.target.admin else {
        return Err(Problem::skipped("needs --admin URL: it looks there"));
    };
    let expected = format!("an answer of http://{address}{path}");
    let fail = |why: String| Problem::failed(expected.as_str(), why);
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    let answer = match timeout(tester.patience().answer, exchange).await {
        Ok(answer) => answer.map_err(|error| fail(error.to_string()))?,
        Err(_) => return Err(fail("none in time".into())),
    };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| fail(answer.clone()))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| fail(head.to_owned()))?, body.to_owned()))
}

/// What `path` answers, as JSON.
pub(crate) async fn json(tester: &Tester, path: &str) -> Verdict<Value> {
    let (status, body) = text(tester, path).await?;
    let value = serde_json::from_str(&body).ok().filter(|_| status == 200);
    value.ok_or_else(|| Problem::failed(format!("JSON at {path}"), format!("status {status}: {body}")))
}
