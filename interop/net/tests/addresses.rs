//! Hosts without IPv4, and hosts whose address changes under what runs on them.
mod hosts;

use hosts::{ONE, PATIENCE, TWO, lab};
use rserpool_interop_net::{Handlespace, Site, Timers};

#[test]
fn everything_works_where_there_is_ipv6_alone() {
    lab("everything_works_where_there_is_ipv6_alone", 5).run(|network| {
        network.leave_ipv6_alone().unwrap();
        let site = Site::new(network, 2).over_ipv6();
        let mut registrars = site.start_registrars();
        let (first, _second) = (site.element(3, ONE), site.element(4, TWO));
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let user = site.caller(5, &[]);
        first.kill();
        registrars.remove(0).kill();
        site.agree(&[2], &[TWO], PATIENCE);
        site.serves(&user);
        assert_eq!(user.finish().lost, 0);
        assert_eq!(site.counter(2, "elements_failed"), 1, "the other one is reached where it said");
    });
}

#[test]
fn an_element_whose_address_changes_is_found_at_the_new_one() {
    lab("an_element_whose_address_changes_is_found_at_the_new_one", 4).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let _element = site.element(3, ONE);
        site.agree(&[1, 2], &[ONE], PATIENCE);
        let user = site.caller(4, &["--patience=60"]);

        network.renumber(3, 1, 103).unwrap();
        site.serves(&user);
        let (table, _) = site.agree(&[1, 2], &[ONE], PATIENCE);
        let (_, service) = &table.elements[ONE];
        assert!(service.starts_with("tcp://10.9.0.103:"), "{service}");
        assert_eq!(user.finish().lost, 0);
    });
}

#[test]
fn an_element_is_back_at_a_new_address_although_its_registrar_has_not_missed_it_at_the_old_one() {
    let test = "an_element_is_back_at_a_new_address_although_its_registrar_has_not_missed_it_at_the_old_one";
    lab(test, 3).run(|network| {
        let site = Site::new(network, 1).registrars_timers(Timers::Rfc);
        let _registrar = site.start_registrars();
        let _element = site.element(2, ONE);
        site.agree(&[1], &[ONE], PATIENCE);
        network.renumber(2, 1, 102).unwrap();
        let is_moved = |table: Handlespace| {
            table.elements.get(ONE).is_some_and(|(_, service)| service.starts_with("tcp://10.9.0.102:"))
        };
        site.until("the element has moved", PATIENCE, || site.handlespace(1).is_some_and(is_moved));
    });
}

#[test]
fn a_registrar_whose_address_changes_finds_its_peer_again() {
    lab("a_registrar_whose_address_changes_finds_its_peer_again", 4).run(|network| {
        let site = Site::new(network, 2);
        let registrars = [1, 2].map(|host| site.start_registrar_everywhere(host));
        registrars.iter().for_each(|registrar| drop(registrar.prints("ready ")));
        let _element = site.element(3, ONE);
        site.agree(&[1, 2], &[ONE], PATIENCE);
        let user = site.caller(4, &[]);

        network.renumber(1, 1, 101).unwrap();
        site.agree(&[2], &[ONE], PATIENCE);
        let _second = site.element(3, TWO);
        let (table, _) = site.agree(&[2], &[ONE, TWO], PATIENCE);
        site.until("both agree", PATIENCE, || site.handlespace_at(1, 101).as_ref() == Some(&table));
        site.serves(&user);
        assert_eq!(user.finish().lost, 0);
    });
}

#[test]
fn a_registrar_that_is_restarted_at_a_new_address_takes_part_again() {
    lab("a_registrar_that_is_restarted_at_a_new_address_takes_part_again", 5).run(|network| {
        let site = Site::new(network, 2);
        let mut registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let user = site.caller(5, &[]);

        network.renumber(1, 1, 101).unwrap();
        site.agree(&[2], &[ONE, TWO], PATIENCE);
        registrars.remove(0).kill();
        let moved = site.start_registrar(1, 101, &[]);
        moved.prints("ready ");
        // It tells its peer where it is now: elements that come to either are known to both.
        const THREE: &str = "0x00000003";
        let _third = site.element(4, THREE);
        let table = site.agree(&[2], &[ONE, TWO, THREE], PATIENCE).0;
        site.until("both agree", PATIENCE, || site.handlespace_at(1, 101).as_ref() == Some(&table));
        site.serves(&user);
        assert_eq!(user.finish().lost, 0);
    });
}
