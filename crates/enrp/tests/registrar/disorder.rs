//! Crashes, cuts, silences, lost updates and elements that wander, in any order: once that is over, all copies of the
//! handlespace agree again, on what really is there.
use proptest::prelude::*;
use rserpool_enrp::PeerState;
use rserpool_machine::Protocol;
use rserpool_wire::ServerId;

use crate::support::{ClientId, Net, Node, config, element, millis, secs};

const REGISTRARS: [u32; 4] = [1, 2, 3, 4];
const CLIENTS: u32 = 8;

#[derive(Clone, Debug)]
enum Disorder {
    /// An element registers at a registrar over a new link, and keeps the old one or not.
    Register {
        client: u32,
        registrar: u32,
        hang_up: bool,
    },
    HangUp(u32),
    Kill(u32),
    Cut(u32, u32),
    CutClient(u32, u32),
    Heal,
    Silence(u32),
    Crash(u32),
    Start(u32),
    /// ENRP messages of a type are lost.
    Lose(Option<u8>),
    /// A registrar leaves in good order.
    Leave(u32),
    Wait(u64),
}

fn disorder() -> impl Strategy<Value = Disorder> {
    let (registrar, client) = (|| 1..=4_u32, || 1..=CLIENTS);
    prop_oneof![
        8 => (client(), registrar(), any::<bool>())
            .prop_map(|(client, registrar, hang_up)| Disorder::Register { client, registrar, hang_up }),
        1 => client().prop_map(Disorder::HangUp),
        1 => client().prop_map(Disorder::Kill),
        2 => (registrar(), registrar()).prop_map(|(a, b)| Disorder::Cut(a, b)),
        1 => (registrar(), client()).prop_map(|(r, c)| Disorder::CutClient(r, c)),
        2 => Just(Disorder::Heal),
        1 => registrar().prop_map(Disorder::Silence),
        1 => registrar().prop_map(Disorder::Crash),
        2 => registrar().prop_map(Disorder::Start),
        2 => prop::option::of(1..10_u8).prop_map(Disorder::Lose),
        1 => registrar().prop_map(Disorder::Leave),
        6 => (1..1_500_u64).prop_map(Disorder::Wait),
    ]
}

fn start(net: &mut Net, id: u32) {
    let others: Vec<u32> = REGISTRARS.into_iter().filter(|other| *other != id).collect();
    net.start(config(id, &others));
}

/// Registers if the registrar is there and ready; whether that is granted does not matter here.
fn register(net: &mut Net, client: u32, registrar: u32) {
    let id = ClientId(client);
    net.connect(id, registrar, Protocol::Asap);
    if net.clients[&id].links.is_empty() {
        return;
    }
    net.clients.get_mut(&id).expect("a client").elements = vec![("echo".into(), client.into())];
    net.send_registration(id, "echo", element(id, client));
}

fn apply(net: &mut Net, disorder: Disorder) {
    let server = |id: u32| Node::Registrar(ServerId(id));
    match disorder {
        Disorder::Register { client, registrar, hang_up } => {
            let id = ClientId(client);
            if !net.clients.contains_key(&id) {
                net.client(client);
            }
            if hang_up {
                net.hang_up(id);
            }
            register(net, client, registrar);
        }
        Disorder::HangUp(client) => {
            if net.clients.contains_key(&ClientId(client)) {
                net.hang_up(ClientId(client));
            }
        }
        Disorder::Kill(client) => net.kill(ClientId(client)),
        Disorder::Cut(a, b) if a != b => net.cut(server(a), server(b)),
        Disorder::Cut(..) => {}
        Disorder::CutClient(registrar, client) => net.cut(server(registrar), Node::Client(ClientId(client))),
        Disorder::Heal => {
            net.heal();
            net.silent.clear();
        }
        Disorder::Silence(id) => {
            net.silent.insert(server(id));
        }
        Disorder::Crash(id) => net.crash(id),
        Disorder::Start(id) => {
            if !net.registrars.contains_key(&ServerId(id)) {
                start(net, id);
            }
        }
        Disorder::Lose(message_type) => net.lose = message_type,
        Disorder::Leave(id) => {
            if net.registrars.contains_key(&ServerId(id)) {
                net.shutdown(id);
            }
        }
        Disorder::Wait(time) => net.run(millis(time)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_disorder_all_copies_agree(events in prop::collection::vec(disorder(), 1..40)) {
        let mut net = Net::new();
        REGISTRARS.into_iter().for_each(|id| start(&mut net, id));
        net.run(secs(3));
        for event in events {
            apply(&mut net, event);
        }
        apply(&mut net, Disorder::Heal);
        net.lose = None;
        for id in REGISTRARS {
            if net.has_left(id) {
                net.crash(id);
            }
            apply(&mut net, Disorder::Start(id));
        }
        net.run(secs(15));
        net.assert_converged();
        for id in REGISTRARS {
            prop_assert!(net.is_ready(id));
            let active = net.machine(id).peers().filter(|peer| peer.state == PeerState::Active && peer.is_linked);
            prop_assert_eq!(active.count(), 3, "registrar {} knows the others", id);
        }
        for (_, identifier, _) in net.view(1) {
            prop_assert!(net.clients.contains_key(&ClientId(identifier.0)), "{} is dead", identifier);
        }
        let alive: Vec<u32> = net.clients.keys().map(|client| client.0).collect();
        for client in &alive {
            net.hang_up(ClientId(*client));
            net.run(millis(20));
            register(&mut net, *client, 1 + client % 4);
        }
        net.run(secs(5));
        net.assert_converged();
        prop_assert_eq!(net.view(1).len(), alive.len(), "everybody who lives can register again");
    }
}
