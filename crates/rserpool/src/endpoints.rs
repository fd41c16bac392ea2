//! Endpoints as builders collect them: the first one that cannot be read is reported when the role is started.
use rserpool_machine::Endpoint;

use crate::error::StartError;

#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    endpoints: Vec<Endpoint>,
    error: Option<StartError>,
}

impl Endpoints {
    pub(crate) fn add<E>(&mut self, endpoint: E)
    where
        E: TryInto<Endpoint>,
        StartError: From<E::Error>,
    {
        match endpoint.try_into() {
            Ok(endpoint) => self.endpoints.push(endpoint),
            Err(error) => {
                self.error.get_or_insert(error.into());
            }
        }
    }

    pub(crate) fn add_all<I>(&mut self, endpoints: I)
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        StartError: From<<I::Item as TryInto<Endpoint>>::Error>,
    {
        for endpoint in endpoints {
            self.add(endpoint);
        }
    }

    pub(crate) fn get(self) -> Result<Vec<Endpoint>, StartError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.endpoints),
        }
    }
}
