//! Registration life (RFC 5352 §2.2.4, §3.1): who does not register again in time is no member any more.
use std::time::Duration;

use rserpool_wire::{PoolElement, RegistrationLife};
use tokio::time::{Instant, sleep};

use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::tester::Tester;

group! { "life":
    "element-is-removed-at-the-end-of-its-life" ["5352-3.1-08", "5352-3.1-15"] ends;
    "element-is-told-of-the-end-of-its-life" ["5352-3.2-11"] is_told;
    "element-is-a-member-until-the-end-of-its-life" ["5352-3.1-08"] not_before;
    "registering-again-begins-a-new-life" ["5352-3.1-13", "5352-3.1-23"] renewed;
    "registering-again-may-shorten-the-life" ["5352-3.1-13", "5352-3.1-25"] shortened;
    "end-of-a-life-leaves-other-elements" ["5352-3.1-08"] others_stay;
}

const SHORT: Duration = Duration::from_secs(1);

fn mortal(tester: &Tester, life: Duration) -> PoolElement {
    PoolElement { life: RegistrationLife::Finite(life), ..tester.element() }
}

async fn ends(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, mortal(&tester, SHORT));
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    tester.probe().await?.until_gone(&pool, element.identifier, SHORT + tester.patience().answer).await
}

async fn is_told(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, mortal(&tester, SHORT));
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let news = probe.deregistration_response().await?;
    same("pool", &pool, &news.pool_handle)?;
    same("element", &element.identifier, &news.identifier)
}

async fn not_before(tester: Tester) -> Verdict {
    let life = Duration::from_secs(2);
    let (mut probe, element) = (tester.probe().await?, mortal(&tester, life));
    let pool = tester.pool();
    let before = Instant::now();
    probe.join(&pool, &element).await?;
    let mut user = tester.probe().await?;
    user.until_gone(&pool, element.identifier, life + tester.patience().answer).await?;
    let lived = before.elapsed();
    check(lived >= life, format!("a life of {life:?}"), lived)
}

async fn renewed(tester: Tester) -> Verdict {
    let life = Duration::from_secs(2);
    let (mut probe, element) = (tester.probe().await?, mortal(&tester, life));
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    sleep(life / 2).await;
    let before = Instant::now();
    probe.join(&pool, &element).await?;
    let mut user = tester.probe().await?;
    user.until_gone(&pool, element.identifier, life + tester.patience().answer).await?;
    let lived = before.elapsed();
    check(lived >= life, format!("a life of {life:?} since the last registration"), lived)
}

async fn shortened(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.join(&pool, &PoolElement { life: RegistrationLife::Finite(SHORT), ..element.clone() }).await?;
    tester.probe().await?.until_gone(&pool, element.identifier, SHORT + tester.patience().answer).await
}

async fn others_stay(tester: Tester) -> Verdict {
    let (mut probe, goes, stays) = (tester.probe().await?, mortal(&tester, SHORT), tester.element());
    let pool = probe.found(&[goes.clone(), stays.clone()]).await?;
    let mut user = tester.probe().await?;
    user.until_gone(&pool, goes.identifier, SHORT + tester.patience().answer).await?;
    same("the other element", &vec![stays.identifier], &user.members(&pool).await?)
}
