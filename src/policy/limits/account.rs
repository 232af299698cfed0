//! A key's running state: what it has spent, and how much of it is in flight.
//!
//! Shared by all workers, and by the generations: the account of a new generation keeps its books in the same place, so
//! that nothing spent while a generation is being compiled is lost, and an unchanged window keeps its state. The locks are
//! held for the arithmetic of one decision, and not taken at all by a key without windows and quotas.
//!
//! What an organization's keys share is an account of its own, which theirs spend from too. A request locks its key's
//! pages, then those that it shares, then its balances in the order of their purses: no two wait for each other.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::balance::{Claim, Open};
use super::seconds_up;
use super::window::{Cell, Standing, Window, Windows};
use crate::clock::Now;
use crate::policy::refusal::{Exceeded, Exhausted, Refusal};

/// One key's limits in one generation, over books that outlive it.
#[derive(Debug)]
pub struct Account {
    bounds: Bounds,
    books: Arc<Books>,
}

/// What bounds a caller.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Windows of its own.
    pub windows: Arc<Windows>,
    /// Requests in flight at once.
    pub concurrency: Option<u32>,
    /// What it shares with others: an account that has windows alone.
    pub shared: Option<Arc<Account>>,
    /// Quotas.
    pub claims: Claims,
}

/// Claims on balances, each of another, in the order in which they are opened.
#[derive(Debug, Clone, Default)]
pub struct Claims(Box<[Claim]>);

/// A place among the requests in flight; given back on drop.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Slot(Arc<Books>);

/// Where a key stands in each of its windows: its own in the plan's order, then those that it shares; and in its quotas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each window.
    pub windows: SmallVec<[Standing; 3]>,
    /// One for each quota, in the order of [`Claims`].
    pub quotas: SmallVec<[Left; 2]>,
    /// Index of the window that refused, and that keeps the caller waiting longest.
    pub refused_by: Option<usize>,
}

/// Where a key stands in one quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Units that could be spent now.
    pub remaining: u64,
    /// Seconds until it begins again.
    pub reset: u64,
}

/// Nothing was spent, because at least one window or quota would not admit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where the key stands.
    pub report: Report,
    /// What to tell the caller: of the windows, where one refused, else of the quotas.
    pub refusal: Refusal,
    /// Nanoseconds until the same request is admitted by what refused it, if nobody else spends. For a request that costs
    /// more than may come at once, and so never is, the window's length.
    pub wait: u64,
}

#[derive(Debug)]
struct Books {
    in_flight: AtomicU32,
    pages: Mutex<Pages>,
}

/// The cells, laid out for the windows that asked last.
#[derive(Debug)]
struct Pages {
    windows: Arc<Windows>,
    cells: SmallVec<[Cell; 2]>,
    /// Cells of windows that other generations have, as long as they say something.
    elsewhere: Vec<(Window, Cell)>,
}

/// One account's windows while a request is decided: what each of them says.
struct Draft<'a> {
    windows: &'a Windows,
    pages: MutexGuard<'a, Pages>,
    staged: SmallVec<[Result<u64, u64>; 3]>,
}

