//! Messages of the reference implementation, captured on the wire, and what Wireshark's dissectors read in them: a second
//! opinion that owes nothing to this crate. `golden/messages.tsv` has one message a line; ENRP_TAKEOVER_SERVER is what that
//! implementation tried to send and could not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step of the scaffolding fails the test"
)]
mod support;

use std::fmt::Write;

use rserpool_wire::asap::Message as Asap;
use rserpool_wire::enrp::{Body as Enrp, UpdateAction};
use rserpool_wire::{
    Dialect, OperationError, Policy, PolicyType, PoolElement, PoolHandle, ServerInformation, Transport, asap,
    enrp,
};
use support::{Hex, encoded, hex};

struct Golden {
    name: &'static str,
    bytes: Vec<u8>,
    dissected: &'static str,
}

fn golden() -> impl Iterator<Item = Golden> {
    include_str!("golden/messages.tsv").lines().filter(|line| !line.starts_with('#')).map(|line| {
        let [name, _, bytes, dissected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not four columns: {line}");
        };
        Golden { name, bytes: hex(bytes), dissected }
    })
}

#[test]
fn captured_messages_decode_to_what_wireshark_reads_in_them() {
    for Golden { name, bytes, dissected } in golden() {
        let rendered = if name.starts_with("asap") {
            render_asap(&asap::decode(&bytes, Dialect::Rsplib).expect(name).message)
        } else {
            render_enrp(&enrp::decode(&bytes, Dialect::Rsplib).expect(name).message)
        };
        assert_eq!(rendered, dissected, "{name}");
    }
}

#[test]
fn captured_messages_encode_to_the_same_bytes_in_the_same_dialect() {
    for Golden { name, bytes, .. } in golden() {
        let again = if name.starts_with("asap") {
            encoded(&asap::decode(&bytes, Dialect::Rsplib).expect(name).message, Dialect::Rsplib)
        } else {
            encoded(&enrp::decode(&bytes, Dialect::Rsplib).expect(name).message, Dialect::Rsplib)
        };
        assert_eq!(Hex(&again), Hex(&bytes), "{name}");
    }
}

/// Every message but ASAP_BUSINESS_CARD, which the reference implementation does not send.
#[test]
fn the_captures_cover_the_protocols() {
    let mut types: Vec<_> = golden().map(|golden| (&golden.name[..4], golden.bytes[0])).collect();
    types.sort_unstable();
    types.dedup();
    let asap = (1..=14).filter(|message_type| *message_type != 13).map(|message_type| ("asap", message_type));
    assert!(asap.chain((1..=10).map(|message_type| ("enrp", message_type))).eq(types));
}

fn render_asap(message: &Asap<'_>) -> String {
    let mut out = String::new();
    let flag = match message {
        Asap::RegistrationResponse(m) => m.rejected,
        Asap::HandleResolution(m) => m.subscribe,
        Asap::HandleResolutionResponse(m) => m.accept_updates,
        Asap::EndpointKeepAlive(m) => m.home,
        _ => false,
    };
    write!(out, "{} 0x{:02x}", message.name(), u8::from(flag)).expect("a string");
    match message {
        Asap::Registration(m) => out += &(handle(&m.pool_handle) + &element(&m.element)),
        Asap::Deregistration(m) => out += &(handle(&m.pool_handle) + &identifier(m.identifier)),
        Asap::RegistrationResponse(m) => {
            out += &(handle(&m.pool_handle) + &identifier(m.identifier) + &error(m.error.as_ref()));
        }
        Asap::DeregistrationResponse(m) => {
            out += &(handle(&m.pool_handle) + &identifier(m.identifier) + &error(m.error.as_ref()));
        }
        Asap::HandleResolution(m) => {
            out += &handle(&m.pool_handle);
            out += &m.items.map(|items| format!(" items({items})")).unwrap_or_default();
        }
        Asap::HandleResolutionResponse(m) => {
            out += &handle(&m.pool_handle);
            out += &m.policy.as_ref().map(policy).unwrap_or_default();
            out.extend(m.elements.iter().map(element));
            out += &error(m.error.as_ref());
        }
        Asap::EndpointKeepAlive(m) => {
            out += &format!(" server({})", m.server);
            out += &(handle(&m.pool_handle) + &m.identifier.map(identifier).unwrap_or_default());
        }
        Asap::EndpointKeepAliveAck(m) => out += &(handle(&m.pool_handle) + &identifier(m.identifier)),
        Asap::EndpointUnreachable(m) => out += &(handle(&m.pool_handle) + &identifier(m.identifier)),
        Asap::ServerAnnounce(m) => {
            out += &format!(" server({})", m.server);
            out.extend(m.transports.iter().map(transport));
        }
        Asap::Cookie(m) => out += &format!(" cookie({})", digits(m.cookie)),
        Asap::CookieEcho(m) => out += &format!(" cookie({})", digits(m.cookie)),
        Asap::Error(m) => out += &error(Some(&m.error)),
        other => panic!("not captured: {other:?}"),
    }
    out
}

