//! Processes that are killed or stopped, and hosts that lose power: the cable is cut first, so that nobody is told.
mod hosts;

use hosts::{ONE, PATIENCE, TWO, lab};
use rserpool_interop_net::Site;
use rustix::process::Signal;

#[test]
fn an_element_that_is_killed_is_removed_and_its_user_goes_on_with_another() {
    lab("an_element_that_is_killed_is_removed_and_its_user_goes_on_with_another", 5).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let (first, _second) = (site.element(3, ONE), site.element(4, TWO));
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let users = [site.caller(5, &[]), site.caller(5, &[])];
        first.kill();
        site.agree(&[1, 2], &[TWO], PATIENCE);
        for user in users {
            site.serves(&user);
            assert_eq!(user.finish().lost, 0);
        }
        assert_eq!(site.counters(&[1, 2], "elements_failed"), 1);

        let _again = site.element(3, ONE);
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
    });
}

#[test]
fn an_element_that_stands_still_is_removed_and_comes_back_when_it_goes_on() {
    lab("an_element_that_stands_still_is_removed_and_comes_back_when_it_goes_on", 5).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let (first, _second) = (site.element(3, ONE), site.element(4, TWO));
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let users = [site.caller(5, &[]), site.caller(5, &[])];
        first.signal(Signal::STOP);
        site.agree(&[1, 2], &[TWO], PATIENCE);
        for user in &users {
            site.serves(user);
        }
        first.signal(Signal::CONT);
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        assert!(users.into_iter().all(|user| user.finish().lost == 0));
    });
}

#[test]
fn a_registrar_that_is_killed_is_taken_over_and_takes_part_again_once_restarted() {
    lab("a_registrar_that_is_killed_is_taken_over_and_takes_part_again_once_restarted", 5).run(|network| {
        let site = Site::new(network, 2);
        let mut registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        let (home, other) = home_and_other(&site);
        let user = site.caller(5, &[]);
        let watch = site.watch(5);
        watch.prints("added");
        watch.prints("added");

        registrars.remove(usize::from(home) - 1).kill();
        site.agree(&[other], &[ONE, TWO], PATIENCE);
        site.serves(&user);
        assert_eq!(site.counter(other, "takeovers_completed"), 1);
        assert_eq!(site.counter(other, "elements_failed"), 0);

        let _again = site.registrar(home);
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        assert_eq!(user.finish().lost, 0);
        assert_eq!(watch.find("removed"), None, "{}", watch.printed());
    });
}

#[test]
fn a_registrar_that_stands_still_is_taken_over_and_agrees_when_it_goes_on() {
    lab("a_registrar_that_stands_still_is_taken_over_and_agrees_when_it_goes_on", 5).run(|network| {
        let site = Site::new(network, 2);
        let registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        let (home, other) = home_and_other(&site);
        let user = site.caller(5, &[]);

        let registrar = &registrars[usize::from(home) - 1];
        registrar.signal(Signal::STOP);
        site.agree(&[other], &[ONE, TWO], PATIENCE);
        site.serves(&user);

        registrar.signal(Signal::CONT);
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        assert_eq!(user.finish().lost, 0);
        assert_eq!(site.counters(&[1, 2], "elements_failed"), 0);
    });
}

#[test]
fn registrars_and_elements_whose_hosts_lose_power_are_replaced() {
    lab("registrars_and_elements_whose_hosts_lose_power_are_replaced", 6).run(|network| {
        let site = Site::new(network, 3);
        let mut registrars = site.start_registrars();
        let (first, _second) = (site.element(4, ONE), site.element(5, TWO));
        site.agree(&[1, 2, 3], &[ONE, TWO], PATIENCE);
        let user = site.caller(6, &[]);
        for host in [1, 4] {
            network.cut(host, 1).unwrap();
        }
        registrars.remove(0).kill();
        first.kill();
        site.agree(&[2, 3], &[TWO], PATIENCE);
        site.serves(&user);
        assert_eq!(user.finish().lost, 0);
    });
}

/// The registrar that is the home of the first element, and the other one, once they agree: elements choose at random.
fn home_and_other(site: &Site<'_>) -> (u8, u8) {
    let (table, _) = site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
    match table.home_of(ONE) {
        Some(1) => (1, 2),
        Some(2) => (2, 1),
        other => panic!("its home is {other:?}"),
    }
}