impl Account {
    /// A key that has spent nothing.
    #[must_use]
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let windows = &bounds.windows;
        let books = Arc::new(Books {
            in_flight: AtomicU32::new(0),
            pages: Mutex::new(Pages {
                windows: Arc::clone(windows),
                cells: windows.iter().map(Window::cell).collect(),
                elsewhere: Vec::new(),
            }),
        });
        Arc::new(Self { bounds, books })
    }

    /// The same key in a new generation: the same account when nothing changed. Otherwise windows whose definition is
    /// unchanged (all of it: name and values) keep their state, others start whole, and requests in flight stay counted.
    #[must_use]
    pub fn renew(old: &Arc<Self>, bounds: Bounds) -> Arc<Self> {
        if old.bounds.same(&bounds) {
            return Arc::clone(old);
        }
        Arc::new(Self {
            bounds,
            books: Arc::clone(&old.books),
        })
    }

    /// Takes a place among the requests in flight; `None` when as many as `concurrency` are. Without that limit it still
    /// counts, so that a limit which comes with a reload knows of them.
    #[must_use]
    pub fn enter(&self) -> Option<Slot> {
        let most = self.bounds.concurrency.unwrap_or(u32::MAX);
        self.books
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < most).then(|| now + 1)
            })
            .ok()
            .map(|_| Slot(Arc::clone(&self.books)))
    }

    /// Whether [`Self::enter`] would find a place now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bounds.concurrency.is_none_or(|most| self.in_flight() < most)
    }

    /// Requests and tunnels in flight, of all generations.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.books.in_flight.load(Ordering::Relaxed)
    }

    /// Spends `cost` units of every window and quota at `now`, or of none. A cost of 0 is always admitted.
    ///
    /// # Errors
    /// When a window or a quota would not admit it.
    pub fn spend(&self, cost: u32, now: Now) -> Result<Report, Box<Refused>> {
        self.decide(cost, now, true)
    }

    /// What [`Self::spend`] would say, without spending.
    ///
    /// # Errors
    /// When a window or a quota would not admit it.
    pub fn peek(&self, cost: u32, now: Now) -> Result<Report, Box<Refused>> {
        self.decide(cost, now, false)
    }

    /// Gives back to the quotas what was spent at `spent_at` (Unix seconds) for a request that was refused after it had begun.
    /// Windows keep it: they stand before work, and some of it was done.
    pub fn give_back(&self, cost: u32, spent_at: i64, now: Now) {
        for mut quota in self.bounds.claims.open(now.unix) {
            quota.give_back(cost, spent_at);
        }
    }

    fn decide(&self, cost: u32, now: Now, commit: bool) -> Result<Report, Box<Refused>> {
        let shared = self.bounds.shared.as_deref();
        let mut drafts: SmallVec<[Draft<'_>; 2]> = [Some(self), shared]
            .into_iter()
            .flatten()
            .filter_map(|account| account.draft(cost, now.monotonic))
            .collect();
        let mut quotas: SmallVec<[Open<'_>; 2]> = self.bounds.claims.open(now.unix);

        let by_window = longest_wait(&drafts);
        let by_quota = quotas
            .iter()
            .filter(|quota| cost > 0 && u64::from(cost) > quota.remaining())
            .max_by_key(|quota| quota.renews_at())
            .map(|quota| spent(quota, now.unix));
        if commit && by_window.is_none() && by_quota.is_none() {
            drafts.iter_mut().for_each(|draft| draft.commit(cost, now.monotonic));
            quotas.iter_mut().for_each(|quota| quota.commit(cost));
        }

        let report = Report {
            windows: drafts
                .iter_mut()
                .flat_map(|draft| draft.standings(now.monotonic))
                .collect(),
            quotas: quotas.iter().map(|quota| left(quota, now.unix)).collect(),
            refused_by: by_window.as_ref().map(|(index, _, _)| *index),
        };
        drop(quotas);
        let (refusal, wait) = match (by_window, by_quota) {
            (None, None) => return Ok(report),
            (Some((_, exceeded, wait)), _) => (Refusal::RateLimited(exceeded), wait),
            (None, Some(spent)) => {
                let wait = spent.retry_after.saturating_mul(1_000_000_000);
                (Refusal::QuotaExceeded(spent), wait)
            }
        };
        Err(Box::new(Refused { report, refusal, wait }))
    }

    /// Asks the windows, and keeps them locked; `None` where there are none.
    fn draft(&self, cost: u32, now: u64) -> Option<Draft<'_>> {
        let windows = &self.bounds.windows;
        if windows.is_empty() {
            return None;
        }
        // A panic while the lock was held can at worst have lost one request's units.
        let mut pages = self.books.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = pages.open(windows, now);
        let staged = windows
            .iter()
            .zip(cells.iter_mut())
            .map(|(window, cell)| window.stage(cell, cost, now))
            .collect();
        Some(Draft { windows, pages, staged })
    }
}