fn render_enrp(message: &enrp::Message<'_>) -> String {
    let flags = match &message.body {
        Enrp::Presence(m) => u8::from(m.reply_required),
        Enrp::HandleTableRequest(m) => u8::from(m.own_children_only),
        Enrp::HandleTableResponse(m) => u8::from(m.rejected) | u8::from(m.more) << 1,
        Enrp::HandleUpdate(m) => u8::from(m.takeover_suggested),
        Enrp::ListResponse(m) => u8::from(m.rejected),
        _ => 0,
    };
    let (name, sender, receiver) = (message.body.name(), message.sender, message.receiver);
    let mut out = format!("{name} 0x{flags:02x} sender({sender}) receiver({receiver})");
    match &message.body {
        Enrp::Presence(m) => {
            out += &m.checksum.map(|checksum| format!(" checksum(0x{checksum:04x})")).unwrap_or_default();
            out.extend(m.information.iter().map(server));
        }
        Enrp::HandleTableRequest(_) | Enrp::ListRequest => {}
        Enrp::HandleTableResponse(m) => {
            for entry in &m.entries {
                out += &handle(&entry.pool_handle);
                out.extend(entry.elements.iter().map(|listed| element(&listed.element)));
            }
        }
        Enrp::HandleUpdate(m) => {
            let action = match m.action {
                UpdateAction::Add => 0,
                UpdateAction::Delete => 1,
            };
            out += &format!(" action({action}){}{}", handle(&m.pool_handle), element(&m.element));
        }
        Enrp::ListResponse(m) => out.extend(m.servers.iter().map(server)),
        Enrp::InitTakeover(enrp::InitTakeover { target })
        | Enrp::InitTakeoverAck(enrp::InitTakeoverAck { target })
        | Enrp::TakeoverServer(enrp::TakeoverServer { target }) => out += &format!(" target({target})"),
        Enrp::Error(m) => out += &error(Some(&m.error)),
        other => panic!("not captured: {other:?}"),
    }
    out
}

fn handle(handle: &PoolHandle<'_>) -> String {
    format!(" handle({})", digits(handle.as_bytes()))
}

fn identifier(identifier: rserpool_wire::PeIdentifier) -> String {
    format!(" identifier({identifier})")
}

fn element(element: &PoolElement) -> String {
    let life = element.life.duration().expect("none is infinite").as_millis();
    let head = format!(" element({} home={} life={life}ms", element.identifier, element.home);
    let asap_transport = element.asap_transport.as_ref().map(transport).unwrap_or_default();
    format!("{head}{}{}{asap_transport})", transport(&element.user_transport), policy(&element.policy))
}

fn server(server: &ServerInformation) -> String {
    format!(" server({}{})", server.identifier, transport(&server.transport))
}

fn transport(transport: &Transport) -> String {
    let Transport::Sctp { port, transport_use, addresses } = transport else {
        panic!("not captured: {transport:?}");
    };
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!(" sctp({port} use={} {})", *transport_use as u16, addresses.join(" "))
}

fn policy(policy: &Policy) -> String {
    let PolicyType(code) = policy.policy_type();
    let percent = |load: &rserpool_wire::Load| format!("{:.2}%", load.fraction() * 100.0);
    let values = match policy {
        Policy::RoundRobin | Policy::Random => String::new(),
        Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
            format!(" weight={weight}")
        }
        Policy::Priority { priority } => format!(" priority={priority}"),
        Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => {
            format!(" load={}", percent(load))
        }
        Policy::LeastUsedDegradation { load, degradation }
        | Policy::PriorityLeastUsed { load, degradation } => {
            format!(" load={} degradation={}", percent(load), percent(degradation))
        }
        Policy::Other { data, .. } => format!(" data={}", digits(data)),
        other => panic!("not captured: {other:?}"),
    };
    format!(" policy(0x{code:08x}{values})")
}

fn error(error: Option<&OperationError<'_>>) -> String {
    let causes = error.map_or(&[][..], |error| &error.causes);
    causes.iter().map(|cause| format!(" cause(0x{:04x} {})", cause.code.0, cause.information.len())).collect()
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
