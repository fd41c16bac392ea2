//! Cables that are pulled: for a moment, for long enough to be noticed, and again and again.
mod hosts;

use std::thread::sleep;
use std::time::Duration;

use hosts::{ONE, PATIENCE, TWO, lab};
use rserpool_interop_net::{Site, Timers};

#[test]
fn an_element_whose_host_falls_silent_is_removed_and_comes_back_with_the_cable() {
    lab("an_element_whose_host_falls_silent_is_removed_and_comes_back_with_the_cable", 5).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let user = site.caller(5, &[]);

        network.cut(3, 1).unwrap();
        site.agree(&[1, 2], &[TWO], PATIENCE);
        site.serves(&user);

        network.heal(3, 1).unwrap();
        // Nobody tells the element; it must not take until its registration is to be renewed, after 20 s.
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE / 6);
        assert_eq!(user.finish().lost, 0);
        assert_eq!(site.counters(&[1, 2], "elements_failed"), 1, "the other one lived all the time");
    });
}

#[test]
fn a_cable_that_is_pulled_for_a_moment_changes_nothing() {
    lab("a_cable_that_is_pulled_for_a_moment_changes_nothing", 4).run(|network| {
        let site = Site::new(network, 2).timers(Timers::Rfc);
        let _registrars = site.start_registrars();
        let _element = site.element(3, ONE);
        let (before, _) = site.agree(&[1, 2], &[ONE], PATIENCE);
        let user = site.caller(4, &[]);

        // Long enough for what is under way to be sent again, and shorter than anything that gives up.
        for host in [1, 3] {
            network.cut(host, 1).unwrap();
            sleep(Duration::from_secs(2));
            network.heal(host, 1).unwrap();
            site.serves(&user);
        }
        let (after, _) = site.agree(&[1, 2], &[ONE], PATIENCE);
        assert_eq!(before, after);
        assert_eq!(user.finish().lost, 0);
        for counter in ["elements_failed", "peers_failed", "takeovers_started"] {
            assert_eq!(site.counters(&[1, 2], counter), 0, "{counter}");
        }
    });
}

#[test]
fn a_cable_with_a_loose_contact_leaves_everything_in_order() {
    lab("a_cable_with_a_loose_contact_leaves_everything_in_order", 5).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        let user = site.caller(5, &[]);
        // A registrar and an element in turn, for times around what it takes to be noticed.
        for (round, host) in [1, 3, 1, 3, 1, 3].into_iter().enumerate() {
            network.cut(host, 1).unwrap();
            sleep(Duration::from_millis(150 * (round as u64 + 1)));
            network.heal(host, 1).unwrap();
            sleep(Duration::from_millis(400));
        }
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        site.serves(&user);
        assert_eq!(user.finish().lost, 0);
    });
}

#[test]
fn a_user_notices_that_a_host_is_gone_before_it_loses_patience_with_a_slow_service() {
    let test = "a_user_notices_that_a_host_is_gone_before_it_loses_patience_with_a_slow_service";
    lab(test, 5).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let (_first, _second) = (site.element(3, ONE), site.element(4, TWO));
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        // Round robin: one of each.
        let users = [(); 2].map(|()| site.caller(5, &["--timeout=100", "--patience=200"]));
        network.cut(3, 1).unwrap();
        for user in users {
            site.serves(&user);
            assert_eq!(user.finish().lost, 0);
        }
    });
}
