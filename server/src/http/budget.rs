//! A bound on the bytes of all request bodies together, drawn from as they arrive.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes behind one permit: a semaphore counts to 2³² only on some machines.
const UNIT_BYTES: usize = 1_024;

/// Bytes that bodies may hold at the same time.
pub(super) struct BodyBudget(Arc<Semaphore>);

/// One body's part. Dropping it gives the part back.
pub(super) struct BodyShare {
    budget: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

/// All of the budget is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BudgetSpent;

impl BodyBudget {
    pub fn new(bytes: usize) -> BodyBudget {
        BodyBudget(Arc::new(Semaphore::new(
            bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS),
        )))
    }

    pub fn share(&self) -> BodyShare {
        BodyShare {
            budget: self.0.clone(),
            permit: None,
        }
    }
}

impl BodyShare {
    /// Grows the part to `bytes`.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let held = self
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| BudgetSpent)?;
        let more = self
            .budget
            .clone()
            .try_acquire_many_owned(more)
            .map_err(|_| BudgetSpent)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_budget_and_give_it_back() {
        let budget = BodyBudget::new(10 * UNIT_BYTES);
        let mut first = budget.share();
        let mut second = budget.share();
        assert_eq!(first.grow_to(1), Ok(()));
        assert_eq!(first.grow_to(6 * UNIT_BYTES), Ok(()));
        assert_eq!(second.grow_to(5 * UNIT_BYTES), Err(BudgetSpent));
        assert_eq!(second.grow_to(4 * UNIT_BYTES), Ok(()));
        drop(first);
        assert_eq!(second.grow_to(10 * UNIT_BYTES), Ok(()));
    }
}
