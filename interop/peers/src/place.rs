//! Where a peer is, and what both services need of it: a listening socket, a registration, a session.
use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use rserpool::sctp::{SctpListener, SctpStream};
use rserpool::wire::TransportUse;
use rserpool::{
    Dialect, PayloadProtocol, PeIdentifier, PoolElement, PoolUser, ServiceSession, Session, TimerProfile,
    Transport,
};

pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What the command line says.
pub(crate) struct Place {
    registrar: String,
    listen: IpAddr,
    id: PeIdentifier,
    pub(crate) amount: u64,
}

impl Place {
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let mut place = Self {
            registrar: String::new(),
            listen: [0, 0, 0, 0].into(),
            id: PeIdentifier(1),
            amount: 1_000_000,
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--registrar", url)) => url.clone_into(&mut place.registrar),
                Some(("--listen", address)) => place.listen = address.parse()?,
                Some(("--id", id)) => {
                    place.id = PeIdentifier(u32::from_str_radix(id.trim_start_matches("0x"), 16)?);
                }
                Some(("--amount", amount)) => place.amount = amount.parse()?,
                _ => return Err(format!("`{argument}` is not understood").into()),
            }
        }
        Ok(place)
    }

    /// Registers an element of this pool, and serves each session in a task of its own.
    pub(crate) async fn serve<F>(
        &self,
        pool: &'static str,
        protocol: PayloadProtocol,
        serve: impl Fn(ServiceSession) -> F,
    ) -> Result<(), Problem>
    where
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let listen = SocketAddr::new(self.listen, 0);
        let listener = SctpListener::bind(&[listen], &TimerProfile::Rfc.sctp_socket())?;
        let port = listener.local_addrs()?.first().map_or(0, SocketAddr::port);
        let addresses = vec![self.listen];
        let element = PoolElement::builder(pool)
            .registrars([self.registrar.as_str()])
            .dialect(Dialect::Rsplib)
            .identifier(self.id)
            .transport(Transport::Sctp { port, transport_use: TransportUse::DataAndControl, addresses })
            .register()
            .await?;
        println!("ready pe={} service={}", element.identifier(), element.transport());
        loop {
            let (stream, from) = listener.accept().await?;
            let session = begin(stream, &element, protocol).await?;
            let served = serve(session);
            tokio::spawn(async move {
                match served.await {
                    Ok(()) => println!("session with {from} ended"),
                    Err(problem) => println!("session with {from} broke: {problem}"),
                }
            });
        }
    }

    /// A session with an element of this pool.
    pub(crate) async fn session(
        &self,
        pool: &'static str,
        protocol: PayloadProtocol,
    ) -> Result<Session, Problem> {
        let user = PoolUser::builder()
            .registrars([self.registrar.as_str()])
            .dialect(Dialect::Rsplib)
            .build()
            .await?;
        let mut session = user.pool(pool).session().await?;
        session.set_payload_protocol(protocol);
        Ok(session)
    }
}

async fn begin(
    stream: SctpStream,
    element: &PoolElement,
    protocol: PayloadProtocol,
) -> Result<ServiceSession, Problem> {
    let mut session = ServiceSession::accept(stream, element).await?;
    session.set_payload_protocol(protocol);
    Ok(session)
}
