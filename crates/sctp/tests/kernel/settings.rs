//! Settings: those of the configuration reach the kernel, and those of associations can be changed and read.
use std::time::Duration;

use rserpool_sctp::{
    AssocId, AssocParams, LifeState, PathParams, PathState, RtoInfo, SctpListener, SctpStream, SocketConfig,
};

use crate::support::{address, any, associated, socket, with_sctp};

fn unusual() -> SocketConfig {
    SocketConfig {
        outbound_streams: 5,
        max_inbound_streams: 4,
        rto: RtoInfo {
            initial: Duration::from_millis(300),
            min: Duration::from_millis(200),
            max: Duration::from_millis(4_000),
        },
        association: AssocParams { max_retransmissions: 4, cookie_life: Duration::from_secs(20) },
        paths: PathParams {
            heartbeat: Some(Duration::from_millis(700)),
            max_retransmissions: 3,
            mtu: None,
            sack_delay: Some(Duration::from_millis(50)),
        },
        ..SocketConfig::default()
    }
}

#[test]
fn associations_begin_with_the_settings_of_their_socket() {
    with_sctp(async {
        let config = unusual();
        let (near, id, far, far_id) = associated(&config).await;
        for (socket, id, peer) in [(&near, id, address(&far)), (&far, far_id, address(&near))] {
            let association = socket.association(id);
            assert_eq!(association.rto_info().unwrap(), config.rto);
            assert_eq!(association.params().unwrap(), config.association);
            assert_eq!(association.path_params(Some(peer)).unwrap(), config.paths);
            let status = association.status().unwrap();
            assert_eq!(status.state, LifeState::Established);
            assert_eq!((status.outbound_streams, status.inbound_streams), (4, 4));
            assert_eq!(status.primary.unwrap().address, peer);
            assert_eq!(association.path_info(peer).unwrap().state, PathState::Active);
        }
    });
}

#[test]
fn accepted_and_connected_streams_have_the_settings_too() {
    with_sctp(async {
        let config = unusual();
        let listener = SctpListener::bind(&[any()], &config).unwrap();
        let address = listener.local_addrs().unwrap();
        let (near, far) = tokio::join!(SctpStream::connect(&address, &config), listener.accept());
        for stream in [near.unwrap(), far.unwrap().0] {
            assert_eq!(stream.association().rto_info().unwrap(), config.rto);
            assert_eq!(stream.association().params().unwrap(), config.association);
            assert_eq!(stream.association().path_params(None).unwrap(), config.paths);
        }
    });
}

#[test]
fn the_settings_of_one_association_can_be_changed() {
    with_sctp(async {
        let (near, id, far, _) = associated(&SocketConfig::default()).await;
        let (association, peer) = (near.association(id), address(&far));
        let changed = unusual();
        association.set_rto_info(&changed.rto).unwrap();
        assert_eq!(association.rto_info().unwrap(), changed.rto);
        association.set_params(&changed.association).unwrap();
        assert_eq!(association.params().unwrap(), changed.association);
        let quiet = PathParams { heartbeat: None, max_retransmissions: 2, ..changed.paths };
        association.set_path_params(Some(peer), &quiet).unwrap();
        assert_eq!(association.path_params(Some(peer)).unwrap().heartbeat, None);
        assert_eq!(association.path_params(Some(peer)).unwrap().max_retransmissions, 2);
        association.request_heartbeat(peer).unwrap();
        association.request_heartbeat(any()).unwrap_err();
        assert_eq!(near.association(AssocId::FUTURE).rto_info().unwrap(), RtoInfo::default());
    });
}

#[test]
fn the_settings_of_future_associations_can_be_changed() {
    with_sctp(async {
        let near = socket();
        let rto = unusual().rto;
        near.association(AssocId::FUTURE).set_rto_info(&rto).unwrap();
        let far = socket();
        let id = near.connectx(&[address(&far)]).unwrap();
        assert_eq!(near.association(id).rto_info().unwrap(), rto);
    });
}

#[test]
fn what_the_kernel_refuses_names_the_option() {
    with_sctp(async {
        let (near, id, ..) = associated(&SocketConfig::default()).await;
        let upside_down = RtoInfo {
            initial: Duration::from_secs(1),
            min: Duration::from_secs(9),
            max: Duration::from_secs(2),
        };
        let refused = near.association(id).set_rto_info(&upside_down).unwrap_err();
        assert!(refused.to_string().starts_with("SCTP_RTOINFO: "), "{refused}");
    });
}
