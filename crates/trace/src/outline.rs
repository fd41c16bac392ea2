//! Which normative sentences there are: per section of the RFCs, how many. They are numbered from 1 on in each section, so that this
//! table is the list of their identifiers. It is kept apart from `conformance.toml`, so that none gets lost there.

/// A section of an RFC that asks something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// The number of the RFC.
    pub rfc: u16,
    /// The number of the section.
    pub number: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// How many normative sentences it has.
    pub sentences: u8,
}

impl Section {
    /// The identifiers of its sentences.
    pub fn ids(self) -> impl Iterator<Item = String> {
        (1..=self.sentences).map(move |sentence| format!("{}-{}-{sentence:02}", self.rfc, self.number))
    }
}

/// The identifiers of all sentences, in the order of the RFCs.
pub fn ids() -> impl Iterator<Item = String> {
    OUTLINE.iter().flat_map(|section| section.ids())
}

const fn section(rfc: u16, number: &'static str, title: &'static str, sentences: u8) -> Section {
    Section { rfc, number, title, sentences }
}

/// All sections that ask something.
pub const OUTLINE: &[Section] = &[
    section(5352, "1.1", "Definitions", 2),
    section(5352, "1.4", "Scope of ASAP", 2),
    section(5352, "2.1", "ASAP Parameter Formats", 2),
    section(5352, "2.2.1", "ASAP_REGISTRATION Message", 4),
    section(5352, "2.2.2", "ASAP_DEREGISTRATION Message", 1),
    section(5352, "2.2.6", "ASAP_HANDLE_RESOLUTION_RESPONSE Message", 2),
    section(5352, "2.2.7", "ASAP_ENDPOINT_KEEP_ALIVE Message", 1),
    section(5352, "2.2.14", "ASAP_ERROR Message", 2),
    section(5352, "3.1", "Registration", 34),
    section(5352, "3.2", "De-Registration", 14),
    section(5352, "3.3", "Handle Resolution", 17),
    section(5352, "3.4", "Endpoint Keep Alive", 2),
    section(5352, "3.5", "Unreachable Endpoints", 11),
    section(5352, "3.6", "ENRP Server Hunt Procedures", 15),
    section(5352, "3.7.1", "SCTP Send Failure", 4),
    section(5352, "3.7.2", "T1-ENRPrequest Timer Expiration", 1),
    section(5352, "3.8", "Cookie Handling Procedures", 1),
    section(5352, "3.9", "Business Card Handling Procedures", 2),
    section(5352, "4", "Roles of Endpoints", 12),
    section(5352, "5", "SCTP Considerations", 3),
    section(5352, "6.1", "Registration.Request Primitive", 1),
    section(5352, "6.5", "DataSendRequest Primitive", 1),
    section(5352, "6.5.1", "Sending to a Pool Handle", 2),
    section(5352, "6.5.3", "Sending to a Pool Element Handle", 1),
    section(5352, "6.5.5", "Message Delivery Options", 1),
    section(5352, "6.9.2", "Transport.Failure Primitive", 1),
    section(5352, "8.1", "A New Table for ASAP Message Types", 1),
    section(5352, "9.2", "Implementing Security Mechanisms", 21),
    section(5353, "1.1", "Definitions", 2),
    section(5353, "2", "ENRP Message Definitions", 1),
    section(5353, "2.1", "ENRP_PRESENCE Message", 5),
    section(5353, "2.3", "ENRP_HANDLE_TABLE_RESPONSE Message", 4),
    section(5353, "2.4", "ENRP_HANDLE_UPDATE Message", 3),
    section(5353, "2.6", "ENRP_LIST_RESPONSE Message", 2),
    section(5353, "3", "ENRP Operation Procedures", 1),
    section(5353, "3.2.1", "Generate a Server Identifier", 1),
    section(5353, "3.2.2.1", "Finding the Mentor Server", 3),
    section(5353, "3.2.2.2", "Request Complete Server List from Mentor Peer", 7),
    section(5353, "3.2.3", "Download ENRP Handlespace Data from Mentor Peer", 20),
    section(5353, "3.3.1", "Announcing Additions or Updates of PE", 9),
    section(5353, "3.3.2", "Announcing Removal of PE", 7),
    section(5353, "3.4", "Maintaining Peer List and Monitoring Peer Status", 1),
    section(5353, "3.4.1", "Discovering New Peer", 2),
    section(5353, "3.4.2", "Server Sending Heartbeat", 2),
    section(5353, "3.4.3", "Detecting Peer Server Failure", 3),
    section(5353, "3.5.1", "Initiating Server Take-over Arbitration", 13),
    section(5353, "3.5.2", "Takeover Target Peer Server", 5),
    section(5353, "3.6", "Handlespace Data Auditing and Re-synchronization", 1),
    section(5353, "3.6.1", "Auditing Procedures", 4),
    section(5353, "3.6.2", "PE Checksum Calculation Algorithm", 4),
    section(5353, "3.6.3", "Re-Synchronization Procedures", 8),
    section(5353, "3.7", "Handling Unrecognized Messages or Unrecognized Parameters", 2),
    section(5353, "5.1", "A New Table for ENRP Message Types", 1),
    section(5353, "5.2", "A New Table for Update Action Types", 1),
    section(5353, "6.2", "Implementing Security Mechanisms", 21),
    section(5354, "2", "Parameters in General", 1),
    section(5354, "3", "ENRP-ASAP Common Parameters", 4),
    section(5354, "3.3", "DCCP Transport Parameter", 2),
    section(5354, "3.4", "SCTP Transport Parameter", 2),
    section(5354, "3.5", "TCP Transport Parameter", 2),
    section(5354, "3.6", "UDP Transport Parameter", 2),
    section(5354, "3.7", "UDP-Lite Transport Parameter", 2),
    section(5354, "3.8", "Pool Member Selection Policy Parameter", 1),
    section(5354, "3.10", "Pool Element Parameter", 2),
    section(5354, "4", "Common Message Formats", 3),
    section(5354, "5.1", "A New Table for RSerPool Parameter Types", 1),
    section(5354, "5.2", "A New Table for RSerPool Error Causes", 1),
    section(5355, "2.1.3", "Flooding with elements that do not exist", 1),
    section(5355, "2.2.3", "Flooding with bogus registrations of elements that exist", 1),
    section(5355, "2.3.3", "Spoofed registration", 1),
    section(5355, "2.4.3", "Registration without authorization", 1),
    section(5355, "2.5.3", "Malicious registrar joins", 1),
    section(5355, "2.6.3", "Element registered with a malicious registrar", 1),
    section(5355, "2.7.3", "Malicious registrar resolves", 1),
    section(5355, "2.8.3", "Replay", 1),
    section(5355, "2.9.3", "Fail-over to an element that is not trusted", 1),
    section(5355, "2.10.3", "Integrity", 2),
    section(5355, "2.11.3", "Confidentiality", 1),
    section(5355, "2.12.3", "Discovery of registrars", 1),
    section(5355, "2.13.3", "Flooding with unreachable reports", 1),
    section(5355, "2.14.3", "Flooding with keep-alives", 1),
    section(5355, "2.15.3", "Secured and unsecured registrars", 4),
    section(5355, "2.16", "Cookies", 1),
    section(5356, "4.1.1", "Round Robin", 1),
    section(5356, "4.1.2", "Round Robin, registrars", 3),
    section(5356, "4.1.3", "Round Robin, users", 1),
    section(5356, "4.2.2", "Weighted Round Robin, registrars", 1),
    section(5356, "4.2.3", "Weighted Round Robin, users", 1),
    section(5356, "4.3.2", "Random, registrars", 1),
    section(5356, "4.4.2", "Weighted Random, registrars", 2),
    section(5356, "4.5.2", "Priority, registrars", 2),
    section(5356, "4.5.3", "Priority, users", 1),
    section(5356, "5.1.2", "Least Used, registrars", 5),
    section(5356, "5.1.3", "Least Used, users", 1),
    section(5356, "5.2.2", "Least Used with Degradation, registrars", 4),
    section(5356, "5.3.2", "Priority Least Used, registrars", 5),
    section(5356, "5.3.3", "Priority Least Used, users", 1),
    section(5356, "5.4.2", "Randomized Least Used, registrars", 1),
    section(5356, "7.1", "Policy types", 1),
];