impl Bounds {
    fn same(&self, other: &Self) -> bool {
        let windows = Arc::ptr_eq(&self.windows, &other.windows) || self.windows == other.windows;
        let shared = match (&self.shared, &other.shared) {
            (None, None) => true,
            (Some(own), Some(its)) => Arc::ptr_eq(own, its),
            (Some(_), None) | (None, Some(_)) => false,
        };
        windows && shared && self.concurrency == other.concurrency && self.claims.same(&other.claims)
    }
}

impl Claims {
    /// In the order in which they are opened; of several claims on one balance, the first.
    #[must_use]
    pub fn new(claims: impl IntoIterator<Item = Claim>) -> Self {
        let mut claims: Vec<Claim> = claims.into_iter().collect();
        claims.sort_by(|a, b| a.order().cmp(b.order()));
        claims.dedup_by(|a, b| a.order() == b.order());
        Self(claims.into())
    }

    fn open(&self, now: i64) -> SmallVec<[Open<'_>; 2]> {
        self.0.iter().map(|claim| claim.open(now)).collect()
    }

    fn same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(own, its)| own.same(its))
    }
}

impl Draft<'_> {
    fn commit(&mut self, cost: u32, now: u64) {
        let cells = self.windows.iter().zip(&mut self.pages.cells);
        for ((window, cell), staged) in cells.zip(&self.staged) {
            if let Ok(arrival) = staged {
                window.commit(cell, cost, *arrival, now);
            }
        }
    }

    fn standings(&mut self, now: u64) -> impl Iterator<Item = Standing> {
        let cells = self.windows.iter().zip(&mut self.pages.cells);
        cells.zip(&self.staged).map(move |((window, cell), staged)| {
            let standing = window.standing(cell, now);
            Standing {
                reset: staged.err().unwrap_or(standing.reset),
                ..standing
            }
        })
    }
}

/// The window that keeps the caller waiting longest: its place among all, what to tell of it, and nanoseconds.
fn longest_wait(drafts: &[Draft<'_>]) -> Option<(usize, Exceeded, u64)> {
    let windows = drafts.iter().flat_map(|draft| draft.windows.iter().zip(&draft.staged));
    let mut longest: Option<(usize, &Window, u64)> = None;
    for (index, (window, staged)) in windows.enumerate() {
        if let Err(wait) = *staged
            && longest.is_none_or(|(_, _, so_far)| wait > so_far)
        {
            longest = Some((index, window, wait));
        }
    }
    longest.map(|(index, window, wait)| {
        let exceeded = Exceeded {
            window: window.limit.name.clone(),
            limit: window.limit.requests,
            retry_after: seconds_up(wait).max(1),
        };
        (index, exceeded, wait)
    })
}

fn spent(quota: &Open<'_>, now: i64) -> Exhausted {
    Exhausted {
        quota: quota.quota().name.clone(),
        limit: quota.quota().requests,
        retry_after: left(quota, now).reset.max(1),
        renews_at: quota.renews_at(),
    }
}

fn left(quota: &Open<'_>, now: i64) -> Left {
    Left {
        remaining: quota.remaining(),
        reset: u64::try_from(quota.renews_at().saturating_sub(now)).unwrap_or(0),
    }
}

impl Pages {
    /// The cells of `windows`, in their order.
    fn open(&mut self, windows: &Arc<Windows>, now: u64) -> &mut [Cell] {
        if !Arc::ptr_eq(&self.windows, windows) {
            self.turn(windows, now);
        }
        &mut self.cells
    }

    /// Lays the cells out anew: by definition, wherever they are. Those that nobody asks for now are kept until they are
    /// whole again, because a request of the generation before may still be deciding.
    fn turn(&mut self, windows: &Arc<Windows>, now: u64) {
        let Self {
            windows: before,
            cells,
            elsewhere,
        } = self;
        elsewhere.extend(before.iter().cloned().zip(cells.drain(..)));
        elsewhere.retain_mut(|(window, cell)| !window.is_whole(cell, now));
        for window in windows.iter() {
            let kept = elsewhere.iter().position(|(other, _)| other == window);
            cells.push(kept.map_or_else(|| window.cell(), |at| elsewhere.swap_remove(at).1));
        }
        *before = Arc::clone(windows);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
