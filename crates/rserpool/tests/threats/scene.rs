//! The scope that is attacked: a registrar, an element that is entitled to be in its pool, and users.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rserpool::enrp::{AccessPolicy, Grant, Refusal, RegistrarLimits};
use rserpool::transport::Security;
use rserpool::{
    Endpoint, PeIdentifier, PoolElement, PoolUser, Registrar, RegistrarBuilder, ServerId, TimerProfile,
};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::keys::{Authority, by_key};
use crate::raw::Raw;
use crate::support::{PATIENCE, asap as all_asap};

/// Identities with a pre-shared key at the registrar.
pub(crate) const KEYS: [&str; 3] = ["pe-a", "pe-b", "pe-c"];

/// The element of `pe-a` is in `echo`, `pe-b` may be there too, `pe-c` may not.
pub(crate) fn policy() -> AccessPolicy {
    AccessPolicy::default()
        .identity("pe-a", Grant::pools(["echo"]))
        .identity("pe-b", Grant::pools(["echo", "chat"]))
        .identity("pe-c", Grant::pools(["chat"]))
        .peer("registrar-a")
        .peer("registrar-b")
        .peer("registrar-c")
}

pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) registrar: Registrar,
    pub(crate) element: PoolElement,
    _listener: TcpListener,
    before: View,
}

/// Every element with all that is known of it, and the checksum of every owner.
#[derive(PartialEq, Debug)]
pub(crate) struct View {
    elements: Vec<String>,
    checksums: BTreeMap<ServerId, u16>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::changed(|builder| builder).await
    }

    pub(crate) async fn limited(limits: RegistrarLimits) -> Self {
        Self::changed(|builder| builder.limits(limits)).await
    }

    /// With the RFCs' timers, so that nothing but the attack happens; `change` may have others.
    pub(crate) async fn changed(change: impl FnOnce(RegistrarBuilder) -> RegistrarBuilder) -> Self {
        let authority = Authority::new();
        let registrar = change(builder(1, authority.registrar("registrar-a", &KEYS)))
            .start()
            .await
            .expect("the registrar starts");
        registrar.ready().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let element =
            join(&[&registrar], by_key("pe-a"), listener.local_addr().expect("bound"), TimerProfile::Rfc)
                .await;
        let before = view(&registrar);
        Self { authority, registrar, element, _listener: listener, before }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(&self.registrar)
    }

    /// A link of somebody with this pre-shared key.
    pub(crate) async fn link_of(&self, identity: &str) -> Raw {
        Raw::connect(&self.endpoint(), Some(by_key(identity))).await.expect("let in")
    }

    /// A link of somebody who verifies the registrar and proves nothing.
    pub(crate) async fn link_of_nobody(&self) -> Raw {
        Raw::connect(&self.endpoint(), Some(self.authority.user())).await.expect("let in")
    }

    pub(crate) fn refused(&self, reason: Refusal) -> u64 {
        self.registrar.statistics().refusals.of(reason)
    }

    /// The handlespace is as it was before the attack.
    pub(crate) fn assert_unchanged(&self) {
        assert_eq!(view(&self.registrar), self.before);
    }

    /// A user gets the element, in time.
    pub(crate) async fn assert_served(&self) {
        assert_eq!(pick(&self.registrar, self.authority.user()).await, self.element.identifier());
    }

    /// The attack has failed: nothing has changed, and users are served.
    pub(crate) async fn assert_unharmed(&self) {
        self.assert_unchanged();
        self.assert_served().await;
    }
}

pub(crate) fn builder(id: u32, security: Security) -> RegistrarBuilder {
    Registrar::builder()
        .server_id(ServerId(id))
        .asap("tls://127.0.0.1:0")
        .enrp("tls://127.0.0.1:0")
        .security(security)
        .authorization(Arc::new(policy()))
}

/// An element in `echo`.
pub(crate) async fn join(
    registrars: &[&Registrar],
    security: Security,
    address: SocketAddr,
    timers: TimerProfile,
) -> PoolElement {
    let joining = PoolElement::builder("echo")
        .registrars(asap(registrars))
        .security(security)
        .timers(timers)
        .transport(address)
        .register();
    timeout(PATIENCE, joining).await.expect("in time").expect("registered")
}

/// The element that a user gets of `echo`.
pub(crate) async fn pick(registrar: &Registrar, security: Security) -> PeIdentifier {
    let picking = async {
        let builder = PoolUser::builder().registrars(asap(&[registrar])).security(security);
        let user = builder.build().await.expect("the pool user starts");
        user.pool("echo").pick().await.expect("an element").identifier()
    };
    timeout(PATIENCE, picking).await.expect("in time")
}

/// Where elements and users find these registrars over TLS.
fn asap(registrars: &[&Registrar]) -> Vec<Endpoint> {
    all_asap(registrars).into_iter().filter(|endpoint| endpoint.scheme().is_secured()).collect()
}

pub(crate) fn endpoint(registrar: &Registrar) -> Endpoint {
    registrar.asap_endpoints()[0].clone()
}

pub(crate) fn view(registrar: &Registrar) -> View {
    registrar.handlespace(|handlespace| View {
        elements: handlespace
            .pools()
            .flat_map(|pool| pool.elements())
            .map(|element| format!("{}: {:?}", element.pool_handle(), element.decode()))
            .collect(),
        checksums: handlespace.owners().map(|owner| (owner, handlespace.checksum(owner))).collect(),
    })
}
