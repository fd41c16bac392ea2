//! `rserpool resolve`: the elements of a pool, once.
use clap::Args;
use rserpool::wire::PoolElement;
use serde_json::Value;

use crate::arguments::{self, User};
use crate::failure::Failure;
use crate::output;
use crate::table::Table;
use crate::values::{self, Object};

/// List elements of a pool, in the order in which to use them
///
/// The registrar chooses them by the pool's policy. Fails if there is no such pool.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    user: User,
    /// How many elements to ask for [default: as many as the registrar gives]
    #[arg(long, value_name = "N", value_parser = arguments::count)]
    items: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let pool = arguments.user.pool().await?;
    let registrars = &arguments.user.registrars;
    let elements = match registrars.await_with_reminder(pool.resolve(arguments.items)).await {
        Ok(elements) => elements,
        Err(error) => {
            let failure = Failure::new(format!("pool {}: {error}", pool.handle()));
            return Err(registrars.explain(failure).await);
        }
    };
    if arguments.json {
        let mut object = Object::new();
        values::put_pool_handle(&mut object, pool.handle());
        object.insert("elements".into(), elements.iter().map(values::element).collect::<Value>());
        output::json(&object)
    } else {
        output::line(table(&elements))
    }
}

fn table(elements: &[PoolElement]) -> Table {
    let mut table = Table::new(["ELEMENT", "SERVICE", "POLICY", "HOME", "LIFE"]);
    for element in elements {
        table.row([
            element.identifier.to_string(),
            element.user_transport.to_string(),
            element.policy.to_string(),
            element.home.to_string(),
            element.life.to_string(),
        ]);
    }
    table
}
