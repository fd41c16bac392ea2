//! The parameters of RFC 5354 and RFC 5356 as JSON, with the same names wherever they appear: in decoded messages,
//! resolutions and watches.
//!
//! Identifiers are text of the form `0x%08x`, bytes are lower-case hex, times are seconds, and what is absent on the wire
//! is absent here.
use rserpool::wire::{
    ErrorCause, OperationError, Policy, PolicyType, PoolElement, PoolHandle, RegistrationLife,
    ServerInformation, Transport, TransportUse,
};
use serde_json::{Map, Value, json};

/// A JSON object, in the order in which it is written.
pub(crate) type Object = Map<String, Value>;

/// `pool_handle` as text, other bytes than UTF-8 escaped, and `pool_handle_hex` for the exact bytes.
pub(crate) fn put_pool_handle(object: &mut Object, handle: &PoolHandle<'_>) {
    object.insert("pool_handle".into(), handle.to_string().into());
    object.insert("pool_handle_hex".into(), hex::encode(handle.as_bytes()).into());
}

/// `identifier`, `home`, `life_seconds` (null: for ever), `user_transport`, `policy`, and `asap_transport` where it is there.
pub(crate) fn element(element: &PoolElement) -> Value {
    let mut object = Object::new();
    object.insert("identifier".into(), element.identifier.to_string().into());
    object.insert("home".into(), element.home.to_string().into());
    object.insert("life_seconds".into(), life(element.life));
    object.insert("user_transport".into(), transport(&element.user_transport));
    object.insert("policy".into(), policy(&element.policy));
    if let Some(asap) = &element.asap_transport {
        object.insert("asap_transport".into(), transport(asap));
    }
    object.into()
}

/// `url`; for SCTP `transport_use` (`data` or `data+control`), for DCCP `service_code`.
pub(crate) fn transport(transport: &Transport) -> Value {
    let mut object = Object::new();
    object.insert("url".into(), transport.to_string().into());
    match transport {
        Transport::Sctp { transport_use, .. } => {
            let text = match transport_use {
                TransportUse::DataOnly => "data",
                TransportUse::DataAndControl => "data+control",
            };
            object.insert("transport_use".into(), text.into());
        }
        Transport::Dccp { service_code, .. } => {
            object.insert("service_code".into(), (*service_code).into());
        }
        _ => {}
    }
    object.into()
}

/// `type` (the code), `name`, and `spec`: the form that `--policy` takes.
pub(crate) fn policy(policy: &Policy) -> Value {
    let PolicyType(code) = policy.policy_type();
    json!({
        "type": format!("0x{code:08x}"),
        "name": policy.policy_type().to_string(),
        "spec": policy.to_string(),
    })
}

/// `identifier` and `transport`.
pub(crate) fn server_information(information: &ServerInformation) -> Value {
    json!({
        "identifier": information.identifier.to_string(),
        "transport": transport(&information.transport),
    })
}

/// A list of causes.
pub(crate) fn operation_error(error: &OperationError<'_>) -> Value {
    error.causes.iter().map(cause).collect()
}

/// `code`, `name` and `information`.
pub(crate) fn cause(cause: &ErrorCause<'_>) -> Value {
    json!({
        "code": format!("0x{:04x}", cause.code.0),
        "name": cause.code.to_string(),
        "information": hex::encode(&cause.information),
    })
}

fn life(life: RegistrationLife) -> Value {
    match life {
        RegistrationLife::Finite(duration) => duration.as_secs_f64().into(),
        RegistrationLife::Infinite => Value::Null,
    }
}
