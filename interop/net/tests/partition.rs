//! Registrars that lose each other while both go on working, and find each other again.
mod hosts;

use hosts::{ONE, PATIENCE, TWO, lab};
use rserpool_interop_net::Site;

#[test]
fn both_sides_of_a_partition_serve_and_agree_once_it_is_healed() {
    lab("both_sides_of_a_partition_serve_and_agree_once_it_is_healed", 6).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let users = [site.caller(5, &[]), site.caller(6, &[])];

        network.partition(&[2, 4, 6], 1).unwrap();
        site.agree(&[1], &[ONE], PATIENCE);
        site.agree(&[2], &[TWO], PATIENCE);
        for user in &users {
            site.serves(user);
        }
        // One that comes while they are apart.
        const THREE: &str = "0x00000003";
        let _third = site.element(4, THREE);
        site.agree(&[2], &[TWO, THREE], PATIENCE);

        [2, 4, 6].into_iter().for_each(|host| network.heal(host, 1).unwrap());
        site.agree(&[1, 2], &[ONE, TWO, THREE], PATIENCE);
        for user in users {
            site.serves(&user);
            assert_eq!(user.finish().lost, 0);
        }
    });
}

#[test]
fn registrars_that_took_each_other_for_dead_agree_on_one_home_for_each_element() {
    lab("registrars_that_took_each_other_for_dead_agree_on_one_home_for_each_element", 5).run(|network| {
        let site = Site::new(network, 2);
        let _registrars = site.start_registrars();
        let _elements = [site.element(3, ONE), site.element(4, TWO)];
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        let user = site.caller(5, &[]);
        // Everybody else reaches both: each claims the elements of the other.
        network.separate(1, 2).unwrap();
        site.until("each takes the other for dead", PATIENCE, || {
            [1, 2].iter().all(|host| site.counter(*host, "peers_failed") > 0)
        });
        network.reunite(1, 2).unwrap();
        site.agree(&[1, 2], &[ONE, TWO], PATIENCE);
        site.serves(&user);
        assert_eq!(user.finish().lost, 0);
        assert_eq!(site.counters(&[1, 2], "elements_failed"), 0);
    });
}
