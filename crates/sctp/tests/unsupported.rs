//! What is said where the kernel has no SCTP. Where it has, there is nothing to test.
#![cfg(target_os = "linux")]

use rserpool_sctp::{Error, SctpListener, SctpSocket, SctpStream, SocketConfig};

#[tokio::test]
async fn a_kernel_without_sctp_is_said_to_be_one_by_all_sockets() {
    let any = ["127.0.0.1:0".parse().unwrap()];
    let config = SocketConfig::default();
    let Err(error) = SctpSocket::bind(&any, &config) else { return };
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("no SCTP in this kernel: load its module (`modprobe sctp`)"),
        "{error}"
    );
    assert!(SctpListener::bind(&any, &config).is_err_and(|error| error.is_unsupported()));
    let server = ["127.0.0.1:7".parse().unwrap()];
    assert!(SctpStream::connect(&server, &config).await.is_err_and(|error| error.is_unsupported()));
}
