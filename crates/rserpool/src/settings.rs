//! What is set alike for every role, and the builders' methods for it.
use std::time::Duration;

use rserpool_machine::Protocol;
use rserpool_transport::{LinkConfig, Multicast, Security, TransportError};
use rserpool_wire::Dialect;

use crate::multicast;
use crate::profile::TimerProfile;

/// Settings of a role whose machine has timers of type `T`.
#[derive(Debug)]
pub(crate) struct Settings<T> {
    pub(crate) dialect: Dialect,
    pub(crate) profile: TimerProfile,
    pub(crate) timers: Option<T>,
    pub(crate) links: Option<LinkConfig>,
    pub(crate) security: Option<Security>,
    /// Network interfaces for multicast.
    pub(crate) interfaces: Vec<String>,
    pub(crate) patience: Option<Duration>,
}

impl<T> Default for Settings<T> {
    fn default() -> Self {
        let (dialect, profile) = (Dialect::Rfc, TimerProfile::Rfc);
        let interfaces = Vec::new();
        Self { dialect, profile, timers: None, links: None, security: None, interfaces, patience: None }
    }
}

impl<T: Copy> Settings<T> {
    /// The timers, by default those that `profile` gives.
    pub(crate) fn timers(&self, profile: impl FnOnce(TimerProfile) -> T) -> T {
        self.timers.unwrap_or_else(|| profile(self.profile))
    }

    pub(crate) fn links(&self) -> LinkConfig {
        let mut links = self.links.clone().unwrap_or_else(|| self.profile.links());
        if self.security.is_some() {
            links.security.clone_from(&self.security);
        }
        links
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience.unwrap_or_else(|| self.profile.patience())
    }

    /// Joins the multicast groups of a protocol, to send from `source_port`, or from the group's.
    pub(crate) fn groups(
        &self,
        protocol: Protocol,
        source_port: Option<u16>,
    ) -> Result<Vec<Multicast>, TransportError> {
        multicast::join(&self.interfaces, protocol, self.dialect, source_port)
    }
}

/// Methods of a builder that has a field `settings: Settings<$timers>`.
macro_rules! role_settings {
    ($timers:ty) => {
        /// The wire dialect; the RFCs' unless said otherwise.
        #[must_use]
        pub fn dialect(mut self, dialect: Dialect) -> Self {
            self.settings.dialect = dialect;
            self
        }

        /// The timers; the RFCs' unless said otherwise.
        #[must_use]
        pub fn timers(mut self, profile: TimerProfile) -> Self {
            self.settings.profile = profile;
            self
        }

        /// Every timer by itself.
        #[must_use]
        pub fn custom_timers(mut self, timers: $timers) -> Self {
            self.settings.timers = Some(timers);
            self
        }

        /// The limits of each link.
        #[must_use]
        pub fn links(mut self, links: LinkConfig) -> Self {
            self.settings.links = Some(links);
            self
        }

        /// Keys and certificates for `tls://` and `sctp+tls://` endpoints, which cannot be used without. Keep a clone to replace them later
        /// ([`Security::reload`]).
        #[must_use]
        pub fn security(mut self, security: Security) -> Self {
            self.settings.security = Some(security);
            self
        }
    };
}

/// Methods of a builder that has a field `registrars: Endpoints` besides.
macro_rules! client_settings {
    () => {
        /// The registrars to choose a home from, such as `tcp://10.0.0.1:3863`.
        #[must_use]
        pub fn registrars<I>(mut self, registrars: I) -> Self
        where
            I: IntoIterator,
            I::Item: TryInto<Endpoint>,
            StartError: From<<I::Item as TryInto<Endpoint>>::Error>,
        {
            self.registrars.add_all(registrars);
            self
        }

        /// Hears announcements of registrars on this network interface; may be called several times.
        #[must_use]
        pub fn discover(mut self, interface: impl Into<String>) -> Self {
            self.settings.interfaces.push(interface.into());
            self
        }

        /// How long calls that need a registrar or an element go on trying while none answers. Unless said otherwise 30 s, with
        /// the fast timers 10 s.
        #[must_use]
        pub fn patience(mut self, patience: Duration) -> Self {
            self.settings.patience = Some(patience);
            self
        }
    };
}

pub(crate) use {client_settings, role_settings};
