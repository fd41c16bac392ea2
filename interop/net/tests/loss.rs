//! Packets that get lost or come late, which neither removes elements nor loses requests.
mod hosts;

use std::time::Duration;

use hosts::{ONE, PATIENCE, TWO, lab};
use rserpool_interop::Lab;
use rserpool_interop_net::{Site, Soak, Timers};

#[test]
fn elements_come_and_go_on_a_network_that_loses_packets_and_nothing_grows() {
    let test = "elements_come_and_go_on_a_network_that_loses_packets_and_nothing_grows";
    lab(test, Soak::HOSTS).run(|network| {
        let time = Duration::from_secs(40);
        let soak = Soak { time, loss: 0.05, timers: Timers::Rfc, retransmission: None };
        let soaked = soak.run(network);
        println!("{soaked}");
        assert_eq!(soaked.problems(), [""; 0]);
    });
}

/// In user-mode Linux: not every machine's own kernel can delay packets.
#[test]
fn packets_that_come_late_change_nothing() {
    let test = "packets_that_come_late_change_nothing";
    let lab = Lab::new(test).hosts(4).first_process(env!("CARGO_BIN_EXE_failover")).needs_command();
    lab.run(|network| {
        let site = Site::new(network, 2).timers(Timers::Rfc);
        let _registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let user = site.caller(4, &[]);
        for host in 1..=4 {
            network.delay(host, 1, Duration::from_millis(100)).unwrap();
        }
        site.serves(&user);
        let _third = site.element(3, "0x00000003");
        site.agree(&[1, 2], &[ONE, TWO, "0x00000003"], PATIENCE);
        assert_eq!(user.finish().lost, 0);
        assert_eq!(site.counters(&[1, 2], "elements_failed"), 0);
    });
}
