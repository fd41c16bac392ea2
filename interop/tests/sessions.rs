//! Sessions between users and elements of the reference implementation, through our registrar: what fails over, with a cookie.
use rserpool_interop::Scenario;

const REGISTRAR: &str = "-registrar=10.9.0.1:3863";

#[test]
fn a_session_goes_on_with_another_element_by_its_cookie() {
    Scenario::new("a_session_goes_on_with_another_element_by_its_cookie").hosts(4).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        // Each ends the session after three messages.
        let start =
            |host, id| hosts.rsplib(host, "rspserver", &["-pingpong", "-pppfailureafter=3", REGISTRAR, id]);
        let _elements = [start(2, "-identifier=0xa"), start(3, "-identifier=0xb")];
        let watch = hosts.rserpool(4, &["watch", "--registrar=sctp://10.9.0.1:3863", "--pool=PingPongPool"]);
        watch.prints("added");
        watch.prints("added");
        let user = hosts.rsplib(4, "pingpongclient", &["-interval=200", REGISTRAR]);
        user.prints("Ack #3 ");
        user.prints("state=RSERPOOL_FAILOVER_COMPLETE, cookie=yes");
        // The count of the element that failed goes on.
        user.prints("(reply #4)");
        user.prints("state=RSERPOOL_FAILOVER_COMPLETE, cookie=yes");
        user.prints("(reply #7)");
    });
}
