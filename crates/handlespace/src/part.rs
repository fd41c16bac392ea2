//! The handlespace in parts, for table download (RFC 5353 §3.2.3): a part for each message, with changes in between.
use std::ops::Bound;
use std::sync::Arc;

use rserpool_wire::{PeIdentifier, ServerId};

use crate::element::ElementView;
use crate::handlespace::Handlespace;
use crate::pool::PoolView;

/// How far a download has come: the default is the start.
///
/// It names the last element visited, so that elements which come and go in between do no harm: no element that was
/// there all the time is missed or visited twice.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    last: Option<(Arc<[u8]>, PeIdentifier)>,
}

impl Handlespace {
    /// Visits elements pool by pool from the cursor on: all, or those of one owner.
    ///
    /// `visit` is told whether the element is the first of its pool in this part. It returns `false` when the part has
    /// no room for the element, which then is the first of the next part. Returns whether there is more.
    pub fn next_part<'a>(
        &'a self,
        cursor: &mut Cursor,
        owner: Option<ServerId>,
        mut visit: impl FnMut(bool, ElementView<'a>) -> bool,
    ) -> bool {
        let start = cursor.last.take();
        let mut last = None;
        let mut full = false;
        'pools: for pool in
            self.pools_from(start.as_ref().map_or(Bound::Unbounded, |(handle, _)| Bound::Included(handle)))
        {
            let mut first = true;
            for element in self.elements_behind(pool, start.as_ref()) {
                if owner.is_some_and(|owner| owner != element.home()) {
                    continue;
                }
                if !visit(first, element) {
                    full = true;
                    break 'pools;
                }
                first = false;
                last = Some((&pool.pool.handle, element.identifier()));
            }
        }
        cursor.last = last.map(|(handle, identifier)| (handle.clone(), identifier)).or(start);
        full
    }

    fn elements_behind<'a>(
        &'a self,
        view: PoolView<'a>,
        start: Option<&(Arc<[u8]>, PeIdentifier)>,
    ) -> impl Iterator<Item = ElementView<'a>> + use<'a> {
        let after = match start {
            Some((handle, identifier)) if *handle == view.pool.handle => Bound::Excluded(*identifier),
            _ => Bound::Unbounded,
        };
        view.pool.members.range((after, Bound::Unbounded)).filter_map(move |(_, index)| self.view(*index))
    }
}
